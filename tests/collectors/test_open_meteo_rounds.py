"""Live rounds: what is asked, what the bookmark remembers, and what an outage or a limit does."""

import json
import ssl
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
import trustme

from collectors.open_meteo.simulated_weather import WEATHER
from collectors.open_meteo.simulator import Reply, WeatherSimulator
from outbox.errors import DataError, PermanentError, TransientError
from outbox.record.page import normalise_page
from tests.collectors.conftest import KEY
from tests.collectors.loopback import Tunnel, reply

PLACES = "Helsinki, 60.1695, 24.9354\nOulu, 65.0121, 25.4651\nTurku, 60.4518, 22.2666"


@pytest.fixture
def simulate(stack, clock):
    return lambda **kwargs: stack.enter_context(WeatherSimulator(now=clock, **kwargs))


def collected(pages):
    return [record for page in pages for record in page.records]


def no_page(pages):
    """Pages are lazy: an error shows when they are asked for."""
    return list(pages)


def test_a_round_has_every_stream_that_is_asked_for(make_source, simulate):
    weather = simulate()
    source = make_source(
        weather.url,
        places=PLACES,
        current="temperature_2m, is_day",
        hourly="precipitation",
        daily="temperature_2m_max",
    )
    in_gmt, in_zone = source.collect({})
    assert {record.stream for record in in_gmt.records} == {"current", "hourly"}
    assert {record.stream for record in in_zone.records} == {"daily"}
    assert {record.entity for record in in_gmt.records} == {"Helsinki", "Oulu", "Turku"}
    assert len(in_gmt.records) == 3 * (1 + 24 * 3)
    first, second = (request.query for request in weather.requests)
    assert first == {
        "latitude": "60.1695,65.0121,60.4518",
        "longitude": "24.9354,25.4651,22.2666",
        "current": "temperature_2m,is_day",
        "hourly": "precipitation",
        "past_days": "2",
        "forecast_days": "1",
        "timezone": "GMT",
    }
    assert (second["daily"], second["timezone"]) == ("temperature_2m_max", "Europe/Helsinki")


def test_nothing_is_asked_before_a_page_is(make_source, simulate):
    weather = simulate()
    pages = make_source(weather.url, current="temperature_2m", daily="temperature_2m_max").collect({})
    assert weather.requests == []
    next(pages)
    assert len(weather.requests) == 1
    pages.close()


def test_the_sources_own_zone_goes_before_the_agents(make_source, simulate):
    weather = simulate()
    no_page(make_source(weather.url, daily="temperature_2m_max", timezone="Asia/Kathmandu").collect({}))
    assert weather.requests[0].query["timezone"] == "Asia/Kathmandu"


def test_units_models_and_cells_are_asked_for_where_they_are_not_the_servers_own(make_source, simulate):
    weather = simulate()
    (page,) = make_source(
        weather.url,
        current="temperature_2m, wind_speed_10m, precipitation",
        temperature_unit="fahrenheit",
        wind_speed_unit="ms",
        precipitation_unit="inch",
        cell_selection="nearest",
        models="icon_seamless",
    ).collect({})
    (record,) = page.records
    assert record.units == {"temperature_2m": "°F", "wind_speed_10m": "m/s", "precipitation": "inch"}
    query = weather.requests[0].query
    assert (query["cell_selection"], query["models"]) == ("nearest", "icon_seamless")


def test_air_quality_has_its_own_address(make_source, simulate):
    weather = simulate()
    (page,) = make_source(weather.url, api="air_quality", current="pm10, uv_index").collect({})
    assert page.records[0].values.keys() == {"pm10", "uv_index"}
    assert weather.requests[0].path == "/v1/air-quality"
    assert page.records[0].origin == {"url": weather.url + "/v1/air-quality"}


def test_two_rounds_of_the_same_weather_have_the_same_content(make_source, simulate):
    weather = simulate()  # its generationtime_ms differs from answer to answer
    source = make_source(weather.url, places=PLACES, current="temperature_2m", hourly="rain")
    assert collected(source.collect({})) == collected(source.collect({}))


