"""Records that are marked as sent under a batch that cannot be read: they make a batch of unknown name.

A mark is believed where no batch that is known, and no whole text, contradicts it: no single bit turns
`pending` into `sent`, but a number may be another row's.
"""

from collections.abc import Callable

from outbox.agents import Agent
from outbox.batch import object_key
from outbox.database import Database

NO_DIGEST = bytes(32)
"""The SHA-256 of a batch of unknown name; an audit takes every object of its range for it."""

_LAST = "SELECT coalesce(max(sequence), 0) FROM found.marked WHERE sequence <= ?"
_ADD = """
INSERT OR IGNORE INTO batches
  (id, agent_id, format, encoding, first_sequence, last_sequence, object_key, ndjson_sha256, ndjson_bytes,
   status, sealed_at, sent_at, store)
VALUES (?1, ?2, 1, 'none', ?3, ?4, ?5, ?6, 1, 'sent', ?7, ?7, 'unknown')
"""


def marked_last(database: Database, furthest: int) -> int:
    """Find the marks to believe, once the known batches are kept; return the last number, 0 for none."""
    database.execute("""
        CREATE TABLE found.marked AS SELECT l.sequence, l.batch_id FROM found.outbox AS l
        WHERE l.status = 'sent' AND l.batch_id > 0 AND l.batch_id NOT IN (SELECT id FROM batches)
          AND NOT EXISTS (
            SELECT 1 FROM found.whole AS w JOIN found.outbox AS o ON o.rowid = w.ledger
            WHERE w.sequence = l.sequence AND o.record_id <> l.record_id)
        """)
    return int(database.value(_LAST, (furthest,)))


def add_unnamed(
    database: Database, gap: tuple[int, int], agent_of: Callable[[int], Agent], moment: str
) -> int:
    """Add a batch for each that is marked within a gap between batches; return how many."""
    count, end = 0, gap[0] - 1
    for batch, first, last in database.execute(
        """
        SELECT batch_id, min(sequence), max(sequence) FROM found.marked WHERE sequence BETWEEN ? AND ?
        GROUP BY batch_id ORDER BY 2
        """,
        gap,
    ):
        if first > end:
            agent, end = agent_of(first), last
            key = object_key(agent, moment[:10], (first, last), NO_DIGEST.hex(), "none")
            database.execute(_ADD, (batch, agent.agent_id, first, last, key, NO_DIGEST, moment))
            count += database.changes()
    return count
