"""Databases in every state: each is records, rejected rows, or a typed error. Nothing else, and nothing lost."""

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from importlib import import_module
from pathlib import Path
from urllib.parse import quote

import pytest
import sqlalchemy
from sqlalchemy.dialects.sqlite import pysqlite

from collectors.sql.errors import translated
from collectors.sql.query import Bounds, Query
from collectors.sql.server import _DRIVERS, Column, escaped
from outbox.config.sections import NetworkOptions
from outbox.errors import LoginRefusedError, OutboxError, PermanentError, TransientError
from outbox.record.page import normalise_page
from tests.collectors.sql_database import File, entities, sql


@pytest.fixture
def file(tmp_path):
    return File(tmp_path)


def values_of(file, value, kept=""):
    """What becomes of one cell: the page, and the page as the outbox takes it."""
    file.execute("CREATE TABLE orders (id, changed, v)")
    file.execute("INSERT INTO orders VALUES (1, '2026-11-23', ?)", (value,))
    (page,) = sql(file, values=f"v {kept}").collect({})
    return page, normalise_page(page, customer="c", site="s", source="orders")


@pytest.mark.parametrize(
    ("value", "kept", "expected"),
    [
        (5, "", 5),
        (2**63 - 1, "", 2**63 - 1),
        (-(2**63), "", -(2**63)),
        (0.1, "", 0.1),
        (1.5e15, "", 1.5e15),
        (5e-324, "(text)", None),
        ("12.50", "", 12.5),
        ("12.50", "(text)", "12.50"),
        (b"\x00\xff", "(json)", "AP8="),
        (b"\x00\xff", "", None),
        ("nul \x00 inside", "(text)", "nul \x00 inside"),
        ("\u202eevil", "(text)", "\u202eevil"),
        ("😀", "(text)", "😀"),
    ],
)
def test_a_cell_is_kept(file, value, kept, expected):
    _, done = values_of(file, value, kept)
    if expected is None:
        assert len(done.rejected) == 1
    else:
        assert done.rejected == []
        assert json.loads(done.entries[0].body)["values"]["v"] == expected


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (float("inf"), "not a number"),
        (float("-inf"), "not a number"),
        ("abc", "not a number"),
        ("1,5", "not a number"),
        ("9" * 500, "not a number"),
        ("1e999", "range"),
    ],
)
def test_a_cell_that_is_none_rejects_its_row(file, value, reason):
    _, done = values_of(file, value)
    assert reason in done.rejected[0].reason
    assert done.entries == []


def test_a_row_without_values_says_nothing(file):
    file.execute("CREATE TABLE orders (id, changed, total)")
    file.execute(
        "INSERT INTO orders VALUES (1, '2026-11-23', NULL), (2, '2026-11-23', '  '), (3, '2026-11-23', 7)"
    )
    (page,) = sql(file).collect({})
    assert (entities([page]), page.rejected) == (["3"], [])


@pytest.mark.parametrize(
    "moment",
    [
        "",
        "yesterday",
        "2026-02-30",
        "0000-01-01",
        "10000-01-01",
        "2026-11-23 25:00",
        b"2026-11-23",
        1e999,
        "24:00",
        "23.11.2026",
    ],
)
def test_a_time_that_is_none_rejects_its_row_and_the_rest_goes_on(file, moment):
    file.execute("CREATE TABLE orders (id, changed, total)")
    file.execute("INSERT INTO orders VALUES (1, ?, 5)", (moment,))
    file.execute("INSERT INTO orders VALUES (2, '2026-11-23', 5)")
    (page,) = sql(file).collect({})
    assert entities([page]) == ["2"]
    assert "changed" in page.rejected[0].reason
    assert json.loads(page.rejected[0].raw)["origin"]["from"] == "orders"