def test_every_record_of_a_round_can_be_stored(make_source, simulate):
    pages = make_source(
        simulate().url, places=PLACES, hourly="rain, cloud_cover", daily="sunrise, rain_sum"
    ).collect({})
    for page in pages:
        stored = normalise_page(page, customer="acme", site="helsinki", source="weather")
        assert len(stored.entries) == len(page.records)


def many_places(count):
    return "\n".join(f"P{n:03}, {n / 10:.1f}, 20" for n in range(count))


def test_only_the_last_page_of_a_round_moves_the_bookmark(make_source, simulate, clock):
    source = make_source(simulate().url, places=many_places(899), hourly="rain", past_days="0")
    pages = list(source.collect({}))
    assert len(pages) > 1
    completed = [json.loads(page.bookmark)["completed"] for page in pages]
    assert completed == [None] * (len(pages) - 1) + ["2026-11-23T05:06:00Z"]
    clock.sleep(900)
    pages = list(source.collect({"": pages[-1].bookmark}))
    assert json.loads(pages[0].bookmark)["completed"] == "2026-11-23T05:06:00Z"
    assert json.loads(pages[-1].bookmark)["completed"] == "2026-11-23T05:21:00Z"
    assert len({record.entity for record in collected(pages)}) == 899


def test_a_page_has_a_bookmark_even_without_records(make_source, simulate):
    def nothing_measured(_request, sent):
        document = json.loads(sent.body)
        document["current"]["temperature_2m"] = None
        return sent._replace(body=json.dumps(document).encode())

    (page,) = make_source(simulate(fault=nothing_measured).url).collect({})
    assert page.records == []
    assert json.loads(page.bookmark)["completed"]


def test_records_that_fill_more_than_a_page_come_in_several(make_source, simulate):
    names = ", ".join(name for name in WEATHER if name != "is_day")
    models = "best_match, ecmwf_ifs025, gfs_seamless, icon_seamless"
    pages = list(
        make_source(simulate().url, hourly=names, models=models, past_days="92", forecast_days="16").collect(
            {}
        )
    )
    assert len(pages) > 1
    assert [bool(json.loads(page.bookmark)["completed"]) for page in pages] == [False] * (len(pages) - 1) + [
        True
    ]
    records = collected(pages)
    assert len(records) == 108 * 24
    assert len({record.observed_at for record in records}) == 108 * 24


@pytest.mark.parametrize(
    ("away", "past_days"),
    [
        (timedelta(minutes=15), 2),
        (timedelta(hours=20), 3),  # over midnight
        (timedelta(days=3), 5),
        (timedelta(days=90), 92),
        (timedelta(days=400), 92),
        (timedelta(hours=-1), 2),  # the clock was put right
        (timedelta(hours=-24), 2),
        (timedelta(days=-3), 92),  # the clock was wrong, nobody knows since when
    ],
)
def test_a_round_reaches_back_over_an_outage(make_source, simulate, clock, away, past_days):
    weather = simulate()
    source = make_source(weather.url, hourly="rain", daily="rain_sum")
    *_, page = source.collect({})
    clock.now += away
    no_page(source.collect({"": page.bookmark}))
    assert [request.query["past_days"] for request in weather.requests[2:]] == [str(past_days)] * 2


def test_no_hour_is_missed_between_two_rounds(make_source, simulate, clock):
    source = make_source(simulate().url, hourly="rain", past_days="0")
    first = list(source.collect({}))
    last = max(record.observed_at for record in collected(first))
    clock.now += timedelta(days=40, hours=7)
    again = collected(source.collect({"": first[-1].bookmark}))
    assert min(record.observed_at for record in again) <= last
    hours = {record.observed_at for record in [*collected(first), *again]}
    assert len(hours) == (max(hours) - min(hours)) / timedelta(hours=1) + 1


