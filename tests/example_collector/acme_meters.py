"""A meter: the whole of a package that adds a kind of source."""

from collections.abc import Iterator, Mapping
from datetime import datetime

import msgspec
from pydantic import Field

from collectors import (
    Answer,
    Context,
    Page,
    PermanentError,
    Record,
    SourceOptions,
    TransientError,
    Window,
    check_status,
)


class MeterOptions(SourceOptions):
    url: str = Field(description="Address of the meter's interface.")


class Reading(msgspec.Struct):
    number: int
    meter: str
    at: datetime
    kwh: float


class Meter:
    """Reads the readings of a meter."""

    Options = MeterOptions

    def __init__(self, options: MeterOptions, context: Context) -> None:
        self._url, self._http = options.url, context.http

    def collect(self, bookmarks: Mapping[str, str], window: Window | None = None) -> Iterator[Page]:
        if window:
            raise PermanentError("a meter keeps no history to back-fill")
        after = bookmarks.get("", "0")
        while found := self._http.get(f"{self._url}/readings", {"after": after}, read=readings):
            after = str(found[-1].number)
            yield Page(records=[record(reading) for reading in found], bookmark=after)


def readings(answer: Answer) -> list[Reading]:
    check_status(answer)
    try:
        return msgspec.json.decode(answer.body, type=list[Reading])
    except msgspec.DecodeError as error:
        raise TransientError(f"{answer.url} sent no list of readings: {error}") from error


def record(reading: Reading) -> Record:
    values, units = {"energy": reading.kwh}, {"energy": "kWh"}
    return Record(stream="readings", entity=reading.meter, observed_at=reading.at, values=values, units=units)
