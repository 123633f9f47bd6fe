"""The oracle of the model test: what an outbox holds, in lists and dicts, written from its promises.

It shares no SQL and no encoder with the product; an identity and a content are plain tuples here. Only
what an identity is called (`ids`) it is told: how a record_id is made is other tests' business.

Modelled: rows, revisions, bodies, batches and their lines, objects, bookmarks with their revisions,
rejected inputs, back-fills, the counts of runs, pruning and forgetting by age. Not modelled: damage,
several agents, the largest page, line and number of sealed batches, the wording of messages.
Forgetting is modelled as what may go and what must: a row may be remembered longer than it has to be.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

START = datetime(2026, 11, 23, 2, tzinfo=UTC)
AGENT_ID = "0123456789abcdef-000000000001"
SUFFIX = {"zstd": ".zst", "gzip": ".gz", "none": ""}
REMEMBER_S, EXPIRE_S = 30 * 86_400, 90 * 86_400
NOT_A_NUMBER = "NaN"
Value = int | str


class Fact(NamedTuple):
    """A record of a page: entity and hour name it (with its source), the value is its content."""

    entity: str
    hour: int
    value: Value


class Identity(NamedTuple):
    source: str
    entity: str
    hour: int


@dataclass
class Row:
    sequence: int
    identity: Identity
    value: Value
    collected_at: str
    run_id: int
    sent: int | None = None  # the batch, once it was acknowledged
    body: bool = True
    kept: bool = True


@dataclass
class Seal:
    id: int
    first: int
    last: int
    encoding: str
    key: str
    lines: bytes
    sent_at: str | None = None


@dataclass
class Run:
    id: int
    command: str
    source: str
    started_at: str
    new: int = 0
    unchanged: int = 0
    rejected: int = 0
    objects: int = 0
    sent: int = 0
    oldest: int | None = None


class StaleError(Exception):
    """The page was begun before another one was stored: it must not be."""


def text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def observed(hour: int) -> str:
    return f"{START + timedelta(hours=hour):%Y-%m-%dT%H:%M:%SZ}"


@dataclass
class Oracle:
    ids: Mapping[Identity, str]
    rows: list[Row] = field(default_factory=list)
    batches: list[Seal] = field(default_factory=list)
    objects: dict[str, bytes] = field(default_factory=dict)
    bookmarks: dict[tuple[str, int], tuple[str, int]] = field(default_factory=dict)
    rejected: dict[tuple[str, Fact], tuple[int, str]] = field(default_factory=dict)
    backfills: list[tuple[int, str, str, bool]] = field(default_factory=list)  # id, source, days, finished
    runs: list[Run] = field(default_factory=list)
    last_run: int = 0

    def begin_run(self, command: str, source: str, now: datetime) -> int:
        self.last_run += 1
        self.runs.append(Run(self.last_run, command, source, text(now)))
        return self.last_run

    def run(self, run_id: int) -> Run:
        """The run, or one that nobody sees when it expired."""
        return next((run for run in self.runs if run.id == run_id), Run(0, "", "", ""))

    def revision(self, source: str, backfill: int) -> int:
        return self.bookmarks.get((source, backfill), ("", 0))[1]

    def collect(
        self,
        facts: list[Fact],
        mark: str,
        source: str,
        backfill: int,
        revision: int,
        run_id: int,
        now: datetime,
    ) -> tuple[int, int, int]:
        """Store a page; how many were new, unchanged and rejected."""
        if self.revision(source, backfill) != revision or (backfill and self.backfills[backfill - 1][3]):
            raise StaleError
        claims: dict[tuple[str, int], list[Fact]] = {}
        refused = [fact for fact in facts if fact.value == NOT_A_NUMBER]
        for fact in facts:
            if fact.value != NOT_A_NUMBER:
                claims.setdefault((fact.entity, fact.hour), []).append(fact)
        new, repeated, read = 0, 0, list[int]()
        for (entity, hour), said in claims.items():
            if len(set(said)) > 1:
                refused += said
                continue
            repeated += len(said) - 1
            read.append(hour)
            identity = Identity(source, entity, hour)
            if self.is_news(identity, said[0].value):
                self.rows.append(Row(len(self.rows) + 1, identity, said[0].value, text(now), run_id))
                new += 1
        for fact in refused:
            times, _ = self.rejected.get((source, fact), (0, ""))
            self.rejected[source, fact] = (times + 1, text(now))
        self.bookmarks[source, backfill] = (mark, revision + 1)
        run = self.run(run_id)
        added = (new, len(read) - new + repeated, len(refused))
        run.new, run.unchanged, run.rejected = (
            run.new + new,
            run.unchanged + added[1],
            run.rejected + added[2],
        )
        if read:
            run.oldest = min([*read, *([] if run.oldest is None else [run.oldest])])
        return added

    def is_news(self, identity: Identity, value: Value) -> bool:
        """Whether what was said last differs, or is remembered no longer."""
        latest = next((row for row in reversed(self.rows) if row.identity == identity), None)
        return latest is None or latest.value != value or not latest.kept

    def line(self, row: Row) -> bytes:
        envelope = {
            "agent_id": AGENT_ID,
            "agent_since": text(START),
            "collected_at": row.collected_at,
            "customer_id": "acme",
            "format": 1,
            "sequence": row.sequence,
            "site": "helsinki",
        }
        return (dumps(envelope)[:-1] + "," + self.body(row)[1:] + "\n").encode()

    def body(self, row: Row) -> str:
        return dumps(
            {
                "entity": row.identity.entity,
                "observed_at": observed(row.identity.hour),
                "record_id": self.ids[row.identity],
                "source": row.identity.source,
                "stream": "hourly",
                "values": {"v": row.value},
            }
        )

    def next_sequence(self) -> int:
        return self.batches[-1].last + 1 if self.batches else 1

    def seal(self, max_records: int, max_bytes: int, encoding: str, now: datetime) -> Seal | None:
        first = self.next_sequence()
        lines: list[bytes] = []
        for row in self.rows[first - 1 : first - 1 + max_records]:
            line = self.line(row)
            if lines and sum(map(len, lines)) + len(line) > max_bytes:
                break
            lines.append(line)
        if not lines:
            return None
        last, held = first + len(lines) - 1, b"".join(lines)
        key = (
            f"data/customer=acme/site=helsinki/agent={AGENT_ID}/date={text(now)[:10]}/"
            f"{first:012d}-{last:012d}-{hashlib.sha256(held).hexdigest()[:16]}.ndjson{SUFFIX[encoding]}"
        )
        self.batches.append(Seal(len(self.batches) + 1, first, last, encoding, key, held))
        return self.batches[-1]

    def put(self, batch_id: int) -> bool:
        """Store a batch's object; whether it was there."""
        seal = self.batches[batch_id - 1]
        existed = seal.key in self.objects
        self.objects[seal.key] = seal.lines
        return existed

    def acknowledge(self, batch_id: int, run_id: int, now: datetime) -> bool:
        seal = self.batches[batch_id - 1]
        if seal.sent_at is not None:
            return False
        seal.sent_at = text(now)
        for row in self.rows[seal.first - 1 : seal.last]:
            row.sent = batch_id
        run = self.run(run_id)
        run.objects, run.sent = run.objects + 1, run.sent + seal.last - seal.first + 1
        return True

    def waiting(self) -> int:
        return sum(row.sent is None for row in self.rows)

    def ask_backfill(self, source: str, days: str) -> int:
        for number, *asked, finished in self.backfills:
            if asked == [source, days] and not finished:
                return number
        self.backfills.append((len(self.backfills) + 1, source, days, False))
        return len(self.backfills)

    def finish_backfill(self, number: int) -> None:
        _, source, days, _ = self.backfills[number - 1]
        self.backfills[number - 1] = (number, source, days, True)
        self.bookmarks.pop((source, number), None)

    def prune(self, now: datetime, keep_s: int) -> int:
        """Drop the bodies of what was sent long enough ago; how many."""
        before, pruned = text(now - timedelta(seconds=keep_s)), 0
        for row in self.rows:
            if row.body and row.sent and (self.batches[row.sent - 1].sent_at or "") < before:
                row.body, pruned = False, pruned + 1
        return pruned

    def may_forget(self, now: datetime) -> set[int]:
        """Sequences of rows sent long ago that their source no longer reads back to."""
        before = text(now - timedelta(seconds=REMEMBER_S))
        floors: dict[str, int] = {}
        for run in self.runs:
            if run.command == "collect" and run.started_at >= before and run.oldest is not None:
                floors[run.source] = min(run.oldest, floors.get(run.source, run.oldest))
        return {
            row.sequence
            for row in self.rows
            if row.kept and not row.body and row.sent
            if (self.batches[row.sent - 1].sent_at or "") < before
            if row.identity.hour < floors.get(row.identity.source, -(10**9))
        }

    def must_forget(self, now: datetime) -> set[int]:
        """Of these the oldest of its identity, before which nothing waits to be sent or pruned."""
        before = text(now - timedelta(seconds=REMEMBER_S))
        kept = (
            row.sequence
            for row in self.rows
            if row.body or not row.sent or (self.batches[row.sent - 1].sent_at or "") >= before
        )
        first = next(kept, len(self.rows) + 1)
        oldest = {row.identity: row.sequence for row in reversed(self.rows) if row.kept}
        return {n for n in self.may_forget(now) & set(oldest.values()) if n < first}

    def forget(self, sequences: set[int]) -> None:
        for sequence in sequences:
            self.rows[sequence - 1].kept = False

    def outlived(self) -> list[int]:
        """Forgotten rows of which an older revision is remembered: it would pass for the latest."""
        older = {row.identity: row.sequence for row in reversed(self.rows) if row.kept}
        return [
            row.sequence
            for row in self.rows
            if not row.kept and row.sequence > older.get(row.identity, row.sequence)
        ]

    def expire(self, now: datetime) -> tuple[int, int]:
        """Drop old runs and rejected inputs; how many."""
        before = text(now - timedelta(seconds=EXPIRE_S))
        runs = [run for run in self.runs if run.started_at >= before or run.id == self.last_run]
        rejected = {key: found for key, found in self.rejected.items() if found[1] >= before}
        gone = len(self.runs) - len(runs), len(self.rejected) - len(rejected)
        self.runs, self.rejected = runs, rejected
        return gone


def dumps(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
