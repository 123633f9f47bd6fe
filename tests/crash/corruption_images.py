"""The images of the corruption tests: an agent at work, its files, and everything that can befall them.

The agent has sent, has sealed (one object was stored and its confirmation lost), has records that wait, and
has more to read; once with everything checkpointed, once with the latest of it in a live -wal.
"""

import json
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import apsw

from collectors.collect import Collecting, Room, Source
from outbox.agents import current_agent, require_own
from outbox.database import Database
from outbox.delivery import Delivery, Limits
from outbox.errors import ConfigError
from outbox.migrate import upgrade
from outbox.record import Page, Rejected
from outbox.retry import Retry
from outbox.runs import recorded
from outbox.store import Outbox
from tests.crash import vfs
from tests.crash.power_loss_scenario import Feed, MemoryStore
from tests.support.agent import Clock, make, record
from uploader.objectstore import Receipt, key_parts
from uploader.upload import Upload

LIMITS = Limits(6, 10**6)
SENT, STORED, SEALED, COLLECTED = 24, 30, 36, 60
"""How far the agent had come: confirmed, stored without a confirmation, sealed, collected."""
PAGE_BYTES = 4_096
TIMES = ("2026-11-23T02:01:00.000Z", "2026-11-23T02:02:00.000Z")
"""When it collects what is not confirmed, and when it goes on."""
PAGES = [
    Page(
        records=[record(number, f"{number:03d}" * 100) for number in range(12 * page, 12 * page + 12)],
        rejected=[Rejected(reason="no time", raw=f"line {page}")],
        bookmark=str(page + 1),
    )
    for page in range(7)
]
PLACES = {
    **{
        f"the text of {sequence}": (rb"(%03d){100}" % (sequence - 1), rb"X" * 300)
        for sequence in (SENT, STORED, SEALED, COLLECTED)
    },
    "the time of rows that wait": (rb"23T02:01:00\.000Z(.{1,4}pending)", rb"24T02:01:00.000Z\1"),
    "the time of rows (no text any more)": (rb"(02:01:0)0(\.000Z.{1,4}pending)", b"\\1\xb0\\2"),
    "the name of a source (no text any more)": (rb"w(eather.{0,2}2026-11-23T02:01)", b"\xf7\\1"),
    "the name of an object": (rb"(none\x19.data/customer=acme/site=helsink)i", rb"\1j"),
    "the agent of a batch": (rb"f-0{11}1(none\x19.data/)", rb"f-000000000003\1"),
    "the encoding of a batch": (rb"none(\x19.data/)", rb"nonf\1"),
    "the status of a batch": (rb"(\.ndjson.{32,36})sealed", rb"\1seamed"),
    "the agent's site": (rb"helsinki([0-9a-f]{32}2026)", rb"helsinkj\1"),
    "the agent's beginning": (rb"(helsinki[0-9a-f]{32})2026", rb"\g<1>2036"),
    "the name of a column": (rb"checksum INTEGER", rb"checksun INTEGER"),
    "the last number given": (rb"outbox<", rb"outbux<"),  # in sqlite_sequence: 60
    "the schema's version": (rb"\A(SQLite format 3.{45}).{4}", b"\\1\0\0\0\0"),
}
"""Texts of the database, and what becomes of them."""
_PAGES = """
SELECT s.tbl_name, d.pageno FROM sqlite_schema AS s JOIN dbstat AS d ON d.name = s.name ORDER BY 1, 2
"""
Files = dict[str, bytes]