def test_a_days_zone_decides_how_many_days_are_gone(make_source, simulate, clock):
    weather = simulate()
    source = make_source(weather.url, daily="rain_sum", timezone="Pacific/Auckland", past_days="0")
    (page,) = source.collect({})
    clock.now += timedelta(hours=7)  # the 23rd still, in GMT; the 24th, in Auckland
    no_page(source.collect({"": page.bookmark}))
    assert weather.requests[1].query["past_days"] == "1"


def test_days_beyond_reach_are_reported_once(make_source, simulate, clock):
    source = make_source(simulate().url, hourly="rain", daily="rain_sum")
    *_, page = source.collect({})
    clock.now += timedelta(days=100)
    pages = list(source.collect({"": page.bookmark}))
    (missed,) = [rejected for page in pages for rejected in page.rejected]
    assert "100 days" in missed.reason
    assert missed.raw == "2026-11-23 to 2026-12-01"
    assert json.loads(pages[-1].bookmark)["completed"].startswith("2027-03-03")
    clock.now += timedelta(minutes=15)
    assert not any(page.rejected for page in source.collect({"": pages[-1].bookmark}))


def test_a_round_with_a_wrong_place_is_not_complete(make_source, simulate, clock):
    broken = [True]

    def forget_oulu(_request, sent):
        parts = json.loads(sent.body)
        if broken[0]:
            del parts[1]["hourly"]
        return sent._replace(body=json.dumps(parts).encode())

    weather = simulate(fault=forget_oulu)
    source = make_source(weather.url, places=PLACES, hourly="rain", past_days="0")
    (page,) = source.collect({})
    assert {record.entity for record in page.records} == {"Helsinki", "Turku"}
    assert page.rejected[0].reason == "Oulu: hourly is missing"
    assert json.loads(page.bookmark)["completed"] is None
    broken[0] = False
    (page,) = source.collect({"": page.bookmark})
    assert json.loads(page.bookmark)["completed"]
    broken[0] = True
    clock.now += timedelta(days=2)
    (page,) = source.collect({"": page.bookmark})
    broken[0] = False
    (page,) = source.collect({"": page.bookmark})
    assert weather.requests[-1].query["past_days"] == "2"
    assert min(record.observed_at for record in page.records if record.entity == "Oulu").day == 23


@pytest.mark.parametrize("text", ["not json", "[]", '{"completed": 3}', '{"spent": {"day": "x"}}'])
def test_a_bookmark_of_something_else_is_a_data_error(make_source, simulate, text):
    with pytest.raises(DataError, match="the bookmark is none of open_meteo"):
        no_page(make_source(simulate().url).collect({"": text}))


def test_a_name_that_the_server_does_not_know_is_permanent_and_asked_once(make_source, simulate, make_http):
    weather = simulate()
    with pytest.raises(PermanentError, match="invalid String value temprature"):
        no_page(make_source(weather.url, http=make_http(attempts=4), current="temprature").collect({}))
    assert len(weather.requests) == 1


@pytest.mark.parametrize(
    ("reason", "sleeps"),
    [
        ("Minutely API request limit exceeded. Please try again in one minute.", [60]),
        ("Too many concurrent requests", [5]),
        ("Hourly API request limit exceeded. Please try again in the next hour.", []),
        ("Daily API request limit exceeded. Please try again tomorrow.", []),
    ],
)
def test_a_limit_is_waited_for_within_the_run_or_left_to_the_next(
    make_source, simulate, make_http, clock, reason, sleeps
):
    refusal = Reply(429, {}, json.dumps({"error": True, "reason": reason}).encode())
    weather = simulate(fault=lambda request, sent: refusal if request.number == 1 else sent)
    source = make_source(weather.url, http=make_http(attempts=4, limit_s=600))
    if sleeps:
        assert collected(source.collect({}))
    else:
        with pytest.raises(TransientError, match=reason[:20]):
            no_page(source.collect({}))
    assert clock.sleeps == sleeps
    assert len(weather.requests) == 1 + len(sleeps)


