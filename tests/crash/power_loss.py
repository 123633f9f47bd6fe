"""Power cuts, without a switch: every disk that a cut could have left behind is built, opened and lived on.

A life of the agent (`power_loss_scenario`) is recorded write by write. Between any two of them the power
can fail: what was synced is there; of what was not, anything may be. The policies say what:

- nothing, or everything, of what was not synced
- a prefix of it, in the order of writing
- any subset of it: disks reorder
- sectors of 512 bytes of it: writes tear
- only the last write
- any sectors of it, and garbage in others (not in a file's first sector, by which a database is recognised)

Each image is opened by the normal code, compared with what the outside world was told, and lived on from to
the end. Images that are the same bytes at the same moment count once. Where two images say the same in
every table, have sound trees and meet the same world, the agent goes on from the first, and from a tenth of
the others, since what it does depends on nothing else.

Modelled is the loss of power of one host. Not modelled: disks that lie about a sync, bytes that rot, and
folders (a file's name counts as durable with its first sync).

Run a campaign with: python -m tests.crash.power_loss --images 100000 --seed 1 --report campaign.jsonl
"""

import argparse
import random
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import apsw

import outbox.database
from outbox.database import Database
from outbox.errors import OutboxError
from tests.crash import report, vfs
from tests.crash.power_loss_checks import History, World, found, state, went_on
from tests.crash.power_loss_disk import DRAWS, Disk, image, survivors
from tests.crash.power_loss_scenario import Life, Scenario
from tests.crash.vfs import Fact, Operation, Rename

SYNCHRONOUS = {"OFF": 0, "NORMAL": 1, "FULL": 2}
MAX_EXAMPLES = 10


@dataclass
class Result:
    """What a campaign found; `failures` is zero when every promise held in every image."""

    seed: int
    synchronous: str
    lives: int = 0
    crash_points: int = 0
    images: int = 0
    lived_on: int = 0
    lost: int = 0
    doubled: int = 0
    corrupt: int = 0
    keys_with_two_contents: int = 0
    inconsistent: int = 0
    seconds: float = 0.0
    examples: list[str] = field(default_factory=list)

    @property
    def failures(self) -> int:
        """How many images broke a promise, counted once for each promise."""
        return self.lost + self.doubled + self.corrupt + self.keys_with_two_contents + self.inconsistent

    def note(self, wrong: dict[str, str], where: str) -> None:
        """Count what was wrong with one image."""
        for kind, what in wrong.items():
            setattr(self, kind, getattr(self, kind) + 1)
            if len(self.examples) < MAX_EXAMPLES:
                self.examples.append(f"{where}: {kind}: {what}")


@contextmanager
def promising(synchronous: str) -> Iterator[None]:
    """Let the agent open its database with another promise than FULL, to see the tests fail."""
    true = outbox.database._FULL
    outbox.database._FULL = SYNCHRONOUS[synchronous]
    try:
        yield
    finally:
        outbox.database._FULL = true


def recorded_life(scenario: Scenario, synchronous: str) -> list[Operation]:
    """Live a scenario to its end, and return every operation and every fact."""
    log: list[Operation] = []
    give_name = outbox.database._give_name

    def give_name_and_tell(unfinished: Path, path: Path) -> None:
        give_name(unfinished, path)
        log.append(Rename(unfinished.name, path.name))

    outbox.database._give_name = give_name_and_tell
    try:
        with (
            vfs.scratch() as folder,
            promising(synchronous),
            vfs.frequent_checkpoints(scenario.checkpoint_pages),
            vfs.default(vfs.RecordingVFS(log)),
        ):
            life = Life(scenario, folder, lambda kind, what: log.append(Fact(kind, what)))
            life.make()
            for step in scenario.steps:
                life.perform(step)
            life.close()
    finally:
        outbox.database._give_name = give_name
    return log


def run(images: int, seed: int, synchronous: str = "FULL") -> Result:
    """Cut the power until `images` different disks were examined; each life has a seed of its own."""
    result = Result(seed, synchronous)
    begun = time.monotonic()
    with vfs.scratch() as folder:
        while result.images < images:
            _cut_one_life(Scenario(seed * 1_000_000 + result.lives), images, folder, result)
            result.lives += 1
    result.seconds = round(time.monotonic() - begun, 1)
    return result


def _cut_one_life(scenario: Scenario, images: int, folder: Path, result: Result) -> None:
    log = recorded_life(scenario, result.synchronous)
    facts = [operation for operation in log if isinstance(operation, Fact)]
    objects = dict(fact.what for fact in facts if fact.kind == "put")
    history = History((fact.what for fact in facts if fact.kind == "page"), objects)
    rng, disk, world = random.Random(scenario.seed), Disk(), World()
    seen: set[int] = set()
    lived: set[int] = set()
    for number, operation in enumerate(log):
        if result.images >= images:
            return
        disk.apply(operation)
        if isinstance(operation, Fact):
            world.learn(operation.kind, operation.what)
        if result.lives and not world.made:
            continue  # every agent is made alike: the first life was cut short there
        result.crash_points += 1
        for policy in DRAWS:
            changes = survivors(policy, disk.pending, rng)
            same = hash((disk.version, world.facts, tuple(changes)))
            if same in seen or result.images >= images:
                continue
            seen.add(same)
            result.images += 1
            _lay_out(folder, image(disk.durable, changes))
            wrong = _examine(scenario, folder, world, history, lived, rng, result)
            result.note(wrong, f"seed {scenario.seed}, operation {number}, {policy}")


def _lay_out(folder: Path, files: dict[str, bytes]) -> None:
    for left in folder.iterdir():
        left.unlink()
    for name, content in files.items():
        (folder / name).write_bytes(content)


def _examine(
    scenario: Scenario,
    folder: Path,
    world: World,
    history: History,
    lived: set[int],
    rng: random.Random,
    result: Result,
) -> dict[str, str]:
    path = folder / "outbox.db"
    wrong: dict[str, str] = {}
    same = 0
    try:
        if path.exists():
            with Database.open(path) as database:
                wrong = found(database, world, history)
                same = hash((world.facts, state(database)))
        elif world.made:
            wrong = {"corrupt": "there is no database"}
        if "corrupt" not in wrong and (same not in lived or rng.random() < 0.1):
            result.lived_on += 1
            after = went_on(scenario, folder, world, history)
            if not after:
                lived.add(same)
            wrong |= after
    except (OutboxError, apsw.Error) as error:
        wrong["corrupt"] = f"{type(error).__name__}: {error}"
    return wrong


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a campaign, print and keep its figures; 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.power_loss")
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--synchronous", choices=SYNCHRONOUS, default="FULL")
    parser.add_argument("--report", type=Path, help="append the figures to this file, as a line of JSON")
    given = parser.parse_args(arguments)
    result = run(given.images, given.seed, given.synchronous)
    print(report.publish("power loss", asdict(result), given.report))
    return 1 if result.failures else 0


if __name__ == "__main__":
    sys.exit(main())
