"""init: from nothing to an agent that can be checked, and what it refuses to overwrite."""

import os
import stat
import sys
from datetime import UTC, datetime

import pytest

from outbox.agents import current_agent
from outbox.cli.private import make_private_folder, write_private
from outbox.config.file import load
from outbox.database import Database
from outbox.delivery import Delivery, Limits
from outbox.errors import PermanentError
from outbox.record import Page, Record
from outbox.runs import recorded
from outbox.store import Outbox

POSIX = pytest.mark.skipif(os.name == "nt", reason="Windows keeps its rights elsewhere")
ANSWERS = (
    "--customer",
    "acme",
    "--site",
    "helsinki",
    "--to",
    "s3://bucket/raw",
    "--timezone",
    "Europe/Helsinki",
)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "new" / "agent"


def agent_of(folder):
    with Database.open(folder / "outbox.db", readonly=True) as database:
        return current_agent(database)


def now():
    return datetime.now(UTC)


def store_one(folder, *, seal):
    with (
        Database.open(folder / "outbox.db") as database,
        recorded(database, "collect", "x", now=now) as run_id,
    ):
        record = Record(stream="s", entity="e", observed_at=now(), values={"t": 1})
        Outbox(database, now=now).add(
            Page(records=[record], bookmark="b"), source="x", run_id=run_id, revision=0
        )
        if seal:
            assert Delivery(database, now=now).seal(Limits(10, 1000), "zstd")


def test_a_fresh_agent_has_a_configuration_a_database_and_a_private_folder(outbox, folder):
    result = outbox("init", *ANSWERS, "--folder", folder)
    assert (result.code, result.err) == (0, "")
    config = load(folder / "config.ini")
    assert (config.agent.customer, config.agent.site, config.folder) == ("acme", "helsinki", folder)
    assert config.upload.to == "s3://bucket/raw"
    assert str(config.agent.timezone) == "Europe/Helsinki"
    agent = agent_of(folder)
    assert (agent.customer, agent.site, agent.first_sequence) == ("acme", "helsinki", 1)
    for said in (
        "config.ini",
        "outbox.db",
        "secrets",
        agent.agent_id[:8],
        "free",
        "Europe/Helsinki, as asked",
    ):
        assert said in result.out
    assert "credentials   outbox" in result.out
    assert "secret set aws" in result.out
    assert result.out.rstrip().endswith("check")


@POSIX
def test_the_folder_of_secrets_is_closed_to_others(outbox, folder):
    outbox("init", *ANSWERS, "--folder", folder)
    assert stat.S_IMODE((folder / "secrets").stat().st_mode) == 0o700


def test_what_stands_in_the_configuration_as_in_the_example_is_still_open(outbox, folder):
    result = outbox("init", "--customer", "acme", "--site", "helsinki", "--folder", folder)
    assert "[upload] to" in result.out.partition("Still open")[2]


def test_nothing_that_was_given_is_still_open(outbox, folder):
    result = outbox("init", *ANSWERS, "--region", "eu-north-1", "--folder", folder)  # the example's region
    still_open = result.out.partition("Still open")[2]
    assert "region" not in still_open
    assert "[upload] credentials" in still_open
    assert "[source:weather] places" in still_open


def test_a_folder_as_destination_needs_neither_region_nor_credentials(outbox, folder, tmp_path):
    to = (tmp_path / "objects").as_uri()
    result = outbox("init", "--customer", "acme", "--site", "helsinki", "--to", to, "--folder", folder)
    assert "[upload]" not in result.out.partition("Still open")[2]


def test_init_again_changes_nothing(outbox, folder):
    outbox("init", *ANSWERS, "--folder", folder)
    before = (folder / "config.ini").read_bytes(), agent_of(folder)
    result = outbox("init", *ANSWERS, "--folder", folder)
    assert result.code == 0
    assert result.out.count("Kept") == 3
    assert "Made" not in result.out
    assert ((folder / "config.ini").read_bytes(), agent_of(folder)) == before


@pytest.mark.parametrize(
    ("option", "answer", "mistake"),
    [
        ("--customer", "other", "[agent] customer: is 'acme', not 'other'"),
        ("--site", "oulu", "[agent] site: is 'helsinki', not 'oulu'"),
        ("--to", "s3://other/raw", "[upload] to: is 's3://bucket/raw', not 's3://other/raw'"),
    ],
)
def test_an_answer_that_disagrees_with_the_configuration_is_refused(outbox, folder, option, answer, mistake):
    outbox("init", *ANSWERS, "--folder", folder)
    before = (folder / "config.ini").read_bytes(), agent_of(folder)
    result = outbox("init", option, answer, "--folder", folder)
    assert result.code == 78
    assert mistake in result.err
    assert ((folder / "config.ini").read_bytes(), agent_of(folder)) == before


