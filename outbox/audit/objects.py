"""The promises held against what a store holds: alone, or together with the database that sent it.

Invariants:
- Nothing is changed, and no read of the database is open while the store is waited for.
- Memory does not grow with the number of objects: a store's listing and the batches come in the same order
  and are read side by side, and what has to be sorted anew is sorted in a temporary file.
- What happens meanwhile is no finding: before an object is called missing or unknown, both are asked again.
"""

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Protocol, Self

import apsw

from outbox.audit.finding import Finding, span
from outbox.audit.lines import wrong_lines
from outbox.database import Database, translated
from outbox.object_name import ObjectName, is_trial

STEP_ROWS = 1_000

_BATCHES = """
SELECT object_key, id, status, store, object_bytes, etag, ndjson_sha256, first_sequence, last_sequence
FROM batches WHERE object_key > ? AND object_key < ? ORDER BY object_key LIMIT ?
"""
_IS_KNOWN = """
SELECT EXISTS (SELECT 1 FROM batches WHERE object_key = ?1)
  OR EXISTS (SELECT 1 FROM voided WHERE object_key = ?1)
"""
_TEXTS = "SELECT count(*) FROM bodies WHERE sequence BETWEEN ? AND ?"
_GIVEN_UP = {
    "restored": "which was sealed after the backup was made that is in use now: what it holds was read again "
    "since, where sources had it.",
    "moved": "which was sealed on the old machine after the database was moved: it has not stopped.",
    "salvaged": "which was sealed before the database was salvaged, and its seal could not be read: what it "
    "holds may be there twice, under the same numbers.",
}
_CREATE = """
CREATE TABLE objects (folder TEXT, first INTEGER, last INTEGER, key TEXT,
  PRIMARY KEY (folder, first, last, key)) WITHOUT ROWID
"""


class Objects(Protocol):
    """The reading side of a store; keys are relative to the destination and come in their own order."""

    url: str

    def list_objects(self, below: str = "") -> Iterator[tuple[str, int]]:
        """Yield the key and size of every object whose key begins with `below`, by key."""
        ...

    def read_lines(self, key: str, encoding: str) -> bytes:
        """Return the lines of an object; DataError where it cannot be unpacked."""
        ...


class Known(NamedTuple):
    """A batch as the database knows it."""

    key: str
    id: int
    status: str
    store: str | None
    object_bytes: int | None
    etag: str | None
    sha256: bytes
    first_sequence: int
    last_sequence: int


class Tiled(NamedTuple):
    """What the objects of one agent cover: sequences `first` to `last`, gaps included."""

    folder: str
    objects: int
    first: int
    last: int


class Tiles:
    """The objects of a listing, sorted by agent and sequence in a temporary file of SQLite's own."""

    def __init__(self) -> None:
        self._connection = apsw.Connection("")
        for sql in ("PRAGMA journal_mode = OFF", "PRAGMA synchronous = OFF", _CREATE, "BEGIN"):
            self._connection.execute(sql)
        self.agents: list[Tiled] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def note(self, name: ObjectName) -> None:
        """Remember an object for `findings`."""
        with translated(Path("the audit's temporary file")):
            self._connection.execute(
                "INSERT INTO objects VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (name.folder, name.first_sequence, name.last_sequence, name.key),
            )

    def findings(self) -> Iterator[Finding]:
        """Yield the gaps and overlaps of every agent; `agents` then says what each of them covers."""
        tiled, before = None, ""
        for folder, first, last, key in self._connection.execute(
            "SELECT folder, first, last, key FROM objects ORDER BY folder, first, last, key"
        ):
            if tiled is None or tiled.folder != folder:
                name = ObjectName.parse(key)
                assert name is not None  # noqa: S101 - for the type checker: only what was parsed is noted
                tiled, before = Tiled(folder, 0, name.begins, name.begins - 1), ""
                self.agents.append(tiled)
            if first > tiled.last + 1:
                yield Finding(
                    "object-gap",
                    f"No object below {folder} holds {span(tiled.last + 1, first - 1)}, though {key} goes on "
                    "after them: they never arrived, or were removed.",
                )
            elif first <= tiled.last:
                yield Finding(
                    "object-overlap",
                    f"Two objects hold {span(first, min(last, tiled.last))}, {before} and {key}: a copy of "
                    "this agent's database uploads too, or the range was sealed again.",
                )
            before = key if last >= tiled.last else before
            tiled = Tiled(folder, tiled.objects + 1, tiled.first, max(tiled.last, last))
            self.agents[-1] = tiled


def audit_objects(objects: Objects, tiles: Tiles, *, deep: bool) -> Iterator[Finding]:
    """Yield what the objects alone show to be wrong; `deep` reads all of them."""
    for key, _ in objects.list_objects():
        name = ObjectName.parse(key)
        if name is not None:
            tiles.note(name)
            if deep:
                yield from wrong_lines(name, objects.read_lines, None)
        elif not is_trial(key):
            yield Finding(
                "object-foreign", f"The object {key} is none of ours: no loader can tell its agent."
            )
    yield from tiles.findings()
    if not tiles.agents:
        yield Finding("object-none", f"No agent has an object below {objects.url}: is this the right place?")


