"""Places per request, weight per request, and the account of what is free."""

import math
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.open_meteo.account import LIMITS, Account
from collectors.open_meteo.call import MAX_QUERY_CHARS, Call
from collectors.open_meteo.options import OpenMeteoOptions, Place, weight_of_place
from outbox.errors import PermanentError, TransientError
from outbox.record import MAX_PAGE_BYTES, MAX_PAGE_RECORDS, Record, normalise


def call_for(places, sections, days, models="", key="env:KEY"):
    options = OpenMeteoOptions(
        collector="open_meteo",
        places="A, 1, 1",
        current="x",
        models=models,
        **({"api_key": key} if key else {}),
    )
    streams = {section: section for section in sections}
    return Call(
        options.address("forecast"),
        tuple(places),
        sections,
        streams,
        {"past_days": days},
        days,
        "GMT",
        options,
    )


def many(count, elevation=None):
    return [Place(f"P{n:05}", 60 + n / 1_000, 24.123456, elevation) for n in range(count)]


@pytest.mark.parametrize(
    ("datapoints", "days", "weight"),
    [
        (1, 1, 1),
        (10, 14, 1),
        (15, 14, 1.5),
        (15, 28, 3.0),
        (10, 7, 1),
        (20, 1, 2),
        (1, 108, 1),
        (2, 416, 416 / 70),
    ],
)
def test_the_weight_of_a_place_is_the_published_one(datapoints, days, weight):
    assert weight_of_place(datapoints, days) == pytest.approx(weight)


def test_a_calls_weight_counts_places_sections_and_models():
    call = call_for(many(3), {"current": ("a",) * 10, "hourly": ("b",) * 5}, 14, models="x, y")
    assert call.weight == pytest.approx(3 * 3.0)


@given(
    count=st.integers(1, 2_500),
    hours=st.integers(0, 30),
    days=st.integers(1, 108),
    daily=st.integers(0, 5),
    free=st.booleans(),
    high=st.integers(0, 50),
)
def test_every_place_is_asked_for_once_and_no_call_passes_a_limit(count, hours, days, daily, free, high):
    sections = {"current": ("x",), "hourly": tuple(f"hour_{n}" for n in range(hours))}
    if daily:
        sections["daily"] = tuple(f"day_{n}" for n in range(daily))
    places = many(count) + [Place(f"Q{n}", 1, 2, 30.5) for n in range(high)]
    calls = list(call_for(places, sections, days, key="" if free else "env:KEY").split())
    assert [place for call in calls for place in call.places] == places
    for call in calls:
        assert call.weight <= (600 if free else 5_000)
        assert len(urlencode(call.params(), safe=",")) <= MAX_QUERY_CHARS
        assert len({place.elevation is None for place in call.places}) == 1
        records = len(call.places) * (1 + 24 * days + (days if daily else 0))
        assert records <= call.max_page_records or len(call.places) == 1


def test_few_places_are_one_call():
    assert len(list(call_for(many(40), {"current": ("x",), "hourly": ("y",)}, 10).split())) == 1


def test_a_place_that_is_heavier_than_a_whole_request_is_refused():
    sections = {"hourly": tuple(f"d{n}" for n in range(800))}
    with pytest.raises(PermanentError, match="one place would count 617 calls; a request may count 600"):
        list(call_for(many(1), sections, 108, key="").split())


def test_a_page_holds_the_largest_records_that_can_come():
    names = tuple(f"{'n' * 90}_{n}" for n in range(60))
    place = Place("Å" * 200, -60.123456, -124.123456, 1234.5)
    call = call_for([place], {"hourly": names}, 108, models="model_one, model_two")
    full = [answer for name in names for answer in call.answered_names(name)[1:]]
    record = Record(
        stream="hourly",
        entity=place.name,
        observed_at=datetime(2026, 11, 23, 5, tzinfo=UTC),
        values=dict.fromkeys(full, -1.7976931348623157e-300),
        units=dict.fromkeys(full, "μ" * 16),
        attributes=dict.fromkeys(
            ("latitude", "longitude", "grid_latitude", "grid_longitude"), -123.1234567890123
        ),
        origin={"url": call.address},
    )
    body = normalise(record, customer="c" * 63, site="s" * 63, source="w" * 63).body
    assert len(body) * call.max_page_records <= MAX_PAGE_BYTES
    assert call.max_page_records < MAX_PAGE_RECORDS


