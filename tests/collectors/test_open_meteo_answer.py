"""What comes back from Open-Meteo: real answers, and every way in which one can be wrong."""

import json
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.http.client import Answer
from collectors.open_meteo.answer import read_answer
from collectors.open_meteo.call import Call
from collectors.open_meteo.options import OpenMeteoOptions, parse_places
from outbox.errors import OutboxError, PermanentError, TransientError
from outbox.record import normalise
from tests.collectors.conftest import DATA

NOW = datetime(2026, 11, 23, 5, 6, tzinfo=UTC)
ADDRESS = "https://api.open-meteo.com/v1/forecast"
REAL = (DATA / "open-meteo-current-daily.json").read_bytes()
REAL_SECTIONS = {
    "current": tuple(name for name in json.loads(REAL)["current"] if name not in ("time", "interval")),
    "daily": ("weather_code", "temperature_2m_max", "temperature_2m_min", "precipitation_probability_max"),
}
AIR = (DATA / "open-meteo-air-quality.json").read_bytes()
AIR_SECTIONS = {"current": ("uv_index", "ozone")}
SAMARA = "Samara, 53.2, 50.15"


def call_for(sections, places=SAMARA, zone="Europe/Samara", **options):
    model = OpenMeteoOptions(collector="open_meteo", places=places, current="temperature_2m", **options)
    streams = {section: section for section in sections}
    return Call(ADDRESS, parse_places(model.places), sections, streams, {}, 7, zone, model)


def read(body, call, status=200, headers=None, now=NOW):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_answer(Answer(status, headers or {}, body, ADDRESS), call, source="weather", now=now)


def document(**changes):
    """A small answer for one place; a change of None takes the key out."""
    whole = {
        "latitude": 60.1875,
        "longitude": 24.9375,
        "generationtime_ms": 0.25,
        "utc_offset_seconds": 0,
        "timezone": "GMT",
        "elevation": 17.0,
        "hourly_units": {"time": "iso8601", "temperature_2m": "°C", "is_day": ""},
        "hourly": {
            "time": ["2026-11-23T00:00", "2026-11-23T01:00", "2026-11-23T02:00"],
            "temperature_2m": [3.4, None, -0.0],
            "is_day": [0, None, 1],
        },
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not None}


HOURLY = {"hourly": ("temperature_2m", "is_day")}


def hourly(**changes):
    return document(hourly={**document()["hourly"], **changes})


def test_a_recorded_answer_becomes_records():
    records, rejected = read(REAL, call_for(REAL_SECTIONS))
    assert rejected == []
    assert [record.stream for record in records] == ["current"] + ["daily"] * 7
    now, today = records[:2]
    assert now.entity == "Samara"
    assert now.observed_at == datetime(2026, 9, 15, 8, 0, tzinfo=UTC)  # 12:00 at +4
    assert now.values["temperature_2m"] == 18.5
    assert now.values["is_day"] == 1
    assert now.units["weather_code"] == "wmo code"
    assert "is_day" not in now.units
    assert not {"time", "interval"} & (now.values.keys() | now.units.keys())
    assert now.attributes == {
        "latitude": 53.2,
        "longitude": 50.15,
        "grid_latitude": 53.1875,
        "grid_longitude": 50.125,
        "elevation": 117.0,
    }
    assert now.origin == {"url": ADDRESS}
    assert today.observed_at == datetime(2026, 9, 14, 20, 0, tzinfo=UTC)
    assert today.values == {
        "weather_code": 3,
        "temperature_2m_max": 19.8,
        "temperature_2m_min": 13.3,
        "precipitation_probability_max": 30,
    }
    assert records[-1].observed_at == datetime(2026, 9, 20, 20, 0, tzinfo=UTC)


def test_a_recorded_answer_about_air_becomes_a_record():
    (record,), _ = read(AIR, call_for(AIR_SECTIONS, "Berlin, 52.5, 13.4", "GMT"))
    assert record.values == {"uv_index": 1.85, "ozone": 82.0}
    assert record.units == {"ozone": "μg/m³"}
    assert record.observed_at == datetime(2021, 11, 24, 23, tzinfo=UTC)