def test_a_broken_stream_is_asked_for_again_and_leaves_no_record(make_source, simulate, make_http):
    def break_first(request, sent):
        cut = sent.body[: len(sent.body) // 2] + b"Unexpected error while streaming data: timeoutReached"
        return sent._replace(body=cut) if request.number == 1 else sent

    weather = simulate(fault=break_first)
    with pytest.raises(TransientError, match="timeoutReached"):
        no_page(make_source(weather.url, places=PLACES).collect({}))
    assert (
        len(collected(make_source(weather.url, http=make_http(attempts=2), places=PLACES).collect({}))) == 3
    )


def test_a_key_goes_to_its_server_and_nowhere_else(make_source, serve):
    def echo(ask):
        return reply(400, {"error": True, "reason": f"The supplied API key is invalid: {ask.target}"})

    server = serve(echo)
    source = make_source(server.url, api_key="file:secrets/open-meteo")
    with pytest.raises(PermanentError, match="API key is invalid") as caught:
        no_page(source.collect({}))
    assert f"apikey={KEY}" in server.asks[0].target
    assert "outbox secret set" in caught.value.hint
    for text in (str(caught.value), repr(caught.value), repr(caught.value.__cause__), repr(source.__dict__)):
        assert KEY not in text


def test_a_key_is_in_no_record_and_no_bookmark(make_source, simulate):
    weather = simulate()
    (page,) = make_source(weather.url, api_key="env:KEY").collect({})
    assert weather.requests[0].query["apikey"] == KEY
    assert KEY not in repr(page)


# --- the public server, played by a loopback one behind a proxy --------------------------------------


@pytest.fixture
def public(serve, simulate, make_http, tmp_path):
    """Open-Meteo's own hosts, as far as the source can tell; `hosts` are those it connected to."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("*.open-meteo.com").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    weather = simulate()

    def answer(ask):
        parts = urlsplit(ask.target)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        sent = weather.reply(parts.path, query)
        return reply(sent.status, sent.body)

    server = serve(answer, context)
    hosts = []
    proxy = serve(lambda ask: hosts.append(ask.target) or Tunnel(server.port))
    network = {"proxy": proxy.url, "ca_bundle": str(tmp_path / "ca.pem")}
    return hosts, server, lambda **kwargs: make_http(network=network, **kwargs)


def test_without_a_key_the_free_hosts_are_asked(make_source, public):
    hosts, server, http = public
    (page,) = make_source(http=http()).collect({})
    assert hosts == ["api.open-meteo.com:443"]
    assert "apikey" not in server.asks[0].target
    assert page.records[0].origin == {"url": "https://api.open-meteo.com/v1/forecast"}


def test_with_a_key_the_customers_hosts_are_asked(make_source, public):
    hosts, server, http = public
    no_page(make_source(http=http(), api_key="env:KEY").collect({}))
    assert hosts == ["customer-api.open-meteo.com:443"]
    assert f"apikey={KEY}" in server.asks[0].target


def test_what_is_free_is_never_overdrawn(make_source, public, clock):
    _, server, http = public
    source = make_source(http=http(attempts=4), places=many_places(700), every="1d")
    pages = list(source.collect({}))
    assert clock.sleeps == [65]
    assert len(collected(pages)) == 700
    spent = json.loads(pages[-1].bookmark)["spent"]
    assert spent["hour"][1] == spent["day"][1] == 700
    assert len(server.asks) == len(pages)


def test_what_was_spent_is_known_to_the_next_run(make_source, public, clock):
    _, server, http = public
    bookmark = json.dumps({"completed": None, "spent": {"day": [int(clock().timestamp() // 86_400), 10_000]}})
    with pytest.raises(TransientError, match="10,000 free calls a day") as caught:
        no_page(make_source(http=http(attempts=4)).collect({"": bookmark}))
    assert caught.value.retry_after_s > 18 * 3_600
    assert clock.sleeps == []
    assert server.asks == []


def test_a_key_has_no_such_limits(make_source, public, clock):
    _, _, http = public
    bookmark = json.dumps({"completed": None, "spent": {"day": [int(clock().timestamp() // 86_400), 10_000]}})
    source = make_source(http=http(), places=many_places(700), api_key="env:KEY")
    assert len(collected(source.collect({"": bookmark}))) == 700
