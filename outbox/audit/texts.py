"""The texts of an outbox held against its ledger and its seals; part of `outbox.audit.audit`.

What is read in full is read in steps, so that no snapshot lasts long and no more than a batch is in memory.
"""

from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec

from outbox.agents import agent_by_id
from outbox.audit.finding import Finding, span
from outbox.checksums import record_checksum
from outbox.database import Database
from outbox.delivery import Batch, Delivery
from outbox.errors import DataError
from outbox.record import uuid_text

STEP_ROWS = 1_000
NEXT_RECORDS = 50_000
"""So many records at most are in the next seal."""
_HIGHEST = 2**63 - 1

_SPAN = "SELECT min(sequence), max(sequence) FROM bodies"
_NEXT = "SELECT coalesce((SELECT max(last_sequence) + 1 FROM batches), 1)"
_WITHIN = "SELECT count(*) FROM bodies WHERE sequence BETWEEN ? AND ?"
_STEP = """
SELECT b.sequence, cast(b.body AS BLOB), cast(b.checksum AS INTEGER), cast(o.collected_at AS BLOB), o.bytes,
  o.record_id
FROM bodies AS b LEFT JOIN outbox AS o ON o.sequence = b.sequence
WHERE b.sequence BETWEEN ? AND ? ORDER BY b.sequence LIMIT ?
"""
_NEXT_SENT = """
SELECT id, agent_id, format, encoding, first_sequence, last_sequence, object_key, ndjson_sha256, ndjson_bytes
FROM batches WHERE status = 'sent' AND last_sequence >= ? ORDER BY last_sequence LIMIT 1
"""


class _Body(msgspec.Struct):
    record_id: str = ""
    lost: str = ""  # of a record that a salvage did not find: it fills the place


def orphans(database: Database) -> Iterator[Finding]:
    """Yield the texts that no row of the ledger speaks of."""
    lowest, highest = database.execute(_SPAN)[0]
    if lowest is None:
        return
    # The gaps of the ledger are walked and the bodies asked for, not the other way round: bodies are wide.
    for first, last, count in database.rows(
        """
        SELECT min(b.sequence), max(b.sequence), count(*) FROM (
          SELECT before + 1 AS first, sequence - 1 AS last FROM (
            SELECT sequence, lag(sequence, 1, ?1 - 1) OVER (ORDER BY sequence) AS before
            FROM outbox WHERE sequence >= ?1)
          WHERE sequence > before + 1
          UNION ALL
          SELECT coalesce(max(sequence) + 1, ?1), ?2 FROM outbox WHERE sequence >= ?1) AS gap
        CROSS JOIN bodies AS b ON b.sequence BETWEEN gap.first AND gap.last
        GROUP BY gap.first
        """,
        (lowest, highest),
    ):
        yield Finding(
            "body-orphan",
            f"The ledger has no row for texts that are kept, {count:,} of them at {span(first, last)}: the "
            "rows were deleted, and what was read again since was sent again.",
        )


def sealed(database: Database) -> Iterator[Finding]:
    """Yield what is wrong with the texts and lines of batches that are sealed and not sent."""
    for batch in _delivery(database).sealed():
        yield from _texts(database, batch.first_sequence, batch.last_sequence)
        yield from _lines(database, batch)


def next_up(database: Database) -> Iterator[Finding]:
    """Yield what is wrong with the texts that the next seal would read."""
    first = database.value(_NEXT)
    yield from _texts(database, first, first + NEXT_RECORDS - 1)


def kept_bodies(database: Database) -> Iterator[Finding]:
    """Yield what is wrong with any text that is kept."""
    yield from _texts(database, -_HIGHEST, _HIGHEST)


def kept_batches(database: Database) -> Iterator[Finding]:
    """Yield the sent batches whose texts are all kept and no longer give the lines that were sent."""
    lowest, _ = database.execute(_SPAN)[0]
    while lowest is not None and (rows := database.execute(_NEXT_SENT, (lowest,))):
        batch = Batch(*rows[0])
        lowest = batch.last_sequence + 1
        if database.value(_WITHIN, (batch.first_sequence, batch.last_sequence)) == batch.records:
            yield from _lines(database, batch)


def _texts(database: Database, first: int, last: int) -> Iterator[Finding]:
    while rows := database.execute(_STEP, (first, last, STEP_ROWS)):
        for sequence, body, crc, collected_at, size, record_id in rows:
            if collected_at is None:
                continue  # an orphan: said already
            if body is None or record_checksum(sequence, collected_at, body) != crc:
                yield Finding(
                    "body-checksum",
                    f"The text of sequence {sequence:,} is not what was stored: its checksum is wrong. It "
                    "was damaged on this disk.",
                )
            elif not _is_of(body, size, record_id):
                yield Finding(
                    "body-record",
                    f"The text of sequence {sequence:,} is another record's than its row in the ledger says: "
                    "one of the two was altered.",
                )
        first = rows[-1][0] + 1


def _is_of(body: bytes, size: int, record_id: bytes) -> bool:
    try:
        said = msgspec.json.decode(body, type=_Body)
        return len(body) == size and (bool(said.lost) or said.record_id == uuid_text(record_id))
    except msgspec.MsgspecError:
        return False


def _lines(database: Database, batch: Batch) -> Iterator[Finding]:
    try:
        agent_by_id(database, batch.agent_id)
    except DataError:
        return  # said already, of the batch or of the agent
    meaning = "it was sent and cannot be shown again" if _was_sent(database, batch) else "it cannot be sent"
    try:
        size = len(_delivery(database).lines(batch))
    except DataError:
        yield Finding(
            "batch-digest",
            f"Batch {batch.id} ({span(batch.first_sequence, batch.last_sequence)}) no longer gives the lines "
            f"that were sealed: records of it were altered or damaged, so {meaning} as it was.",
        )
        return
    if size != batch.ndjson_bytes:
        yield Finding(
            "batch-size",
            f"Batch {batch.id} says {batch.ndjson_bytes:,} bytes of lines, but they are {size:,}: its row "
            "was altered.",
        )


def _was_sent(database: Database, batch: Batch) -> bool:
    return bool(database.value("SELECT status = 'sent' FROM batches WHERE id = ?", (batch.id,)))


def _delivery(database: Database) -> Delivery:
    return Delivery(database, now=lambda: datetime.now(UTC))
