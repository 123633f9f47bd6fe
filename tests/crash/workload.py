"""The workload of the crash tests: a source with every kind of record, collected and uploaded.

Used in child processes that are killed; what must hold afterwards is checked by `verify`.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from collectors.collect import Collecting, Room, Source
from collectors.collector import Window
from outbox.delivery import Delivery, Limits
from outbox.record import Page, Record, Rejected
from outbox.retry import Retry
from outbox.runs import recorded
from outbox.store import Outbox
from tests.support.agent import Agent, Clock, make, opened, record
from uploader.compression import decompress
from uploader.directory import DirectoryStore
from uploader.upload import Upload

PAGES: tuple[list[Record], ...] = (
    [record(0), record(1), record(2, float("nan"))],
    [record(0), record(1, "corrected"), record(3), record(4, 1), record(4, 2)],
    [record(1), record(5), record(6), record(7)],
)
EXPECTED_RECORDS = 8  # 0 1 | 1' 3 | 1" 5 6 7; the NaN and both of the ambiguous fourth are rejected
EXPECTED_REJECTED = 4  # the NaN, the ambiguous two, and what the source itself refuses


class Pages:
    """A source that remembers in its bookmark how many of its pages were stored."""

    def collect(self, bookmarks: Mapping[str, str], window: Window | None = None) -> Iterator[Page]:
        for number in range(int(bookmarks.get("", "0")), len(PAGES)):
            rejected = [Rejected("not a number", "x")] if number == 0 else []
            yield Page(records=PAGES[number], bookmark=str(number + 1), rejected=rejected)


def prepare(folder: Path) -> None:
    """Make the agent."""
    folder.mkdir(parents=True)
    (folder / "objects").mkdir()
    make(folder / "outbox.db", Clock())


def run(folder: Path, agent: Agent) -> None:
    """Collect everything and upload everything."""
    clock = agent.clock
    outbox = Outbox(agent.database, now=clock)
    collecting = Collecting(outbox, Room(folder, 0), limit_s=1e9)
    for outcome in collecting.sources([Source("weather", Pages())]):
        if outcome.error:
            raise outcome.error
    with recorded(agent.database, "upload", now=clock) as run_id:
        Upload(
            Delivery(agent.database, now=clock),
            DirectoryStore((folder / "objects").as_uri()),
            retry=Retry(attempts=1),
            limits=Limits(3, 10**6),
            encoding="zstd",
            parallel=1,
            run_id=run_id,
        )()


def verify(folder: Path) -> list[str]:
    """What is wrong after a run to the end; empty when every promise held."""
    wrong = []
    with opened(folder / "outbox.db", Clock()) as agent:
        database = agent.database
        checks = {
            "integrity": database.value("PRAGMA integrity_check") == "ok",
            "rejected": database.value("SELECT count(*) FROM rejected") == EXPECTED_REJECTED,
            "ledger": agent.sequences() == list(range(1, EXPECTED_RECORDS + 1)),
            "all sent": database.value("SELECT count(*) FROM outbox WHERE status = 'sent'")
            == EXPECTED_RECORDS,
            "no batch waits": agent.delivery.sealed() == [],
            "bookmark": agent.outbox.bookmarks("weather")[""].text == str(len(PAGES)),
            "read is accounted for": database.execute(
                "SELECT sum(new), sum(unchanged), sum(rejected) FROM runs WHERE command = 'collect'"
            )
            == [(EXPECTED_RECORDS, 1, EXPECTED_REJECTED)],
        }
        wrong += [name for name, holds in checks.items() if not holds]
        ledger = {row[0]: row[1].hex() for row in database.rows("SELECT sequence, record_id FROM outbox")}
    delivered = [
        json.loads(line)
        for path in sorted((folder / "objects").rglob("*.ndjson.zst"))
        for line in decompress(path.read_bytes(), "zstd").splitlines()
    ]
    if [line["sequence"] for line in delivered] != sorted(ledger):
        wrong.append(f"objects hold {[line['sequence'] for line in delivered]}")
    if any(ledger.get(line["sequence"]) != line["record_id"].replace("-", "") for line in delivered):
        wrong.append("an object holds another record than the ledger")
    return wrong
