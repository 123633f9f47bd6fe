"""Records that say that a record was lost: each fills the place of a number that was given.

They are ordinary rows of the ledger, of no source: they wait, are sealed and are sent as all others are, and
their lines say `lost`.
"""

import hashlib

from outbox.audit.finding import span
from outbox.checksums import record_checksum
from outbox.database import Database
from outbox.line import LOST, lost_body
from outbox.sequences import MISSING_ROWS

_ADD = "INSERT INTO outbox VALUES (?, ?, ?, 'unknown', 0, ?, ?, 'pending', NULL)"
_ADD_TEXT = "INSERT INTO bodies VALUES (?, cast(? AS TEXT), ?)"
_TELL = """
INSERT OR IGNORE INTO rejected (source, reason, digest, raw, first_at, last_at)
VALUES ('unknown', ?, ?, '', ?3, ?3)
"""
_STEP = 10_000


def fill_gaps(database: Database, first: int, last: int, moment: str) -> list[tuple[int, int]]:
    """Fill every number from `first` to `last` that the ledger lacks, and return them as spans."""
    missing = [(begin, end) for begin, end in database.execute(MISSING_ROWS, (first, last))]
    body, collected_at = lost_body(b"", "", b""), moment.encode()
    for begin, end in missing:
        for start in range(begin, end + 1, _STEP):
            numbers = range(start, min(end + 1, start + _STEP))
            database.executemany(_ADD, [(n, _record_id(n), bytes(16), moment, len(body)) for n in numbers])
            texts = [(n, body, record_checksum(n, collected_at, body)) for n in numbers]
            database.executemany(_ADD_TEXT, texts)
    return missing


def tell(database: Database, lost: list[tuple[int, int]], moment: str) -> None:
    """Note among the rejected what was lost, so that a person learns of it."""
    for first, last in lost:
        digest = hashlib.sha256(b"%d-%d" % (first, last)).digest()[:16]
        database.execute(_TELL, (f"{span(first, last)}: {LOST}", digest, moment))


def _record_id(sequence: int) -> bytes:
    """What no record has: each was observed later than at the very beginning."""
    return bytes(8) + sequence.to_bytes(8)
