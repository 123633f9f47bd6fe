"""One request to Open-Meteo: what it asks, what it weighs, and how places are spread over requests.

Invariants:
- A call stays below the published limits (places and weight per call), and its address below the 8 KB
  that web servers and proxies take.
- The answer for several places fits one page, whatever its values.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from urllib.parse import urlencode

from collectors.open_meteo.options import OpenMeteoOptions, Place, weight_of_place
from outbox.errors import PermanentError
from outbox.record import MAX_PAGE_BYTES, MAX_PAGE_RECORDS

MAX_QUERY_CHARS = 6_000
MAX_UNIT_BYTES = 32
MAX_FREE_WEIGHT, MAX_WEIGHT = 600.0, 5_000.0
MAX_FREE_PLACES, MAX_PLACES = 1_000, 10_000
HOURS_A_DAY = 24
_RECORD_BYTES = 600  # names of fields, times, identity, coordinates
_VALUE_BYTES = 48  # a number or a time, and the punctuation around it and its unit


@dataclass(frozen=True)
class Call:
    """Asks about `places` for the datapoints of each section (`current`, `hourly`, `daily`).

    `days` are the parameters that say which days, `day_count` how many; `streams` says which stream a
    section feeds.
    """

    address: str
    places: tuple[Place, ...]
    sections: Mapping[str, tuple[str, ...]]
    streams: Mapping[str, str]
    days: Mapping[str, str | int]
    day_count: int
    zone: str
    options: OpenMeteoOptions

    @property
    def weight(self) -> float:
        """What the server counts for this call; an ordinary one counts 1."""
        return len(self.places) * self._weight_of_place()

    @property
    def max_page_records(self) -> int:
        """How many of its records fit a page, whatever their values."""
        models = [len(model) + 1 for model in self.options.models] or [0]
        names = [len(name) + model for names in self.sections.values() for name in names for model in models]
        entity = max((len(place.name.encode()) for place in self.places), default=0)
        record = _RECORD_BYTES + len(self.address) + entity
        record += sum(2 * name + MAX_UNIT_BYTES + _VALUE_BYTES for name in names)
        return max(1, min(MAX_PAGE_RECORDS, MAX_PAGE_BYTES // record))

    def params(self) -> dict[str, str | int | float]:
        """Return the parameters of the request, the key apart."""
        lists = {
            "latitude": ",".join(_number(place.latitude) for place in self.places),
            "longitude": ",".join(_number(place.longitude) for place in self.places),
            **{section: ",".join(names) for section, names in self.sections.items()},
        }
        if self.places[0].elevation is not None:
            lists["elevation"] = ",".join(_number(place.elevation or 0.0) for place in self.places)
        return {**lists, **self.days, "timezone": self.zone, **self.options.unit_params()}

    def answered_names(self, datapoint: str) -> tuple[str, ...]:
        """Return what the answer may call a datapoint: of several models, each adds its name."""
        return (datapoint, *(f"{datapoint}_{model}" for model in self.options.models))

    def split(self) -> Iterator["Call"]:
        """Yield this call for all its places, in their order, in as few calls as the limits allow."""
        room = self._room()
        # A request names the elevation of all its places or of none.
        for _, alike in groupby(self.places, key=lambda place: place.elevation is None):
            rest = tuple(alike)
            while rest:
                call = replace(self, places=rest[:room])
                while len(call.places) > 1 and len(urlencode(call.params(), safe=",")) > MAX_QUERY_CHARS:
                    call = replace(call, places=call.places[: len(call.places) * 9 // 10])
                yield call
                rest = rest[len(call.places) :]

    def _room(self) -> int:
        """How many places one call may hold."""
        free = self.options.is_metered()
        most = MAX_FREE_WEIGHT if free else MAX_WEIGHT
        each = self._weight_of_place()
        if each > most:
            raise PermanentError(
                f"{self.address}: one place would count {each:,.0f} calls; a request may count {most:,.0f}",
                hint="ask for fewer datapoints or models, or split them over several sources",
            )
        hours = {"current": 1, "daily": self.day_count}
        records = sum(hours.get(section, self.day_count * HOURS_A_DAY) for section in self.sections)
        places = MAX_FREE_PLACES if free else MAX_PLACES
        return max(1, min(places, int(most / each), self.max_page_records // max(1, records)))

    def _weight_of_place(self) -> float:
        datapoints = sum(map(len, self.sections.values())) * self.options.model_count()
        return weight_of_place(datapoints, self.day_count)


def _number(value: float) -> str:
    return str(round(value, 6))
