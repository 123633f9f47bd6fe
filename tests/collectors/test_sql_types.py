"""The table of types in collectors/sql/types.md, each row of it tried on the server that it is about."""

import json
import re
from contextlib import closing
from pathlib import Path

import pytest

import collectors.sql
from outbox.errors import PermanentError
from outbox.record.page import normalise_page
from tests.collectors.sql_database import Cluster, File, Maria, sql

TYPES = (Path(collectors.sql.__file__).parent / "types.md").read_text(encoding="utf-8")
BEFORE = {
    "PostgreSQL": ["CREATE TYPE mood AS ENUM ('high', 'low')", "SET TimeZone = 'Asia/Tokyo'"],
    "MySQL and MariaDB": ["SET time_zone = '+02:00', sql_mode = ''"],
    "SQLite": [],
}


class Number(str):
    """The digits of a number in JSON, as they are written there."""

    __slots__ = ()


def rows(server):
    """(type, what a cell holds, value, time, entity) of each row of a server's table, as it is written."""
    section = TYPES.partition(f"\n## {server}\n")[2].partition("\n## ")[0]
    lines = [line.strip("|").split(" | ") for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line] for line in lines]


def alternatives(cell):
    """(marker, what is expected) of a cell such as "(text) `1`, (json) `[1]`"; None: rejected."""
    if cell == "rejected":
        return [("", None)]
    found = re.findall(r"(?:\((\w+)\) )?`([^`]+)`", cell)
    assert found, cell
    return found if any(not marker for marker, _ in found) else [("", None), *found]


def read(database, **options):
    """What becomes of the one row: its record, or None where it is rejected."""
    given = {"entity": "id", "time": "at", "values": "one", "table": "t", **options}
    (page,) = sql(database, zone="Europe/Helsinki", **given).collect({})
    done = normalise_page(page, customer="c", site="s", source="t")
    assert len(done.entries) + len(done.rejected) == 1
    return json.loads(done.entries[0].body, parse_int=Number, parse_float=Number) if done.entries else None


def as_value(database, column, marker):
    found = read(database, values=f"v: {column} ({marker})" if marker else f"v: {column}")
    return found and found["values"]["v"]


def as_time(database, column, marker):
    found = read(database, time=column, time_format=marker or "iso")
    return found and found["observed_at"]


def as_entity(database, column, _marker):
    found = read(database, entity=column)
    return found and found["entity"]


def expected(text, marker, how):
    if text is None or how is not as_value or marker == "text":
        return text
    try:
        return json.loads(text, parse_int=Number, parse_float=Number)
    except ValueError:
        return text


def make(database, server, kinds):
    columns = ", ".join(f"c{number} {kind}" for number, (kind, _) in enumerate(kinds))
    moment = {"PostgreSQL": "timestamptz", "SQLite": "TEXT"}.get(server, "datetime")
    values = ", ".join(written for _, written in kinds)
    statements = [
        *BEFORE[server],
        "DROP TABLE IF EXISTS t",
        f"CREATE TABLE t (id int, at {moment}, one int, {columns})",
        f"INSERT INTO t VALUES (1, '2026-11-20 05:00', 1, {values})",
    ]
    with closing(database.connect()) as connection, closing(connection.cursor()) as cursor:
        for statement in statements:
            cursor.execute(statement)
        connection.commit()


@pytest.mark.parametrize(
    "server",
    [
        pytest.param("PostgreSQL", marks=pytest.mark.xdist_group("postgres")),
        pytest.param("MySQL and MariaDB", marks=pytest.mark.xdist_group("postgres")),
        "SQLite",
    ],
)
def test_each_type_becomes_what_the_table_says(server, tmp_path, request):
    database = {
        "PostgreSQL": lambda: Cluster(request.getfixturevalue("postgres")),
        "MySQL and MariaDB": lambda: Maria(request.getfixturevalue("mariadb")),
        "SQLite": lambda: File(tmp_path),
    }[server]()
    table = rows(server)
    assert len(table) > 15
    make(database, server, [(kind.strip("`"), written.strip("`")) for kind, written, *_ in table])
    wrong = []
    for number, (kind, written, *cells) in enumerate(table):
        for how, cell in zip((as_value, as_time, as_entity), cells, strict=True):
            for marker, text in alternatives(cell):
                try:
                    found = how(database, f"c{number}", marker)
                except PermanentError as error:
                    found = f"refused: {error}"
                wanted = expected(text, marker, how)
                if (found, type(found)) != (wanted, type(wanted)):
                    wrong.append(f"{kind} {written} {how.__name__} ({marker}): {found!r}, not {wanted!r}")
    assert wrong == []
