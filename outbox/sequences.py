"""The numbers: the last that was given to a record, and the first that the next batch holds.

Invariant: neither is read from one place of the file alone. A counter, a row or a batch that contradicts the
others was damaged, and is refused before a number is given twice or a range is left out.
"""

from collections.abc import Iterator
from typing import Literal

from outbox.database import Database
from outbox.errors import DataError

SALVAGE = "outbox agent renew --salvage makes a sound database of what can be read"

# By id, which is the table's own order: the highest range as an index knows it, and the latest row.
_LATEST = """
SELECT id, coalesce(cast(first_sequence AS INTEGER), 0), coalesce(cast(last_sequence AS INTEGER), 0),
  instr(object_key, printf('/%012d-%012d-', first_sequence, last_sequence)),
  (SELECT max(last_sequence) FROM batches)
FROM batches
WHERE id IN ((SELECT id FROM batches ORDER BY last_sequence DESC LIMIT 1), (SELECT max(id) FROM batches))
"""
_TILES = """
SELECT
  (?1 = (SELECT min(first_sequence) FROM agents)
    OR EXISTS (SELECT 1 FROM batches WHERE last_sequence = ?1 - 1))
  AND (?2 = (SELECT max(last_sequence) FROM batches)
    OR EXISTS (SELECT 1 FROM batches WHERE first_sequence = ?2 + 1))
"""


def given(database: Database) -> tuple[int, int, int]:
    """Return the last number that was given, as the counter, the rows and the batches say; 0 for none."""
    counter, row, batch = database.execute(
        """
        SELECT
          coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'outbox'), 0),
          coalesce((SELECT max(sequence) FROM outbox), 0),
          coalesce((SELECT max(last_sequence) FROM batches), 0)
        """
    )[0]
    return counter, row, batch


def last_sequence(database: Database) -> int:
    """Return the last number that was given, to a row that may be forgotten; DataError where it is in doubt.

    A row goes only after a batch has held it, so the counter is never ahead of both, nor behind.
    """
    counter, row, batch = given(database)
    if counter != max(row, batch):
        raise DataError(
            f"{database.path} is damaged: its counter says that sequence {counter} was given last, its "
            f"records and batches say {max(row, batch)}",
            hint=SALVAGE,
        )
    return int(counter)


def next_unsealed(database: Database) -> int:
    """Return the first sequence that no batch holds; DataError where the latest batches contradict it."""
    latest = database.execute(_LATEST)
    highest = max((row[2] for row in latest), default=0)
    for batch, first, last, named, sealed in latest:
        if not named or sealed != highest:
            raise DataError(
                f"{database.path} is damaged: batch {batch} has sequences {first} to {last}, which its name "
                "or an index denies",
                hint=SALVAGE,
            )
    return int(highest + 1 if latest else database.value("SELECT min(first_sequence) FROM agents"))


def missing(
    database: Database, table: Literal["outbox", "bodies"], first: int, last: int
) -> Iterator[tuple[int, int]]:
    """Yield the stretches between two sequences, both included, of which a table has no row."""
    yield from database.rows(
        f"""
        SELECT before + 1, sequence - 1 FROM (
          SELECT sequence, lag(sequence, 1, ?1 - 1) OVER (ORDER BY sequence) AS before
          FROM {table} WHERE sequence BETWEEN ?1 AND ?2)
        WHERE sequence > before + 1
        UNION ALL
        SELECT coalesce(max(sequence), ?1 - 1) + 1, ?2 FROM {table} WHERE sequence BETWEEN ?1 AND ?2
        HAVING coalesce(max(sequence), ?1 - 1) < ?2
        """,  # noqa: S608 - one of two names
        (first, last),
    )


def require_tiled(database: Database, batch: int, first: int, last: int) -> None:
    """Raise DataError where a batch's range does not begin and end where its neighbours do."""
    if last > last_sequence(database) or not database.value(_TILES, (first, last)):
        raise DataError(
            f"{database.path} is damaged: batch {batch} says that it holds sequences {first} to {last}, "
            "which its neighbours deny",
            hint=SALVAGE,
        )
