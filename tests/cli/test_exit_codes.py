"""Each exit code once, as a scheduler sees it. A message is for a person: no traceback, and what to do."""

import sqlite3
import sys
from contextlib import closing

import pytest
from filelock import FileLock

from tests.cli.conftest import WEATHER, source


def assert_talk(result, code, *words):
    assert result.code == code, result
    assert "Traceback" not in result.err
    for word in words:
        assert word in result.err


def test_0_is_done_or_nothing_to_do(agent):
    result = agent.run("upload")
    assert_talk(result, 0, "Nothing waits.")
    assert result.out == ""


def test_1_is_a_bug_with_one_line_for_the_person_and_the_traceback_in_the_log(agent, collectors):
    agent.configure(source("broken"))
    result = agent.run("collect", env=collectors)
    assert_talk(result, 1, "FAILED  broken", "a bug: ZeroDivisionError; the log has the details")
    log = (agent.folder / "logs" / "collect.log").read_text(encoding="utf-8")
    assert "ZeroDivisionError: division by zero" in log
    assert "Traceback" in log
    assert agent.query("SELECT exit_code FROM runs") == [(1,)]


@pytest.mark.parametrize(
    "arguments",
    [
        ("collect", "--sinse", "2026-01-01"),
        ("collect", "--since", "yesterday"),
        ("collect", "--until", "2026-01-01"),
        ("collect", "--since", "2026-01-02", "--until", "2026-01-01"),
        ("colect",),
    ],
)
def test_2_is_a_wrong_command_line(agent, outbox, arguments):
    assert_talk(outbox(*arguments), 2, "Usage: ")


def test_65_is_a_database_that_is_not_ours_and_it_is_left_alone(agent):
    agent.database.unlink()
    with closing(sqlite3.connect(agent.database)) as foreign:
        foreign.execute("CREATE TABLE theirs (x)")
    before = agent.database.read_bytes()
    assert_talk(agent.run("collect"), 65, "is another program's database: it was left alone")
    assert agent.database.read_bytes() == before


def test_69_is_for_a_person_to_act_and_no_database_is_made(agent):
    agent.database.unlink()
    assert_talk(agent.run("upload"), 69, "there is no database at", "Hint: make one with: outbox init")
    assert not agent.database.exists()


def test_73_is_a_full_disk_before_anything_is_read(agent, weather):
    agent.configure(WEATHER.format(name="weather", url=weather.url), disk_floor="900TB")
    assert_talk(agent.run("collect"), 73, "collecting waits below 900TB. Nothing was lost", "Hint: make room")
    assert weather.requests == []
    assert agent.query("SELECT exit_code FROM runs") == [(73,)]


def test_75_is_worth_waiting_for(agent):
    with FileLock(agent.database.with_name("upload.lock")):
        assert_talk(agent.run("upload"), 75, "another upload of this outbox is under way")


def test_78_is_a_mistake_in_the_configuration(agent):
    agent.configure("[source:x]\ncollector = nothing\n", to="nowhere")
    result = agent.run("collect")
    assert_talk(result, 78, "config.ini:7  [upload] to: is not a destination")
    assert_talk(result, 78, "config.ini:9  [source:x] collector: 'nothing' is unknown; known: ")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for another process")
def test_130_is_ctrl_c_and_the_run_is_kept(agent, collectors):
    agent.configure(source("hanging"))
    result = agent.run.interrupt("collect", after="hanging", env=collectors)
    assert_talk(result, 130)
    assert agent.query("SELECT exit_code, error FROM runs") == [(130, "KeyboardInterrupt")]
