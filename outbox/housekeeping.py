"""Housekeeping: what was sent goes, in bounded steps; what was not sent stays, whatever happens.

A record's way out: pending → sent → its body pruned (after `keep_sent`) → forgotten. The ledger row is
the memory that recognises what is read again, so it is forgotten only when the record was sent longer ago
than `remember` and was observed before anything that its source has read within that time: a full export
that is read every night is not sent again every month. Of one record no newer revision goes while an
older one must stay: that would pass for the latest, and hide a correction back to it.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

from outbox.database import Database
from outbox.errors import TransientError
from outbox.record import id_floor, timestamp

STEP_ROWS = 10_000
STEP_PAGES = 2_000
KEEP_RUNS_S = 90 * 86_400
KEEP_REJECTED_S = 90 * 86_400

_SENT_WITH_BODIES = """
SELECT first_sequence, last_sequence FROM batches
WHERE status = 'sent' AND sent_at < ? AND last_sequence >= (SELECT min(sequence) FROM bodies)
ORDER BY first_sequence
"""
_PRUNE = "DELETE FROM bodies WHERE sequence BETWEEN ? AND ?"
_READ_BACK_TO = """
SELECT source, min(oldest) FROM runs WHERE command = 'collect' AND started_at >= ? AND oldest IS NOT NULL
GROUP BY source
"""
_NO_FLOORS = "DROP TABLE IF EXISTS temp.floors"
_FORGET = """
DELETE FROM outbox
WHERE sequence BETWEEN ?1 AND ?2 AND status = 'sent'
  AND substr(record_id, 1, 6) < (SELECT floor FROM temp.floors WHERE floors.source = outbox.source)
  AND batch_id IN (SELECT id FROM batches WHERE status = 'sent' AND sent_at < ?3)
  AND NOT EXISTS (SELECT 1 FROM bodies WHERE bodies.sequence = outbox.sequence)
  AND NOT EXISTS (
    SELECT 1 FROM outbox AS older
    WHERE older.record_id = outbox.record_id AND older.sequence < outbox.sequence
      AND (older.batch_id IS NULL
        OR older.batch_id NOT IN (SELECT id FROM batches WHERE status = 'sent' AND sent_at < ?3)
        OR EXISTS (SELECT 1 FROM bodies WHERE bodies.sequence = older.sequence)))
"""
_DROP_RUNS = "DELETE FROM runs WHERE started_at < ? AND id <> (SELECT max(id) FROM runs)"
_DROP_REJECTED = "DELETE FROM rejected WHERE last_at < ?"


class Reclaimed(NamedTuple):
    """What a vacuum removed, and how much smaller the files are."""

    bodies: int
    forgotten: int
    runs: int
    rejected: int
    bytes: int


def vacuum(
    database: Database, *, keep_sent_s: float, remember_s: float, now: Callable[[], datetime]
) -> Reclaimed:
    """Prune, forget, and give space back; each step is a short transaction, so that nobody waits long.

    TransientError when the clock is behind the latest run: ages cannot be told then.
    """
    # The latest by its number: one of a clock that was wrong for a while says nothing once others have run.
    latest = database.value(
        "SELECT started_at FROM runs WHERE command <> 'vacuum' ORDER BY id DESC LIMIT 1"
    )  # before the clock is read: another command may begin meanwhile
    moment = now()
    if latest and timestamp(moment) < latest:
        raise TransientError(
            f"the clock says {timestamp(moment)}, but a command ran at {latest}: nothing was removed",
            hint="set this machine's clock; if it is right now, it was wrong then: after the next collect or "
            "upload vacuum goes on",
        )
    before = _file_bytes(database)
    bodies = _prune(database, _ago(moment, keep_sent_s))
    forgotten = _forget(database, _ago(moment, remember_s))
    runs = _step(database, _DROP_RUNS, (_ago(moment, max(KEEP_RUNS_S, remember_s)),))
    rejected = _step(database, _DROP_REJECTED, (_ago(moment, KEEP_REJECTED_S),))
    _give_back(database)
    return Reclaimed(bodies, forgotten, runs, rejected, max(0, before - _file_bytes(database)))


def _ago(moment: datetime, seconds: float) -> str:
    return timestamp(moment - timedelta(seconds=seconds))


def _step(database: Database, sql: str, parameters: tuple[object, ...]) -> int:
    with database.transaction():
        database.execute(sql, parameters)
        return database.changes()


def _prune(database: Database, sent_before: str) -> int:
    pruned = 0
    for first, last in database.execute(_SENT_WITH_BODIES, (sent_before,)):
        for start in range(first, last + 1, STEP_ROWS):
            pruned += _step(database, _PRUNE, (start, min(last, start + STEP_ROWS - 1)))
    return pruned


def _forget(database: Database, sent_before: str) -> int:
    """Walk the ledger once, however many sources there are: each with how far back it still reads."""
    floors = [
        (source, id_floor(oldest)) for source, oldest in database.execute(_READ_BACK_TO, (sent_before,))
    ]
    lowest, highest = database.execute("SELECT min(sequence), max(sequence) FROM outbox")[0]
    if not floors or lowest is None:
        return 0
    database.execute(_NO_FLOORS)
    database.execute("CREATE TEMP TABLE floors (source TEXT PRIMARY KEY, floor BLOB NOT NULL) WITHOUT ROWID")
    database.executemany("INSERT INTO temp.floors (source, floor) VALUES (?, ?)", floors)
    return sum(
        _step(database, _FORGET, (start, start + STEP_ROWS - 1, sent_before))
        for start in range(lowest, highest + 1, STEP_ROWS)
    )


def _give_back(database: Database) -> None:
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    while database.value("PRAGMA freelist_count"):
        pages = database.value("PRAGMA page_count")
        database.execute("PRAGMA incremental_vacuum(2000)")
        if database.value("PRAGMA page_count") >= pages:
            break
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _file_bytes(database: Database) -> int:
    files = (database.path, database.path.with_name(database.path.name + "-wal"))
    return sum(file.stat().st_size for file in files if file.exists())