@pytest.mark.parametrize(("body", "sections"), [(REAL, REAL_SECTIONS), (AIR, AIR_SECTIONS)])
def test_no_part_of_an_answer_passes_for_the_whole(body, sections):
    call = call_for(sections)
    whole = body.rstrip()
    for length in range(len(whole)):
        with pytest.raises(TransientError, match="weather: .* sent no whole JSON"):
            read(whole[:length], call)
    assert read(whole, call).records


@pytest.mark.parametrize("at", [0, 1, 200, 600, len(REAL)])
def test_an_error_in_the_stream_is_transient_and_quoted(at):
    body = REAL[:at] + b"Unexpected error while streaming data: timeoutReached"
    with pytest.raises(TransientError, match="Unexpected error while streaming data: timeoutReached"):
        read(body, call_for(REAL_SECTIONS))


@pytest.mark.parametrize(
    "body",
    [
        b"<!DOCTYPE html><title>Login</title>",
        b"",
        b"\xff\xfe{}",
        b"\xef\xbb\xbf{}",
    ],
)
def test_what_is_no_json_is_transient(body):
    with pytest.raises(TransientError, match="no whole JSON"):
        read(body, call_for(REAL_SECTIONS))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"latitude":NaN}', "utc_offset_seconds"),
        (b'{"latitude":1,"latitude":2}', "has a key that stands twice: 'latitude'"),
        (b"[" * 100_000, "nested deeper than 64 levels"),
        (b'{"latitude":' + b"9" * 10_000 + b"}", "utc_offset_seconds"),
    ],
)
def test_what_json_leaves_open_is_refused(body, reason):
    with pytest.raises(PermanentError, match=reason):
        read(body, call_for(REAL_SECTIONS))


WRONG = {
    "a text": "hello",
    "nothing": json.loads("null"),
    "an array for one place": [document()],
    "no latitude": document(latitude=None),
    "text latitude": document(latitude="60"),
    "infinite longitude": document(longitude=float("inf")),
    "text elevation": document(elevation="high"),
    "no offset": document(utc_offset_seconds=None),
    "true offset": document(utc_offset_seconds=True),
    "huge offset": document(utc_offset_seconds=10**300),
    "no section": document(hourly=None),
    "no units": document(hourly_units=None),
    "units as array": document(hourly_units=[]),
    "no unit": document(hourly_units={"temperature_2m": "°C"}),
    "unit as number": document(hourly_units={"temperature_2m": 3, "is_day": ""}),
    "unit as novel": document(hourly_units={"temperature_2m": "°" * 40, "is_day": ""}),
    "unit of half a character": document(hourly_units={"temperature_2m": "\ud800", "is_day": ""}),
    "section as array": document(hourly=[]),
    "no time": hourly(time=None),
    "no datapoint": document(hourly={"time": [], "is_day": []}),
    "time as text": hourly(time="2026-11-23T00:00"),
    "datapoint as number": hourly(temperature_2m=3),
    "too few values": hourly(temperature_2m=[1, 2]),
    "too many values": hourly(temperature_2m=[1, 2, 3, 4]),
    "too many times": hourly(time=[f"2026-11-23T{hour:02}:00" for hour in range(4)]),
    "text value": hourly(temperature_2m=[1, "2", 3]),
    "true value": hourly(temperature_2m=[1, True, 3]),
    "object value": hourly(temperature_2m=[1, {}, 3]),
    "infinite value": hourly(temperature_2m=[1, float("inf"), 3]),
    "time in words": hourly(time=["noon", "2026-11-23T01:00", "2026-11-23T02:00"]),
    "time as number": hourly(time=[1, 2, 3]),
    "time with offset": hourly(time=["2026-11-23T00:00Z", "2026-11-23T01:00Z", "2026-11-23T02:00Z"]),
    "time of no calendar": hourly(time=["2026-02-30T00:00", "2026-11-23T01:00", "2026-11-23T02:00"]),
    "date for time": hourly(time=["2026-11-23", "2026-11-24", "2026-11-25"]),
    "time twice": hourly(time=["2026-11-23T00:00", "2026-11-23T00:00", "2026-11-23T02:00"]),
    "time back": hourly(time=["2026-11-23T01:00", "2026-11-23T00:00", "2026-11-23T02:00"]),
}


