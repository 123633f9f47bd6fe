"""Speed, as ratios within one run: `python -m tests.bench.bench [ROUNDS]`. Not part of the test run.

What is compared is run in turns, round by round, in fresh folders; each figure is the median of the rounds'
ratios, so that whatever else the machine does falls on both sides. Absolute rates are for orientation.
"""

import gc
import random
import statistics
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil

from outbox.checksums import record_checksum
from outbox.database import Database
from outbox.delivery import Delivery, Limits
from outbox.record import Page, Record
from outbox.record.page import normalise_page
from outbox.retry import Retry
from outbox.runs import recorded
from outbox.store import _INSERT_BODY, _INSERT_ROW, Outbox
from tests.support.agent import Clock, make
from uploader.directory import DirectoryStore
from uploader.upload import Upload

RECORDS, PAGE = 100_000, 10_000
YEAR = datetime(2026, 1, 1, tzinfo=UTC)
LIMITS = Limits(50_000, 16_000_000)
PLACE = {"customer": "acme", "site": "helsinki", "source": "weather"}


def weather(count: int, first: int = 0) -> list[Record]:
    """Hourly weather of fifty places, as the collector makes it: values of its own, the rest is shared."""
    noise, origin = random.Random(first), {"url": "https://api.open-meteo.com/v1/forecast"}
    units = {"temperature_2m": "°C", "wind_speed_10m": "km/h", "precipitation": "mm"}
    places = [(f"Place {n}", {"latitude": 60 + n / 100, "longitude": 24 + n / 100}) for n in range(50)]
    return [
        Record(
            stream="hourly",
            entity=places[n % 50][0],
            observed_at=YEAR + timedelta(hours=n // 50),
            values={
                "temperature_2m": round(noise.gauss(5, 10), 1),
                "wind_speed_10m": round(abs(noise.gauss(12, 6)), 1),
                "precipitation": round(max(0.0, noise.gauss(-1, 1)), 2),
                "is_day": n // 600 % 2,
            },
            units=units,
            attributes=places[n % 50][1],
            origin=origin,
        )
        for n in range(first, first + count)
    ]


def pages(count: int) -> Iterator[Page]:
    """The pages of so many records, each made when it is asked for, as a collector makes them."""
    for start in range(0, count, PAGE):
        yield Page(records=weather(PAGE, start), bookmark=str(start))


def timed(work: Callable[[], object]) -> float:
    gc.collect()
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def raw_insert(database: Database) -> float:
    """apsw's executemany of the same rows into the same tables and indexes, FULL; making them is not timed."""
    total_s, sequence, moment = 0.0, 0, "2026-11-23T02:00:00.000Z"
    for page in pages(RECORDS):
        rows, bodies = [], []
        for entry in normalise_page(page, **PLACE).entries:
            sequence += 1
            record_id, content_hash, body = entry.record_id, entry.content_hash, entry.body
            rows.append((sequence, record_id, content_hash, "weather", 1, moment, len(body)))
            bodies.append((sequence, body, record_checksum(sequence, moment.encode(), body)))

        def insert(rows: list[Any] = rows, bodies: list[Any] = bodies) -> None:
            with database.transaction():
                database.executemany(_INSERT_ROW, rows)
                database.executemany(_INSERT_BODY, bodies)

        total_s += timed(insert)
    return total_s


def collect(database: Database) -> float:
    """What `outbox collect` does with each page that a collector yields; yielding them is not timed."""
    outbox, total_s = Outbox(database, now=Clock()), 0.0
    for revision, page in enumerate(pages(RECORDS)):
        total_s += timed(lambda: outbox.add(page, source="weather", run_id=1, revision=revision))  # noqa: B023
    return total_s


def upload(database: Database, folder: Path) -> float:
    folder.mkdir()
    with recorded(database, "upload", now=Clock()) as run_id:
        work = Upload(
            Delivery(database, now=Clock()),
            DirectoryStore(folder.as_uri()),
            retry=Retry(),
            limits=LIMITS,
            encoding="zstd",
            parallel=4,
            run_id=run_id,
        )
        return timed(work)


def one_round() -> dict[str, float]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for path in ("raw.db", "outbox.db"):
            make(folder / path, Clock())
        with Database.open(folder / "raw.db") as database:
            raw_s = raw_insert(database)
        with Database.open(folder / "outbox.db") as database:
            collect_s = collect(database)
            delivery, agent = Delivery(database, now=Clock()), Outbox(database, now=Clock()).agent
            lines = b"".join(delivery._lines(1, agent, 1, RECORDS)[0])
            zlib_s = timed(lambda: zlib.compress(lines, 6))
            upload_s = upload(database, folder / "objects")
        return {
            "collect / raw executemany": raw_s / collect_s,
            "upload / zlib -6": zlib_s / upload_s,
            "collect, records/s": RECORDS / collect_s,
            "upload, records/s": RECORDS / upload_s,
        }


def upload_memory_mb(count: int) -> float:
    """How much a process grows while it uploads `count` records; in a child, so that each begins afresh."""
    import subprocess

    code = f"from tests.bench import bench; print(bench.grown_mb({count}))"
    return float(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    )


def grown_mb(count: int) -> float:
    import threading

    with tempfile.TemporaryDirectory() as name:
        make(Path(name) / "outbox.db", Clock())
        with Database.open(Path(name) / "outbox.db") as database:
            for revision, page in enumerate(pages(count)):
                Outbox(database, now=Clock()).add(page, source="weather", run_id=1, revision=revision)
        gc.collect()
        process, peak, done = psutil.Process(), 0, threading.Event()
        before = process.memory_info().rss

        def watch() -> None:
            nonlocal peak
            while not done.wait(0.005):
                peak = max(peak, process.memory_info().rss)

        watcher = threading.Thread(target=watch)
        watcher.start()
        with Database.open(Path(name) / "outbox.db") as database:
            upload(database, Path(name) / "objects")
        done.set()
        watcher.join()
        return (peak - before) / 1e6


def main(rounds: int) -> None:
    results = [one_round() for _ in range(rounds)]
    print(f"{RECORDS:,} records, {rounds} rounds in turns, medians:")
    for name in results[0]:
        values = sorted(result[name] for result in results)
        print(f"  {name:28} {statistics.median(values):12,.2f}   ({values[0]:,.2f} to {values[-1]:,.2f})")
    for count in (100_000, 400_000):
        print(f"  upload of {count:,} records grows by {upload_memory_mb(count):.0f} MB")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
