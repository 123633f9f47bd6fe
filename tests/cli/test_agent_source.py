"""The agent's own records: in every collect, bounded, and heard when everything else fails."""

import json
import os
import sys
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from outbox.cli import wiring
from tests.cli.conftest import SILENT, source
from tests.support.s3_faults import refusal, serving, stored


@pytest.fixture
def heard(agent, installed):
    """An agent that speaks of itself, as every new one does."""
    return lambda *sections, own="", **changes: agent.configure(*sections, own=own, **changes)


def streams(agent):
    rows = agent.query("SELECT stream, entity FROM pending WHERE source = 'agent' ORDER BY sequence")
    return [(stream, "ID" if stream == "health" else entity) for stream, entity in rows]


def test_an_agent_without_sources_is_heard(heard, outbox):
    agent = heard()
    result = outbox("collect")
    assert result.code == 0
    assert "ok      agent: 2 new, 0 unchanged, 0 rejected" in result.err
    assert streams(agent) == [("health", "ID"), ("sources", "agent")]


def test_it_speaks_of_a_run_that_has_just_failed_and_once_in_15_minutes(heard, outbox):
    agent = heard(source("broken"), source("fixed"))
    assert outbox("collect").code == 1
    assert streams(agent) == [
        ("health", "ID"),
        ("sources", "broken"),
        ("sources", "fixed"),
        ("sources", "agent"),
        ("runs", "broken"),
        ("runs", "fixed"),
    ]
    again = outbox("collect")
    assert "agent" not in again.err
    assert len(streams(agent)) == 6


@pytest.mark.parametrize("names", [("fixed",), ("fixed", "agent")])
def test_it_belongs_to_every_collect_whatever_that_names(heard, outbox, names):
    agent = heard(source("broken"), source("fixed"))
    assert outbox("collect", *names).code == 0
    assert agent.query("SELECT source FROM runs ORDER BY id") == [("fixed",), ("agent",)]


def test_named_it_speaks_at_once_also_when_it_is_switched_off(heard, outbox):
    agent = heard(own=SILENT)
    assert "agent" not in outbox("collect").err
    for _ in range(2):
        result = outbox("collect", "agent")
        assert "ok      agent: " in result.err
        assert "nothing was read" not in result.err
    assert [stream for stream, _ in streams(agent)].count("health") == 2


def test_its_section_has_two_options_and_a_mistake_in_it_stops_no_other_source(heard, outbox):
    agent = heard(source("fixed"), own="[source:agent]\nevery = often\ncollector = open_meteo\n")
    result = outbox("collect")
    assert result.code == 78
    assert "ok      fixed: 1 new" in result.err
    assert "[source:agent] every: 'often' is no duration" in result.err
    assert "[source:agent] collector: unknown option. Known: enabled, every" in result.err
    assert outbox("check").code == 78
    agent = heard(source("fixed"), own="[source:agent]\nevery = 0s\n")
    for _ in range(2):
        outbox("collect")
    assert [stream for stream, _ in streams(agent)].count("health") == 2


def test_it_is_heard_below_the_disk_floor(heard, outbox, monkeypatch):
    agent = heard(source("fixed"), disk_floor="2GB")
    monkeypatch.setattr("outbox.machine.disk.free_bytes", lambda _folder: 10**9)
    assert outbox("collect").code == 73
    assert streams(agent)[0] == ("health", "ID")
    monkeypatch.setattr("outbox.machine.disk.free_bytes", lambda _folder: 10**8)
    assert outbox("collect").code == 73
    assert [stream for stream, _ in streams(agent)].count("health") == 1


def test_it_has_no_past_to_read(heard, outbox):
    agent = heard(source("fixed"))
    outbox("collect", "--since", "2026-01-01", "--until", "2026-01-02")
    assert agent.query("SELECT DISTINCT source FROM backfills") == [("fixed",)]


