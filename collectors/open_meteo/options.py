"""The options of an Open-Meteo source: which places, which datapoints, from which server.

Invariants:
- What passes here, the public server does not answer with a parameter error, names of datapoints and
  models apart: only the server knows those.
- A configuration that would overdraw the free limits every day is refused before the first request.
"""

import math
import re
from typing import Annotated, Any, Literal, NamedTuple, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from collectors.collector import SourceOptions
from outbox.config.options import Lines, Names, Reference

MAX_PAST_DAYS = 92
MAX_PLACE_CHARS = 200
FREE_CALLS_A_DAY = 10_000
_MAX_FORECAST_DAYS = {"forecast": 16, "air_quality": 7}
_PATHS = {"forecast": "/v1/forecast", "archive": "/v1/archive", "air_quality": "/v1/air-quality"}
_HOSTS = {"forecast": "api", "archive": "archive-api", "air_quality": "air-quality-api"}
_DOMAIN = "open-meteo.com"
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class Place(NamedTuple):
    """A location under our own name; `elevation` in metres is None where the server shall look it up."""

    name: str
    latitude: float
    longitude: float
    elevation: float | None = None


def parse_places(lines: tuple[str, ...]) -> tuple[Place, ...]:
    """Return a place for each line; ValueError names every line that is none, and why."""
    places: list[Place] = []
    problems: list[str] = []
    named: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        try:
            place = _parse_place(line)
        except ValueError as error:
            problems.append(f"line {number} ({line[:60]}) {error}")
            continue
        if first := named.get(place.name.casefold()):
            problems.append(f"line {number} ({line[:60]}) has the name of line {first}")
        named.setdefault(place.name.casefold(), number)
        places.append(place)
    if problems:
        raise ValueError("; ".join(problems))
    return tuple(places)


def _parse_place(line: str) -> Place:
    name, *parts = (part.strip() for part in line.split(","))
    try:
        numbers = [float(part) for part in parts]
    except ValueError as error:
        raise ValueError("has a number that is none: write it with a point, as in 60.1695") from error
    if not name or len(numbers) not in (2, 3):
        raise ValueError("is no place: write Name, latitude, longitude, with points in the numbers")
    if len(name) > MAX_PLACE_CHARS or not name.isprintable():
        raise ValueError(f"has no usable name: at most {MAX_PLACE_CHARS} printable characters")
    for what, number, most in zip(
        ("latitude", "longitude", "elevation"), numbers, (90, 180, 9_000), strict=False
    ):
        if not math.isfinite(number) or abs(number) > most:
            raise ValueError(f"has the {what} {number:g}, which is not within {-most} and {most}")
    return Place(name, *numbers)


def _checked_places(lines: tuple[str, ...]) -> tuple[str, ...]:
    if not parse_places(lines):
        raise ValueError("names no place: write one per line, as Name, latitude, longitude")
    return lines


