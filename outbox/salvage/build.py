"""A sound database out of what was found of a damaged one, attached to it as `found`.

Invariants:
- What the store confirmed stays confirmed: batches whose name agrees with their row are kept, and rows that
  are marked sent under a batch that cannot be read make a batch of unknown name.
- What was not confirmed waits again, whole, under its number; a number whose record cannot be read is a
  record that says that it was lost. No number is left out, and none is given twice.
- A sealed batch that still gives its very lines stays sealed, under its name. Every other range that was in
  a seal is sealed again under the agent that had it; the new agent begins after all of them.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, NamedTuple

from outbox.agent_id import begins, is_agent_id, make_agent_id
from outbox.agents import Agent, Reason, add_agent, agents
from outbox.batch import Batch, Limits, object_key
from outbox.checksums import row_checksum
from outbox.database import Database
from outbox.delivery import Delivery
from outbox.errors import DataError
from outbox.line import FORMATS
from outbox.machine.host import fingerprint
from outbox.object_name import SUFFIX
from outbox.record import timestamp
from outbox.salvage.lost import fill_gaps, tell
from outbox.salvage.sent import add_unnamed, marked_last
from outbox.witness import Witnessed

LIMITS = Limits(10_000, 16 * 1024 * 1024)
SLACK, PAGE_SLACK = 10_000, 64
"""How many numbers may lie beyond the last that is proven, and how many more for each unreadable page."""

_AGENTS = """
SELECT DISTINCT id, agent_id, customer, site, host, first_sequence, since, reason FROM found.agents
WHERE row_checksum(id, agent_id, customer, site, host, first_sequence, since, reason) = checksum ORDER BY id
"""
_GOOD_BATCHES = """
CREATE TABLE found.good AS SELECT * FROM found.batches AS b
WHERE is_named(
    agent_id, format, encoding, first_sequence, last_sequence, object_key, ndjson_sha256, sealed_at)
  AND NOT EXISTS (SELECT 1 FROM found.voided AS v WHERE v.id = b.id AND v.object_key = b.object_key)
"""
_KEEP_BATCHES = """
INSERT OR IGNORE INTO batches SELECT * FROM found.good ORDER BY status = 'sent' DESC, id DESC, attempts DESC
"""
_SPANS = "SELECT first_sequence, last_sequence FROM batches ORDER BY first_sequence"
_SENT_SPANS = (
    "SELECT first_sequence, last_sequence FROM batches WHERE status = 'sent' ORDER BY first_sequence"
)
_EARLIEST = """
SELECT coalesce(min(l.collected_at), ?) FROM found.whole AS w JOIN found.outbox AS l ON l.rowid = w.ledger
"""
_PROVEN = """
SELECT max(coalesce((SELECT max(sequence) FROM found.whole), 0),
  coalesce((SELECT max(last_sequence) FROM batches), 0))
"""
_GIVEN_LAST = """
SELECT max(last) FROM (
  SELECT max(sequence) AS last FROM found.outbox WHERE sequence <= ?1
  UNION ALL SELECT max(sequence) FROM found.bodies WHERE sequence <= ?1
  UNION ALL SELECT max(seq) FROM found.counters WHERE name = 'outbox' AND seq <= ?1)
"""
# The bare columns are those of the row with the maximum: the whole one, else one that names the batch.
_ADD_SENT = """
INSERT INTO outbox
SELECT sequence, record_id, content_hash, source, run_id, collected_at, bytes, 'sent', batch FROM (
  SELECT l.*, b.id AS batch,
    max(2 * EXISTS (SELECT 1 FROM found.whole AS w WHERE w.ledger = l.rowid) + (l.batch_id IS b.id))
  FROM batches AS b JOIN found.outbox AS l ON l.sequence BETWEEN b.first_sequence AND b.last_sequence
  WHERE b.status = 'sent' AND length(l.record_id) = 16 AND length(l.content_hash) = 16 AND l.bytes > 0
  GROUP BY l.sequence)
