"""Agents that send into one bucket: the real outbox and the real upload, a directory for S3, one clock."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from outbox.agents import make_database, renew
from outbox.bookmarks import Bookmark
from outbox.database import Database
from outbox.delivery import Delivery, Limits
from outbox.health import Expected, examine
from outbox.health_source import HealthSource, UploadKey
from outbox.record import Page, Record, Rejected
from outbox.retry import Retry
from outbox.runs import recorded
from outbox.store import Outbox
from tests.snowflake.stand_in import LANDS_AFTER, PREFIX, Object, Warehouse
from uploader.compression import decompress
from uploader.directory import DirectoryStore
from uploader.upload import Upload

START = datetime(2026, 11, 20, tzinfo=UTC)
SUFFIX = {".zst": "zstd", ".gz": "gzip", ".ndjson": "none"}


def weather(moment: datetime, entity: str = "Helsinki", **fields: Any) -> Record:
    """One current reading."""
    given: dict[str, Any] = {
        "stream": "current",
        "entity": entity,
        "observed_at": moment,
        "values": {"temperature_2m": 3.5, "wind_speed_10m": 4.25, "is_day": 1},
        "units": {"temperature_2m": "°C", "wind_speed_10m": "km/h"},
        "attributes": {"latitude": 60.1695, "longitude": 24.9354},
        "origin": {"url": "https://api.open-meteo.com/v1/forecast"},
    }
    return Record(**(given | fields))


class Clock:
    """Says what it was last told."""

    def __init__(self, moment: datetime = START) -> None:
        self.moment = moment

    def __call__(self) -> datetime:
        return self.moment

    def advance(self, **duration: float) -> None:
        self.moment += timedelta(**duration)


class Sender:
    """One agent: its open database, and what `collect` and `upload` do with it."""

    def __init__(self, world: "World", database: Database, encoding: str) -> None:
        self.world = world
        self.database = database
        self.encoding = encoding

    @property
    def agent_id(self) -> str:
        """The identity in force."""
        return Outbox(self.database, now=self.world.clock).agent.agent_id

    def collect(self, *records: Record, source: str = "weather", rejected: Sequence[Rejected] = ()) -> None:
        """One run of one source that stores one page."""
        outbox = Outbox(self.database, now=self.world.clock)
        with recorded(self.database, "collect", source, now=self.world.clock) as run_id:
            mark = outbox.bookmarks(source).get("", Bookmark("", 0))
            page = Page(records=list(records), bookmark="b", rejected=list(rejected))
            outbox.add(page, source=source, run_id=run_id, revision=mark.revision)

    def tell(self) -> None:
        """One run of the built-in source: how the agent is, and its runs."""
        clock, outbox = self.world.clock, Outbox(self.database, now=self.world.clock)
        source = HealthSource(
            self.database,
            every_s=900.0,
            expected_s={"weather": 900.0},
            examine=lambda: examine(self.database, Expected({"weather": 900.0}, 300.0), now=clock),
            upload_key=lambda: UploadKey("7Q2F", 86_400.0),
            now=clock,
        )
        with recorded(self.database, "collect", "agent", now=clock) as run_id:
            marks = outbox.bookmarks("agent")
            revision = marks[""].revision if marks else 0
            for n, page in enumerate(source.collect({scope: mark.text for scope, mark in marks.items()})):
                outbox.add(page, source="agent", run_id=run_id, revision=revision + n)

    def upload(self, max_records: int = 1_000) -> list[Object]:
        """Upload everything; the objects that are new in the bucket."""
        with recorded(self.database, "upload", now=self.world.clock) as run_id:
            Upload(
                Delivery(self.database, now=self.world.clock),
                DirectoryStore(self.world.bucket.as_uri()),
                retry=Retry(),
                limits=Limits(max_records, 10**7),
                encoding=self.encoding,
                parallel=1,
                run_id=run_id,
            )()
        return self.world.note_new()

    def send(self, max_records: int) -> list[Object]:
        """What `upload` does, to a store that is only in memory: seal, put, acknowledge."""
        delivery, found = Delivery(self.database, now=self.world.clock), []
        with recorded(self.database, "upload", now=self.world.clock) as run_id:
            while sealed := delivery.seal(Limits(max_records, 10**7), self.encoding):
                found.append(Object(PREFIX + sealed.batch.object_key, sealed.lines, self.world.clock()))
                delivery.acknowledge(
                    sealed.batch, run_id=run_id, store="s3://example-landing/raw", etag="e", object_bytes=1
                )
        self.world.objects += found
        return found

    def renew(self) -> str:
        """A new identity, as after a restore."""
        return renew(self.database, "restored", now=self.world.clock).agent_id


class World:
    """A bucket, a clock, and the agents that were made in it; `objects` is what was put, in order."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bucket = folder / "bucket"
        self.bucket.mkdir()
        self.clock = Clock()
        self.objects: list[Object] = []
        self._known: set[Path] = set()
        self._numbers = count(1)

    @contextmanager
    def agent(
        self, customer: str = "acme", site: str = "helsinki", encoding: str = "zstd"
    ) -> Iterator[Sender]:
        """Make an agent and open it."""
        number = next(self._numbers)
        path = self.path(number)
        path.parent.mkdir()
        make_database(path, customer=customer, site=site, now=self.clock, token=lambda: f"{number:016x}")
        with self.opened(path, encoding) as sender:
            yield sender

    @contextmanager
    def opened(self, path: Path, encoding: str = "zstd") -> Iterator[Sender]:
        """Open an agent that was made before, or a copy of one."""
        with Database.open(path) as database:
            yield Sender(self, database, encoding)

    def copied(self, folder: Path) -> "World":
        """The same world once more, its agents and their bucket too, to do something to."""
        shutil.copytree(self.folder, folder)
        twin = World.__new__(World)
        twin.folder, twin.bucket, twin.clock = folder, folder / "bucket", Clock(self.clock())
        twin.objects, twin._numbers = list(self.objects), count(next(self._numbers) + 10)
        twin._known = {folder / path.relative_to(self.folder) for path in self._known}
        return twin

    def path(self, number: int) -> Path:
        """The database of the agent that was made as the n-th."""
        return self.folder / f"agent{number}" / "outbox.db"

    def note_new(self) -> list[Object]:
        """Return the objects that came since the last time, as S3 stored them: now."""
        found = []
        for path in sorted(set(self.bucket.rglob("data/**/*.ndjson*")) - self._known):
            self._known.add(path)
            key = PREFIX + path.relative_to(self.bucket).as_posix()
            found.append(Object(key, decompress(path.read_bytes(), SUFFIX[path.suffix]), self.clock()))
        self.objects += found
        return found


def landed(objects: Sequence[Object], now: datetime) -> Warehouse:
    """A warehouse in which these objects have landed, each half a minute after it was stored."""
    warehouse = Warehouse(now)
    warehouse.land_all((found, found.stored_at + LANDS_AFTER) for found in objects)
    warehouse.take()
    return warehouse


def days_of(world: World, senders: dict[Sender, tuple[str, ...]], days: int = 2) -> None:
    """Whole days of a reading every six hours; corrections, repetitions and rejected inputs among them."""
    for n in range(4 * days):
        moment = world.clock()
        for sender, places in senders.items():
            rejected = [Rejected("no time", f"{n}")] if n % 4 == 0 else []
            sender.collect(*[weather(moment, place) for place in places], rejected=rejected)
            if n % 4 == 3:
                sender.collect(
                    weather(moment, places[0], values={"temperature_2m": 4.5}), weather(moment, places[1])
                )
        world.clock.advance(minutes=5)
        for sender in senders:
            sender.tell()
            sender.upload(max_records=5)
        world.clock.advance(minutes=6 * 60 - 5)
