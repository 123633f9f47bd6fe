"""Numbers and times as people read them."""

from datetime import UTC, datetime


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