"""
_ADD_WAITING = """
INSERT INTO outbox
SELECT l.sequence, l.record_id, l.content_hash, l.source, l.run_id, l.collected_at, l.bytes, 'pending', NULL
FROM found.whole AS w JOIN found.outbox AS l ON l.rowid = w.ledger WHERE w.sequence BETWEEN ? AND ?
"""
_ADD_TEXTS = """
INSERT INTO bodies SELECT w.sequence, b.body, b.checksum
FROM found.whole AS w JOIN found.bodies AS b ON b.rowid = w.text WHERE w.sequence BETWEEN ? AND ?
"""
_VOID = """
INSERT INTO voided
SELECT id, agent_id, first_sequence, last_sequence, object_key, ndjson_sha256, attempts, sealed_at, ?, ?
FROM batches WHERE id = ?
"""
_COUNTS = """
SELECT (SELECT count(*) FROM outbox WHERE status = 'pending'), count(*) FROM batches WHERE status = 'sent'
"""
_REST = (
    "INSERT OR IGNORE INTO voided SELECT * FROM found.voided",
    "INSERT OR IGNORE INTO runs SELECT * FROM found.runs ORDER BY finished_at IS NULL",
    "INSERT OR IGNORE INTO rejected SELECT * FROM found.rejected ORDER BY count DESC",
    "INSERT OR IGNORE INTO refusals SELECT * FROM found.refusals",
    """
    INSERT OR IGNORE INTO backfills SELECT * FROM found.backfills
    WHERE row_checksum(source, since, until, asked_at) = checksum ORDER BY finished_at IS NULL
    """,
    """
    INSERT OR IGNORE INTO bookmarks SELECT * FROM found.bookmarks AS k
    WHERE row_checksum(source, backfill_id, scope, bookmark, revision, stored_at) = checksum
      AND (backfill_id = 0
        OR EXISTS (SELECT 1 FROM backfills AS f WHERE f.id = k.backfill_id AND f.finished_at IS NULL))
    ORDER BY revision DESC
    """,
)


class Place(NamedTuple):
    """Whose database it is, as the configuration says: where no agent's row can be read."""

    customer: str
    site: str


class Built(NamedTuple):
    """What became of the records: `lost` are spans of numbers, `resealed` batches that were sealed again."""

    agent: Agent
    waiting: int
    lost: list[tuple[int, int]]
    sent: int
    unnamed: int
    resealed: int


def build(
    database: Database,
    place: Place,
    witnessed: Witnessed | None,
    unreadable: int,
    *,
    now: Callable[[], datetime],
    token: Callable[[], str],
) -> Built:
    """Fill a database with what was found, in the caller's transaction and without triggers.

    `unreadable` is how many pages could not be read, `witnessed` what the witness knows.
    """
    return _Building(database, place, witnessed, unreadable, now=now, token=token).build()


