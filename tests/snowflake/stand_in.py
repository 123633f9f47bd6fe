"""A stand-in for Snowflake: the shipped text, transpiled by sqlglot and run by DuckDB.

No query is written twice: what differs between the two is bridged by the shims of shims.py, and here:

- dynamic tables are tables that are made anew; the pipe is played by `Warehouse.land_all`, the stream and the task
  by `Warehouse.take`.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from outbox import snowflake
from tests.snowflake.shims import transpiled
from uploader.compression import decompress

VALUES = {
    "database": "OUTBOX",
    "schema": "CORE",
    "warehouse": "OUTBOX",
    "time_travel_days": "14",
    "lag_s": "900",
    "to": "s3://example-landing/raw",
    "role_arn": "arn:aws:iam::123456789012:role/outbox-snowflake",
    "mail": "data@example.com",
}
PREFIX = "raw/"
BODY = re.compile(r"\bAS\n(?P<body>.+)", re.DOTALL)


def statements(text: str) -> list[str]:
    """The statements of a script, as a client would send them; those of a `$$` body stay together."""
    found, lines, inside = [], [], False
    for line in text.splitlines():
        inside ^= line.count("$$") % 2 == 1
        lines.append(line)
        if line.endswith(";") and not inside and not line.lstrip().startswith("--"):
            found.append("\n".join(lines).strip().removesuffix(";"))
            lines = []
    assert not "".join(lines).strip(), f"a statement without its end: {lines}"
    return found


def body(statement: str) -> str:
    """The query inside a pipe or task."""
    match = BODY.search(statement)
    assert match, statement
    return match["body"]


def bare(statement: str) -> str:
    """A statement without the comments before it."""
    return re.sub(r"\A(\s*--[^\n]*\n)+", "", statement)


TYPES = """
CREATE MACRO snowflake_type(v) AS CASE json_type(v)
  WHEN 'UBIGINT' THEN 'INTEGER' WHEN 'BIGINT' THEN 'INTEGER' WHEN 'HUGEINT' THEN 'INTEGER'
  WHEN 'NULL' THEN 'NULL_VALUE' ELSE json_type(v) END
"""
COPY_HISTORY = """
CREATE TABLE copy_history (
  file_name VARCHAR, status VARCHAR, row_count BIGINT, row_parsed BIGINT, error_count BIGINT,
  first_error_message VARCHAR, first_error_line_number BIGINT, last_load_time TIMESTAMPTZ)
