"""Disks that fail: every read, write, sync, truncate, open and lock of a life fails once, or from then on.

A short life of the agent (made, collects, uploads, vacuums) runs on an apsw VFS in which the n-th operation
of a kind fails. Each command that fails must fail with one of our errors and its exit code, never with the
driver's; the commands after it run on, as scheduled ones do. Then the disk is mended: nothing that was
acknowledged may be missing, and the agent goes on to the end.

The faults are raised by Python, and apsw passes on what it raised even where SQLite itself would go on: a
checkpoint that fails after a COMMIT lets the command fail here, although its page is stored. That is
harsher than the real thing, and must do no harm either. Only a lock may answer BUSY: SQLite takes BUSY from
a write for a lock that it did not get, and no file system says so. A read does not answer CANTOPEN: no file
system of SQLite's does, and it would keep, and believe, what it had in memory of an unfinished change. The locks in shared memory are out of a
VFS's reach; instead another program takes the write lock as the n-th transaction begins ("begin").

Run a campaign with: python -m tests.crash.io_faults --runs 10000 --seed 1 --report campaign.jsonl
"""

import argparse
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import apsw

from outbox.database import Database
from outbox.errors import Exit, OutboxError
from tests.crash import report, vfs
from tests.crash.power_loss_checks import History, World, found, went_on
from tests.crash.power_loss_scenario import Life, Scenario, Step

KINDS = ("read", "write", "sync", "truncate", "open", "lock", "begin")
ERRORS: dict[type[apsw.Error], Exit] = {
    apsw.FullError: Exit.DISK_FULL,
    apsw.IOError: Exit.TRANSIENT,
    apsw.BusyError: Exit.TRANSIENT,
    apsw.CantOpenError: Exit.PERMANENT,
}
STEPS = (
    *(Step("collect", 1), Step("shuffled"), Step("watch"), Step("collect", 2), Step("upload")),
    *(Step("watch"), Step("vacuum"), Step("later"), Step("collect"), Step("upload"), Step("vacuum")),
)
MAX_EXAMPLES = 10


class Case(NamedTuple):
    """One fault in one life."""

    scenario: int
    kind: str
    n: int
    error: type[apsw.Error]
    forever: bool

    def __str__(self) -> str:
        often = "from then on" if self.forever else "once"
        return f"seed {self.scenario}: {self.kind} {self.n} fails {often} with {self.error.__name__}"


@dataclass
class Result:
    """What a campaign found; `failures` is zero when every promise held in every run."""

    seed: int
    runs: int = 0
    faults: int = 0
    commands_failed: int = 0
    lost: int = 0
    doubled: int = 0
    corrupt: int = 0
    keys_with_two_contents: int = 0
    inconsistent: int = 0
    raw_errors: int = 0
    wrong_exit_codes: int = 0
    seconds: float = 0.0
    by_kind: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    examples: list[str] = field(default_factory=list)

    @property
    def failures(self) -> int:
        """How many promises were broken."""
        broken = self.lost + self.doubled + self.corrupt + self.keys_with_two_contents + self.inconsistent
        return broken + self.raw_errors + self.wrong_exit_codes

    def note(self, wrong: dict[str, str], case: Case) -> None:
        """Count what was wrong in one run."""
        for kind, what in wrong.items():
            setattr(self, kind, getattr(self, kind) + 1)
            if len(self.examples) < MAX_EXAMPLES:
                self.examples.append(f"{case}: {kind}: {what}")


def run(runs_limit: int, seed: int) -> Result:
    """Run at most `runs_limit` of the cases of as many lives as that takes, drawn by `seed`."""
    result = Result(seed)
    begun = time.monotonic()
    life = 0
    while result.runs < runs_limit:
        scenario = Scenario(seed * 1_000_000 + life)
        history, cases = _undisturbed(scenario)
        random.Random(scenario.seed).shuffle(cases)
        for case in cases[: runs_limit - result.runs]:
            _run_one(scenario, history, case, result)
        life += 1
    result.seconds = round(time.monotonic() - begun, 1)
    return result


