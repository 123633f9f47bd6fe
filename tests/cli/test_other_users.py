"""Other users of the machine: what they may read, and that no file of theirs is read or written as ours."""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.cli.conftest import LIMIT_S, WEATHER, Program

pytestmark = pytest.mark.skipif(
    os.name == "nt", reason="Windows gives a folder's rights to what is made in it"
)
ROOT = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root to be two users"
)
NOBODY, SOMEBODY = 65_534, 12_345
LINKED = ["outbox.witness", "outbox.reserve", "outbox.reserve.new", "upload.lock", "logs"]


def mode(path):
    return stat.S_IMODE(path.stat(follow_symlinks=False).st_mode)


@pytest.fixture
def umask():
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077], ids="{:03o}".format)
def test_whatever_the_umask_the_group_may_read_and_others_nothing(
    tmp_path, outbox, umask, weather, monkeypatch, mask
):
    folder, objects = tmp_path / "agent", tmp_path / "objects"
    umask(mask)
    monkeypatch.setattr("outbox.machine.disk.RESERVE_BYTES", 1_000_000)
    to = ("--to", objects.as_uri())
    assert outbox("init", "--customer", "acme", "--site", "helsinki", *to, "--folder", folder).code == 0
    config = folder / "config.ini"
    text = config.read_text("utf-8").partition("[source:")[0]
    config.write_text(text + WEATHER.format(name="weather", url=weather.url), encoding="utf-8")
    for command in ("collect", "upload", "vacuum"):
        assert outbox("--config", config, command).code == 0, command
    found = {path for path in (tmp_path / "agent", objects) for path in [path, *path.rglob("*")]}
    names = {path.name for path in found}
    assert {
        "outbox.db",
        "outbox.db-wal",
        "outbox.witness",
        "config.ini",
        "collect.log",
        "upload.log",
    } <= names
    assert any(name.endswith(".zst") for name in names)
    private = folder / "secrets"
    for path in found - {private}:
        assert mode(path) == (0o750 if path.is_dir() else 0o640), path
    assert mode(private) == 0o700
    assert os.umask(mask) == mask  # given back


def test_a_folder_that_others_may_write_is_refused_with_the_cure(agent, outbox):
    agent.folder.chmod(0o777)
    for command in ("collect", "upload", "vacuum", "status"):
        result = outbox(command)
        assert result.code == 69, command
        assert f"every user of this machine may write {agent.folder} (its mode is 0777)" in result.err
        assert f'Hint: chmod o= "{agent.folder}"' in result.err
    assert agent.query("SELECT count(*) FROM runs") == [(0,)]


def test_init_makes_no_agent_in_a_folder_that_others_may_write(tmp_path, outbox):
    (tmp_path / "new").mkdir()
    (tmp_path / "new").chmod(0o777)
    result = outbox("init", "--customer", "acme", "--site", "helsinki", "--folder", tmp_path / "new")
    assert result.code == 69
    assert "every user of this machine may write" in result.err
    assert not (tmp_path / "new" / "outbox.db").exists()


@pytest.mark.parametrize("name", LINKED)
def test_nothing_is_written_through_a_link(agent, outbox, tmp_path, name):
    victim = tmp_path / "victim"
    victim.mkdir() if name == "logs" else victim.write_text("theirs", encoding="utf-8")
    (agent.folder / name).symlink_to(victim)
    for command in ("collect", "upload"):
        result = outbox(command)
        assert result.code == 69
        assert f"{agent.folder / name} is a link to another place" in result.err
    assert not list(victim.iterdir()) if name == "logs" else victim.read_text("utf-8") == "theirs"


@pytest.mark.parametrize("name", ["collect.log", "upload.log"])
def test_no_log_is_written_through_a_link(agent, outbox, tmp_path, name):
    (agent.folder / "logs").mkdir()
    (agent.folder / "logs" / name).symlink_to(tmp_path / "victim")
    result = outbox(name.partition(".")[0])
    assert result.code == 69
    assert f"{name} is a link to another place" in result.err
    assert not (tmp_path / "victim").exists()


