"""Random kills: real processes on one database, killed at random moments, started again, over and over.

    python -m tests.crash.kill_random KILLS SEED

A cycle is two collectors (sometimes of one source), two or three uploaders at once, an operator who reads
the views, and now and then a vacuum. All are started, say that they are ready, are let go together, and
each is killed (SIGKILL, TerminateProcess) 0 to 300 ms later: a third of the time all at one moment, so
that nobody is left to hold the shared memory. After some hundred kills the backlog is uploaded and
everything is verified, from the objects alone and against the ledger; then a new database begins.

Modelled: the death of processes at any instruction, several writers, recovery amid other writers' work.
Not modelled: power loss (what the operating system has in its cache survives), failing disks and stores,
wrong clocks, and the advisory lock that normally keeps uploaders apart: it is left out on purpose.
The seed fixes sources, limits, encodings and moments; what the scheduler makes of them it cannot fix.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from outbox.database import Database
from outbox.delivery import Delivery, Limits
from outbox.retry import Retry
from outbox.runs import recorded
from tests.crash.kill_verify import Found, verify
from tests.crash.kill_worker import FAILED
from tests.support.agent import make
from uploader.directory import DirectoryStore
from uploader.upload import Upload

KILLS_PER_DATABASE = 400
LONGEST_LIFE_S = 0.3
WORKER = "tests.crash.kill_worker"
REPOSITORY = Path(__file__).parents[2]


@dataclass
class Result:
    """What was done and found; `failures` is empty when every promise held."""

    seed: int
    kills: int = 0
    databases: int = 0
    acknowledged_pages: int = 0
    records: int = 0
    objects: int = 0
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)


def run(kills: int, seed: int, *, worker: str = WORKER) -> Result:
    """Kill at least so many processes; stops at the first database with a failure."""
    result, chance, began = Result(seed), random.Random(seed), time.perf_counter()
    while result.kills < kills and not result.failures:
        wanted = min(KILLS_PER_DATABASE, kills - result.kills)
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
            folder = Path(name)
            killed, failures = one_database(folder, wanted, chance, worker)
            found = Found() if failures else drain_and_verify(folder)
        result.kills += killed
        result.databases += 1
        result.acknowledged_pages += found.acknowledged_pages
        result.records += found.records
        result.objects += found.objects
        result.failures += [f"seed {seed}, database {result.databases}: {x}" for x in failures + found.wrong]
    result.seconds = round(time.perf_counter() - began, 1)
    return result


def one_database(folder: Path, kills: int, chance: random.Random, worker: str) -> tuple[int, list[str]]:
    """Make a database and kill so many processes that work on it; what they complained of."""
    for name in ("objects", "journal"):
        (folder / name).mkdir()
    make(folder / "outbox.db", _now)
    killed, cycle = 0, 1
    crew = muster(folder, cycle, chance, worker)
    try:
        while killed < kills:
            cycle += 1
            following = muster(folder, cycle, chance, worker)  # it imports while this one works
            killed += kill(crew, chance)
            crew = following
            if complaints := (folder / "stderr").read_text("utf-8"):
                return killed, [complaints[-4_000:]]
    finally:
        bury(crew)
    return killed, []


def muster(folder: Path, cycle: int, chance: random.Random, worker: str) -> list[subprocess.Popen]:
    """Start a crew, which will wait until it is let go."""
    roles = ["collector"] * 2 + ["uploader"] * chance.choice((2, 3)) + ["reader"]
    roles += ["vacuum"] * (chance.random() < 0.3)
    return [start(folder, role, f"{cycle}-{n}", chance, worker) for n, role in enumerate(roles)]


def kill(crew: list[subprocess.Popen], chance: random.Random) -> int:
    """Let a crew go, and kill each at its moment; how many were alive to be killed."""
    together = chance.random() < 1 / 3
    moment = chance.uniform(0, LONGEST_LIFE_S)
    moments = [moment if together else chance.uniform(0, LONGEST_LIFE_S) for _ in crew]
    try:
        for process in crew:
            process.stdout.readline()
        began = time.perf_counter()
        for process in crew:
            process.stdin.write(b"go\n")
            process.stdin.flush()
        for at, process in sorted(zip(moments, crew, strict=True), key=lambda pair: pair[0]):
            time.sleep(max(0.0, began + at - time.perf_counter()))
            process.kill()
    except OSError:
        pass  # a process that failed before it was let go: it has said why
    finally:
        bury(crew)
    return sum(process.returncode != FAILED for process in crew)


def bury(crew: list[subprocess.Popen]) -> None:
    for process in crew:
        process.kill()
    for process in crew:
        process.communicate()


def start(folder: Path, role: str, name: str, chance: random.Random, worker: str) -> subprocess.Popen:
    """Start a worker, without `site` and by the interpreter itself.

    A virtual environment's python.exe is a launcher on Windows: killing it would not kill the worker.
    What it compiles is kept for the next one, whatever this machine's settings are: half of a start is that.
    """
    python_path = os.pathsep.join([str(REPOSITORY), *filter(None, sys.path)])
    kept = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}
    with (folder / "stderr").open("ab") as stderr:
        return subprocess.Popen(
            [
                getattr(sys, "_base_executable", None) or sys.executable,
                *("-S", "-m", worker, role, str(folder), name, str(chance.getrandbits(32))),
            ],
            cwd=REPOSITORY,
            env={**os.environ, **kept, "PYTHONPATH": python_path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
        )


def drain_and_verify(folder: Path) -> Found:
    """Upload what is left, as the next scheduled run would, and look at everything."""
    with Database.open(folder / "outbox.db") as database:
        with recorded(database, "upload", now=_now) as run_id:
            Upload(
                Delivery(database, now=_now),
                DirectoryStore((folder / "objects").as_uri()),
                retry=Retry(attempts=1),
                limits=Limits(1_000, 10**6),
                encoding="zstd",
                parallel=1,
                run_id=run_id,
            )()
        return verify(folder, database)


def _now() -> datetime:
    return datetime.now(UTC)


if __name__ == "__main__":
    found = run(int(sys.argv[1]), int(sys.argv[2]))
    print(json.dumps(asdict(found), indent=1))
    sys.exit(bool(found.failures))
