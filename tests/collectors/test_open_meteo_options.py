import pytest
from pydantic import ValidationError

from collectors.collector import Collector, Context
from collectors.open_meteo.collector import OpenMeteo
from collectors.open_meteo.options import Place, parse_places


def options(**changes):
    given = {"collector": "open_meteo", "places": "Helsinki, 60.1695, 24.9354", "current": "temperature_2m"}
    return OpenMeteo.Options(
        **{name: text for name, text in {**given, **changes}.items() if text is not None}
    )


def test_it_is_a_collector(make_source):
    source: Collector = make_source()
    assert isinstance(source.Options, type)
    assert Context.__dataclass_fields__.keys() == {
        "source",
        "timezone",
        "http",
        "secret",
        "now",
        "network",
        "note",
        "hide",
        "watch_row",
    }


def test_places_have_a_name_coordinates_and_perhaps_an_elevation():
    places = parse_places(
        options(places="\n Helsinki , 60.1695,24.9354\n\n Jyväskylä, -62.2, -25, 80.5 \n").places
    )
    assert places == (Place("Helsinki", 60.1695, 24.9354), Place("Jyväskylä", -62.2, -25.0, 80.5))


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("Oulu", "is no place"),
        ("Oulu, 65", "is no place"),
        ("Oulu; 65.0; 25.5", "is no place"),
        ("Oulu, 65,0121, 25,4651", "is no place"),
        (", 65, 25", "is no place"),
        ("Oulu, 65, east", "a number that is none"),
        ("Oulu, 90.01, 25", "latitude 90.01"),
        ("Oulu, 65, -180.5", "longitude -180.5"),
        ("Oulu, nan, 25", "latitude nan"),
        ("Oulu, 65, inf", "longitude inf"),
        ("Oulu, 65, 25, 9999", "elevation 9999"),
        ("O\x07ulu, 65, 25", "no usable name"),
        ("O" * 201 + ", 65, 25", "no usable name"),
        ("HELSINKI, 65, 25", "has the name of line 1"),
    ],
)
def test_a_line_that_is_no_place_is_named(line, problem):
    with pytest.raises(ValidationError, match=f"line 2 .*{problem}"):
        options(places=f"Helsinki, 60.1695, 24.9354\n{line}")


def test_all_wrong_lines_are_named_at_once():
    with pytest.raises(ValidationError, match=r"line 1 .*; line 3 "):
        options(places="A\nB, 1, 2\nC")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"current": None}, "nothing is asked for"),
        ({"places": ""}, "names no place"),
        ({"places": None}, "places"),
        ({"hourly": "temperature_2m", "past_days": "0", "forecast_days": "0"}, "both 0"),
        ({"past_days": "93"}, "past_days"),
        ({"past_days": "-1"}, "past_days"),
        ({"forecast_days": "17"}, "forecast_days"),
        ({"api": "air_quality", "forecast_days": "8"}, "at most 7"),
        ({"api": "air_quality", "daily": "pm10"}, "daily is not offered"),
        ({"api": "marine"}, "api"),
        ({"api_key": "K3Y"}, "never the secret itself"),
        ({"api_key": "env:KEY", "url": "http://weather.example"}, "never sent over http"),
        ({"url": "weather.example"}, "no base address"),
        ({"url": "https://me:pw@weather.example"}, "no base address"),
        ({"url": "https://weather.example/?a=1"}, "no base address"),
        ({"temperature_unit": "kelvin"}, "temperature_unit"),
        ({"hourly": "temperature 2m"}, "no name of a datapoint"),
        ({"hourly": "a&apikey=1"}, "no name of a datapoint"),
        ({"hourly": "time"}, "no name of a datapoint"),
        ({"hourly": "rain, rain"}, "named twice"),
        ({"place": "Oulu"}, "place"),
    ],
)
def test_a_wrong_option_is_refused(changes, problem):
    with pytest.raises(ValidationError, match=problem):
        options(**changes)


def test_what_overdraws_the_free_limits_every_day_is_refused():
    places = "\n".join(f"P{n}, {n / 10}, 1" for n in range(105))
    assert options(places=places.rpartition("\n")[0], every="15m").calls_a_day() == 104 * 96
    with pytest.raises(ValidationError, match="10,080 calls a day and 10,000 are free"):
        options(places=places, every="15m")
    for way_out in ({"every": "1h"}, {"api_key": "env:KEY"}, {"url": "https://weather.example"}):
        assert options(places=places, **way_out)


def test_a_round_weighs_more_with_more_datapoints_days_and_models():
    names = ", ".join(f"d{n}" for n in range(15))
    assert options(every="1d", current=names).calls_a_day() == 1.5
    assert options(every="1d", current=names, past_days="12", forecast_days="16").calls_a_day() == 3.0
    assert options(every="1d", current=names, models="a, b").calls_a_day() == 3.0
    assert options(every="1d", current=names, daily="x").calls_a_day() == 2.5


@pytest.mark.parametrize(
    ("changes", "address", "archive", "metered"),
    [
        ({}, "https://api.open-meteo.com/v1/forecast", "https://archive-api.open-meteo.com/v1/archive", True),
        (
            {"api_key": "env:KEY"},
            "https://customer-api.open-meteo.com/v1/forecast",
            "https://customer-archive-api.open-meteo.com/v1/archive",
            False,
        ),
        ({"api": "air_quality"}, "https://air-quality-api.open-meteo.com/v1/air-quality", None, True),
        (
            {"api": "air_quality", "api_key": "env:KEY"},
            "https://customer-air-quality-api.open-meteo.com/v1/air-quality",
            None,
            False,
        ),
        (
            {"url": "https://own.example/om/"},
            "https://own.example/om/v1/forecast",
            "https://own.example/om/v1/archive",
            False,
        ),
        ({"url": "https://api.open-meteo.com"}, "https://api.open-meteo.com/v1/forecast", None, True),
        ({"url": "https://notopen-meteo.com"}, "https://notopen-meteo.com/v1/forecast", None, False),
    ],
)
def test_addresses_and_limits_follow_from_key_and_url(changes, address, archive, metered):
    model = options(**changes)
    assert model.address(model.api) == address
    assert archive is None or model.address("archive") == archive
    assert model.is_metered() is metered


def test_every_option_is_described():
    for name, field in OpenMeteo.Options.model_fields.items():
        assert field.description, name
        assert len(field.description) <= 90, name


def test_an_option_reads_back_as_it_is_written():
    written = options(hourly="rain, snowfall", api_key="file:secrets/open-meteo", every="1h").model_dump()
    assert OpenMeteo.Options(
        **{name: value for name, value in written.items() if value is not None}
    ) == OpenMeteo.Options(
        collector="open_meteo",
        places="Helsinki, 60.1695, 24.9354",
        current="temperature_2m",
        hourly="rain, snowfall",
        api_key="file:secrets/open-meteo",
        every="1h",
    )
