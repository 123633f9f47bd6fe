"""How far behind its bookmark a source reads again: records that become visible late are found so. No I/O.

Invariants:
- A text keeps the form that the server gave it; less the overlap it is never larger than it was.
- A time that lies more than a day ahead moves no bookmark, whatever type it comes in: one wrong record would
  hide all that follow. A number, or a text in a form of its own, is a time where the section says so.
"""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_FLOOR, Context, Decimal, Inexact, InvalidOperation
from functools import lru_cache
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator, PlainSerializer

from outbox.config.options import format_duration, parse_duration_s
from outbox.errors import PermanentError


def parse_overlap(text: str) -> timedelta | Decimal | None:
    """Return a duration (`5m`) or a number (`100`), None for nothing; ValueError says how to write one."""
    if not text.strip():
        return None
    if re.fullmatch(r"\d{1,18}(\.\d{1,18})?", text.strip()):
        return Decimal(text.strip())
    try:
        return timedelta(seconds=parse_duration_s(text))
    except ValueError as error:
        raise ValueError("is no overlap: write 5m where the bookmark is a time, 100 for a number") from error


def _written(overlap: timedelta | Decimal | None) -> str:
    if isinstance(overlap, timedelta):
        return format_duration(overlap.total_seconds())
    return "" if overlap is None else str(overlap)


Overlap = Annotated[
    timedelta | Decimal | None,
    BeforeValidator(lambda value: parse_overlap(value) if isinstance(value, str) else value),
    PlainSerializer(_written),
]

_NUMBER = re.compile(r"-?\d{1,30}(\.\d{1,30})?")
_TIME = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)?)?", re.IGNORECASE)


AHEAD = timedelta(days=1)
# A bookmark and an overlap have at most 30 digits on each side of the point.
_EXACT = Context(prec=100, traps=[Inexact, InvalidOperation])
RANKS = {"text": 0, "number": 1, "time": 2}


class Position(NamedTuple):
    """A value that can be compared with others of its kind: number, time or text."""

    kind: str
    order: Any
    text: str

    @property
    def rank(self) -> int:
        """What a kind is worth: among times a text is a mistake, and not the other way round."""
        return RANKS[self.kind]


@lru_cache(maxsize=256)
def position(text: str) -> Position:
    """Return what a text stands for."""
    if _NUMBER.fullmatch(text):
        return Position("number", Decimal(text), text)
    if _TIME.fullmatch(text) and (moment := _moment(text)):
        return Position("time", moment, text)
    return Position("text", text, text)


def difference(number: Decimal, overlap: Decimal) -> Decimal:
    """Return the number less the overlap, to the last digit where that has at most 100; else rounded down."""
    try:
        return _EXACT.subtract(number, overlap)
    except (Inexact, InvalidOperation):
        return Context(prec=100, rounding=ROUND_FLOOR).subtract(number, overlap)


def is_ahead(
    value: Any, now: Callable[[], datetime], read_time: Callable[[Sequence[Any]], datetime] | None
) -> bool:
    """Return whether a value is a time more than a day ahead, which cannot have come yet.

    `read_time` reads the source's times, where the bookmark's column is that of its `time`; None elsewhere:
    then a time is what is typed so, or written in ISO 8601.
    """
    moment = None
    if read_time:
        try:
            moment = read_time([value])
        except (ValueError, ArithmeticError):
            moment = None
    if moment is None and isinstance(value, str) and (found := position(value)).kind == "time":
        moment = found.order
    if moment is None and isinstance(value, date):
        moment = value if isinstance(value, datetime) else datetime.combine(value, time())
    if moment is None:
        return False
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) > now() + AHEAD


def behind(text: str, overlap: Overlap) -> str:
    """Return what to ask for: the bookmark less the overlap; PermanentError where they do not fit."""
    if overlap is None or not text:
        return text
    found = position(text)
    if found.kind == "number" and isinstance(overlap, Decimal):
        return format(difference(found.order, overlap), "f")
    if found.kind == "time" and isinstance(overlap, timedelta):
        try:
            return _like(text, datetime.fromisoformat(_plain(text)) - overlap)
        except OverflowError:
            return text
    raise PermanentError(
        f"overlap does not fit the bookmark {text[:60]}, which is a {found.kind}",
        hint="write 5m where it is a time, 100 where it is a number, nothing where it is a text",
    )


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(_plain(text))
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    except ValueError:
        return None


def _plain(text: str) -> str:
    """Python reads at most six digits of a second; what is cut off makes the value smaller only."""
    return re.sub(r"(\.\d{6})\d+", r"\1", text.upper())


def _like(text: str, moment: datetime) -> str:
    """Return the moment in the form that `text` has."""
    if len(text) == len("2026-11-23"):
        return moment.date().isoformat()
    fraction = re.search(r"\.\d+", text)
    precision = "seconds" if fraction is None else "milliseconds" if len(fraction[0]) < 5 else "microseconds"
    if re.fullmatch(r".{10}.\d\d:\d\d(Z|[+-].*)?", text, re.IGNORECASE):
        precision = "minutes"
    written = moment.isoformat(sep=text[10], timespec=precision)
    return written.removesuffix("+00:00") + text[-1] if text[-1] in "Zz" else written