@pytest.mark.parametrize("name", WRONG)
def test_an_answer_of_another_shape_is_permanent(name):
    body = json.dumps(WRONG[name]).replace("Infinity", "1e999").encode()
    with pytest.raises(PermanentError, match=r"^weather: https://api\.open-meteo\.com/v1/forecast "):
        read(body, call_for(HOURLY))


def test_the_small_answer_itself_is_right():
    records, rejected = read(document(), call_for(HOURLY))
    assert rejected == []
    assert [(record.observed_at.hour, record.values) for record in records] == [
        (0, {"temperature_2m": 3.4, "is_day": 0}),
        (2, {"temperature_2m": 0.0, "is_day": 1}),
    ]


def test_a_missing_value_takes_its_unit_with_it():
    (record, *_), _ = read(hourly(temperature_2m=[None, 1, 2]), call_for(HOURLY))
    assert record.values == {"is_day": 0}
    assert record.units == {}


def test_elevation_may_be_absent():
    (record, *_), _ = read(document(elevation=None), call_for(HOURLY))
    assert "elevation" not in record.attributes


@given(st.floats(0, 1e6), st.integers(0, 10))
def test_how_long_the_answer_took_changes_no_content(milliseconds, interval):
    body = json.loads(REAL)
    body["generationtime_ms"] = milliseconds
    body["current"]["interval"] = interval
    call = call_for(REAL_SECTIONS)
    assert read(body, call) == read(REAL, call)


def test_every_record_can_be_stored():
    for record in read(REAL, call_for(REAL_SECTIONS)).records:
        entry = normalise(record, customer="acme", site="helsinki", source="weather")
        assert b"generationtime" not in entry.body


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(data=st.data())
def test_any_part_may_be_anything_and_it_stays_a_typed_error(data):
    body = json.loads(REAL)
    at = body
    while True:
        key = data.draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
        if isinstance(at[key], (dict, list)) and at[key] and data.draw(st.booleans()):
            at = at[key]
            continue
        at[key] = data.draw(json_values)
        break
    call = call_for(REAL_SECTIONS)
    try:
        records = read(json.dumps(body).encode(), call).records
    except OutboxError:
        return
    for record in records:
        normalise(record, customer="acme", site="helsinki", source="weather")


PLACES = "Helsinki, 60.1695, 24.9354\nOulu, 65.0, 25.5\nTurku, 60.45, 22.27"


def three(**changes):
    parts = [document(latitude=float(n)) for n in range(3)]
    parts[1] |= {"location_id": 1, **changes}
    return parts


def test_several_places_are_answered_in_the_order_asked():
    records, _ = read(three(), call_for(HOURLY, PLACES))
    assert [(record.entity, record.attributes["grid_latitude"]) for record in records[::2]] == [
        ("Helsinki", 0.0),
        ("Oulu", 1.0),
        ("Turku", 2.0),
    ]


@pytest.mark.parametrize("body", [document(), three()[:2], [*three(), document()], []])
def test_an_answer_for_another_number_of_places_is_permanent(body):
    with pytest.raises(PermanentError, match="answers 3 places with"):
        read(body, call_for(HOURLY, PLACES))


def test_an_answer_in_another_order_is_permanent():
    with pytest.raises(PermanentError, match="another order"):
        read(three(location_id=2), call_for(HOURLY, PLACES))


def test_one_places_wrong_part_is_rejected_and_the_others_are_kept():
    sections = {"current": ("temperature_2m",), **HOURLY}
    current = {
        "current_units": {"temperature_2m": "°C"},
        "current": {"time": "2026-11-23T05:00", "temperature_2m": 1},
    }
    parts = [{**part, **current} for part in three()]
    del parts[1]["hourly"]
    records, rejected = read(parts, call_for(sections, PLACES))
    assert {record.entity for record in records} == {"Helsinki", "Turku"}
    (refused,) = rejected
    assert refused.reason == "Oulu: hourly is missing"
    assert json.loads(refused.raw) == parts[1]


