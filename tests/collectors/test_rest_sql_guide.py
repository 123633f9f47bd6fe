"""What the guide says of REST and SQL sources is true: their sections are valid, their tables complete."""

import re
from configparser import ConfigParser
from pathlib import Path

import pytest

import collectors
from collectors.mapping.options import MappingOptions
from collectors.rest.collector import Rest
from collectors.sql.collector import Sql

README = (Path(collectors.__file__).parent / "README.md").read_text(encoding="utf-8")


def part(title):
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize(("title", "kind"), [("REST", Rest), ("SQL", Sql)])
def test_the_section_is_valid(title, kind):
    parser = ConfigParser(interpolation=None)
    parser.read_string(re.search(r"```ini\n(.*?)```", part(title), re.DOTALL)[1])
    (name,) = parser.sections()
    options = kind.Options(**parser[name])
    assert options.collector == title.lower()


@pytest.mark.parametrize(("title", "kind"), [("REST", Rest), ("SQL", Sql)])
def test_the_table_names_every_option(title, kind):
    table = "\n".join(line.split("|")[1] for line in part(title).splitlines() if line.startswith("| `"))
    assert (
        set(re.findall(r"`(\w+)`", table))
        == kind.Options.model_fields.keys() - MappingOptions.model_fields.keys()
    )


@pytest.mark.parametrize(("title", "kind"), [("REST", Rest), ("SQL", Sql)])
def test_every_option_says_what_it_is(title, kind):
    for name, field in kind.Options.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name
        assert len(field.description) <= 96, name