def test_a_request_names_places_units_and_zone():
    call = call_for([Place("A", 1.5, -2.25, 0.0), Place("B", 3, 4, 10)], {"hourly": ("x", "y")}, 2)
    assert call.params() == {
        "latitude": "1.5,3",
        "longitude": "-2.25,4",
        "hourly": "x,y",
        "elevation": "0.0,10",
        "past_days": 2,
        "timezone": "GMT",
    }


class At:
    def __init__(self, text):
        self.now = datetime.fromisoformat(text).replace(tzinfo=UTC)

    def __call__(self):
        return self.now


@pytest.mark.parametrize(
    ("minutes", "ends"),
    [
        ([0], "2026-11-23 00:01"),  # 600 in a minute
        (range(8), "2026-11-23 01:00"),  # 4,800 in an hour
        ([*range(8), *range(60, 68)], "2026-11-24 00:00"),  # 9,600 in a day
    ],
)
def test_the_account_says_when_a_limit_ends(minutes, ends):
    clock = At("2026-11-23T00:00:00")
    account = Account({}, now=clock)
    for minute in minutes:
        clock.now = datetime(2026, 11, 23, tzinfo=UTC) + timedelta(minutes=minute, seconds=10)
        account.spend(600)
    if len(minutes) > 1:
        clock.now += timedelta(minutes=60 if len(minutes) > 8 else 1)
    with pytest.raises(TransientError, match=f"until {ends} UTC") as caught:
        account.spend(600)
    until = datetime.fromisoformat(ends).replace(tzinfo=UTC)
    assert caught.value.retry_after_s == (until - clock.now).total_seconds() + 5


def test_charges_never_pass_a_limit_in_any_of_the_servers_periods():
    clock = At("2026-11-23T00:00:00")
    account = Account({}, now=clock)
    charged = []
    while clock.now < datetime(2026, 11, 25, tzinfo=UTC):
        try:
            account.spend(130)
            charged.append(clock.now)
        except TransientError as error:
            clock.now += timedelta(seconds=error.retry_after_s)
    for length_s, limit in LIMITS.values():
        counts = {}
        for moment in charged:
            period = moment.timestamp() // length_s
            counts[period] = counts.get(period, 0) + 130
        assert max(counts.values()) == math.floor(limit / 130) * 130


def test_the_tally_goes_on_where_the_last_run_ended():
    clock = At("2026-11-23T05:06:00")
    account = Account({}, now=clock)
    account.spend(600)
    with pytest.raises(TransientError) as caught:
        Account(account.spent, now=clock).spend(1)
    assert caught.value.retry_after_s == 65
    assert "until 2026-11-23 05:07 UTC" in caught.value.message
    clock.now += timedelta(seconds=60)
    Account(account.spent, now=clock).spend(600)


def test_a_share_is_a_part_of_every_limit():
    account = Account({}, now=At("2026-11-23T05:06:00"), share=0.5)
    account.spend(300)
    with pytest.raises(TransientError):
        account.spend(1)


def test_a_call_heavier_than_a_share_passes_alone():
    account = Account({}, now=At("2026-11-23T05:06:00"), share=0.5)
    account.spend(400)
    with pytest.raises(TransientError):
        account.spend(400)


def test_a_refused_call_is_not_charged():
    account = Account({}, now=At("2026-11-23T05:06:00"))
    account.spend(500)
    before = account.spent
    with pytest.raises(TransientError):
        account.spend(200)
    assert account.spent == before
    account.spend(100)
