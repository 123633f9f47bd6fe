"""demo: the whole way, as a newcomer sees it. One demo serves all these tests."""

import json
import re
import sqlite3
from contextlib import closing

import pytest

from tests.cli.conftest import Agent, Program

pytestmark = pytest.mark.xdist_group("demo")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("demo") / "a demo"


@pytest.fixture(scope="module")
def run(folder):
    folder.parent.joinpath("home").mkdir()
    return Program(folder.parent)


@pytest.fixture(scope="module")
def first(run, folder):
    result = run("demo", folder)
    assert result.code == 0, result
    return result


@pytest.fixture(scope="module")
def shown(first, folder):
    return Agent(folder)


def test_each_step_is_shown_with_the_command_that_a_person_would_type(first):
    said = [line.split()[4:] for line in first.out.splitlines() if line.startswith("$ outbox")]
    commands = [
        word for words in said for word in words if word in ("init", "collect", "sql", "upload", "status")
    ]
    assert commands == ["init", "collect", "sql", "upload", "status"]
    assert "ok      weather: " in first.err
    assert "Traceback" not in first.out + first.err


def test_it_says_that_the_weather_is_generated(first, folder):
    assert "the weather is generated, not real" in first.out
    assert "The demo's own weather server" in (folder / "config.ini").read_text(encoding="utf-8")


def test_it_ends_well(first):
    assert "\nOK   demo / here   agent " in first.out
    assert "none missing" in first.out
    assert "again: only what is new is stored" in first.out


def test_the_lines_of_its_objects_are_the_ledger(shown):
    rows = shown.query(
        "SELECT sequence, lower(hex(record_id)), body, collected_at FROM outbox JOIN bodies USING (sequence) ORDER BY sequence"
    )
    lines = shown.lines()
    assert len(rows) >= 300
    assert [line["sequence"] for line in lines] == [row[0] for row in rows] == list(range(1, len(rows) + 1))
    for line, (_, record_id, body, collected_at) in zip(lines, rows, strict=True):
        assert line["record_id"].replace("-", "") == record_id
        assert line["collected_at"] == collected_at
        assert {key: line[key] for key in json.loads(body)} == json.loads(body)
        assert (line["customer_id"], line["site"], line["format"]) == ("demo", "here", 1)
    weather = [line for line in lines if line["source"] == "weather"]
    assert {line["stream"] for line in weather} == {"current", "hourly", "daily"}
    assert {line["entity"] for line in weather} == {"Helsinki", "Jyväskylä", "Madrid", "Sydney"}
    own = {line["stream"] for line in lines if line["source"] == "agent"}
    assert own == {"health", "sources", "runs"}


def test_a_second_demo_finds_next_to_nothing_new(run, shown, folder):
    before = shown.query("SELECT count(*) FROM outbox WHERE source = 'weather'")[0][0]
    again = run("demo", folder)
    assert again.code == 0
    new, unchanged = map(
        int, re.search(r"weather: (\d+) new, (\d+) unchanged, 0 rejected", again.err).groups()
    )
    # A quarter of an hour may have ended since the first, or at worst the day.
    assert new <= before / 2
    assert new + unchanged == before
    stored = shown.query("SELECT source, count(*) FROM outbox GROUP BY source ORDER BY source DESC")
    assert stored[0] == ("weather", before + new)
    assert len(shown.lines()) == sum(count for _, count in stored)


def test_what_it_advises_to_try_works(run, first, shown, folder):
    advised = first.out.partition("Try:")[2]
    assert f' --config "{folder}/config.ini" check --offline' in advised.replace("\\", "/")
    for arguments in (("sql", "SELECT * FROM deliveries"), ("check", "--offline"), ("vacuum",)):
        result = run("--config", folder / "config.ini", *arguments)
        assert result.code == 0, result
        assert arguments[0] in advised
    with closing(sqlite3.connect(folder / "outbox.db")) as database:
        assert database.execute("SELECT count(*) FROM sqlite_master WHERE type = 'view'").fetchone()[0] >= 4


def test_a_folder_with_other_things_in_it_is_refused_and_left_alone(run, folder):
    other = folder.parent / "other"
    other.mkdir()
    (other / "letter.txt").write_text("mine")
    result = run("demo", other)
    assert result.code == 69
    assert "holds other things" in result.err
    assert "Hint: name another folder: outbox demo FOLDER" in result.err
    assert [path.name for path in other.iterdir()] == ["letter.txt"]
