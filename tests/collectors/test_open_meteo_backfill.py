"""Back-fills: the archive in pages, resumable at each of them."""

import json
from datetime import date
from urllib.parse import parse_qs, urlsplit

import pytest

from collectors.collector import Window
from collectors.open_meteo.collector import BACKFILL_SHARE
from collectors.open_meteo.options import weight_of_place
from collectors.open_meteo.simulator import WeatherSimulator
from outbox.errors import ConfigError, PermanentError, TransientError
from outbox.record import MAX_PAGE_RECORDS
from tests.collectors.loopback import reply

PLACES = (
    "Turku, 60.4518, 22.2666\nHelsinki, 60.1695, 24.9354, 12\nOulu, 65.0121, 25.4651\nVaasa, 63.1, 21.6, 3"
)
YEAR = Window(date(2025, 1, 1), date(2025, 12, 31))


@pytest.fixture
def weather(stack, clock):
    return stack.enter_context(WeatherSimulator(now=clock))


def test_it_has_every_hour_of_every_place_once(make_source, weather):
    source = make_source(
        weather.url, places=PLACES, hourly="rain", current="temperature_2m", daily="rain_sum"
    )
    pages = list(source.collect({}, YEAR))
    found = [(record.entity, record.observed_at) for page in pages for record in page.records]
    assert len(found) == len(set(found)) == 4 * 365 * 24
    assert {record.stream for page in pages for record in page.records} == {"archive"}
    assert all(len(page.records) <= MAX_PAGE_RECORDS for page in pages)
    assert {request.path for request in weather.requests} == {"/v1/archive"}
    assert all(request.query["timezone"] == "GMT" for request in weather.requests)


def resumed_at_each_page(source, window):
    """The pages of a run that ends after each page and starts again with its bookmark."""
    bookmarks = {}
    while True:
        pages = source.collect(bookmarks, window)
        page = next(pages, None)
        pages.close()
        if page is None:
            return
        yield page
        bookmarks = {"": page.bookmark}


@pytest.mark.parametrize("places", [PLACES, "Helsinki, 60.1695, 24.9354"])
def test_resuming_at_each_page_is_the_same_as_one_run(make_source, weather, places):
    source = make_source(weather.url, places=places, hourly="rain")
    whole = list(source.collect({}, YEAR))
    asked = [request.query for request in weather.requests]
    assert list(resumed_at_each_page(source, YEAR)) == whole
    assert [request.query for request in weather.requests] == asked * 2


def test_many_places_are_spread_over_requests_and_resumed_between_them(make_source, weather):
    places = "\n".join(f"P{n:03}, {n / 10:.1f}, 20" for n in range(450))
    source = make_source(weather.url, places=places, hourly="rain")
    window = Window(date(2025, 1, 1), date(2025, 1, 2))
    whole = list(source.collect({}, window))
    found = [(record.entity, record.observed_at) for page in whole for record in page.records]
    assert len(found) == len(set(found)) == 450 * 48
    assert any(json.loads(page.bookmark)["after"] for page in whole)
    assert list(resumed_at_each_page(source, window)) == whole


@pytest.mark.parametrize(
    "later",
    [
        "Vaasa, 63.1, 21.6, 3\nOulu, 65.0121, 25.4651\nHelsinki, 60.1695, 24.9354\nTurku, 60.4518, 22.2666, 12",
        "Oulu, 65.0121, 25.4651\nTurku, 60.4518, 22.2666\nVaasa, 63.1, 21.6, 3",
        PLACES + "\nRauma, 61.1, 21.5",
    ],
)
def test_places_that_change_meanwhile_leave_no_gap(make_source, weather, later):
    first = next(make_source(weather.url, places=PLACES, hourly="rain").collect({}, YEAR))
    assert json.loads(first.bookmark)["after"] == "Helsinki"
    rest = make_source(weather.url, places=later, hourly="rain").collect({"": first.bookmark}, YEAR)
    found = [(record.entity, record.observed_at) for page in (first, *rest) for record in page.records]
    assert len(found) == len(set(found))
    for place in {"Helsinki", "Oulu", "Turku", "Vaasa"} & {line.split(",")[0] for line in later.splitlines()}:
        assert sum(entity == place for entity, _ in found) == 365 * 24


def test_the_last_places_may_go_meanwhile(make_source, weather):
    window = Window(date(2025, 1, 1), date(2025, 1, 31))
    first = next(make_source(weather.url, places=PLACES, hourly="rain").collect({}, window))
    alone = make_source(weather.url, places="Helsinki, 60.1695, 24.9354", hourly="rain")
    assert list(alone.collect({"": first.bookmark}, window)) == []