def test_where_every_part_is_wrong_the_answer_is():
    parts = [{name: value for name, value in part.items() if name != "hourly"} for part in three()]
    with pytest.raises(PermanentError, match="Helsinki: hourly is missing"):
        read(parts, call_for(HOURLY, PLACES))


def test_several_models_each_have_their_columns():
    units = {f"temperature_2m_{model}": "°C" for model in ("icon_seamless", "gfs_seamless")}
    columns = {name: [n] for n, name in enumerate(units)}
    body = document(hourly_units=units, hourly={"time": ["2026-11-23T00:00"], **columns})
    call = call_for({"hourly": ("temperature_2m",)}, models="icon_seamless, gfs_seamless")
    (record,), _ = read(body, call)
    assert record.values == {"temperature_2m_icon_seamless": 0, "temperature_2m_gfs_seamless": 1}


LEGACY = {
    "temperature": 13.3,
    "windspeed": 10.3,
    "winddirection": 262.0,
    "weathercode": 3.0,
    "time": "2022-07-01T12:00",
}


@pytest.mark.parametrize("units", [{}, {"current_weather_units": {"temperature": "°C", "windspeed": "km/h"}}])
@pytest.mark.parametrize("is_day", [{}, {"is_day": 1}])
def test_the_shape_of_old_servers_is_understood(units, is_day):
    body = document(current_weather={**LEGACY, **is_day}, **units)
    (record,), _ = read(body, call_for({"current": ("temperature_2m", "precipitation")}))
    assert record.stream == "current"
    assert record.observed_at == datetime(2022, 7, 1, 12, tzinfo=UTC)
    assert record.values == {
        "temperature_2m": 13.3,
        "wind_speed_10m": 10.3,
        "wind_direction_10m": 262.0,
        "weather_code": 3.0,
        **is_day,
    }
    assert record.units == ({"temperature_2m": "°C", "wind_speed_10m": "km/h"} if units else {})


def test_the_new_shape_goes_before_the_old_one():
    body = document(
        current_weather=LEGACY, **{name: json.loads(REAL)[name] for name in ("current", "current_units")}
    )
    (record,), _ = read(body, call_for({"current": ("temperature_2m",)}))
    assert record.values == {"temperature_2m": 18.5}


def refusal(reason, status, **more):
    with pytest.raises(OutboxError) as caught:
        read({"reason": reason, "error": True}, call_for(HOURLY), status, **more)
    assert reason in caught.value.message
    return caught.value


def test_a_recorded_error_is_permanent_and_quotes_the_server():
    body = (DATA / "open-meteo-error.json").read_bytes()
    for status in (400, 200):
        with pytest.raises(PermanentError, match=r"range of -90 to 90°\. Given: 999\.0\."):
            read(body, call_for(HOURLY), status)


@pytest.mark.parametrize("status", [200, 400, 429])
@pytest.mark.parametrize(
    ("period", "again", "wait_s"),
    [
        ("Minutely", "in one minute", 60),
        ("Hourly", "in the next hour", 54 * 60 + 5),
        ("Daily", "tomorrow", 67_800 + 245),
    ],
)
def test_a_limit_is_waited_for_as_its_words_say(status, period, again, wait_s):
    error = refusal(f"{period} API request limit exceeded. Please try again {again}.", status)
    assert isinstance(error, TransientError)
    assert error.retry_after_s == wait_s
    assert "api_key" in error.hint


def test_too_many_at_once_is_a_short_wait():
    assert refusal("Too many concurrent requests", 429).retry_after_s == 5


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        ("The service is overloaded", 503),
        ("The service is overloaded", 200),
        ("Something went wrong.", 500),
        ("Some other limit", 429),
    ],
)
def test_trouble_of_the_server_is_transient(reason, status):
    error = refusal(reason, status, headers={"retry-after": "17"})
    assert isinstance(error, TransientError)
    assert error.retry_after_s == 17


@pytest.mark.parametrize(
    ("reason", "status"),
    [("The supplied API key is invalid.", 400), ("API key required", 401), ("Your plan is too small", 403)],
)
def test_a_refused_key_is_permanent_and_says_how_to_set_it(reason, status):
    error = refusal(reason, status)
    assert isinstance(error, PermanentError)
    assert "outbox secret set" in error.hint


