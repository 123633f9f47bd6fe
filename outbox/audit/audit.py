"""The promises held against one database: what should be true of every row, looked at row by row.

Invariants:
- Nothing is changed, and everything that costs little is read in one snapshot: what collect and upload do
  meanwhile is no finding. What is read in full (`deep`) is read in steps, so that no snapshot lasts long.
- Memory does not grow with the ledger: SQLite walks it in its own order and hands out what is wrong.
- Only batches that are `sealed` or `sent` tile; whatever else a batch may become takes no part.
"""

from collections.abc import Callable, Iterator

import apsw

from outbox.agent_id import begins
from outbox.agents import AGENT_ROWS, require_own
from outbox.audit.finding import Finding, span
from outbox.audit.texts import kept_batches, kept_bodies, next_up, orphans, sealed
from outbox.checksums import row_checksum
from outbox.database import Database, translated
from outbox.errors import DataError
from outbox.migrate import migrations
from outbox.object_name import ObjectName
from outbox.sequences import SALVAGE, given, missing

_SCHEMA = "SELECT name, type, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'"
_UNSENT = """
SELECT first_sequence, last_sequence FROM batches WHERE status = 'sealed' ORDER BY first_sequence
"""
_TAIL = """
SELECT coalesce(
  (SELECT max(last_sequence) + 1 FROM batches WHERE status IN ('sealed', 'sent')),
  (SELECT min(first_sequence) FROM agents), 1)
"""
_MISMARKED = """
SELECT b.id, b.status, b.first_sequence, b.last_sequence, count(*), min(o.sequence)
FROM batches AS b CROSS JOIN outbox AS o ON o.sequence BETWEEN b.first_sequence AND b.last_sequence
WHERE b.status IN ('sealed', 'sent') AND o.batch_id IS NOT CASE b.status WHEN 'sent' THEN b.id END
GROUP BY b.id
"""
_SENT_WITHOUT_BATCH = """
SELECT count(*), min(sequence), max(sequence) FROM outbox WHERE sequence >= ? AND status = 'sent'
"""
_SEALS = """
SELECT b.id, b.agent_id, a.customer, a.site, b.encoding, b.first_sequence, b.last_sequence, b.object_key,
  lower(hex(b.ndjson_sha256)), substr(b.sealed_at, 1, 10),
  (SELECT agent_id FROM agents WHERE first_sequence <= b.first_sequence ORDER BY id DESC LIMIT 1)
FROM batches AS b LEFT JOIN agents AS a ON a.agent_id = b.agent_id
WHERE b.status IN ('sealed', 'sent') ORDER BY b.first_sequence
"""


def audit_database(database: Database, *, deep: bool) -> Iterator[Finding]:
    """Yield whatever is wrong with the database alone; `deep` reads every body that is kept, too."""
    yield from _identity(database)  # before the snapshot: the witness may only be older than what it sees
    with database.snapshot():
        yield from _guarded(_quick if not deep else _thorough, database)
        for check in (
            _schema,
            _agents,
            _counter,
            _batches,
            _seals,
            _marks,
            _unsent,
            orphans,
            _bookmarks,
            sealed,
            next_up,
        ):
            yield from _guarded(check, database)
    if deep:
        yield from _guarded(kept_bodies, database)
        yield from _guarded(kept_batches, database)


def _guarded(check: Callable[[Database], Iterator[Finding]], database: Database) -> Iterator[Finding]:
    """A page that cannot be read ends one check and not the audit."""
    try:
        yield from check(database)
    except DataError as error:
        yield Finding("damage", f"{error.message}.")


def _identity(database: Database) -> Iterator[Finding]:
    try:
        require_own(database)
    except DataError as error:
        if error.hint and error.hint != SALVAGE:  # else damage: the checks that follow say what
            yield Finding("identity", f"{error.message}. What to do: {error.hint}.")


def _quick(database: Database) -> Iterator[Finding]:
    for (said,) in database.rows("""
        SELECT i.quick_check FROM sqlite_schema AS s, pragma_quick_check(s.name) AS i
        WHERE s.type = 'table' AND s.name <> 'bodies' AND i.quick_check <> 'ok'
        """):
        yield Finding("damage", f"SQLite says of {database.path}: {said}. The file is damaged.")


def _thorough(database: Database) -> Iterator[Finding]:
    for (said,) in database.rows(
        "SELECT integrity_check FROM pragma_integrity_check WHERE integrity_check <> 'ok'"
    ):
        yield Finding("damage", f"SQLite says of {database.path}: {said}. The file is damaged.")


def _schema(database: Database) -> Iterator[Finding]:
    """The tables and, above all, the triggers: without them anybody may delete what was not sent."""
    with translated(database.path):
        fresh = apsw.Connection(":memory:")
        for migration in migrations()[: database.version]:
            fresh.execute(migration.sql)
        expected = fresh.execute(_SCHEMA).fetchall()
        fresh.close()
    found = {name: sql for name, _, sql in database.rows(_SCHEMA)}
    for name, kind, sql in expected:
        if found.get(name) != sql:
            state = "was altered" if name in found else "is missing"
            yield Finding("schema", f"The {kind} {name} {state}: the database no longer guards its promises.")


