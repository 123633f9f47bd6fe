"""Numbers and times as people read them."""

import re
import textwrap
from datetime import UTC, datetime

_GLUE = "\ue000"  # of Unicode's private use: no text has it
_COMMAND = re.compile(
    r"(?:sudo -u \S+ (?:--\S+ )*)?\boutbox(?: --config (?:\"[^\"]*\"|\S+))?"
    r"(?: secret set \S+| (?:agent|rejected) [a-z]+| [a-z]+)?"
    r"(?: --source \S+| --[a-z-]+| [A-Z]{2,}\b| \.\.\.| \d+\b)*"
    r"|\b(?:chown|chmod|pip|icacls)(?: [^;,]+)?"
)
_STATE = re.compile(r"(ok|CHECK|FAILED|WARNING|WAITING|PROBLEM|paused)(  +)")
_STYLES = {"ok": "green", "FAILED": "bold red", "PROBLEM": "bold red"}


def size(count: float) -> str:
    """Return a number of bytes in three digits or fewer, up to the terabytes."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 9.95 else f"{count:.1f} {unit}"
        count /= 1_000
    return f"{count:.1f} TB"


def number(count: int, what: str) -> str:
    """Return a count and its noun, in the plural where that is right: `1 object`, `2,000 objects`."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def age(text: str | None, moment: datetime) -> str:
    """Return how long before `moment` the RFC 3339 text was; "never" for None."""
    if text is None:
        return "never"
    seconds = max(0, int((moment - datetime.fromisoformat(text).astimezone(UTC)).total_seconds()))
    days, hours, minutes = seconds // 86_400, seconds // 3_600 % 24, seconds // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes else f"{seconds} s"


def quoted(path: object) -> str:
    """Return a path as it can be typed, also where it holds a space."""
    text = str(path)
    return f'"{text}"' if " " in text else text


def folded(text: str, width: int, *, hang: int | None = None) -> list[str]:
    """Return text in lines that fit, broken at spaces only; a command to copy stays on one line.

    What a line goes on in is indented as it is or, where it begins with a state (`FAILED  orders: ...`), as
    its text; `hang` says so for the first line.
    """
    lines: list[str] = []
    for at, line in enumerate(text.split("\n")):
        glued = _COMMAND.sub(lambda match: match[0].replace(" ", _GLUE), line)
        state = _STATE.match(line)
        indent = len(state[0]) if state else len(line) - len(line.lstrip())
        indent = hang if hang is not None and at == 0 else indent
        wrapped = textwrap.wrap(
            glued,
            width,
            subsequent_indent=" " * indent,
            break_long_words=False,
            break_on_hyphens=False,
            drop_whitespace=True,
        )
        lines += [part.replace(_GLUE, " ") for part in wrapped] if len(line) > width else [line]
    return lines


def state_of(line: str) -> tuple[str, str, str]:
    """Return the state that a line begins with, the colour that it has on a terminal, and the rest."""
    match = _STATE.match(line)
    word = match[1] if match else ""
    return word, _STYLES.get(word, "yellow") if word else "", line[len(word) :]