class Store(MemoryStore):
    """Keeps objects in memory, and takes no name that a real store could not take."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        super().__init__(objects, lambda _kind, _what: None)

    def put(self, key: str, data: bytes) -> Receipt:
        key_parts(key)
        return super().put(key, data)


class Image(NamedTuple):
    """Files as they are found, and whether the agent must not touch them."""

    name: str
    files: Files
    must_refuse: bool = False
    moved: bool = False


class Prepared(NamedTuple):
    """The agent's files in both shapes, a backup and a -wal from before, what is stored, every true line.

    `used` says which bytes of the checkpointed shape each table uses, its indexes with it.
    """

    shapes: dict[str, Files]
    used: dict[str, list[int]]
    backup: Files
    earlier: bytes
    objects: dict[str, bytes]
    lines: dict[int, bytes]


def prepare(folder: Path) -> Prepared:
    """Let an agent work, and keep its files."""
    clock, store = Clock(), Store({})
    make(folder / "outbox.db", clock)
    with vfs.frequent_checkpoints(0), Database.open(folder / "outbox.db") as database:
        Outbox(database, now=clock).ask_backfill("another", "2026-01-01", "2026-02-01")
        collect(database, clock, folder, limit=2)
        upload(database, clock, store)
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        backup = _files(folder)
        clock.advance(minutes=1)
        collect(database, clock, folder, limit=3)
        earlier = _files(folder)["outbox.db-wal"]
        delivery = Delivery(database, now=clock)
        for put in (store.put, lambda _key, _lines: None):
            sealed = delivery.seal(LIMITS, "none")
            assert sealed
            put(sealed.batch.object_key, sealed.lines)
        live = _files(folder)
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        shapes = {"live": live, "checkpointed": _files(folder)}
    objects = dict(store.objects)
    lay_out(folder, live)
    assert go_on(folder, store) == [None] * 3
    lines = {json.loads(line)["sequence"]: line for line in lines_of(store.objects)}
    assert sorted(lines) == list(range(1, sum(len(page.records) for page in PAGES) + 1))
    return Prepared(shapes, _used(shapes["checkpointed"]["outbox.db"]), backup, earlier, objects, lines)


def flipped(prepared: Prepared, chance: random.Random, table: str = "") -> Image:
    """Flip one bit: in a page of a table or its indexes, else anywhere in the database and its -wal."""
    if table:
        return flipped_at(prepared, chance.choice(prepared.used[table]), chance.randrange(8), table)
    shape = chance.choice(list(prepared.shapes))
    files = prepared.shapes[shape]
    at = chance.randrange(8 * sum(len(files[name]) for name in ("outbox.db", "outbox.db-wal")))
    name = "outbox.db" if at < 8 * len(files["outbox.db"]) else "outbox.db-wal"
    at -= 0 if name == "outbox.db" else 8 * len(files["outbox.db"])
    return _flip(files, name, at // 8, at % 8, shape)


def flipped_at(prepared: Prepared, at: int, bit: int, what: str = "") -> Image:
    """Flip this bit of the checkpointed database."""
    return _flip(prepared.shapes["checkpointed"], "outbox.db", at, bit, what)


def _flip(files: Files, name: str, at: int, bit: int, what: str) -> Image:
    content = bytearray(files[name])
    content[at] ^= 1 << bit
    return Image(f"{what}, {name} byte {at} bit {bit}", files | {name: bytes(content)})


def named(prepared: Prepared, chance: random.Random) -> Iterator[Image]:
    """Every damage that has a name."""
    strange_db, strange_wal = _strangers()
    for shape, files in prepared.shapes.items():
        yield Image(f"{shape}, as it is", files)
        yield Image(f"{shape}, on another machine", files, must_refuse=True, moved=True)
        for name, content in {
            "of no bytes": b"",
            "no database": b"no database" * 999,
            "another program's": strange_db,
            "put back": prepared.backup["outbox.db"],
        }.items():
            damaged = {"outbox.db": content, "outbox.witness": files["outbox.witness"]}
            yield Image(f"{shape}, {name}", damaged, must_refuse=True)
        content = files["outbox.db"]
        for begin in range(0, len(content), PAGE_BYTES):
            zeroed = content[:begin] + bytes(PAGE_BYTES) + content[begin + PAGE_BYTES :]
            yield Image(f"{shape}, page {begin // PAGE_BYTES + 1} zeroed", files | {"outbox.db": zeroed})
        for unit in (1, PAGE_BYTES) * 4:
            size = chance.randrange(1, len(content) // unit) * unit
            yield Image(f"{shape}, cut to {size} bytes", files | {"outbox.db": content[:size]})
        for what, (sought, instead) in PLACES.items():
            damaged = {name: re.sub(sought, instead, each, flags=re.DOTALL) for name, each in files.items()}
            assert damaged != files, what
            yield Image(f"{shape}, {what} damaged", damaged)
    live, checkpointed = prepared.shapes["live"], prepared.shapes["checkpointed"]
    wal = live["outbox.db-wal"]
    without = {name: each for name, each in live.items() if name != "outbox.db-wal"}
    yield Image("the -wal is missing", without, must_refuse=True)
    yield Image("the -wal is an earlier one", live | {"outbox.db-wal": prepared.earlier}, must_refuse=True)
    yield Image("the -wal is one that was checkpointed", checkpointed | {"outbox.db-wal": wal})
    yield Image("the -wal is another database's", checkpointed | {"outbox.db-wal": strange_wal})
    for _ in range(12):
        size = chance.randrange(len(wal))
        yield Image(f"the -wal is cut to {size} bytes", live | {"outbox.db-wal": wal[:size]})


def _used(content: bytes) -> dict[str, list[int]]:
    """The bytes of each table that mean something: headers, pointers and cells, but no free space."""
    with vfs.scratch() as folder:
        (folder / "outbox.db").write_bytes(content)
        connection = apsw.Connection(str(folder / "outbox.db"))
        used: dict[str, list[int]] = {}
        for table, page in connection.execute(_PAGES):
            begin = (page - 1) * PAGE_BYTES
            cells, first = (int.from_bytes(content[begin + at : begin + at + 2]) for at in (3, 5))
            header, end = range(begin, begin + 12 + 2 * cells), range(begin + first, begin + PAGE_BYTES)
            used.setdefault(table, []).extend((*header, *end))
        connection.close()
        return used


def _strangers() -> tuple[bytes, bytes]:
    """Another program's database, and its -wal."""
    with vfs.scratch() as folder:
        connection = apsw.Connection(str(folder / "other.db"))
        connection.pragma("journal_mode", "wal")
        connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, what TEXT)")
        connection.execute("INSERT INTO orders (what) VALUES ('a'), ('b')")
        wal = (folder / "other.db-wal").read_bytes()
        connection.close()
        return (folder / "other.db").read_bytes(), wal


