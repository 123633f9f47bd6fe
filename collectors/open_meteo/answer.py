"""Reads an answer of Open-Meteo: the whole of it is checked before one record leaves.

Invariants:
- What is no whole JSON (cut off, a web page, "Unexpected error while streaming data" behind a status of
  200) is a TransientError; whole JSON of another shape than asked for is a PermanentError.
- One place's part that is wrong is rejected with its reason, and the other places' records are kept;
  where every part is wrong, the answer is. A request that the server refuses is refused for all its
  places: Open-Meteo does not say for which.
- `null` is no value, a record without values is no record, and nothing that differs between two answers
  of the same content (`generationtime_ms`, `interval`) gets into one.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any, NamedTuple, NoReturn
from zoneinfo import ZoneInfo

from collectors.exact_json import ExactReader, Refused, TooDeepError, rows_of
from collectors.http.client import Answer, check_status, said
from collectors.open_meteo.account import until_next
from collectors.open_meteo.call import MAX_UNIT_BYTES, Call
from collectors.open_meteo.options import Place
from outbox.errors import LoginRefusedError, PermanentError, TransientError
from outbox.machine.network import retry_after_s
from outbox.record import MAX_RAW_BYTES, Record, Rejected

_STREAMING = b"Unexpected error while streaming data"
_LEGACY = {
    "temperature": "temperature_2m",
    "windspeed": "wind_speed_10m",
    "winddirection": "wind_direction_10m",
    "weathercode": "weather_code",
    "is_day": "is_day",
}
_LIMIT_HINT = "raise every, ask for fewer places or datapoints, or use an api_key"
_KEY_HINT = "set the right key with: outbox secret set open-meteo, and see that its plan covers this API"
MAX_OFFSET_S = 86_400
_NUMBERS = (int, float, Decimal)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Json = Any


class Reading(NamedTuple):
    """What an answer holds: records, and the parts of places that are none."""

    records: list[Record]
    rejected: list[Rejected]


class _Wrong(Exception):  # noqa: N818 - not an error yet: the caller decides between reject and raise
    """A part of the answer is not what was asked for; the text says how."""


def read_answer(answer: Answer, call: Call, *, source: str, now: datetime) -> Reading:
    """Return what the answer holds for each place of the call; a typed error says why it holds nothing."""
    where = f"{source}: {answer.url}"
    try:
        document = ExactReader().read_document(answer.body.decode())
    except TooDeepError as error:
        raise PermanentError(f"{where}: the answer {error}") from error
    except ValueError as error:
        check_status(answer, now)
        tail = answer.body[max(0, answer.body.find(_STREAMING)) :]
        raise TransientError(f"{where} sent no whole JSON ({error}){said(tail)}") from error
    if isinstance(document, dict) and document.get("error"):
        _refuse(answer, str(document.get("reason") or said(answer.body)), where, now)
    check_status(answer, now)
    try:
        parts = rows_of(document, _parts(document, len(call.places)))
    except (_Wrong, ValueError) as wrong:
        raise PermanentError(f"{where} {wrong}") from wrong
    reading = Reading([], [])
    for place, part in zip(call.places, parts, strict=True):
        try:
            records = list(_Part(part, place, call).records())
        except _Wrong as wrong:
            shown = part.shown if isinstance(part, Refused) else part
            reading.rejected.append(
                Rejected(f"{place.name}: {wrong}", json.dumps(shown, default=str)[:MAX_RAW_BYTES])
            )
        else:
            reading.records.extend(records)
    if len(reading.rejected) == len(call.places):
        raise PermanentError(f"{where} answers in another shape than asked for: {reading.rejected[0].reason}")
    return reading


def _refuse(answer: Answer, reason: str, where: str, now: datetime) -> NoReturn:
    """Raise what the server's reason calls for; its status may be any, 200 too."""
    words = reason.lower()
    message = f"{where} refused ({answer.status}){said(reason.encode(errors='replace'))}"
    waits = {"minutely": 60.0, "hourly": until_next(3_600, now), "daily": until_next(86_400, now)}
    for period, wait_s in waits.items():
        if words.startswith(period):
            raise TransientError(message, hint=_LIMIT_HINT, retry_after_s=wait_s)
    if "concurrent" in words:
        raise TransientError(message, retry_after_s=5.0)
    if answer.status in (401, 403) or "api key" in words or "apikey" in words:
        refused = PermanentError if answer.status == 403 else LoginRefusedError  # 403: the key's rights
        raise refused(message, hint=_KEY_HINT)
    if answer.status == 429 or answer.status >= 500 or "overloaded" in words or "streaming" in words:
        raise TransientError(message, retry_after_s=retry_after_s(answer.headers, now))
    raise PermanentError(message, hint="correct the section of this source: the server names what it refuses")


