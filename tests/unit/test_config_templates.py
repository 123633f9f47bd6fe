"""The example, and what `outbox options` prints, are configurations that this program takes."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from collectors.registry import kinds
from collectors.registry import load as load_collector
from outbox.cli import app
from outbox.cli.commands.init import template
from outbox.cli.wiring import configured_sources
from outbox.config.file import CORE, ConfigFile, load

EXAMPLE = Path(__file__).parents[2] / "config.ini.example"
REQUIRED = {
    "customer": "acme",
    "site": "helsinki",
    "folder": "data",
    "to": "s3://bucket/raw",
    "places": "Helsinki, 60, 25",
}


def sources_of(path):
    found = []
    config = load(path, also=lambda file: found.extend(configured_sources(file)))
    return config, found


def test_the_example_is_a_configuration(tmp_path):
    path = tmp_path / "config.ini"
    path.write_bytes(EXAMPLE.read_bytes())
    config, sources = sources_of(path)
    assert (config.agent.customer, config.upload.to) == ("acme", "s3://example-landing/raw")
    assert [source.name for source in sources] == ["weather"]
    assert len(sources[0].options.places) == 2


def test_the_example_fits_on_two_pages_and_needs_no_wide_window():
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    assert len(lines) < 110
    assert max(map(len, lines)) <= 100


def test_the_example_shows_no_option_that_is_not_there():
    commented = re.findall(r"(?m)^#?(\w+)\s*=", EXAMPLE.read_text(encoding="utf-8").split("# More kinds")[0])
    known = {name for model in CORE.values() for name in model.model_fields}
    known |= load_collector("open_meteo").Options.model_fields.keys()
    assert set(commented) <= known


def test_every_section_of_the_example_is_valid_once_its_signs_are_taken_away(tmp_path):
    text = re.sub(r"(?m)^#(?=\[|\w+\s*=)", "", EXAMPLE.read_text(encoding="utf-8"))
    path = tmp_path / "config.ini"
    path.write_text(text, encoding="utf-8")
    config, sources = sources_of(path)
    config.file.require_valid()
    assert {source.name for source in sources if source.error} == set()
    assert {config.file.text(f"source:{source.name}", "collector") for source in sources} == {
        kind for kind, point in kinds().items() if point.dist.name == "snowflake-datapipe"
    }
    assert config.file.text("source:agent", "every") == "15m"


def test_init_fills_in_this_example():
    assert template() == EXAMPLE.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def printed():
    result = CliRunner().invoke(app, ["options"])
    assert result.exit_code == 0
    return result.stdout


def filled(text):
    for option, value in REQUIRED.items():
        text, count = re.subn(rf"(?m)^{option} =$", f"{option} = {value}", text)
        assert count == 1, option
    return text.replace("#current =", "current = temperature_2m")


def test_what_options_prints_lists_every_option_of_every_section(printed):
    file = ConfigFile.parse(re.sub(r"(?m)^#(\w+ =)", r"\1", printed), Path("config.ini"))
    models = dict(CORE) | {f"source:{kind}": load_collector(kind).Options for kind in kinds()}
    for section, model in models.items():
        for option, field in model.model_fields.items():
            assert file.text(section, option) is not None, f"[{section}] {option}"
            assert field.description, f"[{section}] {option} says nothing about itself"
            assert field.description.split()[0] in printed


def test_what_options_prints_names_the_words_that_an_option_may_take(printed):
    assert "# Snowflake reads all three. One of: zstd | gzip | none\n#compression = zstd\n" in printed


def test_what_options_prints_is_a_configuration_once_what_is_required_is_filled_in(printed, tmp_path):
    path = tmp_path / "config.ini"
    path.write_text(filled(printed), encoding="utf-8")
    config, sources = sources_of(path)
    assert config.upload == CORE["upload"](to=REQUIRED["to"])
    assert [source.name for source in sources] == list(kinds())


def test_the_defaults_that_options_prints_are_the_defaults(printed, tmp_path):
    plain, shown = tmp_path / "plain.ini", tmp_path / "shown.ini"
    plain.write_text(filled(printed), encoding="utf-8")
    shown.write_text(re.sub(r"(?m)^#(\w+ =)", r"\1", filled(printed)), encoding="utf-8")
    (config, sources), (config_shown, sources_shown) = sources_of(plain), sources_of(shown)
    assert (config.agent, config.network, config.upload) == (
        config_shown.agent,
        config_shown.network,
        config_shown.upload,
    )
    assert [source.options for source in sources] == [source.options for source in sources_shown]