def lines_of(objects: dict[str, bytes]) -> list[bytes]:
    """Return every line of every object."""
    return [line for _, data in sorted(objects.items()) for line in data.splitlines()]


def go_on(folder: Path, store: Store) -> list[Exception | None]:
    """Upload, collect, upload, each as a process of its own; return how each ended."""
    clock = Clock()
    clock.advance(minutes=2)
    return [
        _ended(folder / "outbox.db", clock, command)
        for command in (
            lambda database: upload(database, clock, store),
            lambda database: collect(database, clock, folder),
            lambda database: upload(database, clock, store),
        )
    ]


def _ended(path: Path, clock: Clock, command: Callable[[Database], None]) -> Exception | None:
    """Open the database as `outbox` does, run a command, and return what it ended with."""
    try:
        with Database.open(path) as database:
            upgrade(database, now=clock)
            if current_agent(database)[1:3] != ("acme", "helsinki"):
                raise ConfigError(["the configuration names another customer or site"])
            require_own(database)
            command(database)
    except Exception as error:  # noqa: BLE001 - whether it is one of ours is what is asked
        return error
    return None


def collect(database: Database, clock: Clock, folder: Path, limit: int | None = None) -> None:
    collecting = Collecting(Outbox(database, now=clock), Room(folder, 0), limit_s=1e9)
    for outcome in collecting.sources([Source("weather", Feed(PAGES, limit))]):
        if outcome.error:
            raise outcome.error


def upload(database: Database, clock: Clock, store: Store) -> None:
    with recorded(database, "upload", now=clock) as run_id:
        Upload(
            Delivery(database, now=clock),
            store,
            retry=Retry(attempts=1),
            limits=LIMITS,
            encoding="none",
            parallel=1,
            run_id=run_id,
        )()


def _files(folder: Path) -> Files:
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.endswith("-shm")}


def lay_out(folder: Path, files: Files) -> None:
    for left in folder.iterdir():
        left.unlink()
    for name, content in files.items():
        (folder / name).write_bytes(content)
