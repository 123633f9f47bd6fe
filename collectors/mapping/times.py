"""Reads times as tables write them, in the time zone of one source. No I/O.

Invariants: every returned time is aware. A time with an offset keeps it; one without is in the source's zone.
A time that is skipped when clocks go forward does not exist and is refused; one that occurs twice is refused
until the section says which is meant (`repeated_hour`). No part of a text is dropped: a text that cannot be
read completely is refused.
"""

import json
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from functools import lru_cache
from typing import Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

from collectors.mapping.numbers import NumberReader, shown

RepeatedHour = Literal["reject", "first", "second", "in_order"]
Finer = Literal["reject", "cut"]

ISO = "iso"
_PER_SECOND = {"unix": 1, "unix_ms": 10**3, "unix_us": 10**6, "unix_ns": 10**9}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PROBE = datetime(2001, 2, 3, 16, 5, 6, tzinfo=UTC)
_DAY = timedelta(days=1)
_MAX_EPOCH = 10**21
_LIKELY = (datetime(1990, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
_LIKELY_SECONDS = tuple(int(moment.timestamp()) for moment in _LIKELY)
_FLOAT_DIGITS = 17
"""Digits that a binary float can hold: a number of seconds with no more is rounded to microseconds."""

# The part of ISO 8601 that RFC 3339 and its relatives use: the extended form, and the basic one with its T.
_ISO = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d|\d{8}|\d{4}-?W\d\d-?\d)"
    r"(?:(?P<sep>[Tt ])(?P<clock>\d\d(?::?\d\d(?::?\d\d(?:[.,](?P<fraction>\d+))?)?)?)"
    r" ?(?P<zone>[Zz]|[+-]\d\d(?::?\d\d(?::?\d\d)?)?)?)?"
)
_FRACTION_END = re.compile(r"([.,]\d{6})\d+")
_MIDNIGHT = re.compile(r"24(?=[:.h]?00)")
_DIRECTIVE = re.compile(r"%(.)", re.DOTALL)
_SAYS_UTC = re.compile(r"(?<![A-Za-z])(?:Z|UTC|GMT)(?![A-Za-z])")
_EXCEL_DAY_0 = date(1899, 12, 31)
"""The date that a workbook gives to a time of day; 24:00, stored as 1, is the start of the next day."""


