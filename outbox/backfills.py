"""Stretches of the past that sources still have to read: the table of back-fills, its only owner.

Invariants:
- The same stretch that is asked for twice, and was not read yet, is one back-fill.
- A finished back-fill has no bookmarks, and no page is stored for it any more.
"""

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from outbox.bookmarks import drop_bookmarks
from outbox.checksums import row_checksum
from outbox.database import Database
from outbox.errors import DataError, TransientError
from outbox.record import timestamp
from outbox.sequences import SALVAGE


class Backfill(NamedTuple):
    """A stretch of the past that a source still has to read: days as ISO text, both included."""

    id: int
    source: str
    since: str
    until: str


def ask_backfill(
    database: Database, source: str, since: str, until: str, *, now: Callable[[], datetime]
) -> int:
    """Note that a source shall read the days from `since` to `until`, and return the back-fill's id."""
    with database.transaction():
        known = database.value(
            "SELECT id FROM backfills WHERE source = ? AND since = ? AND until = ? AND finished_at IS NULL",
            (source, since, until),
        )
        row = (source, since, until, timestamp(now()))
        return int(
            known
            or database.value(
                """
                INSERT INTO backfills (source, since, until, asked_at, checksum)
                VALUES (?, ?, ?, ?, ?) RETURNING id
                """,
                (*row, row_checksum(*row)),
            )
        )


def unfinished_backfills(database: Database) -> list[Backfill]:
    """Return the back-fills that are not finished, oldest first; DataError for a damaged one."""
    found = []
    for number, *row, checksum in database.rows(
        """
        SELECT id, source, since, until, asked_at, checksum FROM backfills
        WHERE finished_at IS NULL ORDER BY id
        """
    ):
        if row_checksum(*row) != checksum:
            raise DataError(
                f"{database.path} is damaged: back-fill {number} was altered",
                hint=f"{SALVAGE}; then ask for the stretch again",
            )
        found.append(Backfill(number, *row[:3]))
    return found


def require_unfinished(database: Database, backfill_id: int, source: str) -> None:
    """Raise TransientError where another collect has finished this back-fill; within a transaction."""
    if database.value("SELECT finished_at IS NOT NULL FROM backfills WHERE id = ?", (backfill_id,)):
        raise TransientError(f"another collect finished this back-fill of {source} meanwhile")


def finish_backfill(database: Database, backfill: Backfill, *, now: Callable[[], datetime]) -> None:
    """Note that a back-fill has read everything, and remove its bookmarks."""
    with database.transaction():
        database.execute(
            "UPDATE backfills SET finished_at = ? WHERE id = ? AND finished_at IS NULL",
            (timestamp(now()), backfill.id),
        )
        drop_bookmarks(database, backfill.source, backfill.id)