"""
RETENTION = """
CREATE TABLE retention AS SELECT 'CORE' AS table_schema, unnest([NULL, 14, 1]) AS retention_time
"""
LANDS_AFTER = timedelta(seconds=30)


class Object(NamedTuple):
    """An object in the bucket: its whole key, its lines, when S3 stored it."""

    key: str
    ndjson: bytes
    stored_at: datetime


class Warehouse:
    """The tables and views of the shipped script, in memory, and a pipe, a stream and a task that are played."""

    def __init__(self, now: datetime) -> None:
        self.duckdb = duckdb.connect(config={"threads": 1})
        for sql in (
            "SET TimeZone = 'UTC'",
            "ATTACH ':memory:' AS OUTBOX",
            "CREATE SCHEMA OUTBOX.CORE",
            "USE OUTBOX.CORE",
        ):
            self.duckdb.execute(sql)
        self.set_now(now)
        for sql in (TYPES, COPY_HISTORY, RETENTION):
            self.duckdb.execute(sql)
        self._dynamic: dict[str, str] = {}
        self._take = ""
        self.make()
        self.duckdb.execute("CREATE TABLE landed AS SELECT * FROM landing")

    def make(self) -> None:
        """Run the shipped script; again, if it was run before."""
        for part in snowflake.parts().values():
            if part.in_script:
                for statement in statements(snowflake.fill(part.text, VALUES)):
                    self._create(bare(statement))

    def _create(self, statement: str) -> None:
        kind = re.match(
            r"CREATE (?:OR REPLACE )?(TABLE|VIEW|DYNAMIC TABLE|TASK) (?:IF NOT EXISTS )?(\w+)", statement
        )
        if kind is None:
            return
        if kind[1] == "TASK":
            self._take = self._take or transpiled(body(statement))
            return
        sql = transpiled(statement)
        if kind[1] == "DYNAMIC TABLE":
            self._dynamic[kind[2]] = sql
        self.duckdb.execute(sql)

    def clear(self, now: datetime) -> None:
        """Forget everything, as if just made: making one takes longer than filling it."""
        self.set_now(now)
        for table in ("landing", "landed", "lines", "erasures", "expected", "reported", "copy_history"):
            self.duckdb.execute(f"DELETE FROM {table}")

    def set_now(self, now: datetime) -> None:
        """Say what SYSDATE() is from now on."""
        self.now = now
        self.duckdb.execute("SET VARIABLE now = ?::TIMESTAMP", [now.replace(tzinfo=None)])

    def land(self, found: Object, *, landed_at: datetime | None = None) -> bool:
        """Load one object as the pipe does: whole, or where a line is no JSON not at all (False)."""
        return self.land_all([(found, landed_at or found.stored_at + LANDS_AFTER)])

    def land_all(self, landing: Iterable[tuple[Object, datetime]]) -> bool:
        """Load objects, each with the time of its loading; False where one of them was skipped."""
        rows: list[tuple[Any, ...]] = []
        history: list[tuple[Any, ...]] = []
        for found, moment in landing:
            lines = found.ndjson.decode("utf-8", "replace").splitlines()
            bad = next((n for n, line in enumerate(lines, 1) if not _is_json(line)), None)
            content_key, stored_at = (
                hashlib.md5(found.ndjson).hexdigest(),
                found.stored_at.replace(tzinfo=None),
            )
            loaded = [] if bad else lines
            rows += [(line, found.key, n, content_key, stored_at, moment) for n, line in enumerate(loaded, 1)]
            status, error = ("Load failed", "Error parsing JSON") if bad else ("Loaded", None)
            history.append(
                (found.key, status, len(loaded), len(lines), int(bad is not None), error, bad, moment)
            )
        for table, what in (("landing", rows), ("landed", rows), ("copy_history", history)):
            if what:
                columns = ", ".join(f"unnest(${n})" for n in range(1, len(what[0]) + 1))
                self.duckdb.execute(
                    f"INSERT INTO {table} SELECT {columns}", list(map(list, zip(*what, strict=True)))
                )
        return all(row[1] == "Loaded" for row in history)

    def take(self) -> None:
        """Run the task, then let the dynamic tables catch up."""
        self.duckdb.execute(self._take)
        self.duckdb.execute("DELETE FROM landed")
        self.refresh()

    def refresh(self) -> None:
        """Compute the dynamic tables anew."""
        for sql in self._dynamic.values():
            self.duckdb.execute(sql)

    def run(self, sql: str) -> list[dict[str, Any]]:
        """Run a script; what it asks of a stream, a task or a dynamic table is played. The last answer."""
        answer: list[dict[str, Any]] = []
        for statement in map(bare, statements(sql)):
            if statement.startswith("CREATE OR REPLACE STREAM landed"):
                self.duckdb.execute("DELETE FROM landed")
                self.duckdb.execute("INSERT INTO landed SELECT * FROM landing")
            elif statement.startswith("EXECUTE TASK take_lines"):
                self.take()
            elif statement.startswith("ALTER DYNAMIC TABLE"):
                self.refresh()
            elif not statement.startswith(("USE ", "ALTER TASK", "SELECT SYSTEM$", "CREATE FILE FORMAT")):
                answer = self.query(statement)
        return answer

    def query(self, sql: str) -> list[dict[str, Any]]:
        """Ask in Snowflake's language; numbers that are whole are int."""
        cursor = self.duckdb.execute(transpiled(sql))
        names = [column[0] for column in cursor.description or []]
        return [dict(zip(names, map(_plain, row), strict=True)) for row in cursor.fetchall()]


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def _plain(value: Any) -> Any:
    is_whole = hasattr(value, "as_tuple") and value == value.to_integral_value()
    return int(value) if is_whole else value


def objects_below(folder: Path, stored_at: datetime) -> Iterator[Object]:
    """What a directory store holds, as it would be in the bucket."""
    for path in sorted(folder.rglob("*.ndjson*")):
        key = path.relative_to(folder).as_posix()
        encoding = {".zst": "zstd", ".gz": "gzip"}.get(path.suffix, "none")
        yield Object(PREFIX + key, decompress(path.read_bytes(), encoding), stored_at)
