"""An agent to test with: a database, a clock that stands still until it is set, and records."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from outbox.agents import make_database
from outbox.bookmarks import Bookmark
from outbox.database import Database
from outbox.delivery import Batch, Delivery, Limits
from outbox.record import Page, Record
from outbox.runs import recorded
from outbox.store import Added, Outbox

START = datetime(2026, 11, 23, 2, tzinfo=UTC)
LIMITS = Limits(max_records=1_000, max_bytes=1_000_000)


class Clock:
    """Says what it was last told."""

    def __init__(self, moment: datetime = START) -> None:
        self.moment = moment

    def __call__(self) -> datetime:
        return self.moment

    def advance(self, **duration: float) -> None:
        self.moment += timedelta(**duration)


def record(number: int = 0, value: Any = 1.5, **fields: Any) -> Record:
    """A record whose identity is its number and whose content is its value."""
    given = {
        "stream": "hourly",
        "entity": "Helsinki",
        "observed_at": START + timedelta(hours=number),
        "values": {"temperature_2m": value},
        "units": {"temperature_2m": "°C"},
    }
    return Record(**(given | fields))


class Agent:
    """Both sides of one open database."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self.database = database
        self.clock = clock
        self.outbox = Outbox(database, now=clock)
        self.delivery = Delivery(database, now=clock)
        with recorded(database, "collect", "weather", now=clock) as self.run_id:
            pass

    def collect(self, *records: Record, bookmark: str = "b", source: str = "weather", **page: Any) -> Added:
        """Store a page as a collect that begins now would."""
        scope = page.get("scope", "")
        mark = self.outbox.bookmarks(source).get(scope, Bookmark("", 0))
        made = Page(records=list(records), bookmark=bookmark, **page)
        return self.outbox.add(made, source=source, run_id=self.run_id, revision=mark.revision)

    def seal(self, limits: Limits = LIMITS) -> Batch:
        """Seal the next batch, which must exist."""
        sealed = self.delivery.seal(limits, "zstd")
        assert sealed is not None
        return sealed.batch

    def acknowledge(self, batch: Batch) -> bool:
        """Confirm a batch as a store would."""
        return self.delivery.acknowledge(
            batch, run_id=self.run_id, store="file:///store", etag=None, object_bytes=1
        )

    def sequences(self) -> list[int]:
        """Every sequence in the ledger."""
        return [row[0] for row in self.database.rows("SELECT sequence FROM outbox ORDER BY sequence")]


def make(path: Path, clock: Clock) -> None:
    """Make the database of an agent at `path`."""
    make_database(path, customer="acme", site="helsinki", now=clock, token=lambda: "0123456789abcdef")


@contextmanager
def opened(path: Path, clock: Clock) -> Iterator[Agent]:
    """Open the agent at `path`."""
    with Database.open(path) as database:
        yield Agent(database, clock)
