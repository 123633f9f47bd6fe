"""What a campaign found, as a table: for the eye, and for the README, between its two markers."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import apsw

from tests.crash.campaign_kinds import Counts, Kind

PROMISES = ("lost", "silent_losses", "doubled", "keys_with_two_contents", "corrupt", "inconsistent")
OTHERS = ("raw_errors", "wrong_exit_codes", "wrong_lines", "failures", "survivors")
BEGINS, ENDS = "<!-- the campaign -->", "<!-- end of the campaign -->"
COMMAND = "python -m tests.crash.campaign"
QUARTER_S = 900


@dataclass
class Row:
    """What became of a kind, over all its parts."""

    kind: Kind
    wanted: int
    count: int = 0
    seconds: float = 0.0
    cpu_s: float = 0.0
    parts: int = 0
    totals: dict[str, int] = field(default_factory=lambda: dict.fromkeys((*PROMISES, *OTHERS), 0))

    def add(self, counts: Counts, seconds: float) -> None:
        """Count a part in."""
        self.parts += 1
        self.count += int(counts.get(self.kind.unit, 0))
        self.seconds += seconds
        self.cpu_s += float(counts.get("cpu_s", seconds))
        self.totals = {name: total + broken(counts, name) for name, total in self.totals.items()}

    @property
    def broken(self) -> int:
        """How many promises were broken."""
        return sum(self.totals.values())

    @property
    def cells(self) -> tuple[str, ...]:
        """The row as text."""
        totals = self.totals
        lost, two = totals["lost"] + totals["silent_losses"], totals["keys_with_two_contents"]
        done = f"{self.count:,} {self.kind.unit}"
        if self.count < self.wanted:
            done += f" of {self.wanted:,}"
        other = self.broken - lost - totals["doubled"] - two
        found = (f"{n:,}" for n in (lost, totals["doubled"], two, other))
        return (self.kind.name, done, *found, f"{self.cpu_s / 60:,.1f}")


HEAD = ("kind", "done", "lost", "doubled", "two contents", "other", "CPU minutes")


def broken(counts: Counts, name: str = "") -> int:
    """Return how often a part broke one promise, or any."""
    if not name:
        return sum(broken(counts, each) for each in (*PROMISES, *OTHERS))
    found = counts.get(name, 0)
    return len(found) if isinstance(found, list) else int(found)


def table(rows: Sequence[Row]) -> str:
    """Return the results as text: a line for each kind."""
    lines = [HEAD, *(row.cells for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    texts = [
        "  ".join(
            [
                *(cell.ljust(width) for cell, width in zip(line[:2], widths[:2], strict=True)),
                *(cell.rjust(width) for cell, width in zip(line[2:], widths[2:], strict=True)),
            ]
        )
        for line in lines
    ]
    return "\n".join([texts[0], "-" * len(texts[0]), *texts[1:]])


def quarter(rows: Sequence[Row]) -> float:
    """Return the share that takes about a quarter of an hour of one core; what is never shared counts whole."""
    always_s = sum(row.cpu_s for row in rows if not row.kind.shared)
    shared_s = sum(row.cpu_s for row in rows if row.kind.shared)
    share = max(QUARTER_S - always_s, 0) / shared_s if shared_s else 1.0
    return min(1.0, max(0.01, int(share * 100) / 100))


def markdown(rows: Sequence[Row], date: str, commit: str, seed: int) -> str:
    """Return the results as the README shows them."""
    where = f"Python {platform.python_version()}, SQLite {apsw.sqlite_lib_version()}, {platform.system()}"
    lines = [
        f"{date}, commit {commit}, seed {seed}; {where}:",
        "",
        *("| " + " | ".join(cells) + " |" for cells in (HEAD, ("---", "---", *["--:"] * 5))),
        *("| " + " | ".join(row.cells) + " |" for row in rows),
        "",
        "```sh",
        f"{COMMAND} --seed {seed} --report campaign.jsonl  # all of it again; goes on where it was stopped",
        f"{COMMAND} --seed {seed} --share {quarter(rows):g}  # a share of each kind, in a quarter of an hour",
        "```",
    ]
    return "\n".join(lines)


def write_into(readme: Path, text: str) -> None:
    """Put `text` between the markers of a README, in place of what stands there; ValueError without them."""
    whole = readme.read_text("utf-8")
    before, begins, rest = whole.partition(BEGINS)
    _, ends, after = rest.partition(ENDS)
    if not begins or not ends:
        raise ValueError(f"{readme} has no {BEGINS} … {ENDS}")
    readme.write_text(f"{before}{BEGINS}\n{text}\n{ENDS}{after}", "utf-8")
