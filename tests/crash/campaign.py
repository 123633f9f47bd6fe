"""The whole fault campaign, in one command, to the sizes that are published; each result is kept as it comes.

    python -m tests.crash.campaign --report campaign.jsonl
    python -m tests.crash.campaign --share 0.01

A kind is run in parts, each with a seed of its own and a line in the report. What stands there for the very
commit that is checked out is not run again, so that a campaign that was stopped goes on where it was; where
files differ from the commit, what is written is for the eye only. A kind ends at its first part with a broken
promise. The share makes every kind smaller but for the mutants, which are always all of them.

Not part of it: what needs root or a real store (full disks, Swift), and the tests without a size.
"""

import argparse
import json
import math
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch
from xml.etree import ElementTree

from tests.crash import corruption, io_faults, kill_random, model_machine, power_loss, report
from tests.crash.mutants import MUTANTS
from tests.s3 import fault_matrix

REPOSITORY = Path(__file__).parents[2]
PROMISES = ("lost", "silent_losses", "doubled", "keys_with_two_contents", "corrupt", "inconsistent")
OTHERS = ("raw_errors", "wrong_exit_codes", "wrong_lines", "failures", "survivors")
Counts = dict[str, Any]


class Kind(NamedTuple):
    """One kind of mishap: what is counted, how often in a full campaign and in one part, and what does it."""

    name: str
    unit: str
    full: int
    part: int
    run: Callable[[int, int], Counts]


@dataclass
class Row:
    """What became of a kind, over all its parts."""

    kind: Kind
    wanted: int
    count: int = 0
    seconds: float = 0.0
    parts: int = 0
    totals: dict[str, int] = field(default_factory=lambda: dict.fromkeys((*PROMISES, *OTHERS), 0))

    def add(self, counts: Counts, seconds: float) -> None:
        """Count a part in."""
        self.parts += 1
        self.count += int(counts.get(self.kind.unit, 0))
        self.seconds += seconds
        for name in self.totals:
            found = counts.get(name, 0)
            self.totals[name] += len(found) if isinstance(found, list) else int(found)

    @property
    def broken(self) -> int:
        """How many promises were broken."""
        return sum(self.totals.values())

    @property
    def is_done(self) -> bool:
        return self.broken > 0 or self.count >= self.wanted


def _kills(count: int, seed: int) -> Counts:
    return asdict(kill_random.run(count, seed))


def _power_loss(count: int, seed: int) -> Counts:
    return asdict(power_loss.run(count, seed))


def _io_faults(count: int, seed: int) -> Counts:
    return asdict(io_faults.run(count, seed))


def _flips(count: int, seed: int) -> Counts:
    return asdict(corruption.run(count, seed))


def _model(count: int, seed: int) -> Counts:
    return {"failures": [], **model_machine.run(count, seed)}


def _s3_cases(seed: int) -> list[Any]:
    return fault_matrix.cases(seed, fault_matrix.BATCHES)


def _s3(count: int, seed: int) -> Counts:
    every = _s3_cases(seed)
    chosen = every if count >= len(every) else random.Random(seed).sample(every, count)
    with patch.object(fault_matrix, "cases", lambda _seed, _batches: chosen):
        return asdict(fault_matrix.run(seed))


