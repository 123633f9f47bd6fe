"""What one cell becomes: a value, a part of an entity, or text that can be read back. No I/O."""

import base64
import math
import unicodedata
from collections.abc import Callable, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from collectors.exact_json import TOO_DEEP, Refused
from collectors.mapping.numbers import MAX_NUMBER_CHARS, NumberReader, in_range, product, shown
from outbox.record.canonical import MAX_DEPTH

SEPARATOR = " / "
EXACT_FLOATS = 2**53
"""Beyond it not every whole number is a binary float: an identifier that came as one may be another's."""
_JOINERS = "\u200c\u200d"


def seen(text: str) -> str:
    """Return a text as it is seen: one form of each letter, plain spaces, nothing invisible, no outer space.

    Joiners inside words of scripts that need them stay.
    """
    if text.isascii():
        return text.strip()
    found = unicodedata.normalize("NFC", text)
    if found.isprintable():  # neither marks nor spaces of other kinds are
        return found.strip()
    kept = []
    for number, char in enumerate(found):
        category = unicodedata.category(char)
        if category == "Zs":
            kept.append(" ")
        elif category != "Cf" or (char in _JOINERS and _joins(found, number)):
            kept.append(char)
    return "".join(kept).strip()


def _joins(text: str, number: int) -> bool:
    """Whether a joiner stands between two characters that are not ASCII: there it changes what is seen."""
    around = text[number - 1 : number] + text[number + 1 : number + 2]
    return len(around) == 2 and not any(char.isascii() or char in _JOINERS for char in around)


def value_of(
    cell: Any,
    read_number: NumberReader,
    read_time: Callable[[Sequence[Any]], datetime],
    factor: Decimal | None,
    *,
    must_be_number: bool,
) -> Any:
    """Return what a record holds of a cell that is there; ValueError says why nothing.

    Text is a number or refused, and a duration is its seconds. Unless it must be a number, what is typed
    already (a workbook's, a database's, JSON's) stays what it is; a time without a zone is of the source's.
    """
    if isinstance(cell, bool):
        if must_be_number:
            raise ValueError(f"is not a number: {shown(cell)}")
        return cell
    if isinstance(cell, (str, int, float, Decimal)):
        number = read_number(cell)
        return number if factor is None else product(number, factor)
    if isinstance(cell, timedelta):
        seconds = Decimal(cell // timedelta(microseconds=1)).scaleb(-6)
        return seconds if factor is None else product(seconds, factor)
    if must_be_number and not isinstance(cell, Refused):
        raise ValueError(f"is not a number: {shown(cell)}")
    if isinstance(cell, datetime):
        return read_time([cell])
    if isinstance(cell, (date, time, dict, list, tuple, bytes, bytearray, memoryview)):
        return cell
    return text_of(cell)


def text_of(cell: Any) -> str:  # noqa: PLR0911 - a kind a line
    """Return a cell as text: a number in its shortest form, a duration as 100:00:00.5; else ValueError."""
    match cell:
        case str():
            return cell.strip()
        case bool():
            return "true" if cell else "false"
        case int() if cell.bit_length() < 3 * MAX_NUMBER_CHARS:
            return str(cell)
        case float() if math.isfinite(cell) and abs(cell) >= EXACT_FLOATS:
            raise ValueError(
                f"may have been rounded: {cell!r} is beyond 2^53; have it exported as text to keep its digits"
            )
        case float() | Decimal():
            number = in_range(cell if isinstance(cell, Decimal) else Decimal(repr(cell)))
            text = format(number, "f")
            return (text.rstrip("0").rstrip(".") if "." in text else text) if number else "0"
        case datetime() | date() | time():
            return cell.isoformat()
        case timedelta():
            return _clock(cell)
        case UUID():
            return str(cell)
        case Refused():
            raise ValueError(cell.problem)
    raise ValueError(f"is not a text: {shown(cell)}")


def _clock(duration: timedelta) -> str:
    """Return hours, minutes and seconds, as databases write a duration."""
    seconds, micros = divmod(abs(duration) // timedelta(microseconds=1), 1_000_000)
    minutes, seconds = divmod(seconds, 60)
    fraction = f".{micros:06}".rstrip("0") if micros else ""
    sign = "-" if duration < timedelta() else ""
    return f"{sign}{minutes // 60:02}:{minutes % 60:02}:{seconds:02}{fraction}"


def entity_of(parts: Sequence[str]) -> str:
    """Return the one name that several parts make; different parts never make the same name."""
    if len(parts) == 1:
        return parts[0]
    return SEPARATOR.join(part.replace("\\", "\\\\").replace("/", "\\/") for part in parts)


def kept(cell: Any, depth: int = 0) -> Any:  # noqa: PLR0911, PLR0912 - a kind a line
    """Return a cell as JSON can hold it, so that `restored` gives it back; what no record holds says so."""
    match cell:
        case None | bool() | str():
            return cell
        case float() if cell - cell == 0:
            return cell
        case int() if cell.bit_length() < 3 * MAX_NUMBER_CHARS:
            return cell
        case Decimal() | float():
            return {"$number": str(cell)}
        case datetime():
            return {"$datetime": cell.isoformat()}
        case date():
            return {"$date": cell.isoformat()}
        case time():
            return {"$time": cell.isoformat()}
        case timedelta():
            return {"$seconds": str(Decimal(cell // timedelta(microseconds=1)).scaleb(-6))}
        case bytes() | bytearray() | memoryview():
            return {"$bytes": base64.b64encode(bytes(cell)).decode("ascii")}
        case dict() | list() | tuple() if depth > MAX_DEPTH:
            return {"$unreadable": TOO_DEEP}
        case dict():
            return {str(key): kept(item, depth + 1) for key, item in cell.items()}
        case list() | tuple():
            return [kept(item, depth + 1) for item in cell]
        case UUID():
            return str(cell)
    return {"$unreadable": cell.problem if isinstance(cell, Refused) else f"was a {type(cell).__name__}"}


_RESTORED: dict[str, Callable[[str], Any]] = {
    "$number": Decimal,
    "$datetime": datetime.fromisoformat,
    "$date": date.fromisoformat,
    "$time": time.fromisoformat,
    "$seconds": lambda text: timedelta(microseconds=int(Decimal(text).scaleb(6))),
    "$bytes": base64.b64decode,
    "$unreadable": Refused,
}


def restored(found: dict[str, Any]) -> Any:
    """Return what `kept` wrote as an object: the hook for reading JSON back."""
    if len(found) == 1:
        (name, value), *_ = found.items()
        if name in _RESTORED and isinstance(value, str):
            return _RESTORED[name](value)
    return found
