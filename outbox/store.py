"""The collecting side of the outbox: pages in.

Invariants:
- I1 Durable before done: when `add` returns, power can fail.
- I2 One fact, one transaction: a page's rows, its rejected inputs and its bookmark commit together, and
  only if no other page of the same scope was stored since this one was begun (the bookmark's revision is
  compared and swapped; equal text would not notice). Otherwise nothing is stored.
- I3 Sequences have no gaps: the next number is read inside the transaction and written explicitly;
  nothing is ever inserted with OR IGNORE, which would burn numbers.
- What a run has read is counted in the same transaction, so that read = new + unchanged + rejected holds.
- A record is stored when the latest row of its `record_id` has other content: what is read again is no
  new row, a correction is one, and A → B → A are three.
"""

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import apsw

from outbox.agents import current_agent
from outbox.checksums import record_checksum, row_checksum
from outbox.database import Database
from outbox.errors import DataError, PermanentError, RecordError, TransientError
from outbox.reasons import counted
from outbox.record import (
    MAX_PAGE_BYTES,
    MAX_PAGE_RECORDS,
    MAX_RAW_BYTES,
    Entry,
    Page,
    Record,
    Rejected,
    normalise,
    observed_text,
    timestamp,
)
from outbox.record.page import normalise_page
from outbox.sequences import SALVAGE, last_sequence

MAX_UNRESOLVED = 10_000

_LATEST = """
SELECT record_id, content_hash, max(sequence) FROM outbox WHERE record_id IN carray(?) GROUP BY record_id
"""
_REVISIONS = "SELECT record_id, content_hash FROM outbox WHERE record_id IN carray(?)"
_INSERT_ROW = """
INSERT INTO outbox (sequence, record_id, content_hash, source, run_id, collected_at, bytes)
VALUES (?, ?, ?, ?, ?, ?, ?)"""
_INSERT_BODY = "INSERT INTO bodies (sequence, body, checksum) VALUES (?, cast(? AS TEXT), ?)"
# A statement for each row costs a tenth more.
_ROWS_A_STATEMENT = 100
_INSERT_ROWS = _INSERT_ROW + ", (?, ?, ?, ?, ?, ?, ?)" * (_ROWS_A_STATEMENT - 1)
_INSERT_BODIES = _INSERT_BODY + ", (?, cast(? AS TEXT), ?)" * (_ROWS_A_STATEMENT - 1)
_HIGHEST_ID = "SELECT max(record_id) FROM outbox"
_BOOKMARKS = """
SELECT source, backfill_id, scope, bookmark, revision, stored_at, checksum FROM bookmarks
WHERE source = ? AND backfill_id = ?
"""
_REVISION = "SELECT revision FROM bookmarks WHERE source = ? AND backfill_id = ? AND scope = ?"
_SET_BOOKMARK = """
INSERT INTO bookmarks (source, backfill_id, scope, bookmark, revision, stored_at, checksum)
VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE
SET bookmark = excluded.bookmark, revision = excluded.revision, stored_at = excluded.stored_at,
  checksum = excluded.checksum
"""
_REJECT = """
INSERT INTO rejected (source, reason, digest, raw, first_at, last_at, run_id)
VALUES (?, ?, ?, ?, ?5, ?5, ?6)
ON CONFLICT DO UPDATE
SET count = count + 1, reason = excluded.reason, last_at = excluded.last_at, run_id = excluded.run_id
"""
_RESOLVE = "UPDATE rejected SET resolved_at = ? WHERE id = ? AND resolved_at IS NULL"
_RESOLVE_READ = """
UPDATE rejected SET resolved_at = ? WHERE source = ? AND digest = ? AND resolved_at IS NULL
"""
_READ_SINCE = """
SELECT content_hash FROM outbox
WHERE record_id = ? AND run_id >= (SELECT run_id FROM rejected WHERE id = ?)
ORDER BY sequence DESC LIMIT 1
"""
_REASONS = "SELECT reasons FROM runs WHERE id = ?"
_COUNT_REASONS = "UPDATE runs SET reasons = ? WHERE id = ?"
_UNRESOLVED = "SELECT count(*) FROM rejected WHERE source = ? AND resolved_at IS NULL"
_ADD_BACKFILL = """
INSERT INTO backfills (source, since, until, asked_at, checksum) VALUES (?, ?, ?, ?, ?) RETURNING id
"""
_SAME_BACKFILL = (
    "SELECT id FROM backfills WHERE source = ? AND since = ? AND until = ? AND finished_at IS NULL"
)
_BACKFILLS = """
SELECT id, source, since, until, asked_at, checksum FROM backfills WHERE finished_at IS NULL ORDER BY id
"""
_FINISH_BACKFILL = "UPDATE backfills SET finished_at = ? WHERE id = ? AND finished_at IS NULL"
_FINISHED = "SELECT finished_at IS NOT NULL FROM backfills WHERE id = ?"
_DROP_BOOKMARKS = "DELETE FROM bookmarks WHERE source = ? AND backfill_id = ?"
_WAITING = """
SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'outbox'), 0)
  - coalesce((SELECT max(last_sequence) FROM batches), 0)
  + coalesce((SELECT sum(last_sequence - first_sequence + 1) FROM batches WHERE status = 'sealed'), 0)
"""