def _mutants(_count: int, seed: int) -> Counts:
    """Let pytest look for each mutant, and read in its report which ones were found."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "mutants.xml"
        command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={told}", "tests/crash/test_mutants.py"]
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
        cases = list(ElementTree.parse(told).iter("testcase")) if told.exists() else []
    passed = {
        case.get("name", "") for case in cases if not len(case.findall("failure") + case.findall("error"))
    }
    found = {name for name in MUTANTS if any(f"[{name}]" in case for case in passed)}
    failures = [] if done.returncode == 0 else [done.stdout[-2_000:] + done.stderr[-2_000:]]
    return {
        "seed": seed,
        "seconds": round(time.monotonic() - began, 1),
        "mutants": len(found),
        "survivors": sorted(MUTANTS.keys() - found),
        "failures": failures,
    }


KINDS = (
    Kind("mutants", "mutants", len(MUTANTS), len(MUTANTS), _mutants),
    Kind("S3 faults", "cases", len(_s3_cases(1)), len(_s3_cases(1)), _s3),
    Kind("bit flips", "flips", 2_000, 500, _flips),
    Kind("I/O faults", "runs", 10_000, 1_000, _io_faults),
    Kind("power loss", "images", 100_000, 10_000, _power_loss),
    Kind("model", "steps", 200_000, 10_000, _model),
    Kind("kills", "kills", 10_000, 1_000, _kills),
)


def kept(kind: str, commit: str, file: Path | None) -> list[dict[str, Any]]:
    """Return the lines of a kind that were measured on exactly this commit."""
    if not file or not file.exists() or not commit or commit.endswith("+"):
        return []
    lines = [json.loads(line) for line in file.read_text("utf-8").splitlines() if line.strip()]
    return [line for line in lines if line["kind"] == kind and line["commit"] == commit]


def run_kind(kind: Kind, share: float, seed: int, file: Path | None) -> Row:
    """Run what is still to be run of a kind."""
    wanted = kind.full if kind.run is _mutants else max(1, math.ceil(kind.full * share))
    row, commit = Row(kind, wanted), report.commit()
    for line in kept(kind.name, commit, file):
        row.add(line["counts"], line["seconds"])
    if row.parts:
        say(f"{kind.name}: {row.count:,} of {wanted:,} stand in {file}")
    while not row.is_done:
        size = min(kind.part, wanted - row.count)
        counts = _part(kind, size, seed + 1_000 * row.parts)
        if report.commit() == commit:
            report.publish(kind.name, counts, file)
        else:
            say(f"{kind.name}: the files changed meanwhile: this part is not kept")
        row.add(counts, counts["seconds"])
        say(f"{kind.name}: {row.count:,} of {wanted:,}, {row.broken} broken promises, {row.seconds:,.0f} s")
        if row.broken:
            say(json.dumps(counts, ensure_ascii=False, indent=1))
    return row


def _part(kind: Kind, size: int, seed: int) -> Counts:
    """Run one part; what it raises, a difference from the oracle for one, is a broken promise too."""
    began = time.monotonic()
    try:
        counts = kind.run(size, seed)
    except Exception as error:  # noqa: BLE001 - a campaign goes on with its other kinds
        failure = f"seed {seed}: {type(error).__name__}: {error}"
        return {
            "seed": seed,
            "seconds": round(time.monotonic() - began, 1),
            kind.unit: 0,
            "failures": [failure[:4_000]],
        }
    if not counts.get(kind.unit):
        counts["failures"] = ["nothing was run"]
    return counts


def table(rows: Sequence[Row]) -> str:
    """Return the results as text: a line for each kind."""
    head = (
        f"{'kind':<12}{'count':>14}{'lost':>8}{'doubled':>9}{'two contents':>14}{'other':>8}{'seconds':>10}"
    )
    lines = [head, "-" * len(head)]
    for row in rows:
        totals = row.totals
        lost, doubled = totals["lost"] + totals["silent_losses"], totals["doubled"]
        two = totals["keys_with_two_contents"]
        other = row.broken - lost - doubled - two
        count = f"{row.count:,} {row.kind.unit}"
        lines.append(
            f"{row.kind.name:<12}{count:>14}{lost:>8}{doubled:>9}{two:>14}{other:>8}{row.seconds:>10,.0f}"
        )
    return "\n".join(lines)


def say(text: str) -> None:
    print(text, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the campaign, print its table; 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.campaign")
    parser.add_argument("--share", type=float, default=1.0, help="of each kind's published size")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=[kind.name for kind in KINDS], action="append")
    parser.add_argument("--report", type=Path, help="append the figures to this file, a line of JSON a part")
    given = parser.parse_args(arguments)
    kinds = [kind for kind in KINDS if not given.only or kind.name in given.only]
    rows = [run_kind(kind, given.share, given.seed, given.report) for kind in kinds]
    say(table(rows))
    return 1 if any(row.broken for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