class _Building:
    """The state of one salvage."""

    def __init__(
        self,
        database: Database,
        place: Place,
        witnessed: Witnessed | None,
        unreadable: int,
        *,
        now: Callable[[], datetime],
        token: Callable[[], str],
    ) -> None:
        self._database = database
        self._place = place
        self._witnessed = witnessed
        self._slack = SLACK + PAGE_SLACK * unreadable
        self._moment = timestamp(now())
        self._token = token
        self._delivery = Delivery(database, now=now)

    def build(self) -> Built:
        execute = self._database.execute
        connection = self._database.connection
        connection.create_scalar_function("row_checksum", row_checksum)
        connection.create_scalar_function("is_named", self._is_named)
        known = {}
        for number, *columns, reason in execute(_AGENTS):
            agent = Agent(*columns)
            known[agent.agent_id] = (agent, reason, number)
        for agent, _, _ in known.values():
            self._place = Place(agent.customer, agent.site)
        execute(_GOOD_BATCHES)
        execute(_KEEP_BATCHES)
        self._add_agents(known)
        sealed, last = self._bounds()
        unnamed = self._add_unnamed(sealed)
        execute(_ADD_SENT)
        lost = self._add_waiting(last)
        for sql in _REST:
            execute(sql)
        execute("DELETE FROM sqlite_sequence WHERE name IN ('outbox', 'batches')")
        execute(
            """
            INSERT INTO sqlite_sequence
            SELECT 'batches', coalesce(max(last), 0) FROM (
              SELECT max(id) AS last FROM found.good UNION ALL SELECT max(id) FROM found.voided
              UNION ALL SELECT max(id) FROM batches
              UNION ALL SELECT max(seq) FROM found.counters WHERE name = 'batches' AND seq < 1e12)
            UNION ALL SELECT 'outbox', ?
            """,
            (last,),
        )
        resealed = self._seal_again(sealed)
        agent = self._renew(sealed)
        tell(self._database, lost, self._moment)
        waiting, sent = execute(_COUNTS)[0]
        waiting -= sum(end - first + 1 for first, end in lost)
        return Built(agent, waiting, lost, sent, unnamed, resealed)

    def _is_named(self, *row: Any) -> bool:
        agent_id, line_format, encoding, first, last, key, digest, sealed_at = row
        if encoding not in SUFFIX or line_format not in FORMATS or len(digest) != 32 or not 0 < first <= last:
            return False
        agent = Agent(agent_id, *self._place, "", 1, "")
        return bool(key == object_key(agent, sealed_at[:10], (first, last), digest.hex(), encoding))

    def _add_agents(self, known: dict[str, tuple[Agent, Reason, int]]) -> None:
        """The agents that can be read, and those that batches or the witness name; one began with 1."""
        names = {name for (name,) in self._database.execute("SELECT DISTINCT agent_id FROM batches")}
        if self._witnessed and is_agent_id(self._witnessed.agent_id):
            names.add(self._witnessed.agent_id)
        if 1 not in {begins(name) for name in (*names, *known)}:
            names.add(make_agent_id(self._token(), 1))
        earliest = self._database.value(_EARLIEST, (self._moment,))
        for name in names - known.keys():
            agent = Agent(name, *self._place, fingerprint(), begins(name), earliest)
            known[name] = (agent, "restored", 0)
        ordered = sorted(known.values(), key=lambda each: (each[0].first_sequence, each[2]))
        for number, (agent, reason, _) in enumerate(ordered, start=1):
            add_agent(self._database, number, agent, reason)

    def _bounds(self) -> tuple[int, int]:
        """The last number that was ever in a seal, and the last that was ever given, as one can tell."""
        value = self._database.value
        furthest = value(_PROVEN) + self._slack
        witnessed = self._witnessed.last_sequence if self._witnessed else 0
        sealed = max(
            value("SELECT coalesce(max(last_sequence), 0) FROM batches"),
            witnessed if witnessed <= furthest else 0,
            marked_last(self._database, furthest),
        )
        return sealed, max(sealed, furthest - self._slack, value(_GIVEN_LAST, (furthest,)) or 0)

    def _add_unnamed(self, sealed: int) -> int:
        """Add the batches that only their records tell of; how many."""
        gaps = list(self._between(_SPANS, sealed))
        return sum(add_unnamed(self._database, gap, self._agent_of, self._moment) for gap in gaps)

    def _add_waiting(self, last: int) -> list[tuple[int, int]]:
        """Every record that was not confirmed, or what says that it was lost: the spans of the latter."""
        lost: list[tuple[int, int]] = []
        for first, end in self._between(_SENT_SPANS, last):
            self._database.execute(_ADD_WAITING, (first, end))
            self._database.execute(_ADD_TEXTS, (first, end))
            lost += fill_gaps(self._database, first, end, self._moment)
        return lost

    def _seal_again(self, sealed: int) -> int:
        """Seal whatever was in a seal and is in none now; how many batches that makes."""
        for batch in self._delivery.sealed():
            if not self._is_as_sealed(batch):
                reason = "its records were damaged on the agent's disk"
                self._database.execute(_VOID, (self._moment, reason, batch.id))
                self._database.execute("DELETE FROM batches WHERE id = ?", (batch.id,))
        count = 0
        for first, last in list(self._between(_SPANS, sealed)):
            start = first
            while start <= last:
                agent = self._agent_of(start)
                later = [each.first_sequence - 1 for each in agents(self._database).values()]
                end = min(last, *(each for each in (*later, last) if each >= start))
                start = self._delivery.seal_gap(agent, start, end, LIMITS).last_sequence + 1
                count += 1
        return count

    def _is_as_sealed(self, batch: Batch) -> bool:
        try:
            return bool(self._delivery.lines(batch))
        except DataError:
            return False

    def _renew(self, sealed: int) -> Agent:
        known, first = agents(self._database), sealed + 1
        since = max([self._moment, *(each.since for each in known.values())])
        agent = Agent(make_agent_id(self._token(), first), *self._place, fingerprint(), first, since)
        add_agent(self._database, max(known) + 1, agent, "salvaged")
        return agent

    def _agent_of(self, sequence: int) -> Agent:
        return [each for each in agents(self._database).values() if each.first_sequence <= sequence][-1]

    def _between(self, spans: str, last: int) -> Iterator[tuple[int, int]]:
        """The stretches from the first number to `last` that no batch of `spans` holds."""
        first = 1
        for begin, end in (*self._database.execute(spans), (last + 1, last + 1)):
            if first < begin and first <= last:
                yield first, min(begin - 1, last)
            first = max(first, end + 1)