class TimeReader:
    """Reads the times of one source: `form` is iso, unix, unix_ms, unix_us, unix_ns or a strptime pattern."""

    def __init__(
        self, form: str, zone: ZoneInfo, *, repeated: RepeatedHour = "reject", finer: Finer = "reject"
    ) -> None:
        self._form = form
        self._zone = zone
        self._repeated = repeated
        self._finer = finer
        self._in_utc = bool(_SAYS_UTC.search(_DIRECTIVE.sub(" ", form))) and form not in _PER_SECOND
        self._number = NumberReader()
        self._read = lru_cache(maxsize=1_024)(self._read_text)

    def __call__(self, cells: Sequence[Any], order: "Order | None" = None, entity: str = "") -> datetime:
        """Return the aware time of one cell, or of several that hold its parts; ValueError says why not.

        With `order`, the earlier rows of this entity decide which of two times is meant.
        """
        if not isinstance(cells[0], str) and (typed := _typed(cells)):
            found = self._placed(typed)
        elif self._form in _PER_SECOND and len(cells) == 1:
            return self._since_epoch(cells[0])
        else:
            found = self._read(_part(cells[0]) if len(cells) == 1 else " ".join(map(_part, cells)))
        if isinstance(found, _Twice):
            return self._decided(found, order, entity)
        if order is not None:
            order.note(entity, found, self._zone)
        return found

    def _decided(self, found: "_Twice", order: "Order | None", entity: str) -> datetime:
        if self._repeated == "in_order" and order is not None:
            return order.decide(entity, found)
        if self._repeated in ("first", "second"):
            return found.first if self._repeated == "first" else found.second
        raise ValueError(
            f"occurs twice: clocks in {self._zone.key} go back over {found.local.isoformat(' ', 'minutes')}; "
            "set repeated_hour to say which is meant"
        )

    def _read_text(self, text: str) -> "datetime | _Twice":
        form = "an ISO time like 2026-11-23T02:00" if self._form == ISO else self._form
        try:
            moment = self._iso(text) if self._form == ISO else self._by_pattern(text)
        except _FinerError:
            raise
        except (ValueError, OverflowError) as error:
            raise ValueError(f"is not a time: {shown(text)} is not {form}") from error
        if self._in_utc and moment.tzinfo is None:
            return moment.replace(tzinfo=UTC)
        return self._placed(moment)

    def _iso(self, text: str) -> datetime:
        if _is_usual(text):
            return datetime.fromisoformat(text)
        match = _ISO.fullmatch(text.strip())
        if not match:
            raise ValueError("not in this form")
        clock, whole_days = match["clock"] or "", timedelta()
        if (fraction := match["fraction"]) and len(fraction) > 6:
            if fraction[6:].strip("0"):
                self._may_cut(text)
            clock = _FRACTION_END.sub(r"\1", clock)
        if clock.startswith("24"):
            if clock.strip("24:.,0"):
                raise ValueError("after 24:00")
            clock, whole_days = "00" + clock[2:], _DAY
        zone = (match["zone"] or "").upper()
        written = f"{match['date']}T{clock}{zone}" if clock else match["date"]
        return datetime.fromisoformat(written) + whole_days

    def _by_pattern(self, text: str) -> datetime:
        try:
            return datetime.strptime(text, self._form)  # noqa: DTZ007 - placed by the caller
        except ValueError:
            for match in _MIDNIGHT.finditer(text):
                with_0 = f"{text[: match.start()]}00{text[match.end() :]}"
                try:
                    found = datetime.strptime(with_0, self._form)  # noqa: DTZ007 - placed by the caller
                except ValueError:
                    continue
                if found.time() == time():
                    return found + _DAY
            raise

    def _since_epoch(self, cell: Any) -> datetime:
        try:
            number = Decimal(self._number(str(cell) if isinstance(cell, bool) else cell))
            if abs(number) > _MAX_EPOCH:
                raise ValueError("too large")
            micros = number * 1_000_000 / _PER_SECOND[self._form]
            if micros != micros.to_integral_value():
                micros = self._whole(micros, number, cell)
            found = _EPOCH + timedelta(microseconds=int(micros))
        except _FinerError:
            raise
        except (ValueError, OverflowError) as error:
            unit = self._likelier(cell)
            raise ValueError(f"is not a time: {shown(cell)} is not in {self._form}{unit}") from error
        if not _LIKELY[0] <= found < _LIKELY[1] and (unit := self._likelier(cell)):
            raise ValueError(f"is not a time: {shown(cell)} in {self._form} is in {found:%Y-%m}{unit}")
        return found

    def _whole(self, micros: Decimal, number: Decimal, cell: Any) -> Decimal:
        """Return whole microseconds; a number of seconds that a binary float can hold is rounded."""
        if _PER_SECOND[self._form] <= 1_000 and len(number.as_tuple().digits) <= _FLOAT_DIGITS:
            return micros.to_integral_value(ROUND_HALF_EVEN)
        self._may_cut(cell)
        return micros.to_integral_value(ROUND_FLOOR)

    def _may_cut(self, cell: Any) -> None:
        if self._finer == "reject":
            raise _FinerError(
                f"is finer than a microsecond: {shown(cell)}; finer_times = cut drops the extra digits"
            )

    def _likelier(self, cell: Any) -> str:
        """Return the unit that would make a number a recent time, as advice; "" where none would."""
        try:
            number = Decimal(self._number(cell))
        except ValueError:
            return ""
        for form, per_second in _PER_SECOND.items():
            if form != self._form and _LIKELY_SECONDS[0] <= number / per_second < _LIKELY_SECONDS[1]:
                return f"; time_format = {form} is more likely"
        return ""

    def _placed(self, moment: datetime) -> "datetime | _Twice":
        """Return the time in UTC; without an offset it is in the source's zone, where it may occur twice."""
        try:
            if moment.tzinfo is not None:
                return moment.astimezone(UTC)
            first = moment.replace(tzinfo=self._zone, fold=0).astimezone(UTC)
            second = moment.replace(tzinfo=self._zone, fold=1).astimezone(UTC)
            if first == second:
                return first
            if first.astimezone(self._zone).replace(tzinfo=None, fold=0) != moment:
                raise ValueError(
                    f"does not exist: clocks in {self._zone.key} skip {moment.isoformat(' ', 'minutes')}"
                )
        except OverflowError as error:
            raise ValueError(f"is outside the years 1 to 9999: {moment.isoformat()}") from error
        return _Twice(moment, first, second)


class _FinerError(ValueError):
    """A time has digits beyond the microsecond."""


class _Twice(NamedTuple):
    """A local time that occurs twice, and the two moments that it may mean."""

    local: datetime
    first: datetime
    second: datetime


