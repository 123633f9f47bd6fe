"""Help: every command and option says what it is for, and the commands are grouped."""

import pytest
import typer.main

from outbox import __version__
from outbox.cli import app

GROUPS = ["Every day", "When something is wrong", "Setting up", "Housekeeping", "Trying it out"]
COMMANDS = typer.main.get_command(app).commands


def leaves(commands, *above):
    for name, command in commands.items():
        yield (*above, name), command
        yield from leaves(getattr(command, "commands", {}), *above, name)


LEAVES = list(leaves(COMMANDS))


@pytest.mark.parametrize(("path", "command"), LEAVES, ids=[" ".join(path) for path, _ in LEAVES])
def test_every_command_and_each_of_its_options_says_what_it_is_for(path, command):
    assert command.help
    assert command.help.strip().endswith((".", "pending"))
    for parameter in command.params:
        assert getattr(parameter, "help", None), parameter.name


def test_every_command_is_in_one_of_the_groups():
    assert {command.rich_help_panel for command in COMMANDS.values()} <= set(GROUPS)


def test_help_shows_the_groups_and_every_command(outbox):
    result = outbox("--help")
    assert result.code == 0
    for word in [*GROUPS, *COMMANDS]:
        assert word in result.out
    assert result.err == ""


@pytest.mark.parametrize("path", [path for path, _ in LEAVES], ids=" ".join)
def test_help_of_a_command_is_shown_without_a_configuration(outbox, path):
    result = outbox(*path, "--help")
    assert result.code == 0
    assert f"Usage: outbox {' '.join(path)}" in result.out
    assert result.err == ""


def test_without_a_command_help_is_shown(outbox):
    result = outbox()
    assert "Every day" in result.out + result.err
    assert result.code in (0, 2)


def test_the_version_is_said_and_nothing_else(outbox):
    assert outbox("--version") == (0, f"outbox {__version__}\n", "")


def test_help_keeps_what_stands_in_brackets(outbox):
    assert "as in [source:NAME]" in " ".join(outbox("preview", "--help").out.split())
