"""Made-up weather for the simulator: plausible, and a function of place and time alone.

The same hour has the same values whether it is asked for as a forecast, an observation or from the archive.
"""

import math
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - moments here are UTC, and written without saying so


class Sky(NamedTuple):
    """The weather of one place and hour, from which every datapoint follows; `sun` is 0 at night."""

    sun: float
    temperature: float
    cloud: float
    rain: float
    wind: float
    direction: float
    pressure: float


def sky(latitude: float, longitude: float, moment: datetime) -> Sky:
    """Return the weather at a moment (UTC): seasons, days and a few slow waves."""
    hours = (moment - EPOCH) / timedelta(hours=1)
    phase = latitude * 7.3 + longitude * 3.1
    wave = [
        math.sin(2 * math.pi * hours / period + phase * n)
        for n, period in enumerate((131, 61, 47, 97, 170), 1)
    ]
    season = math.cos(2 * math.pi * (moment.timetuple().tm_yday - 172) / 365.25)
    tilt, angle = math.radians(23.44 * season), math.radians(15 * hours + longitude - 180)
    north = math.radians(latitude)
    sun = math.sin(north) * math.sin(tilt) + math.cos(north) * math.cos(tilt) * math.cos(angle)
    cloud = min(100.0, max(0.0, 55 + 40 * wave[1] + 20 * wave[2]))
    warmth = 28 - 0.45 * abs(latitude) + 0.16 * latitude * season
    return Sky(
        sun=max(0.0, sun),
        temperature=warmth + 8 * max(0.0, sun) - 3 + 3 * wave[0],
        cloud=cloud,
        rain=max(0.0, cloud - 85) / 10,
        wind=14 + 9 * wave[2] + 3 * wave[0],
        direction=180 + 175 * wave[3],
        pressure=1013 + 14 * wave[4],
    )


class Datapoint(NamedTuple):
    """How a datapoint is written, and how it follows from the sky."""

    unit: str
    decimals: int
    value: Callable[[Sky], float]

    def in_units(self, chosen: Mapping[str, str]) -> "Datapoint":
        """Return the datapoint in the units that the parameters of a request choose."""
        unit, convert = _UNITS.get(
            (self.unit, chosen.get(_UNIT_PARAMS.get(self.unit, ""))), (self.unit, float)
        )
        return Datapoint(unit, self.decimals, lambda now: convert(self.value(now)))


WEATHER: dict[str, Datapoint] = {
    "temperature_2m": Datapoint("°C", 1, lambda s: s.temperature),
    "apparent_temperature": Datapoint("°C", 1, lambda s: s.temperature - s.wind / 8),
    "dew_point_2m": Datapoint("°C", 1, lambda s: s.temperature - 1 - 6 * s.sun),
    "relative_humidity_2m": Datapoint("%", 0, lambda s: 70 - 25 * s.sun + s.cloud / 4),
    "precipitation": Datapoint("mm", 2, lambda s: s.rain),
    "precipitation_probability": Datapoint("%", 0, lambda s: s.cloud * 0.9),
    "rain": Datapoint("mm", 2, lambda s: s.rain if s.temperature > 0 else 0),
    "snowfall": Datapoint("cm", 2, lambda s: 0.7 * s.rain if s.temperature <= 0 else 0),
    "weather_code": Datapoint("wmo code", 0, lambda s: 61 if s.rain else min(3, s.cloud // 25)),
    "cloud_cover": Datapoint("%", 0, lambda s: s.cloud),
    "pressure_msl": Datapoint("hPa", 1, lambda s: s.pressure),
    "surface_pressure": Datapoint("hPa", 1, lambda s: s.pressure - 4),
    "wind_speed_10m": Datapoint("km/h", 1, lambda s: s.wind),
    "wind_gusts_10m": Datapoint("km/h", 1, lambda s: 1.8 * s.wind),
    "wind_direction_10m": Datapoint("°", 0, lambda s: s.direction),
    "is_day": Datapoint("", 0, lambda s: s.sun > 0),
    "shortwave_radiation": Datapoint("W/m²", 1, lambda s: 1_000 * s.sun * (1 - s.cloud / 140)),
}
AIR: dict[str, Datapoint] = {
    "pm10": Datapoint("μg/m³", 1, lambda s: 22 - s.wind / 2),
    "pm2_5": Datapoint("μg/m³", 1, lambda s: 13 - s.wind / 3),
    "ozone": Datapoint("μg/m³", 1, lambda s: 45 + 60 * s.sun),
    "nitrogen_dioxide": Datapoint("μg/m³", 1, lambda s: 18 - 12 * s.sun),
    "uv_index": Datapoint("", 2, lambda s: 9 * s.sun),
    "european_aqi": Datapoint("EAQI", 0, lambda s: 30 + 20 * s.sun),
}
_UNITS: dict[tuple[str, str | None], tuple[str, Callable[[float], float]]] = {
    ("°C", "fahrenheit"): ("°F", lambda value: value * 1.8 + 32),
    ("km/h", "ms"): ("m/s", lambda value: value / 3.6),
    ("km/h", "mph"): ("mp/h", lambda value: value / 1.609344),
    ("km/h", "kn"): ("kn", lambda value: value / 1.852),
    ("mm", "inch"): ("inch", lambda value: value / 25.4),
}
_UNIT_PARAMS = {"°C": "temperature_unit", "km/h": "wind_speed_unit", "mm": "precipitation_unit"}
MERGES: dict[str, Callable[[list[float]], float]] = {
    "max": max,
    "min": min,
    "sum": sum,
    "mean": lambda values: sum(values) / len(values),
}
