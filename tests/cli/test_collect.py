"""collect: every source in turn, what it says of each, and the past."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from collectors.open_meteo.simulator import Reply
from tests.cli.conftest import WEATHER, source
from tests.collectors.loopback import Loopback, reply

YESTERDAY = (datetime.now(UTC) - timedelta(days=1)).date().isoformat()


@pytest.fixture
def collecting(agent, weather):
    return agent.configure(WEATHER.format(name="weather", url=weather.url))


def test_what_is_new_is_stored_once_and_stdout_stays_empty(collecting, outbox):
    first, second = outbox("collect"), outbox("collect")
    assert (first.code, first.out, second.code, second.out) == (0, "", 0, "")
    (stored,) = collecting.query("SELECT count(*) FROM pending")[0]
    assert f"ok      weather: {stored} new, 0 unchanged, 0 rejected" in first.err
    assert f"ok      weather: 0 new, {stored} unchanged, 0 rejected" in second.err
    assert stored >= 25


def test_no_escape_codes_where_nobody_watches(collecting, outbox):
    assert "\x1b" not in outbox("collect").err


def test_one_bad_source_stops_no_other_and_the_worst_code_wins(agent, weather, outbox, installed):
    unreachable = (
        WEATHER.format(name="refused", url=weather.url)
        .replace("/forecast", "")
        .replace("temperature_2m", "nonsense")
    )
    agent.configure(
        source("broken"),
        unreachable,
        source("fixed"),
        WEATHER.format(name="weather", url=weather.url),
        disk_floor="1B",
    )
    result = outbox("collect")
    assert result.code == 1
    said = {
        line.split()[1].rstrip(":"): line.split()[0] for line in result.err.splitlines() if line[:1].strip()
    }
    assert said == {"broken": "FAILED", "refused": "FAILED", "fixed": "ok", "weather": "ok"}
    assert dict(agent.query("SELECT source, count(*) FROM pending GROUP BY source")).keys() == {
        "fixed",
        "weather",
    }


def test_a_record_that_cannot_be_stored_is_kept_with_its_reason_and_the_others_are_stored(
    agent, outbox, installed
):
    agent.configure(source("fixed"))
    result = outbox("collect")
    assert result.code == 0
    assert "ok      fixed: 1 new, 0 unchanged, 1 rejected" in result.err
    ((reason, raw),) = agent.query("SELECT reason, raw FROM rejected")
    assert reason == "nan is not a number that JSON can hold"
    assert '"entity": "bad"' in raw


def test_only_the_sources_that_are_named_are_read(agent, outbox, installed):
    agent.configure(source("broken"), source("fixed"), source("fixed", "other"))
    result = outbox("collect", "fixed")
    assert result.code == 0
    assert agent.query("SELECT source FROM runs") == [("fixed",)]


def test_a_source_that_is_not_there_is_named_with_those_that_are(agent, outbox, installed):
    agent.configure(source("fixed"))
    result = outbox("collect", "fixd", "fixed")
    assert result.code == 78
    assert "there is no source 'fixd'" in result.err
    assert "Hint: known: fixed" in result.err
    assert agent.query("SELECT count(*) FROM runs") == [(0,)]


def test_a_source_that_is_switched_off_is_read_only_when_it_is_named(agent, outbox, installed):
    agent.configure(source("fixed", more="enabled = no\n"))
    assert "No source is enabled" in outbox("collect").err
    assert "fixed: 1 new" in outbox("collect", "fixed").err


def test_the_past_is_read_after_the_present_and_once(collecting, outbox, weather):
    past = (datetime.now(UTC) - timedelta(days=10)).date()
    asked = ("collect", "--since", past, "--until", past + timedelta(days=1))
    result = outbox(*asked)
    assert result.code == 0
    assert f"weather {past} to {past + timedelta(days=1)}: 48 new, 0 unchanged, 0 rejected" in result.err
    paths = [request.path for request in weather.requests]
    assert (paths[0], paths[-1]) == ("/v1/forecast", "/v1/archive")
    assert collecting.query("SELECT since, until, finished_at IS NOT NULL FROM backfills") == [
        (str(past), str(past + timedelta(days=1)), 1)
    ]
    before = len(weather.requests)
    assert outbox("collect").code == 0
    assert [request.path for request in weather.requests[before:]] == ["/v1/forecast"]


def test_the_past_ends_yesterday_unless_it_is_said_otherwise(collecting, outbox):
    outbox("collect", "--since", YESTERDAY)
    assert collecting.query("SELECT since, until FROM backfills") == [(YESTERDAY, YESTERDAY)]


def test_a_past_that_fails_is_gone_on_with_by_the_next_collect(agent, outbox, weather):
    down = True

    def fault(request, reply):
        return (
            Reply(400, {}, b'{"error":true,"reason":"no"}')
            if down and request.path == "/v1/archive"
            else reply
        )

    weather._fault = fault
    agent.configure(WEATHER.format(name="weather", url=weather.url))
    assert outbox("collect", "--since", "2026-01-01", "--until", "2026-01-02").code == 69
    assert agent.query("SELECT count(*) FROM backfills WHERE finished_at IS NULL") == [(1,)]
    down = False
    result = outbox("collect")
    assert result.code == 0
    assert "weather 2026-01-01 to 2026-01-02: 48 new" in result.err


def test_a_run_that_other_programs_disturb_stores_nothing_twice(collecting, outbox):
    outbox("collect")
    with closing(sqlite3.connect(collecting.database)) as other:
        sequences = [row[0] for row in other.execute("SELECT sequence FROM outbox ORDER BY sequence")]
    outbox("collect", "weather")
    assert sequences == list(range(1, len(sequences) + 1))
    assert collecting.query("SELECT count(*), count(DISTINCT record_id) FROM outbox") == [
        (len(sequences), len(sequences))
    ]


def test_the_log_says_what_was_done_and_when(collecting, outbox):
    outbox("collect")
    log = (collecting.folder / "logs" / "collect.log").read_text(encoding="utf-8")
    assert "INFO outbox weather: " in log


def test_a_refused_login_is_tried_once_until_its_secret_or_its_section_changes(agent, outbox, weather):
    weather._fault = lambda _request, _reply: Reply(401, {}, b'{"error":true,"reason":"wrong key"}')
    section = WEATHER.format(name="weather", url=weather.url) + "api_key = file:secrets/meteo\n"
    agent.configure(section)
    outbox("secret", "set", "meteo", stdin="CANARY-first-key\n")
    asked = []
    for change in (None, None, "secret", None, "section", None):
        if change == "secret":
            outbox("secret", "set", "meteo", stdin="CANARY-second-key\n")
        if change == "section":
            agent.configure(section.replace("past_days = 0", "past_days = 1"))
        before = len(weather.requests)
        result = outbox("collect")
        assert result.code == 69
        assert "CANARY" not in result.err
        asked.append(len(weather.requests) - before)
    assert asked == [1, 0, 1, 0, 1, 0]
    assert "FAILED  weather: its login was refused at " in result.err
    weather._fault = lambda _request, reply: reply
    agent.configure(section)
    assert outbox("collect").code == 0
    assert agent.query("SELECT count(*) FROM refusals") == [(0,)]


def test_a_mistake_in_the_section_of_one_source_stops_no_other(agent, outbox, installed):
    agent.configure(source("fixed", "wrong", "evry = 5m\n"), source("fixed"), source("unknown"))
    result = outbox("collect")
    assert result.code == 78
    assert "ok      fixed: 1 new" in result.err
    assert "FAILED  wrong: config.ini:" in result.err
    assert "FAILED  unknown: config.ini:" in result.err
    assert outbox("upload").code == 0


def test_sources_that_share_an_account_try_a_refused_login_once_together(agent, outbox, weather):
    weather._fault = lambda _request, _reply: Reply(401, {}, b'{"error":true,"reason":"wrong key"}')
    key = "api_key = file:secrets/{}\n"
    shared = [WEATHER.format(name=name, url=weather.url) + key.format("meteo") for name in ("a", "b", "c")]
    agent.configure(*shared, WEATHER.format(name="other", url=weather.url) + key.format("other"))
    for name in ("meteo", "other"):
        outbox("secret", "set", name, stdin=f"CANARY-key-of-{name}\n")
    result = outbox("collect")
    assert result.code == 69
    assert [request.query["apikey"] for request in weather.requests] == [
        "CANARY-key-of-meteo",
        "CANARY-key-of-other",
    ]
    assert "FAILED  c: its login, which is that of a, was refused at " in result.err
    weather._fault = lambda _request, reply: reply
    outbox("secret", "set", "meteo", stdin="CANARY-another-key\n")
    assert "ok      c: " in outbox("collect").err


def test_a_source_whose_name_is_not_valid_is_refused_by_collect_as_by_check(agent, outbox, weather):
    agent.configure(WEATHER.format(name="My Files", url=weather.url))
    for command in ("collect", "check"):
        result = outbox(command)
        assert result.code == 78, command
        assert "[source:My Files]: " in result.out + result.err
    assert agent.query("SELECT count(*) FROM outbox") == [(0,)]


def test_users_of_one_password_at_one_server_are_several_accounts(agent, outbox):
    """`login` is REST's name for the user: one who is refused holds no other up."""
    asked = []

    def script(ask):
        asked.append(ask.headers["authorization"])
        return reply(401)

    with Loopback(script) as server:
        section = (
            f"[source:{{0}}]\ncollector = rest\nurl = {server.url}/x\nentity = id\ntime = at\nvalues = v\n"
            "auth = basic\nlogin = {0}\nsecret = file:secrets/shared\n"
        )
        agent.configure(section.format("alice"), section.format("bob"))
        outbox("secret", "set", "shared", stdin="CANARY-one-password\n")
        assert outbox("collect").code == 69
    assert len(set(asked)) == 2
