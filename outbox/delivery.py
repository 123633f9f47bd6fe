"""The sending side of the outbox: sealed batches out.

Invariants:
- I4 A batch never changes: range, agent, format, encoding, key, SHA-256 and date are committed before its
  first put, and `lines` gives the same bytes for ever: a released line builder is never changed.
- Batches tile the sequence: each begins where the one before ended.
- I5 Sent means stored: `acknowledge` is called with the store's confirmation, and marks the batch and its
  rows in one transaction. A second uploader that comes later finds it done and is content. A batch of
  which a store said that it keeps other bytes is doubted: that its key exists confirms nothing then.
- A body whose checksum fails is never handed out as if it were good: its line says that it was lost, and
  what is left of it goes to `rejected`. A sealed batch whose lines can no longer be made is voided, and
  its range sealed again, under another key.
"""

import hashlib
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import NamedTuple
from zlib import crc32

from outbox.agents import Agent, agent_by_id, current_agent
from outbox.batch import Batch, Limits, Lost, Sealed, object_key
from outbox.database import Database
from outbox.errors import DataError, OutboxError
from outbox.line import FORMAT, FORMATS, LOST, line_builder, lost_body
from outbox.object_name import SUFFIX
from outbox.record import timestamp
from outbox.rejected import reject_lost
from outbox.runs import count_object
from outbox.sequences import last_sequence, next_unsealed, require_tiled
from outbox.witness import Witnessed, write_witness

MAX_SEALED = 100

_ROWS = """
SELECT o.sequence, coalesce(cast(o.collected_at AS BLOB), x''), cast(b.body AS BLOB),
  cast(b.checksum AS INTEGER)
FROM outbox AS o LEFT JOIN bodies AS b ON b.sequence = o.sequence
WHERE o.sequence BETWEEN ? AND ? ORDER BY o.sequence
"""
_VOID = """
INSERT INTO voided
  (id, agent_id, first_sequence, last_sequence, object_key, ndjson_sha256, attempts, sealed_at,
   voided_at, reason)
SELECT id, agent_id, first_sequence, last_sequence, object_key, ndjson_sha256, attempts, sealed_at, ?, ?
FROM batches WHERE id = ? AND status = 'sealed'
"""
_SEALED_ON = "SELECT substr(sealed_at, 1, 10) FROM batches WHERE id = ?"
_COUNT_SEALED = "SELECT count(*) FROM batches WHERE status = 'sealed'"
_SEAL = """
INSERT INTO batches
  (agent_id, format, encoding, first_sequence, last_sequence, object_key, ndjson_sha256, ndjson_bytes,
   sealed_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
RETURNING id
"""
# An index finds what is sealed, and may be damaged: the latest rows are looked at themselves, too.
_SEALED = """
SELECT id, agent_id, format, encoding, first_sequence, last_sequence, object_key, ndjson_sha256, ndjson_bytes
FROM (SELECT * FROM batches INDEXED BY batches_sealed WHERE status = 'sealed'
  UNION SELECT * FROM (SELECT * FROM batches ORDER BY id DESC LIMIT 200) WHERE status = 'sealed')
ORDER BY first_sequence
"""
_ACKNOWLEDGE = """
UPDATE batches
SET status = 'sent', sent_at = ?, store = ?, etag = ?, object_bytes = ?, attempts = attempts + 1,
  last_error = NULL
WHERE id = ? AND object_key = ? AND status = 'sealed'
"""
_MARK = """
UPDATE outbox SET status = 'sent', batch_id = ? WHERE sequence BETWEEN ? AND ? AND status = 'pending'
"""
_COUNT_ROWS = "SELECT count(*) FROM outbox WHERE sequence BETWEEN ? AND ?"
_STATUS = "SELECT status FROM batches WHERE id = ?"
_CONFIRMED = """
SELECT id, agent_id, format, encoding, first_sequence, last_sequence, object_key, ndjson_sha256, ndjson_bytes,
  CASE status WHEN 'sent' THEN store END
FROM batches WHERE object_key = ?1 OR cast(id AS TEXT) = ?1 OR coalesce(store || '/', '') || object_key = ?1
"""


class Confirmed(NamedTuple):
    """A batch that was sent: to which store (None: not yet), and how many of its texts are still kept."""

    batch: Batch
    store: str | None
    texts: int


class _Made(NamedTuple):
    """What a seal will commit: the row but for its id and time, the lines, and the time."""

    row: tuple[str, int, str, int, int, str, bytes, int]
    ndjson: bytes
    moment: str


