"""sources: what is installed and what each kind reads, what is missing, and what is configured."""

import re

import pytest

from collectors.registry import load
from tests.cli.conftest import WEATHER, source


def row(result, name):
    (found,) = re.findall(rf"^{name}  .*(?:\n   .*)*", result.out, re.MULTILINE)
    return " ".join(found.split())


def test_the_kinds_that_are_shipped_say_what_they_read(outbox):
    result = outbox("sources")
    assert result.code == 0
    assert "Weather of places, from Open-Meteo" in row(result, "open_meteo")
    first = load("files").__doc__.strip().split()[:5]
    assert row(result, "files").split()[1:6] == first
    assert re.search(r"snowflake-datapipe \d", row(result, "rest"))
    assert "The options of each: outbox options" in result.err
    assert "There is no configuration yet: outbox init makes one." in result.err


def test_a_strangers_kind_is_listed_and_one_that_cannot_start_says_why(outbox, agent, installed):
    result = outbox("sources")
    assert row(result, "fixed") == "fixed thirdparty 1.0"
    assert "MISSING the collector absent cannot start: No module named" in row(result, "absent")
    assert "'not_installed'" in row(result, "absent")


def test_an_extra_that_is_missing_is_named(outbox, agent, collectors, tmp_path, installed):
    metadata = tmp_path / "site" / "thirdparty-1.0.dist-info" / "METADATA"
    needs = 'Requires-Dist: not-to-be-found>=1; extra == "{}"\n'
    text = metadata.read_text("utf-8") + needs.format("fixed") + needs.format("absent")
    metadata.write_text(text + 'Requires-Dist: typer; extra == "broken"\n', "utf-8")
    result = outbox("sources")
    assert 'MISSING pip install "thirdparty[fixed]"' in row(result, "fixed")
    assert 'not_installed\'; pip install "thirdparty[absent]"' in row(result, "absent")
    assert "MISSING" not in row(result, "broken")
    agent.configure(source("absent"))
    assert 'Hint: pip install "thirdparty[absent]"' in outbox("collect").err


def test_the_configured_ones_say_their_kind_how_often_and_when_they_last_went_well(outbox, agent, weather):
    agent.configure(
        WEATHER.format(name="weather", url=weather.url) + "every = 5m\n",
        source("open_meteo", "off", "enabled = no\n"),
        "[source:bare]\n",
        own="[source:agent]\nevery = 1h\n",
    )
    assert row(outbox("sources"), "weather") == "weather open_meteo 5m never"
    outbox("collect", "weather")
    result = outbox("sources")
    assert re.fullmatch(r"weather open_meteo 5m \d+ s ago", row(result, "weather"))
    assert row(result, "off") == "off open_meteo switched off never"
    assert row(result, "bare") == "bare none 15m never"
    assert re.fullmatch(r"agent built in 1h \d+ s ago", row(result, "agent"))


def test_it_is_within_80_columns_and_without_a_space_at_the_end(outbox, agent, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    for line in outbox("sources").out.splitlines():
        assert len(line) <= 80
        assert line == line.rstrip()


def test_without_a_database_it_says_so_and_shows_the_rest(outbox, agent):
    agent.database.unlink()
    result = outbox("sources")
    assert result.code == 0
    assert "The database cannot be read: there is no database at" in result.err
    assert row(result, "agent") == "agent built in switched off never"


@pytest.mark.parametrize("option", [("--installed",)])
def test_only_the_kinds_when_asked_so(outbox, agent, option):
    result = outbox("sources", *option)
    assert "open_meteo" in result.out
    assert "built in" not in result.out


def test_options_shows_the_rest_where_one_kind_cannot_start(outbox, agent, installed):
    result = outbox("options")
    assert result.code == 0
    assert "# [source:absent]: the collector absent cannot start" in result.out
    assert "\n[source:open_meteo]\n" in result.out
    assert "\n[source:agent]\n" in result.out