def _undisturbed(scenario: Scenario) -> tuple[History, list[Case]]:
    """Live without a fault, and return what should come of it and every case that could disturb it."""
    counter = vfs.Fault("none", 0, apsw.IOError, forever=False)
    with vfs.scratch() as folder:
        errors, objects = _live(scenario, folder, counter, World())
    if errors:
        raise errors[0]
    cases = [
        Case(scenario.seed, kind, n, error, forever)
        for kind in KINDS
        for n in range(1, counter.seen[kind] + 1)
        for error in ERRORS
        for forever in (False, True)
        if error in _possible(kind)
    ]
    return History((), objects), cases


def _possible(kind: str) -> list[type[apsw.Error]]:
    if kind == "begin":
        return [apsw.BusyError]
    never = {"lock": (), "read": (apsw.BusyError, apsw.CantOpenError)}.get(kind, (apsw.BusyError,))
    return [error for error in ERRORS if error not in never]


class Competitor:
    """Another program, which takes the write lock as the n-th transaction of ours begins.

    It gives it back before our next one, or never while the disk is bad.
    """

    def __init__(self, path: Path, fault: vfs.Fault) -> None:
        self._path, self._fault = path, fault
        self._vfs = apsw.vfs_names()[0]
        self._connection: apsw.Connection | None = None

    def watch(self, connection: apsw.Connection) -> None:
        """Look at every statement of a connection of ours."""
        if connection.filename == str(self._path):
            connection.exec_trace = self._before

    def _before(self, _cursor: object, sql: str, _bindings: object) -> bool:
        if sql == "BEGIN IMMEDIATE":
            if not self._fault.forever:
                self.leave()
            try:
                self._fault.pass_or_fail("begin")
            except apsw.BusyError:
                if self._connection is None:
                    self._connection = apsw.Connection(str(self._path), vfs=self._vfs)
                    self._connection.exec_trace = None
                    self._connection.execute("BEGIN IMMEDIATE")
        return True

    def leave(self) -> None:
        """Give the lock back."""
        if self._connection:
            self._connection.close()
            self._connection = None


def _live(
    scenario: Scenario, folder: Path, fault: vfs.Fault, world: World
) -> tuple[list[Exception], dict[str, bytes]]:
    """Live a short life on a disk that fails; return what the commands raised, and the objects."""
    errors: list[Exception] = []
    life = Life(scenario, folder, world.learn)
    competitor = Competitor(life.path, fault)
    with (
        vfs.frequent_checkpoints(scenario.checkpoint_pages),
        vfs.hooked(competitor.watch),
        vfs.default(vfs.FaultyVFS(fault)),
    ):
        commands: list[Any] = [
            life.make,
            *(lambda step=step: life.perform(step) for step in STEPS),
            life.close,
        ]
        for command in commands:
            try:
                command()
            except Exception as error:  # noqa: BLE001 - whether it is one of ours is what is asked
                errors.append(error)
    competitor.leave()
    return errors, life.store.objects


def _run_one(scenario: Scenario, history: History, case: Case, result: Result) -> None:
    fault = vfs.Fault(case.kind, case.n, case.error, forever=case.forever)
    world = World()
    wrong: dict[str, str] = {}
    with vfs.scratch() as folder:
        errors, _ = _live(scenario, folder, fault, world)
        for error in errors:
            if not isinstance(error, OutboxError):
                wrong["raw_errors"] = f"{type(error).__name__}: {error}"
            elif not _is_foreseen(error, case, made=world.made):
                wrong["wrong_exit_codes"] = f"{error.exit_code!r}: {error}"
        try:
            if world.made:
                with Database.open(folder / "outbox.db") as database:
                    wrong |= found(database, world, None)
            wrong |= went_on(scenario, folder, world, history)
        except OutboxError as error:
            wrong["corrupt"] = f"{type(error).__name__}: {error}"
    result.runs += 1
    result.by_kind[case.kind] += 1
    result.faults += fault.fired
    result.commands_failed += len(errors)
    result.note(wrong, case)


def _is_foreseen(error: OutboxError, case: Case, *, made: bool) -> bool:
    """Whether an error says what is the matter; where there is no database yet, it may say so."""
    return error.exit_code == ERRORS[case.error] or (not made and error.exit_code == Exit.PERMANENT)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a campaign, print and keep its figures; 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.io_faults")
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--report", type=Path, help="append the figures to this file, as a line of JSON")
    given = parser.parse_args(arguments)
    result = run(given.runs, given.seed)
    print(report.publish("I/O faults", asdict(result), given.report))
    return 1 if result.failures else 0


if __name__ == "__main__":
    sys.exit(main())