class Delivery:
    """The sending side of one open database; for one thread."""

    def __init__(self, database: Database, *, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    def anything(self) -> bool:
        """Return whether there is anything to upload."""
        return bool(self.sealed()) or last_sequence(self._database) >= self._next()

    def sealed(self) -> list[Batch]:
        """Return the batches that no store has confirmed yet, in order."""
        return [Batch(*row) for row in self._database.rows(_SEALED)]

    def seal(self, limits: Limits, encoding: str) -> Sealed | None:
        """Seal the next pending records; None when there are none, or enough is sealed already.

        Reads, checks and hashes outside the transaction.
        """
        first = self._next()
        last = min(first + limits.max_records - 1, last_sequence(self._database))
        agent = current_agent(self._database)
        lines, lost = self._lines(FORMAT, agent, first, last, limits.max_bytes)
        if not lines:
            return None
        made = self._make(agent, first, lines, encoding)
        with self._database.transaction():
            if self._next() != first or self._database.value(_COUNT_SEALED) >= MAX_SEALED:
                return None
            sealed = self._commit(made, lost)
        write_witness(self._database.path, Witnessed(agent.agent_id, sealed.batch.last_sequence))
        return sealed

    def seal_again(self, batch: Batch, reason: str) -> Sealed | None:
        """Void a sealed batch and seal its range as it is now; None when it was sent or voided meanwhile."""
        agent = agent_by_id(self._database, batch.agent_id)
        lines, lost = self._lines(FORMAT, agent, *batch.span)
        encoding = batch.encoding if batch.encoding in SUFFIX else "none"
        made = self._make(agent, batch.first_sequence, lines, encoding)
        with self._database.transaction():
            require_tiled(self._database, batch.id, *batch.span)
            self._database.execute(_VOID, (timestamp(self._now()), reason, batch.id))
            if self._database.changes() == 0:
                return None
            self._database.execute("DELETE FROM batches WHERE id = ?", (batch.id,))
            return self._commit(made, lost)

    def seal_gap(self, agent: Agent, first: int, last: int, limits: Limits) -> Batch:
        """Seal the first records of a range whose batch is gone, within the caller's transaction."""
        last = min(first + limits.max_records - 1, last)
        lines, lost = self._lines(FORMAT, agent, first, last, limits.max_bytes)
        return self._commit(self._make(agent, first, lines, "gzip"), lost).batch

    def lines(self, batch: Batch) -> bytes:
        """Return the batch's NDJSON, exactly as it was sealed; DataError when that cannot be."""
        agent = agent_by_id(self._database, batch.agent_id)
        if not self._is_named_rightly(batch, agent):
            raise DataError(f"the row of batch {batch.id} is damaged: its name is not that of what it holds")
        lines, _ = self._lines(batch.format, agent, *batch.span)
        ndjson = b"".join(lines)
        if hashlib.sha256(ndjson).digest() != batch.ndjson_sha256:
            raise DataError(
                f"batch {batch.id} (sequences {batch.first_sequence} to {batch.last_sequence}) no longer "
                "matches its seal: records of it were damaged on this disk",
                hint="look at the disk; outbox rejected list shows what is left of them",
            )
        return ndjson

    def acknowledge(
        self, batch: Batch, *, run_id: int, store: str, etag: str | None, object_bytes: int
    ) -> bool:
        """Mark a batch and its records sent; False when another uploader already did."""
        with self._database.transaction():
            moment = timestamp(self._now())
            self._database.execute(
                _ACKNOWLEDGE, (moment, store, etag, object_bytes, batch.id, batch.object_key)
            )
            if self._database.changes() == 0:
                if self._database.value(_STATUS, (batch.id,)) not in (None, "sent"):
                    raise DataError(f"batch {batch.id} is neither sealed nor sent: its row is damaged")
                return False
            self._database.execute(_MARK, (batch.id, *batch.span))
            marked = self._database.changes()
            if marked != batch.records and marked != self._database.value(_COUNT_ROWS, batch.span):
                raise DataError(f"batch {batch.id} has {batch.records} records; {marked} rows were pending")
            count_object(self._database, run_id, records=batch.records)
        return True

    def note_failure(self, batch: Batch, error: OutboxError, *, doubted: bool = False) -> None:
        """Keep with a batch why it could not be put, and for ever that it is doubted; it stays sealed."""
        with self._database.transaction():
            self._database.execute(
                """
                UPDATE batches SET attempts = attempts + 1, last_error = ?, doubted = doubted OR ?
                WHERE id = ? AND status = 'sealed'
                """,
                (error.message, doubted, batch.id),
            )

    def confirmed(self, which: str) -> Confirmed | None:
        """Return the batch with this number, object key or address; None where there is none."""
        for *row, store in self._database.execute(_CONFIRMED, (which,)):
            batch = Batch(*row)
            texts = self._database.value(
                "SELECT count(*) FROM bodies WHERE sequence BETWEEN ? AND ?", batch.span
            )
            return Confirmed(batch, store, int(texts))
        return None

    def count_resent(self, run_id: int) -> None:
        """Count an object that was put again with the run that did it; its batch was sent and stays so."""
        with self._database.transaction():
            count_object(self._database, run_id)

    def is_doubted(self, batch: Batch) -> bool:
        """Return whether a store said that it keeps other bytes as this batch's object than it was sent."""
        return bool(self._database.value("SELECT doubted FROM batches WHERE id = ?", (batch.id,)))

    def _is_named_rightly(self, batch: Batch, agent: Agent) -> bool:
        """Whether the batch's key is the one that its seal gave it: the rest of the row tells which."""
        date, digest = self._database.value(_SEALED_ON, (batch.id,)) or "", batch.ndjson_sha256.hex()
        known = batch.encoding in SUFFIX and batch.format in FORMATS
        return known and batch.object_key == object_key(agent, date, batch.span, digest, batch.encoding)

    def _next(self) -> int:
        return next_unsealed(self._database)

    def _make(self, agent: Agent, first: int, lines: list[bytes], encoding: str) -> _Made:
        ndjson, moment = b"".join(lines), timestamp(self._now())
        last, digest = first + len(lines) - 1, hashlib.sha256(ndjson)
        key = object_key(agent, moment[:10], (first, last), digest.hexdigest(), encoding)
        row = (agent.agent_id, FORMAT, encoding, first, last, key, digest.digest(), len(ndjson))
        return _Made(row, ndjson, moment)

    def _commit(self, made: _Made, lost: list[Lost]) -> Sealed:
        batch_id = self._database.value(_SEAL, (*made.row, made.moment))
        for record in lost:
            raw = (record.body or b"").decode(errors="replace")
            name, reason = b"%d" % record.sequence, f"sequence {record.sequence}: {LOST}"
            reject_lost(self._database, record.source, reason, raw, name, made.moment)
        return Sealed(Batch(batch_id, *made.row), made.ndjson, tuple(lost))

    def _lines(
        self, line_format: int, agent: Agent, first: int, last: int, max_bytes: int | None = None
    ) -> tuple[list[bytes], list[Lost]]:
        build = line_builder(line_format, agent)
        lines: list[bytes] = []
        lost: list[Lost] = []
        size = 0
        for sequence, collected_at, body, crc in self._rows(first, last):
            # record_checksum, written out: a call for each row would make a seal a tenth slower
            if body is None or crc32(body, crc32(collected_at, sequence & 0xFFFF_FFFF)) != crc:
                record_id, source = self._known(sequence)
                lost.append(Lost(sequence, source or "unknown", body))
                line = build(sequence, b"", lost_body(record_id, source, body or b""))
            else:
                line = build(sequence, collected_at, body)
            size += len(line)
            if max_bytes is not None and size > max_bytes and lines:
                break
            lines.append(line)
        return lines, [record for record in lost if record.sequence < first + len(lines)]

    def _known(self, sequence: int) -> tuple[bytes, str]:
        """What the ledger says of a record that was damaged, be it true or not; empty where it has no row."""
        rows = self._database.execute(
            "SELECT cast(record_id AS BLOB), cast(source AS BLOB) FROM outbox WHERE sequence = ?", (sequence,)
        )
        record_id, source = rows[0] if rows else (b"", b"")
        return record_id or b"", (source or b"").decode(errors="replace")

    def _rows(self, first: int, last: int) -> Iterator[tuple[int, bytes, bytes | None, int]]:
        """Yield a row for each sequence from `first` to `last`, also for one whose ledger row is gone."""
        expected = first
        for row in self._database.rows(_ROWS, (first, last)):
            sequence = row[0]
            if sequence != expected:
                if sequence < expected:
                    continue  # a damaged number: its own place is found empty
                yield from ((missing, b"", None, 0) for missing in range(expected, sequence))
            yield row
            expected = sequence + 1
        yield from ((missing, b"", None, 0) for missing in range(expected, last + 1))


__all__ = ["Batch", "Confirmed", "Delivery", "Limits", "Lost", "Sealed"]