@pytest.mark.parametrize("year", ["0001-01-01", "9999-12-31 23:59:59"])
def test_the_first_and_the_last_year_are_times(file, year):
    file.execute("CREATE TABLE orders (id, changed, total)")
    file.execute("INSERT INTO orders VALUES (1, ?, 5)", (year,))
    (page,) = sql(file, bookmark="changed").collect({})
    assert entities([page]) == ["1"]


def test_text_in_no_known_encoding_rejects_its_row_alone(file):
    file.execute("CREATE TABLE orders (id, changed, total, customer)")
    file.execute(
        "INSERT INTO orders VALUES (1, '2026-11-23', 5, CAST(x'e4ff' AS TEXT)), (2, '2026-11-23', 5, 'ä')"
    )
    (page,) = sql(file, attributes="customer").collect({})
    done = normalise_page(page, customer="c", site="s", source="orders")
    assert "not Unicode" in done.rejected[0].reason
    assert len(done.entries) == 1


def test_a_rejected_row_can_be_read_again(file):
    file.execute("CREATE TABLE orders (id, changed, total)")
    file.execute("INSERT INTO orders VALUES (1, '23.11.2026', x'00ff')")
    (page,) = sql(file).collect({})
    found = sql(file, time_format="%d.%m.%Y", values="total (json)").reread(page.rejected[0].raw)
    assert (found.entity, found.values) == ("1", {"total": b"\x00\xff"})


def test_a_word_among_times_does_not_become_the_bookmark(file):
    """It sorts behind every time, and would hide what follows."""
    file.execute("CREATE TABLE orders (id, changed TEXT, total)")
    for number, changed in enumerate(["", "2026-11-20", "2026-11-21", "never", "unknown"]):
        file.execute("INSERT INTO orders VALUES (?, ?, 5)", (number, changed))
    source = sql(file, bookmark="changed")
    pages = list(source.collect({}))
    assert entities(pages) == ["1", "2"]
    assert len(pages[-1].rejected) == 3
    file.execute("INSERT INTO orders VALUES (7, '2026-11-22', 5)")
    assert entities(source.collect({"": pages[-1].bookmark})) == ["2", "7"]


def test_mixed_types_in_a_bookmark_are_read_in_the_databases_order(file):
    file.execute("CREATE TABLE orders (id, changed, total, mark)")
    file.execute(
        "INSERT INTO orders VALUES (1, '2026-11-23', 5, 7), (2, '2026-11-23', 5, 'a'), (3, '2026-11-23', 5, 1.5)"
    )
    source = sql(file, bookmark="mark")
    pages = list(source.collect({}))
    assert entities(pages) == ["3", "1", "2"]
    assert entities(source.collect({"": pages[-1].bookmark})) == ["1", "2"]


def test_a_huge_number_of_columns_is_fine(file):
    names = ", ".join(f"c{number}" for number in range(1_990))
    file.execute(f"CREATE TABLE orders (id, changed, total, {names})")
    file.execute("INSERT INTO orders (id, changed, total) VALUES (1, '2026-11-23', 5)")
    assert entities(sql(file).collect({})) == ["1"]


def test_no_column_at_all_is_asked_for_that_is_not_needed(file):
    """A view may have columns that are costly, or broken."""
    file.execute("CREATE TABLE raw (id, changed, total)")
    file.execute("INSERT INTO raw VALUES (1, '2026-11-23', 5)")
    file.execute("CREATE VIEW orders AS SELECT *, abs(-9223372036854775807 - id) AS broken FROM raw")
    assert entities(sql(file).collect({})) == ["1"]
    with pytest.raises(PermanentError, match="overflow"):
        list(sql(file, values="broken").collect({}))


# Files.


def test_a_file_that_is_not_there_is_not_made(file):
    with pytest.raises(PermanentError, match="no file"):
        list(sql(file).collect({}))
    assert not file.path.exists()


@pytest.mark.parametrize(
    "content", [b"", b"no database at all, but text" * 100, b"SQLite format 3\x00" + b"\xff" * 5_000]
)
def test_a_file_that_is_no_database_is_an_error(file, content):
    file.path.write_bytes(content)
    with pytest.raises(PermanentError):
        list(sql(file).collect({}))
    assert file.path.read_bytes() == content


