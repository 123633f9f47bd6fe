"""Where each scope of a source resumes: the table of bookmarks, its only owner.

Invariants:
- A bookmark is stored with the page that it closes, in one transaction, and only by the page that was begun
  at its revision: equal text would not notice that another page came between.
- A row that was altered is refused: a source that resumed at a wrong place would leave records out.
"""

from typing import NamedTuple

from outbox.checksums import row_checksum
from outbox.database import Database
from outbox.errors import DataError, TransientError
from outbox.sequences import SALVAGE


class Bookmark(NamedTuple):
    """Where a scope resumes, and how many pages it has seen; revision 0 is a scope never stored."""

    text: str
    revision: int


def read_bookmarks(database: Database, source: str, backfill_id: int = 0) -> dict[str, Bookmark]:
    """Return the bookmarks of a source, or of one of its back-fills, by scope; DataError for damage."""
    bookmarks = {}
    for *row, checksum in database.rows(
        """
        SELECT source, backfill_id, scope, bookmark, revision, stored_at, checksum FROM bookmarks
        WHERE source = ? AND backfill_id = ?
        """,
        (source, backfill_id),
    ):
        if row_checksum(*row) != checksum:
            raise DataError(
                f"{database.path} is damaged: the bookmark of {source} was altered",
                hint=f"{SALVAGE}; {source} is then read from its beginning, and what is known is not "
                "stored again",
            )
        bookmarks[row[2]] = Bookmark(row[3], row[4])
    return bookmarks


def require_revision(database: Database, source: str, backfill_id: int, scope: str, revision: int) -> None:
    """Raise TransientError where another page of this scope was stored meanwhile; within a transaction."""
    found = database.value(
        "SELECT revision FROM bookmarks WHERE source = ? AND backfill_id = ? AND scope = ?",
        (source, backfill_id, scope),
    )
    if (found or 0) != revision:
        raise TransientError(f"another collect of {source} stored a page meanwhile: this one stored nothing")


def set_bookmark(
    database: Database, source: str, backfill_id: int, scope: str, bookmark: Bookmark, moment: str
) -> None:
    """Store where a scope resumes, within the transaction of its page."""
    row = (source, backfill_id, scope, bookmark.text, bookmark.revision, moment)
    database.execute(
        """
        INSERT INTO bookmarks (source, backfill_id, scope, bookmark, revision, stored_at, checksum)
        VALUES (?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT DO UPDATE SET bookmark = excluded.bookmark, revision = excluded.revision,
          stored_at = excluded.stored_at, checksum = excluded.checksum
        """,
        (*row, row_checksum(*row)),
    )


def drop_bookmarks(database: Database, source: str, backfill_id: int) -> None:
    """Remove the bookmarks of a back-fill that is finished, within a transaction."""
    database.execute("DELETE FROM bookmarks WHERE source = ? AND backfill_id = ?", (source, backfill_id))
