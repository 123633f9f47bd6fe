"""upload and vacuum: what waits goes, what was sent and is old goes too, and nothing else does."""

import os
import sqlite3
import sys
from contextlib import closing

import pytest
from filelock import FileLock

from tests.cli.conftest import REPOSITORY, source
from tests.cli.test_init import store_one

ROOT = pytest.mark.skipif(
    os.name == "nt" or os.geteuid() != 0, reason="needs root to give a folder away; CI is root"
)
DRIVER = """\
import sys
from outbox.cli import main
sys.argv = ["outbox", *sys.argv[1:]]
try:
    main()
except SystemExit as ended:
    print("ended with", ended.code, file=sys.stderr)
print(*sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
"""


@pytest.fixture
def collected(agent, outbox, installed):
    agent.configure(source("fixed"))
    assert outbox("collect").code == 0
    return agent


def test_what_waits_is_put_as_one_object_and_marked_sent(collected, outbox):
    result = outbox("upload")
    assert (result.code, result.out) == (0, "")
    assert result.err == f"Sent 1 record in 1 object to {collected.objects.as_uri()}\n"
    (line,) = collected.lines()
    assert (line["entity"], line["values"], line["sequence"]) == ("Jyväskylä", {"t": 3.5}, 1)
    assert collected.query("SELECT status FROM outbox") == [("sent",)]
    assert outbox("upload").err == "Nothing waits.\n"


def test_an_object_store_that_is_not_there_loses_nothing_and_the_next_upload_sends_it(collected, outbox):
    collected.objects.rename(collected.folder / "away")
    result = collected.run("upload")
    assert result.code == 69
    assert "Hint: make the folder" in result.err
    assert collected.query("SELECT status FROM outbox") == [("pending",)]
    (collected.folder / "away").rename(collected.objects)
    assert outbox("upload").code == 0
    assert len(collected.lines()) == 1


def test_a_second_upload_leaves_the_first_alone(collected, outbox):
    with FileLock(collected.database.with_name("upload.lock")):
        result = outbox("upload")
    assert (result.code, collected.lines()) == (75, [])
    assert outbox("upload").code == 0


@pytest.mark.parametrize(
    "arguments", [("upload",), ("status",), ("vacuum",), ("sql", "SELECT 1")], ids=" ".join
)
def test_what_needs_no_network_loads_none_of_it(agent, arguments):
    command = [sys.executable, "-c", DRIVER, *arguments]
    agent.run.command = lambda *_: command
    result = agent.run()
    ended, modules = result.err.rstrip().splitlines()[-2:]
    assert ended == "ended with 0"
    assert {"outbox", "apsw"} <= set(modules.split())
    assert not {"boto3", "botocore", "httpx", "ssl", "anyio"} & set(modules.split())


def test_a_vacuum_removes_the_text_of_what_was_sent_long_enough_ago(collected, outbox):
    collected.configure(source("fixed"), keep_sent="0s")
    assert "Removed the text of 0 sent records" in outbox("vacuum").err
    outbox("upload")
    result = outbox("vacuum")
    assert (result.code, result.out) == (0, "")
    assert "Removed the text of 1 sent records, forgot 0, dropped 0 runs and 0 rejected inputs." in result.err
    assert collected.query("SELECT count(*) FROM bodies") == [(0,)]
    assert collected.query("SELECT status FROM outbox") == [("sent",)]


def test_a_vacuum_leaves_what_waits_or_is_only_sealed(agent, outbox):
    agent.configure(keep_sent="0s", remember="0s")
    store_one(agent.folder, seal=True)
    assert outbox("vacuum").code == 0
    assert agent.query("SELECT count(*) FROM pending") == [(1,)]


def test_a_vacuum_when_the_clock_was_set_back_waits(agent, outbox):
    store_one(agent.folder, seal=False)
    with_future = "INSERT INTO runs (command, started_at) VALUES ('collect', '9999-01-01T00:00:00.000Z')"
    with closing(sqlite3.connect(agent.database)) as other, other:
        other.execute(with_future)
    result = outbox("vacuum")
    assert result.code == 75
    assert "nothing was removed" in result.err


def test_a_process_started_anywhere_finds_the_agents_folder_by_its_configuration(agent, tmp_path):
    result = agent.run("upload", "--config", agent.config, cwd=tmp_path)
    assert result.code == 0
    assert (agent.folder / "logs").is_dir()
    assert not (tmp_path / "logs").exists()
    assert (REPOSITORY / "outbox").is_dir()


def test_every_end_of_every_run_is_in_the_log(collected, outbox):
    outbox("upload")
    outbox("upload")
    collected.configure(to=(collected.folder / "absent").as_uri())
    store_one(collected.folder, seal=False)
    assert outbox("upload").code == 69
    log = (collected.folder / "logs" / "upload.log").read_text(encoding="utf-8")
    assert "INFO outbox sent 1 record in 1 object to " in log
    assert "INFO outbox nothing waits" in log
    assert "ERROR outbox ended with 69: " in log
    with FileLock(collected.folder / "upload.lock"):
        assert outbox("upload").code == 75
    log = (collected.folder / "logs" / "upload.log").read_text(encoding="utf-8")
    assert "ERROR outbox ended with 75: another upload of this outbox is under way" in log
    outbox("vacuum")
    assert "Removed the text of" in (collected.folder / "logs" / "vacuum.log").read_text(encoding="utf-8")


def test_a_lock_that_may_not_be_used_is_told_with_its_cure_and_in_status(agent, outbox, monkeypatch):
    def refused(self, *arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(FileLock, "acquire", refused)
    result = outbox("upload")
    assert result.code == 69
    assert "upload.lock cannot be used" in result.err
    assert "Hint: " in result.err
    assert "a bug" not in result.err
    assert "upload.lock cannot be used" in " ".join(outbox("status").out.split())
    assert "ended with 69" in (agent.folder / "logs" / "upload.log").read_text(encoding="utf-8")


@ROOT
def test_root_in_another_accounts_folder_is_warned(agent, outbox):
    agent.configure()
    os.chown(agent.folder, 65534, 65534)
    for command in ("collect", "upload", "vacuum", "init --customer acme --site helsinki --folder ."):
        assert "WARNING: this is root, and " in outbox(*command.split()).err
    assert "WARNING" not in outbox("status").err
