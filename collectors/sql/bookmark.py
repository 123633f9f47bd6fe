"""The bookmark of an SQL source: the last row's value in the column that grows, and its tie-breaker. No I/O.

Invariants: a value keeps its type (a number, a time with or without a zone, a day, a text, bytes). What has
no order (NaN, infinity), cannot have come yet (a time more than a day ahead) or is of another kind than what
came before (a text among numbers or times, where a column takes both) moves no bookmark.
"""

import json
import math
from collections.abc import Callable
from contextlib import suppress
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from collectors.mapping.cells import kept, restored
from collectors.overlap import AHEAD, Overlap, behind, difference, position
from outbox.errors import DataError, PermanentError

MAX_CHARS = 1_000


class Mark(NamedTuple):
    """Where the last stored row stands; None: nowhere yet, or no tie-breaker.

    `order` is what the rows so far say of those to come, where their times ascend ("" mostly).
    """

    value: Any = None
    tie: Any = None
    order: str = ""

    def encode(self, of: str) -> str:
        """Return the text to store; `of` says which columns of what it is about."""
        found = {"of": of, "value": kept(self.value), "tie": kept(self.tie)}
        if self.order:
            found["order"] = self.order
        return json.dumps({name: item for name, item in found.items() if item is not None})


def decode(text: str, of: str, source: str) -> Mark:
    """Return a stored bookmark, an empty one where it is of other columns; DataError for a stranger's."""
    try:
        found = json.loads(text, object_hook=restored) if text else {}
        if not isinstance(found, dict) or found.keys() - {"of", "value", "tie", "order"}:
            raise ValueError("other names")
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise DataError(f"{source}: its bookmark is none of sql's: {error}") from error
    if found.get("of", of) != of:
        return Mark()
    return Mark(found.get("value"), found.get("tie"), str(found.get("order", "")))


def moves(value: Any, *, is_time: bool, zone: ZoneInfo, now: Callable[[], datetime]) -> bool:
    """Return whether a value moves the bookmark; PermanentError for a type that has no order.

    `is_time` says that the column holds times: a text in it is a time that Python has no value for.
    """
    match value:
        case float() | Decimal():
            return math.isfinite(value)
        case datetime():
            return _moment(value, zone) <= now() + AHEAD
        case date():
            return value <= now().date() + AHEAD
        case str() if len(value) <= MAX_CHARS:
            found = position(value)
            return not is_time and not (found.kind == "time" and found.order > now() + AHEAD)
        case int() | UUID() if not isinstance(value, bool):
            return True
        case bytes() if len(value) <= MAX_CHARS:
            return True
    raise PermanentError(
        f"the bookmark holds {shown(value)}, which cannot be gone on from",
        hint="name a column that only grows: a number, a time of change",
    )


def is_of_another_kind(value: Any, before: Any) -> bool:
    """Return whether a value cannot follow one: a text after a number, a word after a time."""
    if isinstance(value, str) and isinstance(before, str):
        return position(before).kind == "time" and position(value).kind != "time"
    plain = (int, float, Decimal)
    return isinstance(before, plain) and not isinstance(value, plain)


def is_of_another_form(value: Any, before: Any) -> bool:
    """Return whether two texts are times that do not sort as such: with T and a space, an offset and none."""
    if not (isinstance(value, str) and isinstance(before, str)):
        return False
    if value[10:11] == before[10:11] and value[19:] == before[19:]:
        return False  # as nearly all are
    one, other = _form(value), _form(before)
    return bool(one and other and one != other)


def _form(text: str) -> tuple[str, bool] | None:
    """What parts day and hour, and whether there is an offset; None for what is not a day with an hour."""
    if len(text) <= len("2026-11-23") or position(text).kind != "time":
        return None
    return text[10], text[-1] in "Zz" or text[-6:-5] in ("+", "-") or text[-5:-4] in ("+", "-")


def is_behind(value: Any, mark: Any) -> bool:
    """Return whether a value is smaller than a mark; False where they have no order, or there is no mark."""
    if isinstance(value, str) and isinstance(mark, str):
        one, other = position(value), position(mark)
        return bool(one.kind == other.kind and one.order < other.order)
    try:
        return bool(mark is not None and value < mark)
    except TypeError:
        return False


