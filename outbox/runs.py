"""Runs: what each invocation of a command did, kept 90 days for operators.

A run's counts are written within the transactions that they count. A run that was killed never ends: its
`exit_code` stays NULL.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import NamedTuple

from outbox.database import Database
from outbox.errors import DataError, Exit, OutboxError
from outbox.reasons import counted
from outbox.record import timestamp


class Counts(NamedTuple):
    """What a run has done so far."""

    new: int
    unchanged: int
    rejected: int
    objects: int
    sent: int


@contextmanager
def recorded(
    database: Database, command: str, source: str = "", *, now: Callable[[], datetime]
) -> Iterator[int]:
    """Keep a run for the block and yield its id; the block's error is kept with it, and comes through."""
    with database.transaction():
        run_id = int(
            database.value(
                "INSERT INTO runs (command, source, started_at) VALUES (?, ?, ?) RETURNING id",
                (command, source, timestamp(now())),
            )
        )
    try:
        yield run_id
    except OutboxError as error:
        with suppress(OutboxError):  # the error that stopped the run matters more than its note
            _finish(database, run_id, error.exit_code, str(error), now)
        raise
    except BaseException as error:
        code = Exit.INTERRUPTED if isinstance(error, KeyboardInterrupt) else Exit.BUG
        with suppress(OutboxError):
            _finish(database, run_id, code, type(error).__name__, now)
        raise
    _finish(database, run_id, Exit.OK, None, now)


def counts(database: Database, run_id: int) -> Counts:
    """Return what a run has done; DataError where its row is gone."""
    rows = database.execute(
        "SELECT new, unchanged, rejected, objects, sent FROM runs WHERE id = ?", (run_id,)
    )
    if not rows:
        raise DataError(f"{database.path} is damaged: run {run_id} has no row any more")
    return Counts(*rows[0])


def count_records(
    database: Database,
    run_id: int,
    *,
    new: int = 0,
    unchanged: int = 0,
    rejected: int = 0,
    observed: tuple[str | None, str | None] = (None, None),
) -> None:
    """Add to what a run has read, within the transaction that stores it.

    `observed` are the oldest and the newest time of these records, RFC 3339 text.
    """
    database.execute(
        """
        UPDATE runs SET
          new = new + ?2, unchanged = unchanged + ?3, rejected = rejected + ?4,
          oldest = min(coalesce(oldest, ?5), coalesce(?5, oldest)),
          newest = max(coalesce(newest, ?6), coalesce(?6, newest))
        WHERE id = ?1
        """,
        (run_id, new, unchanged, rejected, *observed),
    )


def count_reasons(database: Database, run_id: int, reasons: Iterable[str]) -> None:
    """Add to why a run's inputs were rejected, within the transaction that keeps them."""
    before = json.loads(database.value("SELECT reasons FROM runs WHERE id = ?", (run_id,)) or "{}")
    database.execute(
        "UPDATE runs SET reasons = ? WHERE id = ?", (json.dumps(counted(reasons, before)), run_id)
    )


def count_object(database: Database, run_id: int, *, records: int = 0) -> None:
    """Add an object to those that a run has put, and its records where they were not sent before."""
    database.execute("UPDATE runs SET objects = objects + 1, sent = sent + ? WHERE id = ?", (records, run_id))


def note_clock(
    database: Database, run_id: int, server_time: datetime, *, now: Callable[[], datetime]
) -> None:
    """Keep with a run how far this machine's clock was ahead of a server's, the first time that one told."""
    offset_s = (now() - server_time).total_seconds()
    with database.transaction():
        database.execute(
            "UPDATE runs SET clock_offset_s = ? WHERE id = ? AND clock_offset_s IS NULL", (offset_s, run_id)
        )


def _finish(
    database: Database, run_id: int, code: Exit, error: str | None, now: Callable[[], datetime]
) -> None:
    with database.transaction():
        database.execute(
            "UPDATE runs SET finished_at = ?, exit_code = ?, error = ? WHERE id = ?",
            (timestamp(now()), int(code), error, run_id),
        )
