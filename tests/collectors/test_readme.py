"""The guides are true: the example runs, the sections are valid, the tables name every option."""

import re
from configparser import ConfigParser
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

import collectors
from collectors.collector import Collector, Context, SourceOptions, Window
from collectors.registry import kinds, load
from outbox.errors import PermanentError, TransientError
from tests.collectors.loopback import reply

FOLDER = Path(collectors.__file__).parent
README = (FOLDER / "README.md").read_text(encoding="utf-8")
OWN = sorted(name for name, point in kinds().items() if point.dist.name == "snowflake-datapipe")
PAGES = {
    name: (FOLDER / name / "README.md").read_text(encoding="utf-8") for name in (*OWN, "mapping", "tables")
}
SECTIONS = [
    (name, section) for name in PAGES for section in re.findall(r"```ini\n(.*?)```", PAGES[name], re.DOTALL)
]


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


def test_the_attribution_is_there():
    assert "Weather data by Open-Meteo.com, CC BY 4.0" in PAGES["open_meteo"]
    assert "commercial use needs an API key" in PAGES["open_meteo"]


@pytest.mark.parametrize("kind", OWN)
def test_the_page_of_a_kind_shows_a_section_of_it(kind):
    shown = [section for name, section in SECTIONS if name == kind]
    assert any(re.search(rf"(?m)^collector += {kind}$", section) for section in shown)


@pytest.mark.parametrize("section", [section for _name, section in SECTIONS])
def test_every_section_that_is_shown_is_valid(section):
    parser = ConfigParser(interpolation=None)
    parser.read_string(section)
    assert parser.sections()
    for name in parser.sections():
        given = dict(parser[name])
        assert load(given["collector"]).Options.model_validate(given)


@pytest.mark.parametrize("kind", OWN)
def test_the_tables_of_a_kind_name_its_options_and_no_others(kind):
    own = named(PAGES[kind])
    options = load(kind).Options.model_fields.keys() - SourceOptions.model_fields.keys()
    assert own - {"timezone"} <= options
    assert options <= own | named(PAGES["mapping"]) | named(PAGES["tables"])


@pytest.mark.parametrize("kind", OWN)
def test_every_option_says_what_it_is(kind):
    for name, field in load(kind).Options.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name
        assert len(field.description) <= 96, name


def named(page):
    table = "\n".join(line.split("|")[1] for line in page.splitlines() if line.startswith("| `"))
    return set(re.findall(r"`(\w+)`", table))
