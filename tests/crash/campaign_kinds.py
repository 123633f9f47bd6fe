"""The kinds of mishap that a campaign goes through: how often each, in parts of which size, and what runs it."""

import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch
from xml.etree import ElementTree

from tests.crash import corruption, io_faults, kill_random, model_machine, power_loss
from tests.crash.mutants import MUTANTS
from tests.s3 import fault_matrix

REPOSITORY = Path(__file__).parents[2]
Counts = dict[str, Any]


class Kind(NamedTuple):
    """One kind of mishap: what is counted, how often in a full campaign and in one part, and what does it."""

    name: str
    unit: str
    full: int
    part: int
    cpu_minutes: float
    """What all of it takes, measured on a quiet machine; for the plan only."""
    run: Callable[[int, int], Counts]
    shared: bool = True
    """Whether a share of a campaign is content with a share of it."""


def _kills(count: int, seed: int) -> Counts:
    return vars(kill_random.run(count, seed))


def _power_loss(count: int, seed: int) -> Counts:
    return vars(power_loss.run(count, seed))


def _io_faults(count: int, seed: int) -> Counts:
    return vars(io_faults.run(count, seed))


def _flips(count: int, seed: int) -> Counts:
    return vars(corruption.run(count, seed))


def _model(count: int, seed: int) -> Counts:
    return model_machine.run(count, seed)


def _s3_cases(seed: int) -> list[Any]:
    return fault_matrix.cases(seed, fault_matrix.BATCHES)


def _s3(count: int, seed: int) -> Counts:
    every = _s3_cases(seed)
    chosen = every if count >= len(every) else random.Random(seed).sample(every, count)
    with patch.object(fault_matrix, "cases", lambda _seed, _batches: chosen):
        return vars(fault_matrix.run(seed))


def _mutants(_count: int, seed: int) -> Counts:
    """Let pytest look for each mutant, and read in its report which ones were found."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "mutants.xml"
        command = [*(sys.executable, "-m", "pytest", "-q", "-n", "0"), f"--junitxml={told}"]
        tests = "tests/crash/test_mutants.py"
        done = subprocess.run([*command, tests], cwd=REPOSITORY, capture_output=True, text=True)
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


_CASES = len(_s3_cases(1))
KINDS = (
    Kind("mutants", "mutants", len(MUTANTS), len(MUTANTS), 0.3, _mutants, shared=False),
    Kind("S3 faults", "cases", _CASES, _CASES, 1.2, _s3),
    Kind("bit flips", "flips", 2_000, 500, 1, _flips),
    Kind("I/O faults", "runs", 10_000, 1_000, 4, _io_faults),
    Kind("power loss", "images", 100_000, 10_000, 4, _power_loss),
    Kind("model", "steps", 200_000, 10_000, 5, _model),
    Kind("kills", "kills", 10_000, 500, 14, _kills),
)