def require_tie(value: Any) -> None:
    """Raise PermanentError for a tie-breaker that cannot be stored; None, an absent one, can."""
    too_long = isinstance(value, (str, bytes)) and len(value) > MAX_CHARS
    if too_long or isinstance(value, (list, dict, float, bool)):
        raise PermanentError(f"the tie_breaker holds {shown(value)}, which cannot be gone on from")


def less(value: Any, overlap: Overlap) -> Any:
    """Return the value less the overlap, of the same type; PermanentError where they do not fit."""
    if overlap is None:
        return value
    try:
        found = _less(value, overlap)
    except OverflowError:
        return value
    if found is None:
        raise PermanentError(
            f"overlap does not fit the bookmark, which is {shown(value)}",
            hint="write 5m where it is a time, 100 where it is a number",
        )
    return found


def repeated(value: Any, zone: ZoneInfo) -> timedelta | None:
    """Return by how much clocks go back in the hour of a wall time that comes twice; None for other values.

    A row of the second hour may be smaller than one of the first, and comes later.
    """
    local = value
    if isinstance(value, str) and position(value).kind == "time":
        with suppress(ValueError):
            local = datetime.fromisoformat(value)
            if local.utcoffset():  # a text sorts by the clock that it shows
                local = local.replace(tzinfo=None)
    if not isinstance(local, datetime) or local.tzinfo:
        return None
    first, second = (local.replace(tzinfo=zone, fold=fold).utcoffset() or timedelta() for fold in (0, 1))
    return first - second if first > second else None


def _less(value: Any, overlap: timedelta | Decimal) -> Any:
    match value, overlap:
        case datetime(), timedelta():
            return value - overlap
        case date(), timedelta():
            return value - timedelta(days=math.ceil(overlap / AHEAD))
        case (int() | Decimal(), Decimal()):
            left = difference(Decimal(value), overlap)
            return math.floor(left) if isinstance(value, int) else left
        case float(), Decimal():
            return value - float(overlap)
        case str(), _:
            return behind(value, overlap)
    return None


def typed(text: str, like: Any, zone: ZoneInfo) -> Any:
    """Return what a text of the section means, of the type that the column has; PermanentError if nothing."""
    readers: dict[type, Callable[[str], Any]] = {
        int: int,
        float: float,
        Decimal: Decimal,
        datetime: lambda text: _like_datetime(datetime.fromisoformat(text), like, zone),
        date: date.fromisoformat,
        str: str,
        UUID: UUID,
    }
    try:
        return readers[type(like)](text)
    except (KeyError, ValueError, InvalidOperation) as error:
        raise PermanentError(
            f"start = {text[:60]} does not fit the bookmark, which is {shown(like)}"
        ) from error


def day(first: date, like: Any, zone: ZoneInfo) -> Any:
    """Return the beginning of a day, of the column's type; PermanentError where that is no time."""
    match like:
        case datetime():
            return _like_datetime(datetime.combine(first, time()), like, zone)
        case date():
            return first
        case str() if position(like).kind == "time":
            return first.isoformat()
    raise PermanentError(
        f"days cannot be back-filled: the bookmark is {shown(like)}, and no time",
        hint="set start lower, in a source of its own",
    )


def shown(value: Any) -> str:
    """Return a value's kind and beginning, for a message."""
    kinds = {
        int: "a number",
        float: "a number",
        Decimal: "a number",
        str: "a text",
        datetime: "a time",
        date: "a day",
    }
    kind = kinds.get(type(value))
    return f"{kind} ({str(value)[:40]})" if kind else f"of the type {type(value).__name__}"


def _moment(value: datetime, zone: ZoneInfo) -> datetime:
    return value if value.tzinfo else value.replace(tzinfo=zone)


def _like_datetime(found: datetime, like: datetime, zone: ZoneInfo) -> datetime:
    if like.tzinfo:
        return _moment(found, zone)
    return found.astimezone(zone).replace(tzinfo=None) if found.tzinfo else found