def _checked_datapoints(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if not re.fullmatch(r"[A-Za-z0-9_]{1,100}", name) or name in ("time", "interval"):
            raise ValueError(f"{name[:60]} is no name of a datapoint")
        if names.count(name) > 1:
            raise ValueError(f"{name} is named twice")
    return names


def _checked_url(text: str) -> str:
    parts = urlsplit(text)
    if text and (
        parts.scheme not in ("http", "https") or not parts.hostname or parts.query or "@" in parts.netloc
    ):
        raise ValueError("is no base address: write https://host, without login and without ?")
    return text.rstrip("/")


PlaceLines = Annotated[Lines, AfterValidator(_checked_places)]
Datapoints = Annotated[Names, AfterValidator(_checked_datapoints)]


class OpenMeteoOptions(SourceOptions):
    """A source with `collector = open_meteo`."""

    places: PlaceLines = Field(description="One per line: our name, latitude, longitude[, elevation in m].")
    current: Datapoints = Field((), description="Datapoints of this moment; stream current.")
    hourly: Datapoints = Field((), description="Datapoints of each hour; stream hourly.")
    daily: Datapoints = Field(
        (), description="Datapoints of each day in the source's timezone; stream daily."
    )
    archive: Datapoints = Field((), description="Datapoints of a back-fill; empty: those of hourly.")
    past_days: int = Field(2, ge=0, le=MAX_PAST_DAYS, description="Days before today read again each time.")
    forecast_days: int = Field(1, ge=0, le=16, description="Days from today on; air_quality: at most 7.")
    api: Literal["forecast", "air_quality"] = Field("forecast", description="Which of the APIs.")
    api_key: Reference | None = Field(None, description="Needed for commercial use: file:PATH or env:NAME.")
    url: Annotated[str, AfterValidator(_checked_url)] = Field(
        "", description="A server of your own; empty: open-meteo.com, with a key its customer hosts."
    )
    temperature_unit: Literal["celsius", "fahrenheit"] = Field("celsius", description="Of temperatures.")
    wind_speed_unit: Literal["kmh", "ms", "mph", "kn"] = Field("kmh", description="Of wind speeds.")
    precipitation_unit: Literal["mm", "inch"] = Field("mm", description="Of rain and snow.")
    models: Datapoints = Field((), description="Weather models; empty: the best for each place.")
    cell_selection: Literal["", "land", "sea", "nearest"] = Field(
        "", description="Which grid cell near a place; empty: the server's choice."
    )

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if not (self.current or self.hourly or self.daily or self.archive):
            raise ValueError("nothing is asked for: name datapoints in current, hourly, daily or archive")
        if (self.hourly or self.daily) and not self.past_days + self.forecast_days:
            raise ValueError("past_days and forecast_days are both 0: hourly and daily would stay empty")
        if self.forecast_days > _MAX_FORECAST_DAYS[self.api]:
            raise ValueError(f"forecast_days is at most {_MAX_FORECAST_DAYS[self.api]} for api = {self.api}")
        if self.daily and self.api == "air_quality":
            raise ValueError("daily is not offered by api = air_quality: name hourly datapoints")
        server = urlsplit(self.url)
        if self.api_key and server.scheme == "http" and server.hostname not in _LOOPBACK:
            raise ValueError("url: an api_key is never sent over http: write https")
        calls = self.calls_a_day()
        if self.is_metered() and calls > FREE_CALLS_A_DAY:
            raise ValueError(
                f"this asks for {calls:,.0f} calls a day and {FREE_CALLS_A_DAY:,} are free: "
                "raise every, name fewer places or datapoints, or set api_key"
            )
        return self

    def address(self, api: str) -> str:
        """Return the address of `forecast`, `archive` or `air_quality`, without parameters."""
        customer = "customer-" if self.api_key else ""
        return (self.url or f"https://{customer}{_HOSTS[api]}.{_DOMAIN}") + _PATHS[api]

    def is_metered(self) -> bool:
        """Whether the limits of free use apply: no key, and not a server of our own."""
        host = urlsplit(self.address(self.api)).hostname or ""
        return not self.api_key and (host == _DOMAIN or host.endswith("." + _DOMAIN))

    def calls_a_day(self) -> float:
        """Return what the scheduled rounds of a day weigh, as Open-Meteo counts calls."""
        days = self.past_days + self.forecast_days
        rounds = (self.current + self.hourly, self.daily)
        weight = sum(weight_of_place(len(names) * self.model_count(), days) for names in rounds if names)
        return weight * len(self.places) * 86_400 / max(1.0, self.every)

    def model_count(self) -> int:
        """Return how many models answer: each multiplies the datapoints."""
        return max(1, len(self.models))

    def unit_params(self) -> dict[str, Any]:
        """Return the parameters that differ from the server's own choice."""
        chosen = {
            "temperature_unit": self.temperature_unit,
            "wind_speed_unit": self.wind_speed_unit,
            "precipitation_unit": self.precipitation_unit,
            "models": ",".join(self.models),
            "cell_selection": self.cell_selection,
        }
        fields = type(self).model_fields
        return {name: value for name, value in chosen.items() if value and value != fields[name].default}


def weight_of_place(datapoints: int, days: int) -> float:
    """Return what one place costs: a call is up to 10 datapoints over 14 days, and never less than 1."""
    return max(1.0, datapoints / 10, days / 14 * datapoints / 10)
