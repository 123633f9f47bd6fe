"""The guide names only what there is: commands, options, parts, views, parameters of templates, files."""

import re
from importlib.resources import files
from pathlib import Path

import pytest
import typer.main

from outbox import snowflake
from outbox.cli import app
from tests.snowflake.stand_in import Warehouse
from tests.snowflake.world import START

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "migrations" / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"```(sh|sql)\n(.*?)```", GUIDE, re.DOTALL)
SHELL = [line for kind, text in BLOCKS if kind == "sh" for line in text.splitlines()]
OUTBOX = [line.partition(" > ")[0].split()[1:] for line in SHELL if line.startswith("outbox ")]
PARTS = snowflake.parts()


def command_of(words):
    command, rest = typer.main.get_command(app), list(words)
    while rest and rest[0] in getattr(command, "commands", {}):
        command = command.commands[rest.pop(0)]
    return command, rest


@pytest.mark.parametrize("words", OUTBOX, ids=" ".join)
def test_a_command_that_it_shows_exists_with_its_options(words):
    command, rest = command_of(words)
    assert command.name != "outbox"
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in rest if word.startswith("--")} <= known


def test_the_snowflake_commands_run_as_shown(outbox):
    shown = [words for words in OUTBOX if words[0] == "snowflake" and "arrived" not in words]
    assert len(shown) == 3
    for words in shown:
        assert outbox(*words).code == 0


def test_every_part_and_recipe_that_it_names_exists_and_every_recipe_is_named():
    named = set(re.findall(r"--part (\w+)", GUIDE)) | set(re.findall(r"(?m)^- `(\w+)", GUIDE))
    assert named <= set(PARTS)
    assert {name for name, part in PARTS.items() if not part.in_script} <= named


def test_the_options_that_it_gives_a_recipe_are_those_that_the_recipe_needs():
    command, _ = command_of(["snowflake"])
    defaults = {parameter.name for parameter in command.params if parameter.default is not None}
    for name, given in re.findall(r"(?m)^- `(\w+) ([^`]+)`", GUIDE):
        options = {option.replace("-", "_") for option in re.findall(r"--([\w-]+)", given)}
        needed = set(PARTS[name].wanted) - defaults - {"to"}
        assert options >= needed - snowflake.OPTIONAL, name
        assert options <= needed, name


def test_the_views_that_it_names_are_there_and_those_that_are_there_are_named():
    warehouse = Warehouse(START)
    views = {
        row["view_name"] for row in warehouse.query("SELECT view_name FROM duckdb_views() WHERE NOT internal")
    }
    tables = {row["table_name"] for row in warehouse.query("SELECT table_name FROM duckdb_tables()")}
    section = GUIDE.partition("## Which view answers what")[2].partition("## ")[0]
    named = set(re.findall(r"`(\w+)`", section))
    assert named <= views | tables
    unnamed = views - named - {"new_problems", "known_ends", "health", "agent_runs"}
    assert unnamed == set()


def test_the_parameters_and_outputs_of_the_templates_exist():
    landing = (files("migrations") / "aws" / "landing.yaml").read_text("utf-8")
    customer = (files("migrations") / "aws" / "customer.yaml").read_text("utf-8")
    for line in SHELL:
        for name in re.findall(r"(\w+)=", line.partition("--parameter-overrides")[2]):
            assert f"\n  {name}:\n" in landing
    assert "\n  SnowflakeRoleArn:\n" in landing
    assert "\n  Alarms:\n" in customer


def test_what_snowflake_is_asked_for_is_made_by_the_script():
    script = "".join(part.text for part in PARTS.values())
    assert "INTEGRATION IF NOT EXISTS <% database %>_BUCKET" in script
    assert "DESC INTEGRATION OUTBOX_BUCKET" in GUIDE
    assert "PIPE IF NOT EXISTS landing_pipe" in script
    assert "CREATE TABLE IF NOT EXISTS expected" in script


def test_the_names_of_the_stacks_are_those_that_the_command_prints(outbox):
    for words in OUTBOX:
        if words[0] == "aws":
            stack = re.search(r"--stack-name (\S+)", outbox(*words).err)[1]
            assert GUIDE.count(f"--stack-name {stack} --template-file {stack}.yaml") >= 1


def test_the_row_that_it_inserts_fits_the_table():
    (statement,) = re.findall(r"INSERT INTO OUTBOX.CORE.expected .*", GUIDE)
    warehouse = Warehouse(START)
    warehouse.run(statement + "\n")
    (row,) = warehouse.query("SELECT state, contact FROM agents")
    assert row == {"state": "never seen", "contact": "it@acme.example"}
