"""The collecting side of the outbox: pages in.

Invariants:
- I1 Durable before done: when `add` returns, power can fail.
- I2 One fact, one transaction: a page's rows, its rejected inputs and its bookmark commit together, and
  only if no other page of the same scope was stored since this one was begun (the bookmark's revision is
  compared and swapped; equal text would not notice). Otherwise nothing is stored.
- I3 Sequences have no gaps: the next number is read inside the transaction and written explicitly;
  nothing is ever inserted with OR IGNORE, which would burn numbers.
- What a run has read is counted in the same transaction, so that read = new + unchanged + rejected holds.
- An input that has become a record is stored and resolved in one transaction; the same record is not
  stored twice, and an older input never overwrites what was read since.
- A record is stored when the latest row of its `record_id` has other content: what is read again is no
  new row, a correction is one, and A → B → A are three.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import apsw

from outbox.agents import current_agent
from outbox.backfills import (
    Backfill,
    ask_backfill,
    finish_backfill,
    require_unfinished,
    unfinished_backfills,
)
from outbox.bookmarks import Bookmark, read_bookmarks, require_revision, set_bookmark
from outbox.checksums import record_checksum
from outbox.database import Database
from outbox.errors import DataError, PermanentError, RecordError
from outbox.record import (
    MAX_PAGE_BYTES,
    MAX_PAGE_RECORDS,
    Entry,
    Page,
    Record,
    Rejected,
    normalise,
    observed_text,
    timestamp,
)
from outbox.record.page import normalise_page
from outbox.rejected import (
    RejectedInputs,
    Reread,
    keep_with_reason,
    reject,
    resolve,
    resolve_read,
    unresolved,
)
from outbox.runs import count_reasons, count_records
from outbox.sequences import last_sequence

MAX_UNRESOLVED = 10_000

_INSERT_ROW = """
INSERT INTO outbox (sequence, record_id, content_hash, source, run_id, collected_at, bytes)
VALUES (?, ?, ?, ?, ?, ?, ?)"""
_INSERT_BODY = "INSERT INTO bodies (sequence, body, checksum) VALUES (?, cast(? AS TEXT), ?)"
# A statement for each row costs a tenth more.
_ROWS_A_STATEMENT = 100
_INSERT_ROWS = _INSERT_ROW + ", (?, ?, ?, ?, ?, ?, ?)" * (_ROWS_A_STATEMENT - 1)
_INSERT_BODIES = _INSERT_BODY + ", (?, cast(? AS TEXT), ?)" * (_ROWS_A_STATEMENT - 1)


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
        return read_bookmarks(self.database, source, backfill_id)

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
            require_revision(self.database, source, backfill_id, page.scope, revision)
            require_unfinished(self.database, backfill_id, source)
            entries, refused = self._not_outdated(facts.entries, page.outdated)
            rejected = [*facts.rejected, *refused]
            fresh = self._insert(entries, source, run_id, moment)
            self._reject(rejected, source, run_id, moment)
            for digest in page.resolves:
                resolve_read(self.database, source, digest, moment)
            bookmark = Bookmark(page.bookmark, revision + 1)
            set_bookmark(self.database, source, backfill_id, page.scope, bookmark, moment)
            added = Added(fresh, len(facts.entries) - len(refused) - fresh + facts.repeated, len(rejected))
            count_records(self.database, run_id, **added._asdict(), observed=_observed(facts.entries))
        return added

    def retry(self, number: int, reread: Reread, *, run_id: int) -> Added:
        """Read a rejected input again, and store the record that it has become.

        What says nothing any more is resolved; what still cannot be stored stays, with its new reason.
        """
        item = RejectedInputs(self.database, now=self.now).get(number)
        found = reread(item.raw)
        if isinstance(found, Record):
            try:
                return self._resolve_as(number, found, source=item.source, run_id=run_id)
            except RecordError as error:
                found = Rejected(error.message, item.raw)
        with self.database.transaction():
            if found is None:
                resolve(self.database, number, timestamp(self.now()))
                added = Added(0, 1, 0)
            else:
                keep_with_reason(self.database, number, found.reason)
                count_reasons(self.database, run_id, [found.reason])
                added = Added(0, 0, 1)
            count_records(self.database, run_id, **added._asdict())
        return added

    def _resolve_as(self, number: int, record: Record, *, source: str, run_id: int) -> Added:
        """Store the record and resolve the input, or neither: RecordError says why it cannot be stored."""
        entry = normalise(record, customer=self.agent.customer, site=self.agent.site, source=source)
        moment = timestamp(self.now())
        with self.database.transaction():
            since = self.database.value(
                """
                SELECT content_hash FROM outbox
                WHERE record_id = ? AND run_id >= (SELECT run_id FROM rejected WHERE id = ?)
                ORDER BY sequence DESC LIMIT 1
                """,
                (entry.record_id, number),
            )
            if since not in (None, entry.content_hash):
                raise RecordError("the same record was read then or since, with other content, which counts")
            fresh = self._insert([entry], source, run_id, moment)
            resolve(self.database, number, moment)
            added = Added(fresh, 1 - fresh, 0)
            count_records(self.database, run_id, **added._asdict(), observed=_observed([entry]))
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
        for record_id, content_hash in self.database.rows(
            "SELECT record_id, content_hash FROM outbox WHERE record_id IN carray(?)", (identities,)
        ):
            known.setdefault(record_id, set()).add(content_hash)
        return [entry for entry in entries if entry.record_id not in known], [
            Rejected(reason, entry.body.decode())
            for entry in entries
            if entry.record_id in known and entry.content_hash not in known[entry.record_id]
        ]

    def _latest(self, record_ids: list[bytes]) -> dict[bytes, bytes]:
        """The latest content of each of these records that the ledger knows."""
        highest = self.database.value("SELECT max(record_id) FROM outbox")
        if highest is None or min(record_ids) > highest:
            return {}  # observed after everything there is, as live data mostly is: nothing to compare with
        rows = self.database.rows(
            """
            SELECT record_id, content_hash, max(sequence) FROM outbox
            WHERE record_id IN carray(?) GROUP BY record_id
            """,
            (apsw.carray(tuple(record_ids)),),
        )
        return {record_id: content_hash for record_id, content_hash, _ in rows}

    def _insert_all(self, of_many: str, of_one: str, parameters: list[Any], columns: int) -> None:
        step = columns * _ROWS_A_STATEMENT
        whole = len(parameters) // step * step
        for start in range(0, whole, step):
            self.database.execute(of_many, parameters[start : start + step])
        rest = range(whole, len(parameters), columns)
        self.database.executemany(of_one, [parameters[start : start + columns] for start in rest])

    def _reject(self, rejected: list[Rejected], source: str, run_id: int, moment: str) -> None:
        if rejected:
            count_reasons(self.database, run_id, (item.reason for item in rejected))
        for item in rejected:
            reject(self.database, source, item, moment, run_id)

    def unchanged(self, entries: Sequence[Entry]) -> int:
        """Return how many entries the outbox has with the same content: `add` would leave them out."""
        latest = self._latest([entry.record_id for entry in entries]) if entries else {}
        return sum(latest.get(entry.record_id) == entry.content_hash for entry in entries)

    def require_acceptable(self, source: str) -> None:
        """Raise PermanentError when so much of a source was rejected that a person must look first."""
        count = unresolved(self.database, source)
        if count >= MAX_UNRESOLVED:
            raise PermanentError(
                f"{count:,} inputs of {source} were rejected and nobody looked; it is not read any further",
                hint=f"see why with: outbox rejected list --source {source}; then retry or dismiss them",
            )

    def ask_backfill(self, source: str, since: str, until: str) -> int:
        """Note that a source shall read the days from `since` to `until`; asked twice, it is the same one."""
        return ask_backfill(self.database, source, since, until, now=self.now)

    def backfills(self) -> list[Backfill]:
        """Return the back-fills that are not finished, oldest first; DataError for a damaged one."""
        return unfinished_backfills(self.database)

    def finish_backfill(self, backfill: Backfill) -> None:
        """Note that a back-fill has read everything; its bookmarks are of no more use."""
        finish_backfill(self.database, backfill, now=self.now)

    def waiting(self) -> int:
        """Return how many records wait, counted by position and not by a scan."""
        return int(
            self.database.value(
                """
                SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'outbox'), 0)
                  - coalesce((SELECT max(last_sequence) FROM batches), 0)
                  + coalesce((SELECT sum(last_sequence - first_sequence + 1) FROM batches
                      WHERE status = 'sealed'), 0)
                """
            )
        )


def _require_limits(page: Page, entries: list[Entry]) -> None:
    size = sum(len(entry.body) for entry in entries)
    if len(page.records) > MAX_PAGE_RECORDS or size > MAX_PAGE_BYTES:
        raise DataError(
            f"a page of {len(page.records):,} records and {size:,} bytes; the limits are "
            f"{MAX_PAGE_RECORDS:,} and {MAX_PAGE_BYTES:,}: the collector must make smaller pages"
        )


def _observed(entries: list[Entry]) -> tuple[str | None, str | None]:
    if not entries:
        return None, None
    record_ids = [entry.record_id for entry in entries]
    return observed_text(min(record_ids)), observed_text(max(record_ids))