def audit_store(database: Database, objects: Objects, *, deep: bool) -> Iterator[Finding]:
    """Yield where the database and the store disagree about this agent's objects; `deep` reads all."""
    for customer, site, agent_id, ended, ended_on in database.execute("""
        SELECT customer, site, agent_id, lead(reason, 1, 'in force') OVER (ORDER BY id),
          substr(lead(since, 1, '') OVER (ORDER BY id), 1, 10)
        FROM agents ORDER BY agent_id
        """):
        folder = f"data/customer={customer}/site={site}/agent={agent_id}/"
        for known, key, size in _side_by_side(_batches(database, folder), objects.list_objects(folder)):
            if known is None:
                # The original of a copy goes on under the identity that the copy gave up.
                yield from _stranger(database, key, ended, ended_on) if ended != "cloned" else ()
            elif size is None:
                yield from _absent(database, objects, known)
            else:
                yield from _present(objects, known, size, deep=deep)


def _batches(database: Database, folder: str) -> Iterator[Known]:
    """The batches of a folder by key, in steps: no read is open while the store is waited for."""
    after, end = folder, f"{folder[:-1]}0"  # 0 is what comes after the slash
    while rows := database.execute(_BATCHES, (after, end, STEP_ROWS)):
        yield from (Known(*row) for row in rows)
        after = rows[-1][0]


def _side_by_side(
    batches: Iterator[Known], listed: Iterator[tuple[str, int]]
) -> Iterator[tuple[Known | None, str, int | None]]:
    """Yield each key once with the batch and the size that belong to it; None where there is none."""
    known, found = next(batches, None), next(listed, None)
    while known or found:
        if found is None or (known and known.key < found[0]):
            assert known is not None  # noqa: S101 - for the type checker
            yield known, known.key, None
            known = next(batches, None)
        elif known is None or found[0] < known.key:
            yield None, *found
            found = next(listed, None)
        else:
            yield known, *found
            known, found = next(batches, None), next(listed, None)


def _stranger(database: Database, key: str, ended: str, ended_on: str) -> Iterator[Finding]:
    """An object that no batch has; `ended` is why its agent was given up, if it was, and on which day."""
    if database.value(_IS_KNOWN, (key,)):
        return  # sealed meanwhile, or voided after it was put
    name = ObjectName.parse(key)
    if name is None:
        yield Finding("object-foreign", f"The object {key} is none of ours, but lies among this agent's.")
        return
    held = span(name.first_sequence, name.last_sequence)
    holders = database.execute(
        """
        SELECT id, ndjson_sha256 = zeroblob(32) FROM batches
        WHERE first_sequence <= ?2 AND last_sequence >= ?1 AND status IN ('sealed', 'sent')
        ORDER BY first_sequence LIMIT 1
        """,
        (name.first_sequence, name.last_sequence),
    )
    batch, is_unnamed = holders[0] if holders else (None, 0)
    if is_unnamed:
        return  # the name that a salvage could not read
    is_note = ended == "restored" and name.date <= ended_on
    if ended == "restored" and not is_note:
        meaning = f"which was sealed after {ended_on}, when that identity ended: a copy of it uploads too."
    elif ended in _GIVEN_UP:
        meaning = _GIVEN_UP[ended]
    elif batch is None:
        meaning = "which this database never sealed: it is older than the store. Was a backup restored?"
    else:
        meaning = f"which this database sealed as batch {batch}: a copy of the database uploads too."
    yield Finding("object-unknown", f"The object {key} holds {held}, {meaning}", is_note)


def _absent(database: Database, objects: Objects, known: Known) -> Iterator[Finding]:
    if known.status != "sent" or known.store != objects.url:
        return
    if any(key == known.key for key, _ in objects.list_objects(known.key)):
        return  # put after the store was listed
    first, last = known.first_sequence, known.last_sequence
    if database.value(_TEXTS, (first, last)) == last - first + 1:
        cure = f"What to do: outbox resend {known.id}"
    else:
        cure = (
            "Its texts are no longer kept here: take it from the store's older versions or its backup, "
            "unless Snowflake has loaded it"
        )
    yield Finding(
        "object-missing",
        f"The object {known.key} (batch {known.id}, {span(first, last)}) was confirmed by {objects.url} and "
        f"is no longer there: it was removed. {cure}.",
    )


def _present(objects: Objects, known: Known, size: int, *, deep: bool) -> Iterator[Finding]:
    name = ObjectName.parse(known.key)
    if name is None:
        return  # said already, of the batch
    other_size = known.status == "sent" and known.store == objects.url and size != known.object_bytes
    wrong = list(wrong_lines(name, objects.read_lines, known.sha256)) if deep or other_size else []
    yield from wrong
    # Without an ETag it was there before us: another version's compressor may have made it.
    if other_size and not wrong and known.etag is not None:
        yield Finding(
            "object-size",
            f"The object {known.key} has {size:,} bytes, but {known.object_bytes or 0:,} were confirmed: it "
            "was replaced, though its lines are the same.",
        )