@pytest.mark.parametrize(
    ("status", "kind"), [(400, PermanentError), (404, PermanentError), (502, TransientError)]
)
def test_an_error_in_html_is_judged_by_its_status(status, kind):
    with pytest.raises(kind, match="<html>Oops"):
        read(b"<html>Oops", call_for(HOURLY), status)
    with pytest.raises(kind):
        read({"detail": "no reason given"}, call_for(HOURLY), status)


def test_an_error_without_words_is_still_one():
    with pytest.raises(PermanentError):
        read({"error": True, "reason": None}, call_for(HOURLY))
    with pytest.raises(PermanentError):
        read({"error": True, "reason": "\ud800"}, call_for(HOURLY))


def daily(days, offset_s, zone, column=None):
    body = document(
        utc_offset_seconds=offset_s,
        hourly=None,
        daily_units={"temperature_2m_max": "°C", "sunrise": "iso8601"},
        daily={"time": days, "temperature_2m_max": [1] * len(days), "sunrise": column or [None] * len(days)},
    )
    return read(body, call_for({"daily": ("temperature_2m_max", "sunrise")}, zone=zone)).records


@pytest.mark.parametrize(
    ("zone", "day", "midnight", "offsets_s"),
    [
        ("Europe/Helsinki", "2026-03-28", "2026-03-27T22:00", (7200, 10800)),
        ("Europe/Helsinki", "2026-03-29", "2026-03-28T22:00", (7200, 10800)),  # clocks go forward at 3
        ("Europe/Helsinki", "2026-03-30", "2026-03-29T21:00", (7200, 10800)),
        ("Europe/Helsinki", "2026-10-25", "2026-10-24T21:00", (7200, 10800)),  # clocks go back at 4
        ("Europe/Helsinki", "2026-10-26", "2026-10-25T22:00", (7200, 10800)),
        ("Asia/Beirut", "2025-03-30", "2025-03-29T22:00", (7200, 10800)),  # midnight does not exist
        ("Asia/Beirut", "2025-03-31", "2025-03-30T21:00", (7200, 10800)),
        ("America/Havana", "2025-11-02", "2025-11-02T04:00", (-14400, -18000)),  # midnight comes twice
        ("America/Havana", "2025-11-03", "2025-11-03T05:00", (-14400, -18000)),
        ("Asia/Kathmandu", "2026-11-23", "2026-11-22T18:15", (20700,)),
        ("UTC", "2026-11-23", "2026-11-23T00:00", (0,)),
    ],
)
def test_a_day_begins_at_midnight_of_the_configured_zone_whatever_the_answers_offset(
    zone, day, midnight, offsets_s
):
    for offset_s in offsets_s:
        (record,) = daily([day], offset_s, zone)
        assert record.observed_at == datetime.fromisoformat(midnight).replace(tzinfo=UTC)


@pytest.mark.parametrize("zone", ["Europe/Helsinki", "Asia/Beirut", "America/Havana", "Australia/Lord_Howe"])
def test_every_day_of_a_year_has_a_beginning_of_its_own(zone):
    days = [(date(2025, 1, 1) + timedelta(days=n)).isoformat() for n in range(365)]
    assert len({record.observed_at for record in daily(days, 0, zone)}) == 365


def test_sunrise_is_a_time_and_one_that_does_not_come_is_none():
    days = ["2026-06-20", "2026-06-21", "2026-06-22"]
    records = daily(days, 10_800, "Europe/Helsinki", ["2026-06-20T03:54", None, "1970-01-01T03:00"])
    assert records[0].values["sunrise"] == datetime(2026, 6, 20, 0, 54, tzinfo=UTC)
    assert [record.values.keys() for record in records[1:]] == [{"temperature_2m_max"}] * 2


def test_the_same_sunrise_is_the_same_instant_before_and_after_the_clocks_change():
    before = daily(["2026-10-24"], 10_800, "Europe/Helsinki", ["2026-10-24T08:20"])
    after = daily(["2026-10-24"], 7_200, "Europe/Helsinki", ["2026-10-24T07:20"])
    assert before == after
