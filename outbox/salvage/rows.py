"""What was found in the pages of a damaged database, sorted into tables beside the one that is made of it.

Invariants:
- A table is told by the number and the types of its values, as the schema has them; nothing else is asked.
- Of a record, ledger and text are `whole` together or not at all: its checksum says so. A text whose ledger
  row is gone or damaged is whole with a time that rows beside it have: pages were collected at one time.
- Nothing is preferred yet: a row may be there several times, as it was at different moments.
"""

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from outbox.checksums import record_checksum
from outbox.database import Database
from outbox.line import lost_body
from outbox.salvage.pages import Found, Pages, Value

STEP_ROWS = 100  # a text may have a megabyte
_TYPES: dict[str, tuple[type, ...]] = {
    "TEXT": (str,),
    "INTEGER": (int,),
    "BLOB": (bytes,),
    "REAL": (float, int),
}
_TABLES = """
SELECT name, wr FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND name <> 'sqlite_schema'
"""
_COLUMNS = 'SELECT name, type, "notnull", pk FROM pragma_table_info(?)'
_WHOLE = """
CREATE TABLE found.whole AS
SELECT l.sequence, min(l.rowid) AS ledger, min(b.rowid) AS text
FROM found.outbox AS l JOIN found.bodies AS b ON b.sequence = l.sequence
WHERE is_whole(
  b.body, b.checksum, l.sequence, l.record_id, l.content_hash, l.source, l.run_id, l.collected_at, l.bytes)
GROUP BY l.sequence
"""
_ADD_LEDGER = """
INSERT INTO found.outbox (sequence, record_id, content_hash, source, run_id, collected_at, bytes, status)
VALUES (?, ?, ?, ?, ?, ?, ?, 'pending') RETURNING rowid
"""


class Table(NamedTuple):
    """A table's shape: the types that each of its columns may have, and which column is the rowid."""

    name: str
    columns: tuple[str, ...]
    types: tuple[tuple[type, ...], ...]
    rowid: int | None
    has_rowid: bool

    def row(self, found: Found) -> tuple[Value, ...] | None:
        """Return a record as a row of this table; None where it is none."""
        if len(found.values) != len(self.types) or (found.rowid is not None) is not self.has_rowid:
            return None
        values = list(found.values)
        if self.rowid is not None:
            values[self.rowid] = found.rowid
        return tuple(values) if all(map(isinstance, values, self.types)) else None


class _Text(msgspec.Struct):
    record_id: str
    source: str
    attributes: msgspec.Raw = msgspec.Raw()
    deleted: bool = False
    units: msgspec.Raw = msgspec.Raw()
    values: msgspec.Raw = msgspec.Raw()


def tables(database: Database) -> list[Table]:
    """Return the tables of a database that was just made."""
    return [_table(database, name, bool(without)) for name, without in database.execute(_TABLES)]


def gather(database: Database, pages: Pages, beside: Path) -> int:
    """Attach a file as `found`, with everything that can be read, and return how many pages cannot be."""
    database.execute("ATTACH ? AS found", (str(beside),))
    for setting in ("PRAGMA found.journal_mode = OFF", "PRAGMA found.synchronous = OFF"):
        database.execute(setting)
    shapes = tables(database)
    for shape in shapes:
        columns = ", ".join(f'"{name}"' for name in shape.columns)
        database.execute(f'CREATE TABLE found."{shape.name}" ({columns})')
    with database.transaction():
        for shape, rows in _portions(shapes, pages):
            marks = ", ".join("?" * len(shape.columns))
            database.executemany(f'INSERT INTO found."{shape.name}" VALUES ({marks})', rows)  # noqa: S608
        for name in ("outbox", "bodies"):
            database.execute(f"CREATE INDEX found.{name}_sequence ON {name} (sequence)")
    return pages.unreadable


def match(database: Database) -> int:
    """Find which ledger rows and texts are whole together, and return how many rows had to be made anew."""
    database.connection.create_scalar_function("is_whole", _is_whole)
    made = 0
    with database.transaction():
        database.execute(_WHOLE)
        database.execute("CREATE UNIQUE INDEX found.whole_sequence ON whole (sequence)")
        for rowid, sequence in database.execute("""
            SELECT rowid, sequence FROM found.bodies
            WHERE sequence NOT IN (SELECT sequence FROM found.whole) ORDER BY sequence
            """):
            made += _is_made(database, rowid, sequence)
    return made


