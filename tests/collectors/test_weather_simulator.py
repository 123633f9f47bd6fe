import json
from datetime import UTC, datetime
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from collectors.open_meteo.simulator import Reply, WeatherSimulator
from tests.collectors.conftest import DATA


@pytest.fixture
def weather(stack, clock):
    return stack.enter_context(WeatherSimulator(now=clock))


def ask(weather, path="/v1/forecast", **query):
    query = {"latitude": "60.1695", "longitude": "24.9354", **query}
    with urlopen(f"{weather.url}{path}?{urlencode(query)}") as answer:
        return json.load(answer)


def test_it_answers_in_the_shape_of_a_recorded_answer(weather):
    recorded = json.loads((DATA / "open-meteo-current-daily.json").read_text(encoding="utf-8"))
    made_up = ask(
        weather,
        current=",".join(name for name in recorded["current"] if name not in ("time", "interval")),
        daily="weather_code,temperature_2m_max,temperature_2m_min,precipitation_probability_max",
        timezone="Europe/Samara",
        wind_speed_unit="ms",
    )
    assert list(made_up) == list(recorded)
    for section in ("current", "daily", "current_units", "daily_units"):
        assert list(made_up[section]) == list(recorded[section])
    assert made_up["current_units"] == recorded["current_units"]
    assert made_up["daily_units"] == recorded["daily_units"]
    assert made_up["utc_offset_seconds"] == 14_400
    assert made_up["current"]["time"] == "2026-11-23T09:00"
    assert made_up["daily"]["time"] == [f"2026-11-{day}" for day in range(23, 30)]
    assert {len(column) for column in made_up["daily"].values()} == {7}


def test_the_weather_is_plausible(weather):
    days = ask(
        weather,
        path="/v1/archive",
        start_date="2025-07-01",
        end_date="2025-07-31",
        hourly="temperature_2m,relative_humidity_2m,cloud_cover,wind_speed_10m,pressure_msl,is_day,precipitation",
    )["hourly"]
    assert all(0 < value < 35 for value in days["temperature_2m"])
    assert all(20 <= value <= 100 for value in days["relative_humidity_2m"])
    assert all(0 <= value <= 100 for value in days["cloud_cover"])
    assert all(0 < value < 60 for value in days["wind_speed_10m"])
    assert all(960 < value < 1060 for value in days["pressure_msl"])
    assert set(days["is_day"]) == {0, 1}
    assert all(0 <= value < 5 for value in days["precipitation"])
    winter = ask(
        weather, path="/v1/archive", start_date="2025-01-01", end_date="2025-01-31", hourly="temperature_2m"
    )
    assert sum(winter["hourly"]["temperature_2m"]) < sum(days["temperature_2m"]) - 31 * 24 * 10


def test_an_hour_has_the_same_weather_as_forecast_and_as_archive(weather):
    day = {"start_date": "2026-11-20", "end_date": "2026-11-20", "hourly": "temperature_2m"}
    assert ask(weather, **day)["hourly"] == ask(weather, path="/v1/archive", **day)["hourly"]


def test_a_time_is_the_same_instant_in_every_zone(weather):
    gmt = ask(weather, hourly="temperature_2m", past_days=1, forecast_days=1)["hourly"]
    east = ask(weather, hourly="temperature_2m", past_days=1, forecast_days=1, timezone="Asia/Tokyo")[
        "hourly"
    ]
    assert east["temperature_2m"][9:] == gmt["temperature_2m"][:-9]


def test_several_places_are_an_array_and_numbered(weather):
    first, second = ask(weather, latitude="60,61", longitude="24,25", elevation="5,6", current="rain")
    assert "location_id" not in first
    assert second["location_id"] == 1
    assert (first["elevation"], second["elevation"]) == (5.0, 6.0)


def test_two_answers_differ_only_in_the_time_they_took(weather):
    one, two = ask(weather, hourly="rain"), ask(weather, hourly="rain")
    assert one.pop("generationtime_ms") != two.pop("generationtime_ms")
    assert one == two


@pytest.mark.parametrize(
    ("unit", "names", "convert"),
    [
        ({"temperature_unit": "fahrenheit"}, ("temperature_2m", "°C", "°F"), lambda value: value * 1.8 + 32),
        ({"wind_speed_unit": "mph"}, ("wind_speed_10m", "km/h", "mp/h"), lambda value: value / 1.609344),
        ({"wind_speed_unit": "kn"}, ("wind_speed_10m", "km/h", "kn"), lambda value: value / 1.852),
    ],
)
def test_units_can_be_chosen(weather, unit, names, convert):
    name, usual, other = names
    plain, chosen = ask(weather, current=name), ask(weather, current=name, **unit)
    assert (plain["current_units"][name], chosen["current_units"][name]) == (usual, other)
    assert chosen["current"][name] == pytest.approx(convert(plain["current"][name]), abs=0.15)


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ({"latitude": "999"}, "Latitude must be in range of -90 to 90°. Given: 999.0."),
        ({"longitude": "-181"}, "Longitude must be in range of -180 to 180°. Given: -181.0."),
        ({"latitude": "1,2"}, "Parameter 'latitude' and 'longitude' must have the same number of elements"),
        ({"hourly": "tempeture_2m"}, "invalid String value tempeture_2m for key hourly"),
        ({"daily": "frogs_max"}, "invalid String value frogs for key daily"),
        ({"models": "none_such"}, "Cannot initialize MultiDomains from invalid String value none_such."),
        ({"timezone": "Mars/Base"}, "Invalid timezone"),
        ({"past_days": "93"}, "Past days is invalid. Allowed range 0 to 92. Given 93."),
        ({"forecast_days": "17"}, "Forecast days is invalid. Allowed range 0 to 16. Given 17."),
        ({"start_date": "2026-01-01"}, "Both 'start_date' and 'end_date' must be set in the url"),
        (
            {"start_date": "2026-01-02", "end_date": "2026-01-01"},
            "End-date must be larger or equals than start-date",
        ),
        (
            {"start_date": "1939-01-02", "end_date": "2026-01-01"},
            "Parameter 'start_date' is out of allowed range",
        ),
    ],
)
def test_it_refuses_what_the_server_refuses(weather, query, reason):
    with pytest.raises(HTTPError) as caught:
        ask(weather, **query)
    with caught.value as answer:
        assert answer.code == 400
        refusal = json.load(answer)
    assert refusal["error"] is True
    assert reason in refusal["reason"]


def test_an_unknown_path_is_404(weather):
    with pytest.raises(HTTPError, match="404") as caught:
        ask(weather, path="/v1/marine")
    caught.value.close()


def test_a_fault_replaces_what_is_sent(stack, clock):
    def fault(request, sent):
        assert request.path == "/v1/forecast"
        return Reply(503, {"Retry-After": "9"}, sent.body[:10])

    weather = stack.enter_context(WeatherSimulator(now=clock, fault=fault))
    with pytest.raises(HTTPError, match="503") as caught:
        ask(weather, current="rain")
    with caught.value as answer:
        assert answer.headers["Retry-After"] == "9"
        assert len(answer.read()) == 10


def test_it_knows_what_time_it_is_without_being_told():
    with WeatherSimulator() as weather:
        found = ask(weather, current="rain")["current"]["time"]
    assert abs(datetime.fromisoformat(found).replace(tzinfo=UTC) - datetime.now(UTC)).total_seconds() < 1_000
