"""A life of an agent, drawn from a seed: made, then collects, uploads and vacuums in some order.

It runs the real commands' code on a real database file; only the store is in memory, and writes down what
it was given. What the outside world learns on the way (a page acknowledged, an object stored, a batch
confirmed) is told as facts, since the outside world does not forget them in a power cut.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from collectors.collect import Collecting, Room, Source
from collectors.collector import SourceOptions, Window
from outbox.database import Database
from outbox.delivery import Delivery, Limits, Sealed
from outbox.housekeeping import vacuum
from outbox.record import Page, Record, Rejected
from outbox.retry import Retry
from outbox.runs import recorded
from outbox.store import Outbox
from tests.crash import workload
from tests.support.agent import Clock, make, record
from uploader.compression import compress
from uploader.objectstore import Receipt
from uploader.upload import Upload

Tell = Callable[[str, Any], None]
LATE_HOURS = 40 * 24
DAY_S = 86_400.0
REVISIONS = "SELECT source, revision FROM bookmarks ORDER BY source"
_ROWS = "SELECT sequence, record_id, content_hash FROM outbox WHERE sequence > ? ORDER BY sequence"
LAST_SEQUENCE = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'outbox'), 0)"


class PageFact(NamedTuple):
    """A page that the agent said is stored: the bookmarks' revisions then, and the rows it made."""

    revisions: tuple[tuple[str, int], ...]
    last_sequence: int
    rows: tuple[tuple[int, bytes, bytes], ...]


class Feed:
    """A source of given pages, of which one collect reads at most `limit`."""

    Options = SourceOptions

    def __init__(self, pages: list[Page], limit: int | None = None) -> None:
        self.pages, self.limit = pages, limit

    def collect(self, bookmarks: Mapping[str, str], window: Window | None = None) -> Iterator[Page]:
        first = int(bookmarks.get("", "0"))
        last = len(self.pages) if self.limit is None else first + self.limit
        yield from self.pages[first:last]


class MemoryStore:
    """Keeps objects in memory, refuses a key that exists, and says so where other bytes came for it."""

    url = "memory://store"

    def __init__(self, objects: dict[str, bytes], tell: Tell) -> None:
        self.objects, self.tell = objects, tell
        self.refused_other_bytes = 0

    def put(self, key: str, data: bytes) -> Receipt:
        existed = key in self.objects
        if existed and self.objects[key] != data:
            self.refused_other_bytes += 1
        self.objects.setdefault(key, data)
        self.tell("put", (key, data))
        return Receipt(etag=None, existed=existed)


class Step(NamedTuple):
    """One command of the agent's life."""

    kind: str
    argument: Any = None


class Scenario:
    """The pages and commands that a seed stands for."""

    def __init__(self, seed: int) -> None:
        rng = random.Random(seed)
        self.seed = seed
        weather = [
            Page(
                records=list(records),
                bookmark=str(n),
                rejected=[Rejected("not a number", "x")] if n == 1 else [],
            )
            for n, records in enumerate(workload.PAGES, start=1)
        ]
        self.pages = {"orders": _pages(rng), "weather": weather}
        self.encoding = rng.choice(["none", "zstd", "gzip"])
        self.limits = Limits(rng.randint(2, 9), 10**6)
        self.checkpoint_pages = rng.choice([8, 20, 60])
        self.steps = self._steps(rng)

    def _steps(self, rng: random.Random) -> list[Step]:
        return [*(rng.choice(_COMMANDS) for _ in range(rng.randint(7, 10))), *_ENDING]

    def sources(self, limit: int | None) -> list[Source]:
        """The sources; a limited collect leaves each one's last page for the ending, 40 days later."""
        return [
            Source(name, Feed(pages if limit is None else pages[:-1], limit))
            for name, pages in self.pages.items()
        ]


_COMMANDS = (
    *(Step("collect", 1), Step("collect", 1), Step("collect", 2)),
    *(Step("upload"), Step("upload"), Step("shuffled"), Step("vacuum"), Step("watch")),
)
_ENDING = [Step("later"), Step("collect"), Step("upload"), Step("vacuum")]