def test_status_lists_it_like_a_source_and_misses_it(heard, outbox):
    heard(source("fixed"))
    outbox("collect")
    sources = json.loads(outbox("status", "--json").out)["sources"]
    assert [each["name"] for each in sources] == ["fixed", "agent"]
    assert "check" not in outbox("check").err
    heard(source("fixed"), own="[source:agent]\nevery = 0s\n")
    found = json.loads(outbox("status", "--json").out)["problems"]
    assert "collect agent" in [problem["what"] for problem in found]


def test_check_takes_it_for_no_source_that_was_renamed(heard, outbox):
    heard(source("fixed"))
    outbox("collect")
    heard(source("fixed"), source("fixed", "other"))
    assert "was collected and is not configured" not in outbox("check").out


def test_the_key_that_uploads_is_told_by_four_letters_and_its_age(heard, outbox):
    key, secret = "AKIACANARY0000007Q2F", "CANARY/secret+access/key0000000000000000"
    with serving(refusal(403, "InvalidAccessKeyId", "no such key")) as s3:
        agent = heard(
            to="s3://b/raw", region="eu-north-1", endpoint_url=s3.url, path_style="yes",
            credentials="file:secrets/aws",
        )  # fmt: skip
        outbox("secret", "set", "aws", stdin=f"{key}\n{secret}\n")
        outbox("collect")
    ((values,),) = agent.query("SELECT \"values\" FROM pending WHERE stream = 'health'")
    found = json.loads(values)
    assert found["upload_key"] == "7Q2F"
    assert 0 <= found["upload_key_age_s"] < 60
    text = "".join(map(repr, agent.query("SELECT body FROM bodies")))
    assert secret not in text
    assert key not in text


def test_what_the_agent_says_is_uploaded_like_everything_else(heard, outbox):
    agent = heard(source("fixed"))
    for command in ("collect", "upload"):
        assert outbox(command).code == 0
    lines = [line for line in agent.lines() if line["source"] == "agent"]
    assert {line["stream"] for line in lines} == {"health", "sources", "runs"}
    (run,) = [line for line in lines if line["stream"] == "runs"]
    assert (run["entity"], run["values"]["new"], run["values"]["rejected_by_reason"]) == (
        "fixed",
        1,
        {"nan is not a number that JSON can hold": 1},
    )
    (own,) = [line for line in lines if line["stream"] == "health"]
    assert own["entity"] == own["agent_id"]


def test_the_clock_of_the_store_is_compared_with_ours(heard, outbox):
    hour_ago = format_datetime(datetime.now(UTC) - timedelta(hours=1), usegmt=True)
    with serving(stored(Date=hour_ago)) as s3:
        agent = heard(
            to="s3://b/raw", region="eu-north-1", endpoint_url=s3.url, path_style="yes",
            credentials="file:secrets/aws", own="[source:agent]\nevery = 0s\n",
        )  # fmt: skip
        outbox(
            "secret", "set", "aws", stdin="AKIACANARY0000007Q2F\nCANARY/secret+access/key0000000000000000\n"
        )
        assert [outbox(command).code for command in ("collect", "upload", "collect")] == [0, 0, 0]
    rows = agent.query("SELECT \"values\" FROM pending WHERE stream = 'health'")
    assert 3_599 <= json.loads(rows[0][0])["clock_offset_s"] < 3_700


def test_a_directory_has_no_clock_and_nothing_is_claimed(agent, outbox, installed):
    agent.configure(source("fixed"))
    for command in ("collect", "upload"):
        assert outbox(command).code == 0
    assert agent.query("SELECT clock_offset_s FROM runs WHERE command = 'upload'") == [(None,)]


def test_where_another_collect_was_faster_nothing_has_failed(heard, outbox, monkeypatch):
    agent = heard(source("fixed"))
    usual, asked = wiring.examined, []

    def overtaken(config, database):
        asked.append(1)
        if len(asked) == 1:
            assert agent.run("collect", env={"PYTHONPATH": os.pathsep.join(sys.path)}).code == 0
        return usual(config, database)

    monkeypatch.setattr(wiring, "examined", overtaken)
    assert outbox("collect").code == 0
    assert agent.query("SELECT exit_code FROM runs WHERE source = 'agent' ORDER BY id") == [(75,), (0,), (0,)]
    assert [stream for stream, _ in streams(agent)].count("health") == 1