class Order:
    """The last times of each entity in ascending rows, which decide which repeated hour a row belongs to.

    A row belongs to the first hour until the time of its entity stands still or steps back. A row whose
    entity has no row within a day before the hour is refused. Only rows near such an hour are remembered, for
    at most 10,000 entities; `text` returns them for a bookmark (usually "").
    """

    MAX_ENTITIES = 10_000
    _BEFORE = timedelta(hours=25)

    def __init__(self, text: str = "") -> None:
        self._last: dict[str, tuple[datetime, int]] = {
            entity: (datetime.fromisoformat(local), number)
            for entity, (local, number) in json.loads(text or "{}").items()
        }
        self._pending: dict[str, tuple[datetime, int] | None] = {}
        self._lost = False

    def decide(self, entity: str, twice: _Twice) -> datetime:
        """Return the moment that is meant; ValueError where the earlier rows do not decide."""
        local = twice.local
        before, number = self._last.get(entity, (None, 0))
        if before is None or before >= local + (twice.second - twice.first) or (number and local < before):
            raise ValueError(
                f"occurs twice: {local.isoformat(' ', 'minutes')}, and no earlier row tells which is meant; "
                "set repeated_hour = first or second"
            )
        number = 1 if number or local <= before else 0
        self._pending[entity] = (local, number)
        return twice.second if number else twice.first

    def note(self, entity: str, moment: datetime, zone: ZoneInfo) -> None:
        """Record a row whose time occurs once."""
        local = moment.astimezone(zone)
        later = (moment + self._BEFORE).astimezone(zone)
        if (later.utcoffset() or timedelta()) < (local.utcoffset() or timedelta()):
            self._pending[entity] = (local.replace(tzinfo=None, fold=0), 0)
        elif entity in self._last:
            self._pending[entity] = None

    def forget(self, entity: str) -> None:
        """Record a row of this entity whose time is unknown: earlier rows no longer decide anything."""
        self._pending[entity] = None

    def lose(self) -> None:
        """Record a row whose entity is unknown: earlier rows of any entity no longer decide anything."""
        self._lost = True

    def commit(self) -> None:
        """Make the recorded rows count as earlier rows: reading can be resumed behind them."""
        if self._lost:
            self._last.clear()
            self._pending.clear()
            self._lost = False
        for entity, last in self._pending.items():
            if last is None:
                self._last.pop(entity, None)
            elif entity in self._last or len(self._last) < self.MAX_ENTITIES:
                self._last[entity] = last
        self._pending.clear()

    def text(self) -> str:
        """Return what is remembered, as the argument of `Order`."""
        said = {entity: (local.isoformat(), number) for entity, (local, number) in self._last.items()}
        return json.dumps(said, separators=(",", ":")) if said else ""


def _typed(cells: Sequence[Any]) -> datetime | None:  # noqa: PLR0911 - a kind a line
    """Return the time of cells that a workbook or a database delivered as times; None for any other."""
    first, *rest = cells
    if not isinstance(first, date) or len(rest) > 1:
        return None
    if not rest:
        return first if isinstance(first, datetime) else datetime.combine(first, time())
    if isinstance(first, datetime) and first.time() != time():
        return None
    day = first.date() if isinstance(first, datetime) else first
    clock = rest[0]
    if isinstance(clock, time):
        return datetime.combine(day, clock)
    if isinstance(clock, timedelta) and timedelta() <= clock <= _DAY:
        return datetime.combine(day, time()) + clock
    if isinstance(clock, datetime) and clock.date() == _EXCEL_DAY_0:
        return datetime.combine(day, clock.time())
    if clock == _EXCEL_DAY_0 + _DAY:
        return datetime.combine(day, time()) + _DAY
    return None


def _is_usual(text: str) -> bool:
    """Whether a text has the usual ISO form, YYYY-MM-DD hh:mm with or without :ss, which is read fast."""
    return (
        (len(text) == 16 or (len(text) == 19 and text[16] == ":"))
        and text[4] == text[7] == "-"
        and text[10] in "T "
        and text[13] == ":"
        and text[11:13] != "24"
    )


def _part(cell: Any) -> str:
    if isinstance(cell, str):
        return cell.strip()
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 10**15:
        return str(int(cell))
    if isinstance(cell, (date, time)):
        return cell.isoformat()
    if isinstance(cell, (int, float, Decimal)) and not isinstance(cell, bool):
        return str(cell)
    raise ValueError(f"is not a time: {shown(cell)}")


def checked_form(form: str) -> str:
    """Return a time format that reads a time completely; ValueError says what any other would drop."""
    if form == ISO or form in _PER_SECOND:
        return form
    if "%" not in form:
        raise ValueError(
            "is not a time format: write iso, unix, unix_ms, unix_us, unix_ns "
            "or a pattern such as %d.%m.%Y %H:%M"
        )
    named = set(_DIRECTIVE.findall(form))
    if "Z" in named:
        raise ValueError(
            "reads the name of a time zone with %Z, which is then ignored: "
            "write the name itself (GMT, UTC), or %z for an offset such as +02:00"
        )
    if "p" in named and "I" not in named:
        raise ValueError("has %p with %H, which ignores AM and PM: write %I with %p")
    if "I" in named and "p" not in named:
        raise ValueError("has %I without %p, so that morning and evening look the same: add %p, or write %H")
    if "M" in named and not named & {"H", "I"}:
        raise ValueError("has minutes but no hour: add %H")
    try:
        found = datetime.strptime(_PROBE.strftime(form), form)  # noqa: DTZ007 - its parts alone count
    except ValueError as error:
        raise ValueError(f"is not a valid time pattern: {error}") from error
    if found.date() != _PROBE.date():
        raise ValueError("lacks a full date: year, month and day are required")
    if named & {"H", "I"} and found.hour != _PROBE.hour:
        raise ValueError("does not read back the hour that it writes")
    return form
