"""A weather server on loopback that answers in Open-Meteo's shape: for `outbox demo`, and for tests.

Invariants:
- Like the server it stands for, it rounds places to a grid, writes times without an offset, numbers the
  places of a request from 0 (and does not write that 0), and says how long the answer took to make.
- It refuses what that server refuses, in its words.
- The archive ends two days before now: later hours are null.
"""

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qsl, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from collectors.open_meteo.simulated_weather import AIR, EPOCH, MERGES, WEATHER, Datapoint, sky

ARCHIVE_DELAY = timedelta(days=2)
FIRST_DAY = date(1940, 1, 1)
GRID_DEGREES = 0.0625
MAX_PLACES = 1_000
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
_TABLES = {"/v1/forecast": WEATHER, "/v1/archive": WEATHER, "/v1/air-quality": AIR}
_DAYS = {"/v1/forecast": (7, 16), "/v1/air-quality": (5, 7)}
_MODELS = ("best_match", "ecmwf_ifs025", "gfs_seamless", "icon_seamless")


class RefusedError(Exception):
    """The request has a parameter that the server refuses; the text is its reason."""


class Request(NamedTuple):
    """One request as it came in; `number` counts from 1."""

    number: int
    path: str
    query: Mapping[str, str]


class Reply(NamedTuple):
    """What is sent back."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _Asked:
    """A request, understood; RefusedError where it cannot be."""

    def __init__(self, request: Request, now: datetime) -> None:
        self.path, self._query = request.path, request.query
        self.now = now.astimezone(UTC).replace(tzinfo=None)
        self.table = _TABLES[request.path]
        zone = self._query.get("timezone", "GMT")
        try:
            self.zone = ZoneInfo("GMT" if zone == "auto" else zone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise RefusedError("Invalid timezone") from error
        self.offset = now.astimezone(self.zone).utcoffset() or timedelta()
        self.places = self._places()
        self.elevations = self.names("elevation")
        self.models = self.names("models")
        for model in self.models:
            if model not in _MODELS:
                raise RefusedError(
                    "Data corrupted at path ''. Cannot initialize MultiDomains from invalid "
                    f"String value {model}."
                )
        self.first_day, self.days = self._range()

    def names(self, name: str) -> list[str]:
        """Return a comma list; empty where it is not asked for."""
        return [part for part in self._query.get(name, "").split(",") if part]

    def datapoint(self, name: str, section: str) -> Datapoint:
        """Return a datapoint in the units asked for; RefusedError where there is none of this name."""
        if name not in self.table:
            raise RefusedError(
                "Data corrupted at path ''. Cannot initialize SurfacePressureAndHeightVariable from invalid "
                f"String value {name} for key {section}."
            )
        return self.table[name].in_units(self._query)

    def _places(self) -> list[tuple[float, float]]:
        latitudes, longitudes = (
            [float(part) for part in self.names(name)] for name in ("latitude", "longitude")
        )
        if not latitudes or len(latitudes) != len(longitudes):
            raise RefusedError("Parameter 'latitude' and 'longitude' must have the same number of elements")
        if len(latitudes) > MAX_PLACES:
            raise RefusedError(
                f"Parameter 'latitude' and 'longitude' must not exceed {MAX_PLACES} coordinates."
            )
        for name, numbers, most in (("Latitude", latitudes, 90), ("Longitude", longitudes, 180)):
            for number in numbers:
                if not -most <= number <= most:
                    raise RefusedError(f"{name} must be in range of -{most} to {most}°. Given: {number}.")
        return list(zip(latitudes, longitudes, strict=True))

    def _range(self) -> tuple[date, int]:
        today = (self.now + self.offset).date()
        if "start_date" in self._query or self.path == "/v1/archive":
            if not {"start_date", "end_date"} <= set(self._query):
                raise RefusedError("Both 'start_date' and 'end_date' must be set in the url")
            first, last = (date.fromisoformat(self._query[name]) for name in ("start_date", "end_date"))
            for name, day in (("start_date", first), ("end_date", last)):
                if not FIRST_DAY <= day <= today + DAY:
                    allowed = f"from {FIRST_DAY} to {today + DAY}"
                    raise RefusedError(f"Parameter '{name}' is out of allowed range {allowed}")
            if first > last:
                raise RefusedError("End-date must be larger or equals than start-date")
            return first, (last - first).days + 1
        usual, most = _DAYS[self.path]
        past, ahead = int(self._query.get("past_days", 0)), int(self._query.get("forecast_days", usual))
        for name, number, limit in (("Past", past, 92), ("Forecast", ahead, most)):
            if not 0 <= number <= limit:
                raise RefusedError(f"{name} days is invalid. Allowed range 0 to {limit}. Given {number}.")
        return today - past * DAY, past + ahead


class _Place:
    """What the server knows about one place of a request."""

    def __init__(self, asked: _Asked, index: int) -> None:
        self._asked = asked
        self._index = index
        self._latitude, self._longitude = asked.places[index]

    def document(self, generation_ms: float) -> dict[str, Any]:
        """Return the place's part of the answer, its keys in the server's order."""
        asked, offset_s = self._asked, int(self._asked.offset.total_seconds())
        document: dict[str, Any] = {
            "latitude": round(self._latitude / GRID_DEGREES) * GRID_DEGREES,
            "longitude": round(self._longitude / GRID_DEGREES) * GRID_DEGREES,
            "generationtime_ms": generation_ms,
            "utc_offset_seconds": offset_s,
            "timezone": asked.zone.key,
            "timezone_abbreviation": f"GMT{offset_s // 3600:+d}" if offset_s else "GMT",
            "elevation": float((asked.elevations or ["17"] * len(asked.places))[self._index]),
        }
        if self._index:
            document["location_id"] = self._index
        makers = {"current": self._current, "hourly": self._hourly, "daily": self._daily}
        for section, make in makers.items():
            if names := asked.names(section):
                document |= make(names)
        return document

    def _current(self, names: Sequence[str]) -> dict[str, Any]:
        step = HOUR if self._asked.path == "/v1/air-quality" else HOUR / 4
        local = self._asked.now + self._asked.offset
        moment = local - (local - EPOCH) % step
        found = {name: self._asked.datapoint(name, "current") for name in names}
        return {
            "current_units": {"time": "iso8601", "interval": "seconds"}
            | {name: datapoint.unit for name, datapoint in found.items()},
            "current": {"time": _minute(moment), "interval": int(step.total_seconds())}
            | {name: self._at(datapoint, moment) for name, datapoint in found.items()},
        }

    def _hourly(self, names: Sequence[str]) -> dict[str, Any]:
        hours = [hour for day in self._days() for hour in _hours(day)]
        columns = {}
        for name in names:
            datapoint = self._asked.datapoint(name, "hourly")
            columns[name] = datapoint.unit, [self._at(datapoint, hour) for hour in hours]
        return self._section("hourly", [_minute(hour) for hour in hours], columns)

    def _daily(self, names: Sequence[str]) -> dict[str, Any]:
        columns = {name: self._day_column(name) for name in names}
        return self._section("daily", [f"{day:%Y-%m-%d}" for day in self._days()], columns)

    def _day_column(self, name: str) -> tuple[str, list[Any]]:
        if name in ("sunrise", "sunset"):
            return "iso8601", [self._turn_of_sun(day, last=name == "sunset") for day in self._days()]
        base, _, how = ("weather_code", "", "max") if name == "weather_code" else name.rpartition("_")
        datapoint = self._asked.datapoint(base if how in MERGES else name, "daily")
        column: list[Any] = []
        for day in self._days():
            values = [value for hour in _hours(day) if (value := self._at(datapoint, hour)) is not None]
            column.append(_rounded(MERGES[how](values), datapoint.decimals) if len(values) == 24 else None)
        return datapoint.unit, column

    def _turn_of_sun(self, day: datetime, *, last: bool) -> str:
        light = [hour for hour in _hours(day) if self._at(WEATHER["is_day"], hour)]
        # Where the sun does not rise the server writes the beginning of 1970.
        return _minute(light[-1 if last else 0] if light else EPOCH + self._asked.offset)

    def _section(
        self, name: str, times: list[str], columns: Mapping[str, tuple[str, list[Any]]]
    ) -> dict[str, Any]:
        models = [f"_{model}" for model in self._asked.models] if len(self._asked.models) > 1 else [""]
        named = {f"{column}{model}": found for model in models for column, found in columns.items()}
        return {
            f"{name}_units": {"time": "iso8601"} | {column: unit for column, (unit, _) in named.items()},
            name: {"time": times} | {column: values for column, (_, values) in named.items()},
        }

    def _at(self, datapoint: Datapoint, local: datetime) -> float | None:
        moment = local - self._asked.offset
        if self._asked.path == "/v1/archive" and moment > self._asked.now - ARCHIVE_DELAY:
            return None
        return _rounded(datapoint.value(sky(self._latitude, self._longitude, moment)), datapoint.decimals)

    def _days(self) -> list[datetime]:
        first = datetime.combine(self._asked.first_day, EPOCH.time())
        return [first + number * DAY for number in range(self._asked.days)]


class WeatherSimulator:
    """Serves made-up weather at `url` while it is entered; `requests` are those that came in.

    `fault` may replace what is sent back: status, headers, body.
    """

    def __init__(
        self,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        fault: Callable[[Request, Reply], Reply] = lambda _request, reply: reply,
    ) -> None:
        self.requests: list[Request] = []
        self._now = now
        self._fault = fault
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        """The base address, as the option `url` takes it."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def reply(self, path: str, query: Mapping[str, str]) -> Reply:
        """Return what is sent back to a request."""
        with self._lock:
            request = Request(len(self.requests) + 1, path, query)
            self.requests.append(request)
        status, document = self._document(request)
        body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
        return self._fault(request, Reply(status, {"Content-Type": "application/json; charset=utf-8"}, body))

    def _document(self, request: Request) -> tuple[int, Any]:
        if request.path not in _TABLES:
            return 404, {"error": True, "reason": "Not Found"}
        try:
            asked = _Asked(request, self._now())
            generation_ms = 0.1 + request.number / 64
            documents = [_Place(asked, index).document(generation_ms) for index in range(len(asked.places))]
        except (RefusedError, ValueError) as error:
            return 400, {"reason": str(error), "error": True}
        return 200, documents if len(documents) > 1 else documents[0]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        answer = self.reply

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                status, headers, body = answer(parts.path, dict(parse_qsl(parts.query)))
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Say nothing: stderr belongs to the program."""

        return Handler


def _hours(day: datetime) -> list[datetime]:
    return [day + number * HOUR for number in range(24)]


def _minute(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M}"


def _rounded(value: float, decimals: int) -> float:
    return round(float(value), decimals) if decimals else round(value)