@pytest.mark.parametrize("name", ["outbox.db", "outbox.db-wal", "outbox.db-shm"])
def test_no_database_is_opened_through_a_link(agent, outbox, tmp_path, name):
    path = agent.folder / name
    if path.exists():
        path.rename(tmp_path / name)
    path.symlink_to(tmp_path / name)
    for command in ("collect", "status"):
        result = outbox(command)
        assert result.code == 69
        assert f"{path} is a link to another place: it is neither read nor written" in result.err


def test_an_agent_s_folder_may_be_reached_through_a_link(agent, outbox, tmp_path):
    (tmp_path / "short").symlink_to(agent.folder)
    assert outbox("--config", tmp_path / "short" / "config.ini", "collect").code == 0


@ROOT
def test_a_configuration_of_another_account_is_not_used_unless_it_is_named(agent, outbox):
    os.chown(agent.config, NOBODY, NOBODY)
    result = outbox("collect")
    assert result.code == 78
    assert (
        f"{agent.config} belongs to nobody, and says what is read and where it is sent: not used"
        in result.err
    )
    assert outbox("--config", agent.config, "collect").code == 0


@ROOT
def test_the_configuration_of_the_default_folder_is_used_whoever_owns_it(agent, outbox, monkeypatch):
    monkeypatch.setattr(sys.modules["outbox.cli.app"], "default_folder", lambda: agent.folder)
    os.chown(agent.config, NOBODY, NOBODY)
    assert outbox("collect").code == 0


# The interpreter may lie where only root may read: what is imported as the other user must be there before.
AS_USER = """
import importlib, os, pkgutil, sys
import filelock, rich, typer
for package in ("outbox", "collectors", "uploader", "rich", "encodings"):
    path = importlib.import_module(package).__path__
    for module in pkgutil.walk_packages(path, f"{package}.", onerror=lambda _name: None):
        if not module.name.endswith("__main__"):
            try:
                importlib.import_module(module.name)
            except ImportError:
                pass
user = int(sys.argv.pop(1))
os.setgroups([])
os.setgid(user)
os.setuid(user)
from outbox.cli import main
sys.argv[0] = "outbox"
main()
"""


@pytest.fixture
def as_user():
    """as_user(uid, *arguments) runs the program as another user, who is in the group of his own number."""
    place = Path(tempfile.mkdtemp(dir="/tmp"))
    place.chmod(0o755)
    (place / "home").mkdir()
    run = Program(place)

    def as_user(uid, *arguments):
        command = [sys.executable, "-c", AS_USER, str(uid), *map(str, arguments)]
        done = subprocess.run(
            command, cwd=place, env=run.env, capture_output=True, text=True, check=False, timeout=LIMIT_S
        )
        return done.returncode, done.stdout, done.stderr

    as_user.place = place
    yield as_user
    shutil.rmtree(place)


@ROOT
def test_another_user_cannot_read_and_a_member_of_the_group_can(as_user):
    folder = as_user.place / "agent"
    folder.mkdir()
    os.chown(folder, NOBODY, NOBODY)
    to = ("--to", (folder / "objects").as_uri())
    made = as_user(NOBODY, "init", "--customer", "acme", "--site", "helsinki", *to, "--folder", folder)
    assert made[0] == 0, made
    config = folder / "config.ini"
    config.write_text(config.read_text("utf-8").partition("[source:")[0], encoding="utf-8")
    folder.chmod(0o750)
    code, _, err = as_user(SOMEBODY, "--config", config, "status")
    assert (code, "Permission denied" in err) == (78, True)
    for path in [folder, *folder.glob("outbox.db*"), config]:
        os.chown(path, NOBODY, SOMEBODY)
    asked = as_user(SOMEBODY, "--config", config, "sql", "SELECT count(*) AS n FROM agents")
    assert asked[:2] == (0, "n\n1\n"), asked
    code, _, err = as_user(SOMEBODY, "--config", config, "collect")
    assert code == 69
    assert f"{folder} belongs to nobody, and this runs as {SOMEBODY}" in err