_COUNT = """
UPDATE runs SET
  new = new + ?2, unchanged = unchanged + ?3, rejected = rejected + ?4,
  oldest = min(coalesce(oldest, ?5), coalesce(?5, oldest)),
  newest = max(coalesce(newest, ?6), coalesce(?6, newest))
WHERE id = ?1
"""


class Bookmark(NamedTuple):
    """Where a scope resumes, and how many pages it has seen; revision 0 is a scope never stored."""

    text: str
    revision: int


class Backfill(NamedTuple):
    """A stretch of the past that a source still has to read: days as ISO text, both included."""

    id: int
    source: str
    since: str
    until: str


class Added(NamedTuple):
    """What became of a page's records."""

    new: int
    unchanged: int
    rejected: int


class Outbox:
    """The collecting side of one open database."""

    def __init__(self, database: Database, *, now: Callable[[], datetime]) -> None:
        self.database = database
        self.now = now
        self.agent = current_agent(database)

    def bookmarks(self, source: str, backfill_id: int = 0) -> dict[str, Bookmark]:
        """Return the bookmarks of a source, or of one of its back-fills, by scope; DataError for damage."""
        marks = {}
        for *row, checksum in self.database.rows(_BOOKMARKS, (source, backfill_id)):
            if row_checksum(*row) != checksum:
                raise DataError(
                    f"{self.database.path} is damaged: the bookmark of {source} was altered",
                    hint=f"{SALVAGE}; {source} is then read from its beginning, and what is known is not "
                    "stored again",
                )
            marks[row[2]] = Bookmark(row[3], row[4])
        return marks

    def add(self, page: Page, *, source: str, run_id: int, revision: int, backfill_id: int = 0) -> Added:
        """Store a page and its bookmark, if the scope is still at `revision`; afterwards it is one higher.

        Raises TransientError when another collect was faster (nothing is stored; the next run re-reads),
        and DataError for a page over the limits of 10,000 records or 16 MiB.
        """
        agent = self.agent
        facts = normalise_page(page, customer=agent.customer, site=agent.site, source=source)
        _require_limits(page, facts.entries)
        moment = timestamp(self.now())
        with self.database.transaction():
            found = self.database.value(_REVISION, (source, backfill_id, page.scope)) or 0
            if found != revision:
                raise TransientError(
                    f"another collect of {source} stored a page meanwhile: this one stored nothing"
                )
            if backfill_id and self.database.value(_FINISHED, (backfill_id,)):
                raise TransientError(f"another collect finished this back-fill of {source} meanwhile")
            entries, refused = self._not_outdated(facts.entries, page.outdated)
            rejected = [*facts.rejected, *refused]
            fresh = self._insert(entries, source, run_id, moment)
            self._reject(rejected, source, run_id, moment)
            for digest in page.resolves:
                self.database.execute(_RESOLVE_READ, (moment, source, bytes.fromhex(digest)))
            mark = (source, backfill_id, page.scope, page.bookmark, revision + 1, moment)
            self.database.execute(_SET_BOOKMARK, (*mark, row_checksum(*mark)))
            added = Added(fresh, len(facts.entries) - len(refused) - fresh + facts.repeated, len(rejected))
            self.database.execute(_COUNT, (run_id, *added, *_span(facts.entries)))
        return added

    def resolve_as(self, number: int, record: Record, *, source: str, run_id: int) -> Added:
        """Store the record that a rejected input has become, and resolve that input.

        RecordError says why it cannot be stored; nothing was changed then.
        """
        entry = normalise(record, customer=self.agent.customer, site=self.agent.site, source=source)
        moment = timestamp(self.now())
        with self.database.transaction():
            since = self.database.value(_READ_SINCE, (entry.record_id, number))
            if since not in (None, entry.content_hash):
                raise RecordError("the same record was read then or since, with other content, which counts")
            fresh = self._insert([entry], source, run_id, moment)
            self.database.execute(_RESOLVE, (moment, number))
            added = Added(fresh, 1 - fresh, 0)
            self.database.execute(_COUNT, (run_id, *added, *_span([entry])))
        return added

    def _insert(self, entries: list[Entry], source: str, run_id: int, moment: str) -> int:
        if not entries:
            return 0
        latest = self._latest([entry.record_id for entry in entries])
        fresh = [entry for entry in entries if latest.get(entry.record_id) != entry.content_hash]
        first, collected_at = last_sequence(self.database) + 1, moment.encode()
        rows: list[Any] = []
        bodies: list[Any] = []
        for sequence, entry in enumerate(fresh, start=first):
            body = entry.body
            rows += (sequence, entry.record_id, entry.content_hash, source, run_id, moment, len(body))
            bodies += (sequence, body, record_checksum(sequence, collected_at, body))
        self._insert_all(_INSERT_ROWS, _INSERT_ROW, rows, 7)
        self._insert_all(_INSERT_BODIES, _INSERT_BODY, bodies, 3)
        return len(fresh)

    def _not_outdated(self, entries: list[Entry], reason: str) -> tuple[list[Entry], list[Rejected]]:
        """The entries that an outdated page may still store, and those that contradict what was read since.

        A content that the identity had before is neither: it is known, and what followed it counts.
        """
        if not reason or not entries:
            return entries, []
        known: dict[bytes, set[bytes]] = {}
        identities = apsw.carray(tuple(entry.record_id for entry in entries))
        for record_id, content_hash in self.database.rows(_REVISIONS, (identities,)):
            known.setdefault(record_id, set()).add(content_hash)
        return [entry for entry in entries if entry.record_id not in known], [
            Rejected(reason, entry.body.decode())
            for entry in entries
            if entry.record_id in known and entry.content_hash not in known[entry.record_id]
        ]

    def _latest(self, record_ids: list[bytes]) -> dict[bytes, bytes]:
        """The latest content of each of these records that the ledger knows."""
        highest = self.database.value(_HIGHEST_ID)
        if highest is None or min(record_ids) > highest:
            return {}  # observed after everything there is, as live data mostly is: nothing to compare with
        return {row[0]: row[1] for row in self.database.rows(_LATEST, (apsw.carray(tuple(record_ids)),))}

    def _insert_all(self, of_many: str, of_one: str, parameters: list[Any], columns: int) -> None:
        step = columns * _ROWS_A_STATEMENT
        whole = len(parameters) // step * step
        for start in range(0, whole, step):
            self.database.execute(of_many, parameters[start : start + step])
        rest = range(whole, len(parameters), columns)
        self.database.executemany(of_one, [parameters[start : start + columns] for start in rest])

    def _reject(self, rejected: list[Rejected], source: str, run_id: int, moment: str) -> None:
        if rejected:
            before = json.loads(self.database.value(_REASONS, (run_id,)) or "{}")
            reasons = counted((item.reason for item in rejected), before)
            self.database.execute(_COUNT_REASONS, (json.dumps(reasons), run_id))
        for item in rejected:
            raw = item.raw.encode(errors="backslashreplace")
            kept = raw[:MAX_RAW_BYTES].decode(errors="ignore")
            digest = bytes.fromhex(item.digest)
            self.database.execute(_REJECT, (source, item.reason, digest, kept, moment, run_id))

    def unchanged(self, entries: Sequence[Entry]) -> int:
        """Return how many entries the outbox has with the same content: `add` would leave them out."""
        latest = self._latest([entry.record_id for entry in entries]) if entries else {}
        return sum(latest.get(entry.record_id) == entry.content_hash for entry in entries)

    def require_acceptable(self, source: str) -> None:
        """Raise PermanentError when so much of a source was rejected that a person must look first."""
        count = self.database.value(_UNRESOLVED, (source,))
        if count >= MAX_UNRESOLVED:
            raise PermanentError(
                f"{count:,} inputs of {source} were rejected and nobody looked; it is not read any further",
                hint=f"see why with: outbox rejected list --source {source}; then retry or dismiss them",
            )

    def ask_backfill(self, source: str, since: str, until: str) -> int:
        """Note that a source shall read the days from `since` to `until`; asked twice, it is the same one."""
        with self.database.transaction():
            known = self.database.value(_SAME_BACKFILL, (source, since, until))
            row = (source, since, until, timestamp(self.now()))
            return int(known or self.database.value(_ADD_BACKFILL, (*row, row_checksum(*row))))

    def backfills(self) -> list[Backfill]:
        """Return the back-fills that are not finished, oldest first; DataError for a damaged one."""
        found = []
        for number, *row, checksum in self.database.rows(_BACKFILLS):
            if row_checksum(*row) != checksum:
                raise DataError(
                    f"{self.database.path} is damaged: back-fill {number} was altered",
                    hint=f"{SALVAGE}; then ask for the stretch again",
                )
            found.append(Backfill(number, *row[:3]))
        return found

    def finish_backfill(self, backfill: Backfill) -> None:
        """Note that a back-fill has read everything; its bookmarks are of no more use."""
        with self.database.transaction():
            self.database.execute(_FINISH_BACKFILL, (timestamp(self.now()), backfill.id))
            self.database.execute(_DROP_BOOKMARKS, (backfill.source, backfill.id))

    def waiting(self) -> int:
        """Return how many records wait, counted by position and not by a scan."""
        return int(self.database.value(_WAITING))


def _require_limits(page: Page, entries: list[Entry]) -> None:
    size = sum(len(entry.body) for entry in entries)
    if len(page.records) > MAX_PAGE_RECORDS or size > MAX_PAGE_BYTES:
        raise DataError(
            f"a page of {len(page.records):,} records and {size:,} bytes; the limits are "
            f"{MAX_PAGE_RECORDS:,} and {MAX_PAGE_BYTES:,}: the collector must make smaller pages"
        )


def _span(entries: list[Entry]) -> tuple[str | None, str | None]:
    if not entries:
        return None, None
    record_ids = [entry.record_id for entry in entries]
    return observed_text(min(record_ids)), observed_text(max(record_ids))
