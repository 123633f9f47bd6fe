"""--config before or after the command, else $OUTBOX_CONFIG, else ./config.ini, else the usual folder's."""

import sys

import pytest

from tests.cli.conftest import Agent


@pytest.fixture
def elsewhere(tmp_path):
    """A second agent, whose customer is the same but whose configuration has another name."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    agent = Agent(folder).make()
    agent.config.rename(folder / "other.ini")
    agent.config = folder / "other.ini"
    return agent


def read_by(result):
    """The configuration that `check` says it read."""
    return result.out.splitlines()[1]


def test_config_may_stand_before_and_after_the_command(agent, elsewhere, outbox):
    for arguments in (("--config", elsewhere.config, "check"), ("check", "--config", elsewhere.config)):
        assert read_by(outbox(*arguments)) == str(elsewhere.config)


def test_config_after_the_command_wins(agent, elsewhere, outbox):
    assert read_by(outbox("--config", elsewhere.config, "check", "--config", agent.config)) == str(
        agent.config
    )


def test_config_wins_over_the_environment_and_the_environment_over_the_folder(
    agent, elsewhere, outbox, monkeypatch
):
    assert read_by(outbox("check")) == str(agent.config)
    monkeypatch.setenv("OUTBOX_CONFIG", str(elsewhere.config))
    assert read_by(outbox("check")) == str(elsewhere.config)
    assert read_by(outbox("check", "--config", agent.config)) == str(agent.config)


def test_without_all_that_the_usual_folder_is_looked_into(tmp_path, outbox, monkeypatch):
    monkeypatch.setattr(sys.modules["outbox.cli.app"], "default_folder", lambda: tmp_path / "usual")
    nowhere = tmp_path / "nowhere"
    nowhere.mkdir()
    result = outbox("check", cwd=nowhere)
    assert result.code == 78
    assert "no configuration found: looked at $OUTBOX_CONFIG (not set), ./config.ini and " in result.err
    assert f"{tmp_path / 'usual' / 'config.ini'}\nHint: name it with --config" in result.err
    (tmp_path / "usual").mkdir()
    Agent(tmp_path / "usual").make()
    assert read_by(outbox("check", cwd=nowhere)) == str(tmp_path / "usual" / "config.ini")
    (tmp_path / "here").mkdir()
    Agent(tmp_path / "here").make()
    result = outbox("check", cwd=tmp_path / "here")
    assert read_by(result) == str(tmp_path / "here" / "config.ini")
    assert (
        result.err
        == f"Note: {tmp_path / 'here' / 'config.ini'} is used, not {tmp_path / 'usual' / 'config.ini'}\n"
    )


@pytest.mark.parametrize("command", ["collect", "upload", "status", "vacuum", "sql", "check"])
def test_a_configuration_that_is_not_there_is_said_by_every_command_and_nothing_is_made(
    tmp_path, outbox, command
):
    result = outbox(command, "--config", tmp_path / "missing.ini")
    assert result.code == 78
    assert f"there is no configuration at {tmp_path / 'missing.ini'}" in result.out + result.err
    assert "name it with --config, or make one with: outbox init" in result.out + result.err
    assert list(tmp_path.iterdir()) == []
