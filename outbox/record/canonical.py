"""Canonical JSON: the one way a value is written. No I/O.

Invariants: the same value gives the same bytes, whatever the order of its keys or the type that carried
a number (1, 1.0, Decimal("1.00") and 1E0 are one); nothing is rounded: a number that JSON readers would
bend becomes text, and what has no exact form is refused (`RecordError`).

- integers from -2^63 to 2^64-1, whichever type they came as; beyond them, text
- fractions as exact numbers of at most 38 digits; with more, as the binary float of which they are the
  shortest digits, else as text; a binary float stands for its shortest digits
- times in RFC 3339, UTC; dates and times of day in ISO 8601; bytes in base64
"""

import base64
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Any

import msgspec

from outbox.errors import RecordError, shorten

MIN_INTEGER, MAX_INTEGER = -(2**63), 2**64 - 1
MAX_DIGITS = 38
MAX_DEPTH = 64
_LONGEST_NUMBER_DIGITS = 1_000
_EXACT = Context(prec=_LONGEST_NUMBER_DIGITS, Emin=-999_999, Emax=999_999, traps=[Inexact, InvalidOperation])

encode = msgspec.json.Encoder(order="sorted").encode


def rfc3339(moment: datetime) -> str:
    """Return an aware UTC time as RFC 3339 text ending in Z, with a fraction only where there is one."""
    return moment.isoformat()[:-6] + "Z"


def utc(moment: object, what: str = "observed_at") -> datetime:
    """Return an aware time in UTC; RecordError for a naive one, or one outside the years 1 to 9999."""
    if not isinstance(moment, datetime):
        raise RecordError(f"{what} is not a time: {shown(moment)}")
    if moment.tzinfo is UTC and type(moment) is datetime:
        return moment
    try:
        if moment.tzinfo is None or moment.utcoffset() is None:
            raise RecordError(f"{what} has no time zone: {moment.replace(tzinfo=None).isoformat()}")
        return moment.astimezone(UTC)
    except (OverflowError, ValueError) as error:
        naive = moment.replace(tzinfo=None).isoformat()
        raise RecordError(f"{what} is outside the years 1 to 9999 in UTC: {naive} there") from error


def shown(value: object) -> str:
    """Return what a message may show of a value that is wrong; a stranger's code is not run for it."""
    if value is None or type(value) in (str, bytes, bool, float):
        return shorten(ascii(value), 60)
    return f"a value of type {type(value).__name__}"


def canonical(value: Any, depth: int = 0) -> Any:
    """Return `value` in the form that `encode` writes canonically; RecordError says why there is none."""
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return value
    if kind is float:
        return _float(value)
    if kind is int:
        return value if MIN_INTEGER <= value <= MAX_INTEGER else _decimal(Decimal(value))
    if depth >= MAX_DEPTH:
        raise RecordError(f"nested deeper than {MAX_DEPTH} levels")
    if kind is dict:
        return {
            key: item
            if (of := type(item)) is str
            or (of is float and item % 1 and (1e-4 <= item < 1e16 or -1e16 < item <= -1e-4))
            or (of is int and -(2**63) <= item < 2**64)
            else int(item)
            if of is float and -1e16 < item < 1e16 and not item % 1
            else canonical(item, depth + 1)
            for key, item in value.items()
        }
    if kind is list or kind is tuple:
        return [canonical(item, depth + 1) for item in value]
    return _rare(value, depth)


def _rare(value: Any, depth: int) -> Any:
    match value:
        case Decimal():
            return _decimal(value)
        case datetime():
            return rfc3339(utc(value, "a time among the values"))
        case date() | time():
            return value.isoformat()
        case bytes() | bytearray():
            return base64.b64encode(value).decode("ascii")
        case memoryview():
            return base64.b64encode(value.tobytes()).decode("ascii")
    for plain, copy in _PLAIN:
        if isinstance(value, plain):
            return canonical(copy(value), depth)
    raise RecordError(f"a value of type {type(value).__name__} cannot be written as JSON")


_PLAIN: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (str, str.__str__),
    (int, int.__int__),
    (float, float.__float__),
    (dict, lambda value: dict(dict.items(value))),
    (list, list.copy),
    (tuple, lambda value: list(tuple.__iter__(value))),
)
"""A subclass is written as its plain kind, without its own code: an enumeration's text is its value."""


def _float(value: float) -> Any:
    if value - value != 0.0:  # NaN and the infinities, which the encoder would turn into null
        raise RecordError(f"{value} is not a number that JSON can hold")
    if value.is_integer() and -1e16 < value < 1e16:
        return int(value)
    if 1e-4 <= abs(value) < 1e16:
        return value  # every encoder writes these alike: shortest digits, no exponent
    exact = _decimal(Decimal(repr(value)))
    # A binary float is a number to every reader; only what was exact before must not become one.
    return msgspec.Raw(repr(value).encode()) if isinstance(exact, str) else exact


def _decimal(value: Decimal) -> Any:
    """An integer, an exact JSON number of at most 38 digits, or (what fits neither) text."""
    if not value.is_finite():
        raise RecordError(f"{value} is not a number that JSON can hold")
    try:
        value = _EXACT.normalize(value)
    except (Inexact, InvalidOperation) as error:
        raise RecordError(f"a number of more than {_LONGEST_NUMBER_DIGITS:,} digits") from error
    _, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int) or abs(exponent) > _LONGEST_NUMBER_DIGITS:
        return str(value)
    if exponent >= 0:
        whole = int(value)
        return whole if MIN_INTEGER <= whole <= MAX_INTEGER else format(value, "f")
    plain = format(value, "f")
    if max(len(digits), -exponent) <= MAX_DIGITS:
        return msgspec.Raw(plain.encode())
    shortest = repr(float(value))
    return msgspec.Raw(shortest.encode()) if Decimal(shortest) == value else plain