def _parts(document: Json, count: int) -> list[Json]:
    """One location is answered by an object, several by an array in the order asked."""
    if count == 1:
        if not isinstance(document, dict):
            raise _Wrong(f"answers one place with {_kind(document)}")
        return [document]
    if not isinstance(document, list) or len(document) != count:
        size = f" of {len(document)}" if isinstance(document, list) else ""
        raise _Wrong(f"answers {count} places with {_kind(document)}{size}")
    for number, part in enumerate(document):
        # The server numbers the places of a request, the first one silently.
        if isinstance(part, dict) and part.get("location_id", number) != number:
            raise _Wrong(
                f"answers in another order than asked: {part['location_id']!r:.20} in place {number}"
            )
    return document


class _Part:
    """One place's part of an answer."""

    def __init__(self, part: Json, place: Place, call: Call) -> None:
        if isinstance(part, Refused):
            raise _Wrong(part.problem)
        self._part = _object(part, "the answer")
        self._place = place
        self._call = call
        offset_s = _number(self._part.get("utc_offset_seconds"), "utc_offset_seconds")
        if abs(offset_s) > MAX_OFFSET_S:
            raise _Wrong(f"utc_offset_seconds is {offset_s:g}, more than a day")
        self._offset = timedelta(seconds=offset_s)
        self._origin = {"url": call.address}
        self._attributes: dict[str, Any] = {
            "latitude": place.latitude,
            "longitude": place.longitude,
            "grid_latitude": _number(self._part.get("latitude"), "latitude"),
            "grid_longitude": _number(self._part.get("longitude"), "longitude"),
        }
        if self._part.get("elevation") is not None:
            self._attributes["elevation"] = _number(self._part["elevation"], "elevation")

    def records(self) -> Iterator[Record]:
        """Yield the records of every section that was asked for; _Wrong says which part is not as asked."""
        for section, datapoints in self._call.sections.items():
            if section == "current" and "current" not in self._part and "current_weather" in self._part:
                yield from self._legacy()
            elif section == "current":
                yield from self._current(datapoints)
            else:
                yield from self._series(section, datapoints)

    def _current(self, datapoints: Sequence[str]) -> Iterator[Record]:
        found, units = self._section("current")
        columns = {name: [found[name]] for name in self._names(found, datapoints, "current")}
        yield from self._rows("current", [self._moment(found.get("time"))], columns, units)

    def _legacy(self) -> Iterator[Record]:
        """Yield what old servers, which do not know `current`, have of it, under today's names."""
        old = _object(self._part["current_weather"], "current_weather")
        old_units = _object(self._part.get("current_weather_units", {}), "current_weather_units")
        columns = {new: [old[name]] for name, new in _LEGACY.items() if name in old}
        units = {new: old_units.get(name, "") for name, new in _LEGACY.items()}
        yield from self._rows("current", [self._moment(old.get("time"))], columns, units)

    def _series(self, section: str, datapoints: Sequence[str]) -> Iterator[Record]:
        found, units = self._section(section)
        moments = [
            self._midnight(text) if section == "daily" else self._moment(text)
            for text in _array(found.get("time"), f"{section}.time")
        ]
        for earlier, later in pairwise(moments):
            if later <= earlier:
                raise _Wrong(f"{section}.time repeats or goes back at {later.isoformat()}")
        columns: dict[str, Sequence[Json]] = {}
        for name in self._names(found, datapoints, section):
            columns[name] = _array(found[name], f"{section}.{name}")
            if len(columns[name]) != len(moments):
                raise _Wrong(f"{section}.{name} has {len(columns[name])} values for {len(moments)} times")
        yield from self._rows(section, moments, columns, units)

    def _rows(
        self,
        section: str,
        moments: Sequence[datetime],
        columns: Mapping[str, Sequence[Json]],
        units: Mapping[str, Json],
    ) -> Iterator[Record]:
        times = section == "daily"  # sunrise and sunset are times; nothing else is text
        checked = [
            [self._value(value, f"{section}.{name}", times) for value in column]
            for name, column in columns.items()
        ]
        texts = {name: _unit(units, name, section) for name in columns}
        shared: dict[
            tuple[str, ...], dict[str, str]
        ] = {}  # the same units are one object: they are encoded once
        for moment, row in zip(moments, zip(*checked, strict=True), strict=True):
            values = {name: value for name, value in zip(columns, row, strict=True) if value is not None}
            present = tuple(values)
            if values:
                yield Record(
                    stream=self._call.streams[section],
                    entity=self._place.name,
                    observed_at=moment,
                    values=values,
                    units=shared.setdefault(present, {name: texts[name] for name in present if texts[name]}),
                    attributes=self._attributes,
                    origin=self._origin,
                )

    def _section(self, section: str) -> tuple[dict[str, Json], dict[str, Json]]:
        if section not in self._part:
            raise _Wrong(f"{section} is missing")
        units = self._part.get(f"{section}_units")
        return _object(self._part[section], section), _object(units, f"{section}_units")

    def _names(self, found: Mapping[str, Json], datapoints: Sequence[str], section: str) -> list[str]:
        names: list[str] = []
        for datapoint in datapoints:
            present = [name for name in self._call.answered_names(datapoint) if name in found]
            if not present:
                raise _Wrong(f"{section}.{datapoint} is missing")
            names += present
        return names

    def _value(self, value: Json, name: str, times: bool) -> Json:
        if value is None or (type(value) in _NUMBERS and math.isfinite(value)):
            return value
        if times and isinstance(value, str):
            moment = self._moment(value)
            # Where the sun does not rise the server writes the beginning of 1970.
            return None if abs(moment - _EPOCH) <= timedelta(days=1) else moment
        raise _Wrong(f"{name} holds {value!r:.40}, which is no number")

    def _moment(self, text: Json) -> datetime:
        """Times are written without an offset: they are local to the answer's own utc_offset_seconds."""
        if not isinstance(text, str) or not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d", text):
            raise _Wrong(f"{text!r:.40} is no time like 2026-11-23T02:00")
        try:
            return datetime.fromisoformat(text).replace(tzinfo=UTC) - self._offset
        except (ValueError, OverflowError) as error:
            raise _Wrong(f"{text!r} is no time of the calendar") from error

    def _midnight(self, text: Json) -> datetime:
        """A day begins at midnight of the configured zone: the answer's offset changes with the clocks."""
        if not isinstance(text, str) or not re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            raise _Wrong(f"{text!r:.40} is no date like 2026-11-23")
        try:
            return datetime.combine(date.fromisoformat(text), time(), ZoneInfo(self._call.zone)).astimezone(
                UTC
            )
        except (ValueError, OverflowError) as error:
            raise _Wrong(f"{text!r} is no date of the calendar") from error


def _unit(units: Mapping[str, Json], name: str, section: str) -> str:
    unit = units.get(name)
    if not isinstance(unit, str) or not unit.isprintable() or len(unit.encode()) > MAX_UNIT_BYTES:
        raise _Wrong(f"{section}_units.{name} is {unit!r:.40}, which is no unit")
    return unit


def _object(value: Json, name: str) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise _Wrong(f"{name} is {_kind(value)}, not an object")
    return value


def _array(value: Json, name: str) -> list[Json]:
    if not isinstance(value, list):
        raise _Wrong(f"{name} is {_kind(value)}, not an array")
    return value


def _number(value: Json, name: str) -> float:
    if type(value) not in _NUMBERS or not math.isfinite(value):
        raise _Wrong(f"{name} is {value!r:.40}, not a number")
    return float(value)


def _kind(value: Json) -> str:
    kinds = {dict: "an object", list: "an array", str: "a text", bool: "true or false", type(None): "nothing"}
    return kinds.get(type(value), "a number")