def test_a_database_of_another_customer_is_refused(outbox, folder):
    outbox("init", *ANSWERS, "--folder", folder)
    config = folder / "config.ini"
    config.write_text(config.read_text(encoding="utf-8").replace("= acme", "= other"), encoding="utf-8")
    result = outbox("init", "--config", config)
    assert result.code == 65
    assert "is acme / helsinki's, not other / helsinki's" in result.err
    assert "outbox init --start-over" in result.err


def test_starting_over_makes_a_new_agent_and_puts_the_old_database_aside(outbox, folder):
    outbox("init", *ANSWERS, "--folder", folder)
    old = agent_of(folder)
    store_one(folder, seal=False)
    result = outbox("init", "--start-over", "--config", folder / "config.ini")
    assert result.code == 0
    assert agent_of(folder).agent_id != old.agent_id
    (aside,) = folder.glob("outbox.db.*.aside")
    with Database.open(aside, readonly=True) as database:
        assert current_agent(database) == old
        assert database.value("SELECT count(*) FROM pending") == 1


def test_starting_over_is_refused_once_anything_was_sealed(outbox, folder):
    outbox("init", *ANSWERS, "--folder", folder)
    store_one(folder, seal=True)
    before = agent_of(folder)
    result = outbox("init", "--start-over", "--config", folder / "config.ini")
    assert result.code == 65
    assert "has sealed batches" in result.err
    assert agent_of(folder) == before
    assert list(folder.glob("*.aside")) == []


@pytest.mark.parametrize("missing", ["--customer", "--site"])
def test_without_a_person_to_ask_an_answer_that_is_missing_is_a_wrong_command_line(outbox, folder, missing):
    at = ANSWERS.index(missing)
    result = outbox("init", *ANSWERS[:at], *ANSWERS[at + 2 :], "--folder", folder)
    assert result.code == 2
    assert missing in result.err
    assert not folder.exists()


@pytest.mark.parametrize(
    ("option", "answer", "mistake"),
    [
        ("--customer", "Acme Ltd", "'Acme Ltd' is no name here"),
        ("--site", "../etc", "'../etc' is no name here"),
        ("--to", "bucket/raw", "is not a destination"),
        ("--to", "s3://bucket/env=test", "has a = in its prefix"),
        ("--timezone", "Mars/Olympus", "'Mars/Olympus' is not a time zone"),
        ("--customer", "acme\nsite = other", "is given twice"),
    ],
)
def test_a_bad_answer_is_refused_before_anything_is_made(outbox, folder, option, answer, mistake):
    result = outbox("init", *ANSWERS, option, answer, "--folder", folder)
    assert result.code == 78
    assert mistake in result.err
    assert not folder.exists()


def test_a_local_destination_is_made(outbox, folder):
    objects = folder.parent / "objects ä"
    result = outbox("init", *ANSWERS, "--to", objects.as_uri(), "--folder", folder)
    assert result.code == 0
    assert objects.is_dir()
    assert list(objects.iterdir()) == []


def test_a_network_drive_is_refused(outbox, folder, monkeypatch):
    monkeypatch.setattr(sys.modules["outbox.cli.commands.init"], "network_drive", lambda path: "cifs")
    result = outbox("init", *ANSWERS, "--folder", folder)
    assert result.code == 69
    assert f"{folder} is on a network drive (cifs)" in result.err
    assert "Hint: use --folder with a local disk" in result.err
    assert not (folder / "outbox.db").exists()


def test_a_relative_folder_becomes_absolute_in_the_configuration(outbox, tmp_path):
    assert outbox("init", *ANSWERS, "--folder", "here").code == 0
    assert load(tmp_path / "here" / "config.ini").agent.folder == tmp_path / "here"


@POSIX
def test_a_private_file_is_private_from_its_first_byte_and_replaces_the_old_one_whole(tmp_path):
    folder = make_private_folder(tmp_path / "a" / "secrets")
    write_private(folder / "x", "old")
    (folder / "x").chmod(0o644)
    write_private(folder / "x", "neü\n")
    assert (folder / "x").read_bytes() == "neü\n".encode()
    assert [stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / "x")] == [0o700, 0o600]
    assert [path.name for path in folder.iterdir()] == ["x"]


def test_a_private_file_that_cannot_be_written_is_no_bug_and_leaves_nothing_behind(tmp_path):
    (tmp_path / "x").mkdir()
    with pytest.raises(PermanentError, match="x cannot be written"):
        write_private(tmp_path / "x", "secret")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    (tmp_path / "file").touch()
    with pytest.raises(PermanentError, match="cannot be made"):
        make_private_folder(tmp_path / "file" / "secrets")
