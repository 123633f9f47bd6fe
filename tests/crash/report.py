"""The figures of a campaign as a line of JSON, so that what is published is what was measured."""

import json
import subprocess
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

RUN = (":(top)*.py", ":(top)*.sql", ":(top)*.toml")
"""What a campaign runs, as git is asked for it: what it writes, and the documents, may differ."""


@dataclass(frozen=True)
class Line:
    """One campaign: what was run, on which commit, and what it counted."""

    kind: str
    date: str
    commit: str
    seed: int
    seconds: float
    counts: dict[str, Any]

    def __str__(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)


def commit() -> str:
    """Return the commit that is checked out, with a + where what is run differs from it; "" outside a checkout."""
    try:
        differing = _git("status", "--porcelain", "--untracked-files=all", "--", *RUN)
        return _git("rev-parse", "--short=12", "HEAD") + "+" * bool(differing)
    except (OSError, subprocess.CalledProcessError):
        return ""


def _git(*arguments: str) -> str:
    command = ["git", *arguments]
    done = subprocess.run(
        command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True, encoding="utf-8"
    )
    return done.stdout.strip()


def publish(kind: str, result: dict[str, Any], file: Path | None) -> Line:
    """Append a campaign's figures to `file`, where there is one, and return them."""
    counts = {name: value for name, value in result.items() if name not in ("seed", "seconds")}
    line = Line(
        kind, f"{datetime.now(UTC):%Y-%m-%d}", commit(), int(result["seed"]), float(result["seconds"]), counts
    )
    if file:
        with file.open("a", encoding="utf-8") as lines:
            lines.write(f"{line}\n")
    return line
