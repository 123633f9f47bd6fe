"""A damaged database, replaced by a sound one that is made of whatever can be read of it.

Invariants:
- The damaged files are never written and never deleted: they are put aside, under a name with the time.
- The sound database is finished, and synced, under another name before anything is moved. A salvage that
  was killed is begun anew; one that was killed between the moves is finished when it is run again.
- The witness knows the new agent before the database has its name: whatever may lie there otherwise stops.
"""

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from outbox.agents import SALVAGED, Agent, current_agent
from outbox.database import APPLICATION_ID, Database
from outbox.errors import DiskFullError, PermanentError, SchemaError
from outbox.migrate import upgrade
from outbox.record import timestamp
from outbox.salvage.build import Built, Place, build
from outbox.salvage.pages import Pages
from outbox.salvage.rows import gather, match
from outbox.sequences import next_unsealed
from outbox.witness import Witnessed, read_witness, write_witness

_ANYTHING = """
SELECT EXISTS (SELECT 1 FROM found.agents) OR EXISTS (SELECT 1 FROM found.batches)
  OR EXISTS (SELECT 1 FROM found.whole)
"""
_UNMARKED = """
SELECT DISTINCT source FROM outbox
WHERE source <> 'unknown' AND source NOT IN (SELECT source FROM bookmarks) ORDER BY source
"""


class Salvaged(NamedTuple):
    """What a salvage did; `built` is None where it only finished one that had been killed.

    `unreadable` counts pages, `remade` rows of the ledger that were made anew from their texts, `unmarked`
    names sources without a bookmark: they are read from their beginning.
    """

    agent: Agent
    aside: Path | None
    built: Built | None
    unreadable: int
    remade: int
    unmarked: list[str]


def salvage(
    path: Path,
    *,
    customer: str,
    site: str,
    now: Callable[[], datetime],
    token: Callable[[], str] = lambda: secrets.token_hex(8),
) -> Salvaged:
    """Put a sound database in the place of a damaged one; PermanentError where there is none.

    SchemaError where it is another program's. No other command may run meanwhile; `customer` and `site` are
    for a database that cannot tell its own.
    """
    made = path.with_name(path.name + SALVAGED)
    built, unreadable, remade = None, 0, 0
    if path.exists():
        for suffix in ("", "-wal", "-shm"):
            made.with_name(made.name + suffix).unlink(missing_ok=True)
        built, unreadable, remade = _make(path, made, Place(customer, site), now=now, token=token)
    elif not made.exists():
        raise PermanentError(f"there is no database at {path}", hint="make one with: outbox init")
    with Database.open(made) as database:
        agent, sealed = current_agent(database), next_unsealed(database) - 1
        unmarked = [source for (source,) in database.rows(_UNMARKED)]
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    aside = _put_aside(path, timestamp(now()))
    write_witness(path, Witnessed(agent.agent_id, sealed))
    for suffix in ("-wal", "-shm"):
        made.with_name(made.name + suffix).unlink(missing_ok=True)  # empty: it was all written back
    made.rename(path)
    _sync(path.parent)
    return Salvaged(agent, aside, built, unreadable, remade, unmarked)


def _make(
    path: Path, made: Path, place: Place, *, now: Callable[[], datetime], token: Callable[[], str]
) -> tuple[Built, int, int]:
    """Make the sound database under its other name; how many pages could not be read, and rows made anew."""
    rows = path.with_name(path.name + ".salvaged-rows")
    rows.unlink(missing_ok=True)
    is_theirs = _is_another_programs(path) and read_witness(path) is None

    def fill(database: Database) -> tuple[Built, int, int]:
        upgrade(database, now=now)
        with Pages(path) as pages:
            unreadable = gather(database, pages, rows)
        remade = match(database)
        if is_theirs and not database.value(_ANYTHING):
            raise SchemaError(
                f"{path} is another program's database: nothing of an outbox is in it, and it was left alone",
                hint="correct [agent] folder, or put the right file in its place",
            )
        with database.transaction(), _without_triggers(database):
            built = build(database, place, read_witness(path), unreadable, now=now, token=token)
        database.execute("DETACH found")
        return built, unreadable, remade

    try:
        return Database.create(made, fill)
    except DiskFullError as error:
        hint = "make room on this disk: a salvage takes up to three times the size of the database"
        raise DiskFullError(error.message, hint=hint) from error
    finally:
        for leftover in (rows, *(made.with_name(made.name + suffix) for suffix in (".new", ".new-journal"))):
            leftover.unlink(missing_ok=True)


def _is_another_programs(path: Path) -> bool:
    """Whether a whole header says so; it may also be ours, with a bit that flipped."""
    with path.open("rb") as file:
        header = file.read(72)
    return header.startswith(b"SQLite format 3\x00") and header[68:] != APPLICATION_ID.to_bytes(4, "big")


@contextmanager
def _without_triggers(database: Database) -> Iterator[None]:
    """Triggers guard against people; here rows come in the order and the state in which they were found."""
    triggers = database.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'")
    for name, _ in triggers:
        database.execute(f"DROP TRIGGER {name}")
    yield
    for _, sql in triggers:
        database.execute(sql)


def _put_aside(path: Path, moment: str) -> Path | None:
    """Give the damaged files another name, the database first: what is left without it is finished later."""
    name = f"{path.name}.damaged-{moment.translate({ord(sign): None for sign in '-:.'})}"
    moved = None
    for suffix in ("", "-wal", "-shm"):
        file, aside = path.with_name(path.name + suffix), path.with_name(name + suffix)
        if file.exists():
            if aside.exists():
                raise PermanentError(f"{aside} exists already: nothing was moved")
            file.rename(aside)
            moved = moved or aside
    _sync(path.parent)
    return moved


def _sync(folder: Path) -> None:
    if os.name != "nt":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