def _pages(rng: random.Random) -> list[Page]:
    count = rng.randint(4, 6)
    pages = []
    for number in range(1, count + 1):
        records: dict[int, Record] = {}
        for _ in range(rng.randint(1, 8)):
            name = rng.randint(0, 25) + (LATE_HOURS if number == count else 0)
            text = rng.choice(["a", "b", "c" * rng.randint(1, 6_000)])
            records[name] = record(name, text, entity=f"order {name}")
        pages.append(Page(records=list(records.values()), bookmark=str(number)))
    return pages


class Life:
    """Runs a scenario's commands on the database in `folder`, each like a process of its own."""

    def __init__(
        self, scenario: Scenario, folder: Path, tell: Tell, objects: dict[str, bytes] | None = None
    ) -> None:
        self.scenario, self.folder, self.tell = scenario, folder, tell
        self.path = folder / "outbox.db"
        self.clock = Clock()
        self.store = MemoryStore({} if objects is None else objects, tell)
        self._seen = 0
        self._watcher: Database | None = None

    def make(self) -> None:
        make(self.path, self.clock)
        self.tell("made", self.clock.moment)

    def perform(self, step: Step) -> None:
        """Run one command; the clock goes on by a minute."""
        self.clock.advance(minutes=1)
        self.tell("clock", self.clock.moment)
        getattr(self, "_" + step.kind)(step.argument)

    def finish(self) -> None:
        """Collect and upload everything that is left, and tidy up."""
        for step in _ENDING:
            self.perform(step)
        self.close()

    def close(self) -> None:
        if self._watcher:
            self._watcher.close()
            self._watcher = None

    def _later(self, _: None) -> None:
        self.clock.advance(hours=LATE_HOURS)

    def _watch(self, _: None) -> None:
        """Somebody looks: while they do, the last close of another command is not the last one."""
        if self._watcher:
            self.close()
        else:
            self._watcher = Database.open(self.path)
            self._watcher.value("SELECT count(*) FROM pending")

    def _collect(self, limit: int | None) -> None:
        with Database.open(self.path) as database:
            collecting = Collecting(
                Outbox(database, now=self.clock),
                Room(self.folder, 0),
                limit_s=1e9,
                on_page=lambda _source, _records: self._tell_page(database),
            )
            outcomes = collecting.sources(self.scenario.sources(limit))
        for outcome in outcomes:
            if outcome.error:
                raise outcome.error

    def _tell_page(self, database: Database) -> None:
        rows = tuple(database.rows(_ROWS, (self._seen,)))
        self._seen = database.value(LAST_SEQUENCE)
        self.tell("page", PageFact(tuple(database.rows(REVISIONS)), self._seen, rows))

    @contextmanager
    def _uploading(self) -> Iterator[tuple[Delivery, int]]:
        with (
            Database.open(self.path) as database,
            recorded(database, "upload", now=self.clock) as run_id,
        ):
            yield Delivery(database, now=self.clock), run_id

    def _upload(self, _: None) -> None:
        with self._uploading() as (delivery, run_id):
            Upload(
                delivery,
                self.store,
                retry=Retry(attempts=1),
                limits=self.scenario.limits,
                encoding=self.scenario.encoding,
                parallel=1,
                run_id=run_id,
                on_sent=lambda batch: self.tell("sent", batch.id),
            )()

    def _shuffled(self, _: None) -> None:
        """Seal two ahead, put both, and acknowledge them the wrong way round, as parallel puts may."""
        with self._uploading() as (delivery, run_id):
            waiting = [Sealed(batch, delivery.lines(batch)) for batch in delivery.sealed()]
            while len(waiting) < 2 and (
                sealed := delivery.seal(self.scenario.limits, self.scenario.encoding)
            ):
                waiting.append(sealed)
            for sealed in waiting:
                batch = sealed.batch
                self.store.put(batch.object_key, compress(sealed.lines, batch.encoding))
            for sealed in reversed(waiting):
                batch = sealed.batch
                delivery.acknowledge(
                    batch, run_id=run_id, store=self.store.url, etag=None, object_bytes=len(sealed.lines)
                )
                self.tell("sent", batch.id)

    def _vacuum(self, _: None) -> None:
        with Database.open(self.path) as database, recorded(database, "vacuum", now=self.clock):
            vacuum(database, keep_sent_s=90.0, remember_s=30 * DAY_S, now=self.clock)
