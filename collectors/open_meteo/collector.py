"""Weather and air quality from Open-Meteo: four streams (`current`, `hourly`, `daily`, `archive`).

Weather data by Open-Meteo.com, CC BY 4.0; commercial use needs an API key.

Invariants:
- `current` and `hourly` are asked in GMT, `daily` in the configured zone: the answer's own offset, which
  changes with the clocks, never decides when a day begins.
- A round is complete when every place of every request was read, and only then does its last page move
  the bookmark. After an outage the next round reaches back over it, at most 92 days.
- A back-fill goes forward in days, for all places, and can be resumed at each of its pages.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import ClassVar, TypeVar
from zoneinfo import ZoneInfo

import msgspec

from collectors.collector import Context, SourceOptions, Window
from collectors.http.client import Answer
from collectors.open_meteo.account import Account, Spent
from collectors.open_meteo.answer import Reading, read_answer
from collectors.open_meteo.call import HOURS_A_DAY, Call
from collectors.open_meteo.options import MAX_PAST_DAYS, OpenMeteoOptions, parse_places
from outbox.errors import ConfigError, DataError, PermanentError
from outbox.record import Page, Rejected

GMT = "GMT"
BACKFILL_SHARE = 0.5
"""Of the free limits: the rest is left to live rounds, and to other sources behind the same address."""


class LiveBookmark(msgspec.Struct, frozen=True):
    """When the last complete round began (None: never), and what was spent of the free limits."""

    completed: datetime | None = None
    spent: Spent = {}


class BackfillBookmark(msgspec.Struct, frozen=True):
    """The days to go on with; of these, the places up to `after`, by name, have been read ("": none)."""

    since: date
    until: date
    after: str = ""
    spent: Spent = {}


Bookmark = TypeVar("Bookmark", LiveBookmark, BackfillBookmark)


class OpenMeteo:
    """Weather of places, from Open-Meteo or a server of one's own."""

    Options: ClassVar[type[SourceOptions]] = OpenMeteoOptions

    def __init__(self, options: OpenMeteoOptions, context: Context) -> None:
        self._options = options
        self._context = context
        self._places = tuple(sorted(parse_places(options.places)))
        self._zone = options.timezone or context.timezone

    def collect(self, bookmarks: Mapping[str, str], window: Window | None = None) -> Iterator[Page]:
        """Yield a round of all places, or with a window the archive's days that are not read yet."""
        text = bookmarks.get("", "")
        return self._backfill(text, window) if window else self._live(text)

    def _live(self, text: str) -> Iterator[Page]:
        mark = self._decode(text, LiveBookmark) or LiveBookmark()
        account = Account(mark.spent, now=self._context.now)
        started = self._context.now()
        calls = [call for kind in self._round(mark.completed, started) for call in kind.split()]
        missed, complete = self._missed(mark.completed, started), True
        for number, call in enumerate(calls, 1):
            reading = self._ask(call, account)
            complete = complete and not reading.rejected
            done = started if complete and number == len(calls) else mark.completed
            yield from _pages(
                Reading(reading.records, reading.rejected + missed),
                call.max_page_records,
                before=_encode(LiveBookmark(mark.completed, account.spent)),
                after=_encode(LiveBookmark(done, account.spent)),
            )
            missed = []

    def _round(self, completed: datetime | None, now: datetime) -> Iterator[Call]:
        """The requests that a round needs, each for all places; daily values have a zone of their own."""
        asked = {"current": self._options.current, "hourly": self._options.hourly}
        in_gmt = {section: names for section, names in asked.items() if names}
        if in_gmt:
            yield self._call(in_gmt, GMT, self._past_days(completed, now, ZoneInfo(GMT)))
        if self._options.daily:
            past_days = self._past_days(completed, now, self._zone)
            yield self._call({"daily": self._options.daily}, self._zone.key, past_days)

    def _call(self, sections: dict[str, tuple[str, ...]], zone: str, past_days: int) -> Call:
        days = {"past_days": past_days, "forecast_days": self._options.forecast_days}
        return Call(
            address=self._options.address(self._options.api),
            places=self._places,
            sections=sections,
            streams={section: section for section in sections},
            days=days,
            day_count=sum(days.values()),
            zone=zone,
            options=self._options,
        )

    def _past_days(self, completed: datetime | None, now: datetime, zone: ZoneInfo) -> int:
        """`past_days`, and as many more as have gone by since the last complete round."""
        return min(MAX_PAST_DAYS, self._options.past_days + _days_away(completed, now, zone))

    def _missed(self, completed: datetime | None, now: datetime) -> list[Rejected]:
        """What the days say that lie further back than the server's past_days can reach; mostly nothing."""
        away = _days_away(completed, now, ZoneInfo(GMT))
        if completed is None or away <= MAX_PAST_DAYS or not (self._options.hourly or self._options.daily):
            return []
        until = (now - timedelta(days=MAX_PAST_DAYS)).date()
        reason = f"no round for {away} days, and {MAX_PAST_DAYS} can be read again: back-fill the rest"
        return [Rejected(reason, f"{completed.date().isoformat()} to {until.isoformat()}")]

    def _backfill(self, text: str, window: Window) -> Iterator[Page]:
        self._check(window)
        mark = self._decode(text, BackfillBookmark) or BackfillBookmark(window.since, date.min)
        account = Account(mark.spent, now=self._context.now, share=BACKFILL_SHARE)
        since, until, after = mark.since, mark.until, mark.after
        while since <= window.until:
            if not after:
                until = min(since + timedelta(days=self._days_per_call() - 1), window.until)
            next_day = until + timedelta(days=1)
            calls = list(self._archive(since, until, after).split())
            for number, call in enumerate(calls, 1):
                reading = self._ask(call, account)
                if reading.rejected:
                    raise PermanentError(reading.rejected[0].reason)
                done = BackfillBookmark(next_day, until, "", account.spent)
                if number < len(calls):
                    done = BackfillBookmark(since, until, call.places[-1].name, account.spent)
                yield Page(records=reading.records, bookmark=_encode(done))
            since, after = next_day, ""

    def _archive(self, since: date, until: date, after: str) -> Call:
        """Those days, for the places behind `after`."""
        api = "air_quality" if self._options.api == "air_quality" else "archive"
        return Call(
            address=self._options.address(api),
            places=tuple(place for place in self._places if place.name > after),
            sections={"hourly": self._options.archive or self._options.hourly},
            streams={"hourly": "archive"},
            days={"start_date": since.isoformat(), "end_date": until.isoformat()},
            day_count=(until - since).days + 1,
            zone=GMT,
            options=self._options,
        )

    def _days_per_call(self) -> int:
        """So many days that the places together fill a page; their weight is far below the limit then."""
        one_day = self._archive(date.min, date.min, "")
        return max(1, one_day.max_page_records // HOURS_A_DAY // len(self._places))

    def _check(self, window: Window) -> None:
        source, today = self._context.source, self._context.now().astimezone(UTC).date()
        if not (self._options.archive or self._options.hourly):
            raise ConfigError([f"[source:{source}] archive: a back-fill needs datapoints, here or in hourly"])
        if window.since > window.until:
            raise PermanentError(
                f"{source}: a back-fill from {window.since} until {window.until} has no days"
            )
        if window.until > today:
            raise PermanentError(
                f"{source}: a back-fill until {window.until} lies in the future: today is {today} (UTC)"
            )

    def _ask(self, call: Call, account: Account) -> Reading:
        def read(answer: Answer) -> Reading:
            return read_answer(answer, call, source=self._context.source, now=self._context.now())

        def charge() -> None:
            if self._options.is_metered():
                account.spend(call.weight)

        params = call.params()
        if self._options.api_key:
            params["apikey"] = self._context.secret(self._options.api_key)
        return self._context.http.get(call.address, params, read=read, before=charge)

    def _decode(self, text: str, kind: type[Bookmark]) -> Bookmark | None:
        try:
            return msgspec.json.decode(text, type=kind) if text else None
        except msgspec.DecodeError as error:
            raise DataError(f"the bookmark is none of open_meteo's: {error}") from error


def _pages(reading: Reading, max_records: int, *, before: str, after: str) -> Iterator[Page]:
    """The reading in as many pages as it needs; only the last one has the bookmark `after`."""
    for start in range(0, max(1, len(reading.records)), max_records):
        last = start + max_records >= len(reading.records)
        yield Page(
            records=reading.records[start : start + max_records],
            rejected=reading.rejected if last else [],
            bookmark=after if last else before,
        )


def _days_away(completed: datetime | None, now: datetime, zone: ZoneInfo) -> int:
    """How many days have begun in this zone since the last complete round."""
    if completed is None:
        return 0
    days = (now.astimezone(zone).date() - completed.astimezone(zone).date()).days
    # A round in the future: the clock was wrong, now or then, and nobody knows by how much.
    return MAX_PAST_DAYS if days < -1 else max(0, days)


def _encode(bookmark: LiveBookmark | BackfillBookmark) -> str:
    return msgspec.json.encode(bookmark).decode()
