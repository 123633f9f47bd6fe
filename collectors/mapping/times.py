"""Times as tables write them, read in one zone. No I/O.

Invariants: what is returned is aware. A time with an offset keeps it; one without is of the source's zone.
Where clocks go back, the first of the two is meant; a time that clocks skip does not exist and is refused.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from collectors.mapping.numbers import NumberReader, shown

ISO, UNIX, UNIX_MS = "iso", "unix", "unix_ms"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECONDS = {UNIX: 1_000_000, UNIX_MS: 1_000}
_PROBE = datetime(2001, 2, 3, 16, 5, 6, tzinfo=UTC)


class TimeReader:
    """Reads the times of one source: `form` is iso, unix, unix_ms or a pattern of strptime."""

    def __init__(self, form: str, zone: ZoneInfo) -> None:
        self._form = form
        self._zone = zone
        self._number = NumberReader()
        self._read = lru_cache(maxsize=1_024)(self._read_text)

    def __call__(self, cells: Sequence[Any]) -> datetime:
        """Return the aware time of one cell, or of several that hold its parts; ValueError says why none."""
        if typed := _typed(cells):
            return self._placed(typed)
        if self._form in _MICROSECONDS and len(cells) == 1:
            return self._since_epoch(cells[0])
        return self._read(" ".join(_part(cell) for cell in cells))

    def _read_text(self, text: str) -> datetime:
        try:
            if self._form == ISO:
                moment = datetime.fromisoformat(text)
            else:
                moment = datetime.strptime(text, self._form)  # noqa: DTZ007 - placed below
        except (ValueError, OverflowError) as error:
            form = "an ISO time like 2026-11-23T02:00" if self._form == ISO else self._form
            raise ValueError(f"is no time: {shown(text)} is not {form}") from error
        return self._placed(moment)

    def _since_epoch(self, cell: Any) -> datetime:
        try:
            number = Decimal(self._number(str(cell) if isinstance(cell, bool) else cell))
            if abs(number) > 10**15:
                raise ValueError("too large")
            return _EPOCH + timedelta(microseconds=int(number * _MICROSECONDS[self._form] // 1))
        except (ValueError, OverflowError) as error:
            raise ValueError(f"is no time: {shown(cell)} is not in {self._form}") from error

    def _placed(self, moment: datetime) -> datetime:
        """Return the time in UTC; one without an offset is of the zone."""
        try:
            if moment.tzinfo is not None:
                return moment.astimezone(UTC)
            local = moment.replace(tzinfo=self._zone)
            placed = local.astimezone(UTC)
            if placed.astimezone(self._zone).replace(tzinfo=None) != moment:
                raise ValueError(
                    f"does not exist: clocks in {self._zone.key} skip {moment.isoformat(' ', 'minutes')}"
                )
        except OverflowError as error:
            raise ValueError(f"is outside the years 1 to 9999: {moment.isoformat()}") from error
        return placed


def _typed(cells: Sequence[Any]) -> datetime | None:
    """Return the time of cells that a workbook or a database gave as times; None for any other."""
    first, *rest = cells
    if not isinstance(first, date) or len(rest) > 1:
        return None
    if not rest:
        return first if isinstance(first, datetime) else datetime.combine(first, time())
    day = first.date() if isinstance(first, datetime) else first
    if isinstance(rest[0], datetime):  # a workbook's time of day, on its first day
        return datetime.combine(day, rest[0].time())
    if isinstance(rest[0], time):
        return datetime.combine(day, rest[0])
    if isinstance(rest[0], timedelta) and timedelta() <= rest[0] < timedelta(days=1):
        return datetime.combine(day, time()) + rest[0]
    return None


def _part(cell: Any) -> str:
    if isinstance(cell, str):
        return cell.strip()
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 10**15:
        return str(int(cell))
    if isinstance(cell, (date, time)):
        return cell.isoformat()
    if isinstance(cell, (int, float, Decimal)) and not isinstance(cell, bool):
        return str(cell)
    raise ValueError(f"is no time: {shown(cell)}")


def checked_form(form: str) -> str:
    """Return a form of times that can be read; ValueError for one that names no day, or is no pattern."""
    if form in (ISO, UNIX, UNIX_MS):
        return form
    if "%" not in form:
        raise ValueError("is no form of times: write iso, unix, unix_ms or a pattern like %d.%m.%Y %H:%M")
    try:
        found = datetime.strptime(_PROBE.strftime(form), form)  # noqa: DTZ007 - its day alone counts
    except ValueError as error:
        raise ValueError(f"is no pattern of times that can be read: {error}") from error
    if found.date() != _PROBE.date():
        raise ValueError("names no whole day: year, month and day are needed")
    return form
