"""Records that say that a record was lost: each fills the place of a number that was given.

They are ordinary rows of the ledger, of no source: they wait, are sealed and are sent as all others are, and
their lines say `lost`.
"""

from outbox.audit.finding import span
from outbox.checksums import record_checksum
from outbox.database import Database
from outbox.line import LOST, lost_body
from outbox.rejected import reject_lost
from outbox.sequences import missing

_STEP = 10_000


def fill_gaps(database: Database, first: int, last: int, moment: str) -> list[tuple[int, int]]:
    """Fill every number from `first` to `last` that the ledger lacks, and return them as spans."""
    gaps = list(missing(database, "outbox", first, last))
    body, collected_at = lost_body(b"", "", b""), moment.encode()
    for begin, end in gaps:
        for start in range(begin, end + 1, _STEP):
            numbers = range(start, min(end + 1, start + _STEP))
            database.executemany(
                "INSERT INTO outbox VALUES (?, ?, ?, 'unknown', 0, ?, ?, 'pending', NULL)",
                [(n, _record_id(n), bytes(16), moment, len(body)) for n in numbers],
            )
            texts = [(n, body, record_checksum(n, collected_at, body)) for n in numbers]
            database.executemany("INSERT INTO bodies VALUES (?, cast(? AS TEXT), ?)", texts)
    return gaps


def tell(database: Database, lost: list[tuple[int, int]], moment: str) -> None:
    """Note among the rejected what was lost, so that a person learns of it."""
    for first, last in lost:
        reason, name = f"{span(first, last)}: {LOST}", b"%d-%d" % (first, last)
        reject_lost(database, "unknown", reason, "", name, moment)


def _record_id(sequence: int) -> bytes:
    """What no record has: each was observed later than at the very beginning."""
    return bytes(8) + sequence.to_bytes(8)
