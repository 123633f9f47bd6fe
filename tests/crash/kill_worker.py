"""A process to be killed: does its one job over and over, as fast as it can, until then.

    python -m tests.crash.kill_worker ROLE FOLDER NAME SEED

Says "ready" once it has imported what it needs, and waits for a line: everything that touches the
database, its opening included, happens after that, so that kills meet work and not the interpreter's
start. Exits with 3 when something failed: that is a finding, whatever the kills did.

What only reads the configuration or speaks to a network (pydantic, httpx, tenacity) is replaced by
placeholders: it would be two thirds of a worker's life. What writes is the product's own code.
"""

import os
import random
import sqlite3
import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

FAILED = 3
_PLACEHOLDERS = ("outbox.config.options", "outbox.config.sections", "outbox.retry", "collectors.collector")
_NEEDED = (
    "collectors.collect",
    "outbox.database",
    "outbox.housekeeping",
    "tests.crash.kill_source",
    "uploader.directory",
    "uploader.upload",
)


def _place(name: str, **names: Any) -> None:
    module = ModuleType(name)
    module.__dict__.update({"__getattr__": lambda _name: object, **names})
    sys.modules[name] = module


def import_little() -> None:
    """Put placeholders where the product imports what this process never uses."""
    _place("importlib.metadata", version=lambda _name: "0", PackageNotFoundError=LookupError)
    for name in _PLACEHOLDERS:
        _place(name)


def collector(folder: Path, name: str, chance: random.Random) -> NoReturn:
    """Collect from one source or the other; note in a journal what was acknowledged, after it was."""
    from collectors.collect import Collecting, Room, Source
    from outbox.database import Database
    from outbox.errors import TransientError
    from outbox.store import Outbox
    from tests.crash.kill_source import SOURCES, Endless

    journal = (folder / "journal" / name).open("ab", buffering=0)
    room = Room(folder, 0)
    while True:
        with Database.open(folder / "outbox.db") as database:
            source = Endless(chance.choice((1, 5, 50)))

            def acknowledged(of: str, _records: int, source: Endless = source) -> None:
                journal.write(f"{of} {source.last}\n".encode())

            collecting = Collecting(Outbox(database, now=now), room, limit_s=1e9, on_page=acknowledged)
            (outcome,) = collecting.sources([Source(chance.choice(SOURCES), source)])
        if outcome.error and not (
            isinstance(outcome.error, TransientError) and "another collect" in outcome.error.message
        ):
            raise outcome.error


def uploader(folder: Path, _name: str, chance: random.Random) -> NoReturn:
    """Upload what waits, beside other uploaders, with other limits and another encoding at every run."""
    from outbox.database import Database
    from outbox.delivery import Delivery, Limits
    from outbox.runs import recorded
    from uploader.directory import DirectoryStore
    from uploader.upload import Upload

    while True:
        with Database.open(folder / "outbox.db") as database:
            delivery = Delivery(database, now=now)
            while not delivery.anything():
                pass
            with recorded(database, "upload", now=now) as run_id:
                Upload(
                    delivery,
                    DirectoryStore((folder / "objects").as_uri()),
                    retry=lambda operation: operation(),
                    limits=Limits(chance.choice((1, 20, 500)), chance.choice((2_000, 10**6))),
                    encoding=chance.choice(("zstd", "gzip", "none")),
                    parallel=chance.choice((1, 3)),
                    run_id=run_id,
                )()


LOOKS = {
    "every record is sent or pending": """
        SELECT (SELECT seq FROM sqlite_sequence WHERE name = 'outbox')
          - (SELECT count(*) FROM pending)
          - (SELECT coalesce(sum(records), 0) FROM deliveries WHERE status = 'sent')""",
    "backlog agrees with pending": """
        SELECT (SELECT count(*) FROM pending) - (SELECT coalesce(sum(records), 0) FROM backlog)""",
    "what waits has its text": "SELECT count(*) FROM pending WHERE record_id IS NULL",
    "batches tile": """
        SELECT count(*) FROM (
          SELECT first_sequence, lag(last_sequence, 1, 0) OVER (ORDER BY first_sequence) AS before FROM batches)
        WHERE first_sequence <> before + 1""",
    "nobody is needed": """
        SELECT what || ': ' || why FROM problems
        WHERE what NOT LIKE 'rejected inputs of %' AND why NOT LIKE 'another collect of %'""",
}
"""What an operator sees in one read transaction, at any moment: each of these is 0 or NULL."""


def reader(folder: Path, _name: str, _chance: random.Random) -> NoReturn:
    """Look as an operator does: read-only, with Python's own and older SQLite."""
    while True:
        address = (folder / "outbox.db").as_uri() + "?mode=ro"
        connection = sqlite3.connect(address, uri=True, timeout=30, isolation_level=None)
        connection.execute("BEGIN")
        for what, query in LOOKS.items():
            (found,) = connection.execute(query).fetchone() or (None,)
            if found:
                raise AssertionError(f"an operator saw otherwise ({found}): {what}")
        connection.execute("COMMIT")
        connection.close()


def vacuum(folder: Path, _name: str, _chance: random.Random) -> NoReturn:
    """Prune and forget what was sent a second ago."""
    from outbox.database import Database
    from outbox.housekeeping import vacuum as clean
    from outbox.runs import recorded

    while True:
        with (
            Database.open(folder / "outbox.db") as database,
            recorded(database, "vacuum", now=now),
        ):
            clean(database, keep_sent_s=1.0, remember_s=1.5, now=now)


ROLES: dict[str, Callable[[Path, str, random.Random], NoReturn]] = {
    "collector": collector,
    "uploader": uploader,
    "reader": reader,
    "vacuum": vacuum,
}


def now() -> Any:
    from datetime import UTC, datetime

    return datetime.now(UTC)


def warm(role: str) -> None:
    """Import what the role needs before it says that it is ready."""
    for name in () if role == "reader" else _NEEDED:
        import_module(name)


def main(role: str, folder: str, name: str, seed: str) -> None:
    try:
        import_little()
        warm(role)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        ROLES[role](Path(folder), name, random.Random(int(seed)))
    except BaseException:  # noqa: BLE001 - whatever it is, the parent must hear of it
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(FAILED)


if __name__ == "__main__":
    main(*sys.argv[1:])
