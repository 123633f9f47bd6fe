"""The guide is true: its example runs, its section is valid, its table names every option."""

import json
import re
from configparser import ConfigParser
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

import collectors
from collectors.collector import Collector, Context, SourceOptions, Window
from collectors.open_meteo.collector import OpenMeteo
from collectors.registry import kinds, load
from outbox.errors import PermanentError, TransientError
from tests.collectors.loopback import reply

README = (Path(collectors.__file__).parent / "README.md").read_text(encoding="utf-8")


def block(language):
    return re.search(rf"```{language}\n(.*?)```", README, re.DOTALL)[1]


@pytest.fixture
def meter(serve, make_http):
    rows = [
        {"number": n, "meter": "main", "at": f"2026-11-23T0{n}:00:00Z", "kwh": n / 2} for n in range(1, 6)
    ]

    def answer(ask):
        after = int(ask.target.partition("=")[2])
        return reply(200, [row for row in rows if row["number"] > after][:2])

    names = {}
    exec(compile(block("python"), "README.md", "exec"), names)
    options = names["Meter"].Options(collector="meter", url=serve(answer).url)
    context = Context("meters", ZoneInfo("UTC"), make_http(), lambda _reference: "")
    source: Collector = names["Meter"](options, context)
    return source


def test_the_example_collects(meter):
    pages = list(meter.collect({}))
    assert [len(page.records) for page in pages] == [2, 2, 1]
    assert [page.bookmark for page in pages] == ["2", "4", "5"]
    last = pages[-1].records[-1]
    assert last.observed_at == datetime(2026, 11, 23, 5, tzinfo=UTC)
    assert (last.values, last.units) == ({"energy": 2.5}, {"energy": "kWh"})


def test_the_example_goes_on_at_its_bookmark(meter):
    assert [page.bookmark for page in meter.collect({"": "4"})] == ["5"]
    assert list(meter.collect({"": "5"})) == []
    with pytest.raises(PermanentError):
        list(meter.collect({}, Window(datetime.now(UTC).date(), datetime.now(UTC).date())))


def test_the_example_takes_no_answer_for_another(serve, make_http):
    names = {}
    exec(compile(block("python"), "README.md", "exec"), names)
    context = Context("meters", ZoneInfo("UTC"), make_http(), lambda _reference: "")
    for answer in (reply(200, b"<html>"), reply(200, [{"number": "18"}]), reply(503)):
        server = serve(lambda _ask, answer=answer: answer)
        source = names["Meter"](names["Meter"].Options(collector="meter", url=server.url), context)
        with pytest.raises(TransientError):
            list(source.collect({}))


def test_the_example_is_short():
    lines = [line for line in block("python").splitlines() if line.strip()]
    assert len(lines) < 45, "it fits on a screen, the list of its imports included"
    assert max(map(len, lines)) <= 110


def test_the_section_is_valid():
    parser = ConfigParser(interpolation=None)
    parser.read_string(block("ini"))
    options = OpenMeteo.Options(**parser["source:weather"])
    assert len(options.places) == 2


def test_every_option_is_in_the_table():
    section = README.partition("\n## Open-Meteo\n")[2].partition("\n## ")[0]
    table = "\n".join(line.split("|")[1] for line in section.splitlines() if line.startswith("| `"))
    named = set(re.findall(r"`(\w+)`", table))
    assert named == (OpenMeteo.Options.model_fields.keys() - SourceOptions.model_fields.keys()) | {"timezone"}


def test_the_attribution_is_there():
    assert "Weather data by Open-Meteo.com, CC BY 4.0" in README
    assert json.loads('"commercial use needs an API key"') in README


@pytest.mark.parametrize("section", re.findall(r"```ini\n(.*?)```", README, re.DOTALL))
def test_every_section_that_is_shown_is_valid(section):
    parser = ConfigParser(interpolation=None)
    parser.read_string(section)
    for name in parser.sections():
        given = dict(parser[name])
        assert load(given["collector"]).Options.model_validate(given)


@pytest.mark.parametrize(
    "kind", [name for name, point in kinds().items() if point.dist.name == "snowflake-datapipe"]
)
def test_every_option_of_every_kind_is_in_a_table(kind):
    table = "\n".join(line.split("|")[1] for line in README.splitlines() if line.startswith("| `"))
    options = load(kind).Options.model_fields.keys() - SourceOptions.model_fields.keys()
    assert options - set(re.findall(r"`(\w+)`", table)) == set()