def _agents(database: Database) -> Iterator[Finding]:
    before = 0
    for *row, checksum in database.rows(AGENT_ROWS):
        agent_id, first = row[1], row[5]
        if row_checksum(*row) != checksum:
            yield Finding(
                "agent-checksum",
                f"The row of agent {agent_id} is not what was stored: its checksum is wrong. Nothing is "
                "collected or sent until it is mended.",
            )
        if begins(agent_id) != first or first < before:
            yield Finding(
                "agent",
                f"Agent {agent_id} has first sequence {first:,}, which its name and its predecessor deny: "
                "nobody can tell from its objects where they begin.",
            )
        before = first


def _counter(database: Database) -> Iterator[Finding]:
    counter, row, batch = given(database)
    if counter != max(row, batch):
        yield Finding(
            "counter",
            f"The counter of sequences stands at {counter:,}, but {max(row, batch):,} was given last, as "
            "records and batches say. Nothing is collected or sealed until it is mended.",
        )


def _batches(database: Database) -> Iterator[Finding]:
    for batch, first, before, other in database.rows("""
        SELECT id, first_sequence, before, other FROM (
          SELECT id, first_sequence, lag(id) OVER w AS other,
            lag(last_sequence, 1, (SELECT min(first_sequence) - 1 FROM agents)) OVER w AS before
          FROM batches WHERE status IN ('sealed', 'sent') WINDOW w AS (ORDER BY first_sequence))
        WHERE first_sequence <> before + 1
        """):
        if first > before + 1:
            yield Finding(
                "batch-gap",
                f"Batch {batch} begins at sequence {first:,}: no batch holds {span(before + 1, first - 1)}, "
                "and none will: these records are never sent.",
            )
        else:
            yield Finding(
                "batch-overlap",
                f"Batch {batch} begins at sequence {first:,}, but batch {other} reaches to {before:,}: "
                f"{span(first, before)} would be sent twice.",
            )


def _seals(database: Database) -> Iterator[Finding]:
    for row in database.rows(_SEALS):
        batch, agent_id, customer, site, encoding, first, last, key, digest, date, in_force = row
        if agent_id != in_force:
            yield Finding(
                "batch-agent",
                f"Batch {batch} ({span(first, last)}) is agent {agent_id}'s, but {in_force} was in force "
                "then: its lines name another agent than they should.",
            )
        if customer is None:
            continue
        expected = ObjectName("", customer, site, agent_id, date, first, last, digest[:16], encoding).key
        if key != expected:
            yield Finding(
                "batch-key",
                f"Batch {batch} is named {key}, but its row says {expected}: its object does not hold what "
                "its name promises.",
            )


def _marks(database: Database) -> Iterator[Finding]:
    for batch, status, first, last, count, lowest in database.rows(_MISMARKED):
        if status == "sent":
            meaning = f"not marked as sent with it, the first being {lowest:,}: they would never be let go"
        else:
            meaning = f"marked as sent, the first being {lowest:,}, though no store has confirmed the batch"
        yield Finding(
            "row-batch",
            f"Of batch {batch}, {status} ({span(first, last)}), {count:,} rows are {meaning}.",
        )
    count, lowest, highest = database.execute(_SENT_WITHOUT_BATCH, (database.value(_TAIL),))[0]
    if count:
        yield Finding(
            "row-sent",
            f"The ledger marks {count:,} rows at {span(lowest, highest)} as sent, but no batch holds them: "
            "nothing shows that they were.",
        )
    count, lowest, highest = database.execute("""
        SELECT count(*), min(sequence), max(sequence) FROM outbox
        WHERE sequence < (SELECT min(first_sequence) FROM agents)
        """)[0]
    if count:
        yield Finding(
            "row-stray",
            f"The ledger has {count:,} rows at {span(lowest, highest)}, before the agent's first sequence: "
            "they will never be sent.",
        )


def _unsent(database: Database) -> Iterator[Finding]:
    counter, row, _ = given(database)
    tail = (database.value(_TAIL), max(counter, row))
    for region in [*database.execute(_UNSENT), tail]:
        for first, last in missing(database, "outbox", *region):
            yield Finding(
                "row-missing",
                f"The ledger lacks {span(first, last)}, and no store has confirmed an object that holds "
                "them: these records are lost.",
            )
        for first, last in missing(database, "bodies", *region):
            if database.value("SELECT count(*) FROM outbox WHERE sequence BETWEEN ? AND ?", (first, last)):
                yield Finding(
                    "body-missing",
                    f"The ledger has rows for {span(first, last)}, but their texts are missing and were not "
                    "sent: these records are lost.",
                )


def _bookmarks(database: Database) -> Iterator[Finding]:
    for *row, checksum, is_stray in database.rows("""
        SELECT k.source, k.backfill_id, k.scope, k.bookmark, k.revision, k.stored_at, k.checksum,
          k.backfill_id <> 0 AND (f.id IS NULL OR f.finished_at IS NOT NULL)
        FROM bookmarks AS k LEFT JOIN backfills AS f ON f.id = k.backfill_id
        """):
        source, backfill, scope = row[:3]
        which = f"{source}{f' ({scope})' if scope else ''}"
        if row_checksum(*row) != checksum:
            yield Finding(
                "bookmark-checksum",
                f"A bookmark of {which} is not what was stored: its checksum is wrong. The source is not "
                "read until it is mended.",
            )
        if is_stray:
            yield Finding(
                "bookmark",
                f"A bookmark of {which} belongs to back-fill {backfill}, which is finished or was never "
                "asked for: it leads nowhere.",
            )
