"""Runs: what each invocation of a command did, kept 90 days for operators.

A run's counts are written by the transactions that they count (`store`, `delivery`); here it begins and
ends. A run that was killed never ends: its `exit_code` stays NULL.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import NamedTuple

from outbox.database import Database
from outbox.errors import DataError, Exit, OutboxError
from outbox.record import timestamp

_BEGIN = "INSERT INTO runs (command, source, started_at) VALUES (?, ?, ?) RETURNING id"
_FINISH = "UPDATE runs SET finished_at = ?, exit_code = ?, error = ? WHERE id = ?"
_NOTE_CLOCK = "UPDATE runs SET clock_offset_s = ? WHERE id = ? AND clock_offset_s IS NULL"
_COUNTS = "SELECT new, unchanged, rejected, objects, sent FROM runs WHERE id = ?"


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
        run_id = int(database.value(_BEGIN, (command, source, timestamp(now()))))
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
    rows = database.execute(_COUNTS, (run_id,))
    if not rows:
        raise DataError(f"{database.path} is damaged: run {run_id} has no row any more")
    return Counts(*rows[0])


def note_clock(
    database: Database, run_id: int, server_time: datetime, *, now: Callable[[], datetime]
) -> None:
    """Keep with a run how far this machine's clock was ahead of a server's, the first time that one told."""
    offset_s = (now() - server_time).total_seconds()
    with database.transaction():
        database.execute(_NOTE_CLOCK, (offset_s, run_id))


def _finish(
    database: Database, run_id: int, code: Exit, error: str | None, now: Callable[[], datetime]
) -> None:
    with database.transaction():
        database.execute(_FINISH, (timestamp(now()), int(code), error, run_id))