def test_a_folder_is_no_database(file):
    file.path.mkdir()
    with pytest.raises(PermanentError):
        list(sql(file).collect({}))


@pytest.mark.parametrize("name", ["or ders.db", "ordres é%20?.db", "a#b.db", "CON&x=1.db"])
def test_a_file_may_have_any_name(tmp_path, name):
    if os.name == "nt" and "?" in name:
        pytest.skip("no such name on Windows")
    file = File(tmp_path)
    file.path = tmp_path / name
    file.make(2)
    url = "sqlite:///" + quote(str(file.path).lstrip("/"))
    assert entities(sql(file, url=url).collect({})) == ["0", "1"]


def test_a_locked_database_is_waited_for_and_then_an_outage(file):
    file.make(1)
    with closing(sqlite3.connect(file.path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(TransientError, match="locked"):
            list(sql(file, network=NetworkOptions(connect_timeout="0.1s")).collect({}))


def test_a_query_without_end_is_ended(file):
    file.make(1)
    query = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) AS id, 1 AS changed, 1 AS total FROM n"
    with pytest.raises(TransientError, match="interrupted") as caught:
        list(sql(file, query=query, statement_timeout="1s").collect({}))
    assert "statement_timeout" in caught.value.hint


def test_nobody_is_kept_from_writing_afterwards(file):
    file.make(5)
    pages = sql(file).collect({})
    next(pages)
    pages.close()
    file.add(5)


# Drivers, and what they say.


@pytest.mark.parametrize(
    ("module", "extra"), [("sqlalchemy", "[postgres]"), ("psycopg", "[postgres]"), ("pymysql", "[mysql]")]
)
def test_a_missing_driver_says_what_to_install(module, extra):
    """In a process of its own, where the module cannot be imported."""
    url = "mysql://me@127.0.0.1:1/x" if module == "pymysql" else "postgresql://me@127.0.0.1:1/x"
    program = f"""
import sys
sys.modules[{module!r}] = None
from collectors.registry import load
from zoneinfo import ZoneInfo
from collectors.collector import Context
from outbox.errors import PermanentError
Sql = load("sql")
options = Sql.Options(collector="sql", url={url!r}, table="t", time="a", values="b")
try:
    list(Sql(options, Context("orders", ZoneInfo("UTC"), None, str)).collect({{}}))
except PermanentError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=Path(__file__).parents[2]
    )
    assert extra in done.stdout, done.stderr


class DriverError(Exception):
    def __init__(self, text, state=None):
        super().__init__(text)
        if state:
            self.sqlstate = state


class OperationalError(DriverError):
    pass


class MysqlError(Exception):
    """As PyMySQL's look, which is not installed here."""

    __module__ = "pymysql.err"


STATES = {
    "28P01": LoginRefusedError,
    "28000": LoginRefusedError,
    "42P01": PermanentError,
    "42501": PermanentError,
    "25006": PermanentError,
    "22012": PermanentError,
    "0A000": PermanentError,
    "3D000": PermanentError,
    "57014": TransientError,
    "57P01": TransientError,
    "57P03": TransientError,
    "53300": TransientError,
    "40001": TransientError,
    "40P01": TransientError,
    "55P03": TransientError,
    "08006": TransientError,
}


@pytest.mark.parametrize(("state", "expected"), STATES.items())
def test_a_state_says_what_to_do(state, expected):
    for connecting in (True, False):
        assert type(translated(DriverError("text", state), "here", connecting=connecting)) is expected


SAID = {
    'FATAL:  password authentication failed for user "x"': LoginRefusedError,
    'FATAL:  no pg_hba.conf entry for host "1.2.3.4"': LoginRefusedError,
    'FATAL:  role "x" is not permitted to log in': LoginRefusedError,
    'FATAL:  role "x" does not exist': LoginRefusedError,
    "fe_sendauth: no password supplied": LoginRefusedError,
    "FATAL:  Passwort-Authentifizierung für Benutzer »x« fehlgeschlagen": LoginRefusedError,
    "FATAL:  authentification par mot de passe échouée pour l'utilisateur « x »": LoginRefusedError,
    "FATAL:  la autentificación password falló para el usuario «x»": LoginRefusedError,
    'FATAL:  database "x" does not exist': PermanentError,
    "FATAL:  sorry, too many clients already": TransientError,
    "FATAL:  the database system is starting up": TransientError,
    "connection refused": TransientError,
    "could not translate host name": TransientError,
    "timeout expired": TransientError,
    "[Microsoft][ODBC Driver 18][28000] Login failed for user 'x'. (18456)": LoginRefusedError,
    "[Microsoft][ODBC Driver 18][42S02] Invalid object name 'x'": PermanentError,
    "[Microsoft][ODBC Driver 18][HYT00] Login timeout expired": TransientError,
    "[Microsoft][ODBC Driver 18][08001] TCP Provider: no connection": TransientError,
}


@pytest.mark.parametrize(("said", "expected"), SAID.items())
def test_a_connection_that_fails_says_what_to_do(said, expected):
    assert type(translated(OperationalError(said), "here", connecting=True)) is expected


@pytest.mark.parametrize(
    ("number", "expected"),
    [(1045, LoginRefusedError), (1044, LoginRefusedError), (1146, PermanentError), (1054, PermanentError), (1064, PermanentError),
     (1792, PermanentError), (2003, TransientError), (2013, TransientError), (1040, TransientError), (3024, TransientError)],
)  # fmt: skip
def test_mysql_says_it_in_numbers(number, expected):
    assert type(translated(MysqlError(number, "text"), "here")) is expected


def test_what_is_quoted_is_one_short_printable_line():
    error = translated(DriverError("\n\x1b[31mred\x00 " + "x" * 5_000 + "\nDETAIL: row (secret)"), "here")
    assert "DETAIL" not in str(error)
    assert "\x1b" not in str(error)
    assert len(error.message) < 400
    assert isinstance(translated(None, "here"), OutboxError)


@pytest.mark.parametrize("kind", ["postgresql", "mysql", "mariadb", "mssql", "sqlite"])
def test_every_kind_gets_a_statement_in_its_own_language(kind):
    """Those that no test here runs are at least written: quoted, bound, bounded."""
    columns = [Column('a"b`c]'), Column("small", small=True), Column("b")]
    query = Query("SELECT * FROM t WHERE x = ':y' AND z::date > '%'", columns, columns[2], columns[0], kind)
    dialects = {"postgresql": "postgresql.psycopg", "sqlite": "sqlite.pysqlite", "mssql": "mssql.pymssql"}
    module = import_module(f"sqlalchemy.dialects.{dialects.get(kind, 'mysql.pymysql')}")
    written = query.rows(columns, Bounds(1, 2, 3), 1_000).compile(dialect=module.dialect())
    text = str(written)
    assert "ORDER BY" in text
    assert "':y'" in text.replace("\\", "")
    assert "z::date" in text
    assert set(written.params.values()) >= {1, 2, 3, 1_000}
    quoted = {"mysql": '`a"b``c]`', "mariadb": '`a"b``c]`', "mssql": '[a"b`c]]]'}.get(kind, '"a""b`c]"')
    assert quoted in text
    assert kind in _DRIVERS


@pytest.mark.parametrize(
    "query",
    [
        "SELECT ':a', x::int, a:b, '\\:c', '10:30', :d, '::', E'\\\\n', '%', '%s %(x)s'",
        r"SELECT '\:x' ~ ':\w+'",
        "SELECT a[1:2]",
    ],
)
def test_a_query_reaches_the_database_to_the_letter(query):
    assert str(sqlalchemy.text(escaped(query)).compile(dialect=pysqlite.dialect())) == query
