"""Inputs that could not become records: the table of the rejected, its only owner.

They are looked at, read again once their section was corrected (`Outbox.retry`), or dismissed.

Invariants:
- The same input that is rejected again is the same row, open or resolved as it was, and counted once more.
- An input is kept up to 64 KiB, and knows where it came from by its digest, which is of all of it.
- Nothing is resolved but by a record of it, by having been read, or by a person.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from outbox.database import Database
from outbox.errors import PermanentError
from outbox.record import MAX_RAW_BYTES, Record, Rejected, timestamp

Reread = Callable[[str], Record | Rejected | None]
"""What a collector makes of a raw input: a record, rejected still, or None for one that says nothing."""

_COLUMNS = "id, source, reason, raw, count, first_at, last_at, resolved_at"


class RejectedInput(NamedTuple):
    """One input, however often it was read; times are RFC 3339 text, `resolved_at` None while it is open."""

    id: int
    source: str
    reason: str
    raw: str
    times: int
    first_at: str
    last_at: str
    resolved_at: str | None


class RejectedInputs:
    """The rejected inputs of one open database."""

    def __init__(self, database: Database, *, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    def find(self, source: str | None = None, *, resolved: bool = False) -> Iterator[RejectedInput]:
        """Yield the inputs of a source, or of all, latest first; with `resolved` also those."""
        for row in self._database.rows(
            f"""
            SELECT {_COLUMNS} FROM rejected
            WHERE (?1 IS NULL OR source = ?1) AND (?2 OR resolved_at IS NULL) ORDER BY last_at DESC, id DESC
            """,  # noqa: S608 - the columns are fixed
            (source, resolved),
        ):
            yield RejectedInput(*row)

    def get(self, number: int) -> RejectedInput:
        """Return one input; PermanentError where there is none of this number."""
        rows = self._database.execute(f"SELECT {_COLUMNS} FROM rejected WHERE id = ?", (number,))  # noqa: S608
        if not rows:
            raise PermanentError(
                f"there is no rejected input {number}", hint="their numbers: outbox rejected list --all"
            )
        return RejectedInput(*rows[0])

    def chosen(self, numbers: Sequence[int], source: str | None) -> list[int]:
        """Return the open inputs of these numbers, or of a source; PermanentError for an unknown number."""
        if numbers:
            return [number for number in numbers if self.get(number).resolved_at is None]
        rows = self._database.rows(
            """
            SELECT id FROM rejected WHERE (?1 IS NULL OR source = ?1) AND resolved_at IS NULL ORDER BY id
            """,
            (source,),
        )
        return [number for (number,) in rows]

    def dismiss(self, numbers: Sequence[int]) -> int:
        """Resolve inputs that need no record, in one transaction; return how many were open."""
        moment, dismissed = timestamp(self._now()), 0
        with self._database.transaction():
            for number in numbers:
                dismissed += resolve(self._database, number, moment)
        return dismissed


def reject(database: Database, source: str, rejected: Rejected, moment: str, run_id: int) -> None:
    """Keep an input that could not become a record, or count it once more, within a transaction."""
    raw = rejected.raw.encode(errors="backslashreplace")
    kept = raw[:MAX_RAW_BYTES].decode(errors="ignore")
    digest = bytes.fromhex(rejected.digest)
    database.execute(
        """
        INSERT INTO rejected (source, reason, digest, raw, first_at, last_at, run_id)
        VALUES (?, ?, ?, ?, ?5, ?5, ?6)
        ON CONFLICT DO UPDATE SET count = count + 1, reason = excluded.reason,
          last_at = excluded.last_at, run_id = excluded.run_id
        """,
        (source, rejected.reason, digest, kept, moment, run_id),
    )


def reject_lost(database: Database, source: str, reason: str, raw: str, name: bytes, moment: str) -> None:
    """Keep what is left of a record that was damaged on this disk, within a transaction.

    `name` tells it from others: what is left of two records may be the same text.
    """
    digest = hashlib.sha256(name).digest()[:16]
    database.execute(
        """
        INSERT INTO rejected (source, reason, digest, raw, first_at, last_at) VALUES (?, ?, ?, ?, ?5, ?5)
        ON CONFLICT DO UPDATE SET count = count + 1, last_at = excluded.last_at
        """,
        (source, reason, digest, raw[:MAX_RAW_BYTES], moment),
    )


def resolve(database: Database, number: int, moment: str) -> int:
    """Mark one input as resolved, within a transaction; return 1, or 0 where it was not open."""
    database.execute(
        "UPDATE rejected SET resolved_at = ? WHERE id = ? AND resolved_at IS NULL", (moment, number)
    )
    return database.changes()


def resolve_read(database: Database, source: str, digest: str, moment: str) -> None:
    """Mark as resolved what a source could read after all, within the transaction of its page."""
    database.execute(
        "UPDATE rejected SET resolved_at = ? WHERE source = ? AND digest = ? AND resolved_at IS NULL",
        (moment, source, bytes.fromhex(digest)),
    )


def keep_with_reason(database: Database, number: int, reason: str) -> None:
    """Keep an input open, with the reason that it has now, within a transaction."""
    database.execute("UPDATE rejected SET reason = ? WHERE id = ? AND resolved_at IS NULL", (reason, number))


def unresolved(database: Database, source: str) -> int:
    """Return how many inputs of a source are open."""
    return int(
        database.value("SELECT count(*) FROM rejected WHERE source = ? AND resolved_at IS NULL", (source,))
    )
