"""The whole fault campaign, in one command, to the sizes that are published; each result is kept as it comes.

    python -m tests.crash.campaign --report campaign.jsonl --publish
    python -m tests.crash.campaign --share 0.01

A kind is run in parts, each with a seed of its own and a line in the report. A part whose line stands there,
for the very commit that is checked out, is not run again, so that a campaign that was stopped goes on where
it was; where files differ from the commit, nothing that stands there counts, and nothing is added. A kind
ends at its first part with a broken promise. The share makes every kind smaller but for the mutants, which
are always all of them. --publish writes the table into the README.

Not part of it: what needs root or a real store (full disks, Swift), and the tests without a size.
"""

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

from tests.crash import report
from tests.crash.campaign_kinds import KINDS, REPOSITORY, Counts, Kind
from tests.crash.campaign_table import Row, broken, markdown, table, write_into

README = REPOSITORY / "uploader" / "README.md"
BETWEEN_SEEDS = 1_000


class Part(NamedTuple):
    """A piece of a kind that is run, and kept, as a whole."""

    kind: str
    size: int
    seed: int


def plan(kind: Kind, share: float, seed: int) -> list[Part]:
    """Return the parts of a kind's share."""
    wanted = max(1, math.ceil(kind.full * share)) if kind.shared else kind.full
    return [
        Part(kind.name, min(kind.part, wanted - before), seed + BETWEEN_SEEDS * number)
        for number, before in enumerate(range(0, wanted, kind.part))
    ]


def standing(file: Path | None, commit: str) -> list[dict[str, Any]]:
    """Return the lines of a report that were measured on exactly this commit: none where files differ."""
    if not file or not file.exists() or not is_clean(commit):
        return []
    lines = [json.loads(line) for line in file.read_text("utf-8").splitlines() if line.strip()]
    return [line for line in lines if line["commit"] == commit]


def is_clean(commit: str) -> bool:
    """Return whether what `report.commit` says names the files that are run."""
    return bool(commit) and not commit.endswith("+")


def stands_for(line: dict[str, Any], part: Part, unit: str) -> bool:
    """Return whether a line of the report is that of a part: all of it, or as far as its broken promise."""
    same = (line["kind"], line["seed"]) == (part.kind, part.seed)
    return same and (line["counts"].get(unit, 0) >= part.size or broken(line["counts"]) > 0)


def run_part(part: Part) -> Counts:
    """Run one part; what it raises, a difference from the oracle for one, is a broken promise too."""
    kind = next(kind for kind in KINDS if kind.name == part.kind)
    began, cpu = time.monotonic(), os.times()
    try:
        counts = kind.run(part.size, part.seed)
        if not counts.get(kind.unit):
            counts["failures"] = ["nothing was run"]
    except Exception as error:  # noqa: BLE001 - a campaign goes on with its other kinds
        failure = f"seed {part.seed}: {type(error).__name__}: {error}"
        counts = {kind.unit: 0, "failures": [failure[:4_000]]}
    counts["seed"], counts["seconds"] = part.seed, round(time.monotonic() - began, 1)
    counts["cpu_s"] = round(
        sum(after - before for before, after in zip(cpu[:4], os.times()[:4], strict=True)), 1
    )
    return counts


def run_all(
    parts: Sequence[Part], jobs: int, is_due: Callable[[Part], bool]
) -> Iterator[tuple[Part, Counts]]:
    """Run the parts that are due when their turn comes, so many at once; yield each with what it found."""
    waiting = (part for part in parts if is_due(part))
    if jobs == 1:
        yield from ((part, run_part(part)) for part in waiting)
        return
    running: dict[Future[Counts], Part] = {}
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        while True:
            while len(running) < jobs and (part := next(waiting, None)):
                running[pool.submit(run_part, part)] = part
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future.result()


class Campaign:
    """The rows of a campaign, from what stands in its report and what it runs."""

    def __init__(self, kinds: Sequence[Kind], share: float, seed: int, file: Path | None) -> None:
        self._file, self._commit = file, report.commit()
        self._plans = {kind.name: plan(kind, share, seed) for kind in kinds}
        self._rows = {
            kind.name: Row(kind, sum(part.size for part in self._plans[kind.name])) for kind in kinds
        }
        lines = standing(file, self._commit)
        self._left: list[Part] = []
        for part in (part for parts in self._plans.values() for part in parts):
            row = self._rows[part.kind]
            line = next((line for line in lines if stands_for(line, part, row.kind.unit)), None)
            if line:
                row.add(line["counts"], line["seconds"])
            else:
                self._left.append(part)

    @property
    def rows(self) -> list[Row]:
        """What was found so far, by kind."""
        return list(self._rows.values())

    @property
    def minutes_left(self) -> float:
        """How many minutes of one core the rest should take."""
        kinds = {row.kind.name: row.kind for row in self.rows}
        due = (part for part in self._left if not self._rows[part.kind].broken)
        return sum(kinds[part.kind].cpu_minutes * part.size / kinds[part.kind].full for part in due)

    def run(self, jobs: int, limit_s: float) -> None:
        """Run what is left, and begin nothing new after `limit_s`."""
        ends_at = time.monotonic() + limit_s
        say(f"{len(self._left)} parts to run, about {self.minutes_left:.0f} minutes of one core")

        def is_due(part: Part) -> bool:
            return time.monotonic() < ends_at and not self._rows[part.kind].broken

        for part, counts in run_all(list(self._left), jobs, is_due):
            row = self._rows[part.kind]
            self._left.remove(part)
            row.add(counts, counts["seconds"])
            if report.commit() == self._commit and is_clean(self._commit):
                report.publish(part.kind, counts, self._file)
            elif self._file:
                say("files differ from the commit: this part is not kept")
            found = f"{row.kind.name}: {row.count:,} of {row.wanted:,}, {row.broken} broken promises"
            say(f"{datetime.now(UTC):%H:%M:%S} {found}; {self.minutes_left:.0f} minutes left")
            if broken(counts):
                say(json.dumps(counts, ensure_ascii=False, indent=1))


def publish(rows: Sequence[Row], seed: int, readme: Path) -> None:
    """Write the table into a README; ValueError where it would not be that of a commit."""
    commit = report.commit()
    if not is_clean(commit):
        raise ValueError("files differ from the commit: these figures would be those of no commit")
    write_into(readme, markdown(rows, f"{datetime.now(UTC):%Y-%m-%d}", commit, seed))


def say(text: str) -> None:
    print(text, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the campaign, print its table; 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.campaign")
    parser.add_argument("--share", type=float, default=1.0, help="of each kind's published size")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=[kind.name for kind in KINDS], action="append")
    parser.add_argument("--jobs", type=int, default=1, help="how many parts at once")
    parser.add_argument("--limit-s", type=float, default=math.inf, help="begin no part after so many seconds")
    parser.add_argument("--report", type=Path, help="append the figures to this file, a line of JSON a part")
    parser.add_argument("--publish", type=Path, nargs="?", const=README, help="write the table into a README")
    given = parser.parse_args(arguments)
    kinds = [kind for kind in KINDS if not given.only or kind.name in given.only]
    campaign = Campaign(kinds, given.share, given.seed, given.report)
    campaign.run(given.jobs, given.limit_s)
    say(table(campaign.rows))
    if given.publish:
        publish(campaign.rows, given.seed, given.publish)
    return 1 if any(row.broken for row in campaign.rows) else 0


if __name__ == "__main__":
    sys.exit(main())
