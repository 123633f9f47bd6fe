"""Inputs that could not become records: looked at, read again once their section was fixed, or dismissed.

Invariants:
- An input that has become a record is stored and resolved in one transaction; the same record is not
  stored twice, and an older input never overwrites what was read since.
- What still cannot be stored stays, with its new reason. Nothing is resolved without a record or a word.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from outbox.database import Database
from outbox.errors import PermanentError, RecordError
from outbox.reasons import counted
from outbox.record import Record, Rejected, timestamp
from outbox.store import Added, Outbox

Reread = Callable[[str], Record | Rejected | None]
"""What a collector makes of a raw input: a record, rejected still, or None for one that says nothing."""

_COLUMNS = "id, source, reason, raw, count, first_at, last_at, resolved_at"
_FIND = f"""
SELECT {_COLUMNS} FROM rejected
WHERE (?1 IS NULL OR source = ?1) AND (?2 OR resolved_at IS NULL) ORDER BY last_at DESC, id DESC
"""  # noqa: S608 - fixed at import
_GET = f"SELECT {_COLUMNS} FROM rejected WHERE id = ?"  # noqa: S608 - fixed at import
_UNRESOLVED = """
SELECT id FROM rejected WHERE (?1 IS NULL OR source = ?1) AND resolved_at IS NULL ORDER BY id
"""
_RESOLVE = "UPDATE rejected SET resolved_at = ? WHERE id = ? AND resolved_at IS NULL"
_KEEP = "UPDATE rejected SET reason = ? WHERE id = ? AND resolved_at IS NULL"
_REASONS = "SELECT reasons FROM runs WHERE id = ?"
_COUNT = """
UPDATE runs SET unchanged = unchanged + ?, rejected = rejected + ?, reasons = ? WHERE id = ?
"""


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
        for row in self._database.rows(_FIND, (source, resolved)):
            yield RejectedInput(*row)

    def get(self, number: int) -> RejectedInput:
        """Return one input; PermanentError where there is none of this number."""
        rows = self._database.execute(_GET, (number,))
        if not rows:
            raise PermanentError(
                f"there is no rejected input {number}", hint="their numbers: outbox rejected list --all"
            )
        return RejectedInput(*rows[0])

    def chosen(self, numbers: Sequence[int], source: str | None) -> list[int]:
        """Return the open inputs of these numbers, or of a source; PermanentError for an unknown number."""
        if numbers:
            return [number for number in numbers if self.get(number).resolved_at is None]
        return [row[0] for row in self._database.rows(_UNRESOLVED, (source,))]

    def dismiss(self, numbers: Sequence[int]) -> int:
        """Resolve inputs that need no record, in one transaction; return how many were open."""
        moment, dismissed = timestamp(self._now()), 0
        with self._database.transaction():
            for number in numbers:
                self._database.execute(_RESOLVE, (moment, number))
                dismissed += self._database.changes()
        return dismissed


def retry(outbox: Outbox, number: int, reread: Reread, *, run_id: int) -> Added:
    """Read an input again and store the record that it has become; what says nothing any more is resolved."""
    database = outbox.database
    item = RejectedInputs(database, now=outbox.now).get(number)
    found = reread(item.raw)
    if isinstance(found, Record):
        try:
            return outbox.resolve_as(number, found, source=item.source, run_id=run_id)
        except RecordError as error:
            found = Rejected(error.message, item.raw)
    with database.transaction():
        reasons = json.loads(database.value(_REASONS, (run_id,)) or "{}")
        if found is None:
            database.execute(_RESOLVE, (timestamp(outbox.now()), number))
            added = Added(0, 1, 0)
        else:
            database.execute(_KEEP, (found.reason, number))
            added = Added(0, 0, 1)
            reasons = counted([found.reason], reasons)
        database.execute(_COUNT, (added.unchanged, added.rejected, json.dumps(reasons), run_id))
    return added