def _is_made(database: Database, text: int, sequence: int) -> bool:
    """Make the ledger row of a text that has none, where a time that rows beside it have is its own."""
    body, checksum = database.execute(
        "SELECT cast(body AS BLOB), checksum FROM found.bodies WHERE rowid = ?", (text,)
    )[0]
    for collected_at, run_id in database.execute(
        """
        SELECT collected_at, run_id FROM found.outbox WHERE rowid IN (
          (SELECT ledger FROM found.whole WHERE sequence < ?1 ORDER BY sequence DESC LIMIT 1),
          (SELECT ledger FROM found.whole WHERE sequence > ?1 ORDER BY sequence LIMIT 1))
        OR sequence = ?1
        """,
        (sequence,),
    ):
        if record_checksum(sequence, collected_at.encode(), body) == checksum:
            with suppress(msgspec.MsgspecError, ValueError):  # a line that says that its record was lost
                ledger = database.value(_ADD_LEDGER, _ledger_row(sequence, body, run_id, collected_at))
                database.execute(
                    "INSERT OR IGNORE INTO found.whole VALUES (?, ?, ?)", (sequence, ledger, text)
                )
                return True
    return False


def _table(database: Database, name: str, without_rowid: bool) -> Table:
    columns = database.execute(_COLUMNS, (name,))
    if name == "sqlite_sequence":
        return Table("counters", ("name", "seq"), ((str,), (int,)), None, True)
    types = tuple(_TYPES[kind] + (() if notnull or pk else (type(None),)) for _, kind, notnull, pk in columns)
    keys = [n for n, (_, kind, _, pk) in enumerate(columns) if pk and kind == "INTEGER"]
    rowid = keys[0] if keys and not without_rowid else None
    return Table(name, tuple(row[0] for row in columns), types, rowid, not without_rowid)


def _portions(shapes: list[Table], pages: Pages) -> Iterator[tuple[Table, list[tuple[Value, ...]]]]:
    waiting: dict[str, list[tuple[Value, ...]]] = {shape.name: [] for shape in shapes}
    alike: dict[tuple[int, bool], list[Table]] = {}
    for shape in shapes:
        alike.setdefault((len(shape.types), shape.has_rowid), []).append(shape)
    for found in pages.records():
        for shape in alike.get((len(found.values), found.rowid is not None), ()):
            if (row := shape.row(found)) is not None:
                waiting[shape.name].append(row)
                if len(waiting[shape.name]) == STEP_ROWS:
                    yield shape, waiting[shape.name]
                    waiting[shape.name] = []
    yield from ((shape, waiting[shape.name]) for shape in shapes)


def _is_whole(*row: Any) -> bool:
    """Whether a ledger row and a text belong together: the checksum says so, and each says the same."""
    (body, checksum), ledger = row[:2], row[2:]
    text, sequence, run_id, collected_at = body.encode(), ledger[0], *ledger[4:6]
    if record_checksum(sequence, collected_at.encode(), text) != checksum:
        return False
    try:
        return ledger == _ledger_row(sequence, text, run_id, collected_at)
    except (msgspec.MsgspecError, ValueError):
        return bool(text == lost_body(b"", "", b""))


def _ledger_row(sequence: int, body: bytes, run_id: int, collected_at: str) -> tuple[Any, ...]:
    """What the ledger said of a record, from its text: its checksum was right."""
    text = msgspec.json.decode(body, type=_Text)
    attributes, units, values = (bytes(raw) for raw in (text.attributes, text.units, text.values))
    content = b'"attributes":%b,' % attributes if attributes else b""
    content += b'"deleted":true,' if text.deleted else b""
    content += b',"units":%b' % units if units else b""
    content += b',"values":%b' % values if values else b""
    record_id = bytes.fromhex(text.record_id.replace("-", ""))
    digest = hashlib.sha256(content).digest()[:16]
    return (sequence, record_id, digest, text.source, run_id, collected_at, len(body))