def test_it_is_done_when_it_is_done(make_source, weather):
    source = make_source(weather.url, hourly="rain")
    window = Window(date(2025, 1, 1), date(2025, 1, 1))
    (page,) = source.collect({}, window)
    assert len(page.records) == 24
    assert list(source.collect({"": page.bookmark}, window)) == []


def test_it_asks_for_the_archives_own_datapoints_where_they_are_named(make_source, weather):
    source = make_source(weather.url, hourly="rain", archive="snowfall, cloud_cover")
    (page,) = source.collect({}, Window(date(2025, 1, 1), date(2025, 1, 1)))
    assert page.records[0].values.keys() == {"snowfall", "cloud_cover"}


def test_what_the_archive_does_not_have_yet_is_left_out(make_source, weather):
    source = make_source(weather.url, hourly="rain")
    (page,) = source.collect({}, Window(date(2026, 11, 20), date(2026, 11, 23)))
    assert len(page.records) == 24 + 6  # the archive ends two days ago, at 5:06
    assert all(record.values for record in page.records)
    (page,) = source.collect({}, Window(date(2026, 11, 22), date(2026, 11, 23)))
    assert page.records == []
    assert json.loads(page.bookmark)["since"] == "2026-11-24"


def test_the_history_of_air_is_in_its_own_api(make_source, weather):
    source = make_source(weather.url, api="air_quality", hourly="pm10")
    (page,) = source.collect({}, Window(date(2025, 1, 1), date(2025, 1, 2)))
    assert len(page.records) == 48
    assert {(request.path, request.query["end_date"]) for request in weather.requests} == {
        ("/v1/air-quality", "2025-01-02")
    }


@pytest.mark.parametrize(
    ("since", "until", "problem"),
    [
        (date(2025, 1, 2), date(2025, 1, 1), "has no days"),
        (date(2026, 11, 1), date(2026, 11, 24), "lies in the future: today is 2026-11-23"),
        (date(1939, 12, 31), date(1940, 1, 2), "out of allowed range from 1940-01-01"),
    ],
)
def test_days_that_cannot_be_are_permanent(make_source, weather, since, until, problem):
    with pytest.raises(PermanentError, match=problem):
        list(make_source(weather.url, hourly="rain").collect({}, Window(since, until)))


def test_without_hourly_datapoints_there_is_nothing_to_back_fill(make_source, weather):
    with pytest.raises(ConfigError, match=r"\[source:weather\] archive"):
        list(make_source(weather.url, current="temperature_2m").collect({}, YEAR))


def test_a_place_whose_part_is_wrong_stops_it_there(make_source, stack, clock):
    def forget_second(request, sent):
        parts = json.loads(sent.body)
        if request.number == 2:
            del parts[0]["hourly"]
        return sent._replace(body=json.dumps(parts).encode())

    weather = stack.enter_context(WeatherSimulator(now=clock, fault=forget_second))
    source = make_source(weather.url, places="A, 1, 1\nB, 2, 2", hourly="rain")
    pages = source.collect({}, YEAR)
    first = next(pages)
    with pytest.raises(PermanentError, match="A: hourly is missing"):
        next(pages)
    again = list(source.collect({"": first.bookmark}, YEAR))
    found = [(record.entity, record.observed_at) for page in (first, *again) for record in page.records]
    assert len(found) == len(set(found)) == 2 * 365 * 24


def test_it_leaves_half_of_what_is_free_to_live_rounds(make_source, stack, clock, make_http):
    spent = {"day": [int(clock().timestamp() // 86_400), 5_000]}
    bookmark = json.dumps({"since": "2025-01-01", "until": "2025-01-01", "spent": spent})
    source = make_source(hourly="rain", http=make_http(attempts=4))
    with pytest.raises(TransientError, match="free calls a day"):
        list(source.collect({"": bookmark}, YEAR))


@pytest.mark.parametrize("count", [1, 20, 70])
def test_no_request_of_it_is_heavier_than_its_part_of_a_minute(make_source, serve, count):
    server = serve(lambda _ask: reply(400, {"error": True, "reason": "seen enough"}))
    source = make_source(server.url, hourly=", ".join(f"d{n}" for n in range(count)))
    with pytest.raises(PermanentError, match="seen enough"):
        list(source.collect({}, Window(date(2000, 1, 1), date(2025, 12, 31))))
    (query,) = (parse_qs(urlsplit(ask.target).query) for ask in server.asks)
    since, until = (date.fromisoformat(query[name][0]) for name in ("start_date", "end_date"))
    days = (until - since).days + 1
    assert 30 < days <= 416
    assert weight_of_place(count, days) <= 600 * BACKFILL_SHARE
