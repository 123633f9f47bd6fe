"""status: is everything all right, and if not, what to do. Never a traceback, never a change."""

import json
import sqlite3
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta

import pytest

from outbox.checksums import row_checksum
from outbox.database import Database
from outbox.errors import OutboxError, TransientError
from outbox.record import timestamp
from outbox.runs import note_clock, recorded
from outbox.witness import read_witness, write_witness
from tests.cli.conftest import WEATHER, source
from tests.cli.test_audit import send
from tests.cli.test_init import store_one
from tests.support.s3_faults import refusal, serving

KEY, SECRET = "AKIACANARY0000007Q2F", "CANARY/secret+access/key0000000000000000"


@pytest.fixture
def delivered(agent, outbox, installed):
    """An agent that collected one record, rejected none and uploaded it."""
    agent.configure(source("fixed"))
    for command in ("collect", "upload"):
        assert outbox(command).code == 0
    return agent


def test_an_agent_that_has_done_nothing_yet_is_all_right(agent, outbox):
    result = outbox("status")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("OK   acme / helsinki   agent ")
    assert "Waiting    nothing   (never uploaded yet)" in result.out


def test_what_waits_is_counted_and_what_was_sent_is_unbroken(delivered, outbox):
    result = outbox("status")
    assert "Waiting    nothing   next upload at " in result.out
    assert "Delivered  1 record in 1 object in the last 24 h, last at " in result.out
    assert "Unbroken   sequences 1 to 1: 1 sent, 0 waiting, none missing" in result.out


def test_a_record_that_was_rejected_is_a_problem(delivered, outbox):
    result = outbox("status")
    assert result.code == 69
    assert result.out.startswith("PROBLEM   ")
    assert "rejected inputs of fixed" in result.out
    assert "1 input could not become records, as: nan is not a number that JSON can hold" in result.out


def test_a_long_problem_and_its_hint_are_broken_between_words_at_the_width(
    agent, outbox, installed, monkeypatch
):
    monkeypatch.setenv("COLUMNS", "60")
    agent.configure(source("mended", more=f"lines = {'many words ' * 20}\n"))
    outbox("collect")
    result = outbox("status")
    shown = result.out.partition("rejected inputs of mended")[2].partition("     acme")[0].splitlines()
    assert len([line for line in shown if line.strip()]) > 4
    assert max(map(len, shown)) <= 60
    assert " " * 11 + "Hint: outbox rejected list --source mended" in shown


def test_json_is_for_machines(delivered, outbox):
    result = outbox("status", "--json")
    found = json.loads(result.out)
    assert (result.code, result.err) == (69, "")
    assert (found["waiting"], found["sent"], found["missing"], found["sent_24h"], found["objects_24h"]) == (
        0,
        1,
        0,
        1,
        1,
    )
    assert found["agent"]["customer"] == "acme"
    assert [problem["what"] for problem in found["problems"]] == ["rejected inputs of fixed"]
    assert [(each["name"], each["new"], each["rejected"]) for each in found["sources"]] == [("fixed", 1, 1)]
    assert found["free_bytes"] > 0


def test_json_says_that_all_is_well_with_exit_code_0(agent, outbox):
    store_one(agent.folder, seal=False)
    result = outbox("status", "--json")
    assert (result.code, json.loads(result.out)["problems"], json.loads(result.out)["waiting"]) == (0, [], 1)


def test_a_refused_upload_is_a_problem_that_says_whose_and_that_nothing_is_lost(agent, outbox):
    store_one(agent.folder, seal=False)
    with serving(
        refusal(403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist.")
    ) as s3:
        agent.configure(
            to="s3://b/raw",
            region="eu-north-1",
            endpoint_url=s3.url,
            path_style="yes",
            credentials="file:secrets/aws",
        )
        outbox("secret", "set", "aws", stdin=f"{KEY}\n{SECRET}\n")
        upload = outbox("upload")
        assert upload.code == 69
    assert "InvalidAccessKeyId" in upload.err
    result = outbox("status")
    assert result.code == 69
    assert result.out.startswith("PROBLEM   ")
    assert "InvalidAccessKeyId" in result.out
    assert "1 problem needs attention." in result.out
    assert result.out.count("InvalidAccessKeyId") == 1
    assert "Nothing is lost: collecting goes on, 1 record waiting." in result.out
    (problem,) = json.loads(outbox("status", "--json").out)["problems"]
    assert (problem["what"], problem["runs"]) == ("upload", 1)
    assert SECRET not in upload.err + result.out
    assert KEY not in upload.err + result.out


def test_a_source_that_is_switched_off_is_not_overdue(agent, outbox, installed):
    agent.configure(source("fixed", "a"), source("fixed", "b"))
    outbox("collect")
    # A source is overdue after four intervals: here after none.
    agent.configure(source("fixed", "a", "every = 0s\n"), source("fixed", "b", "every = 0s\nenabled = no\n"))
    overdue = [problem["what"] for problem in json.loads(outbox("status", "--json").out)["problems"]]
    assert "collect" in overdue
    assert not [what for what in overdue if what.startswith("collect ")]


def test_status_reads_only(delivered, outbox):
    before = {path: path.read_bytes() for path in delivered.folder.rglob("*") if path.is_file()}
    del before[delivered.database.with_name("outbox.db-shm")]  # where readers say that they read
    outbox("status")
    assert {path: path.read_bytes() for path in before} == before


def test_a_sequence_that_is_missing_is_said_loudly(agent, outbox):
    store_one(agent.folder, seal=False)
    with closing(sqlite3.connect(agent.database)) as damaged:
        damaged.execute("UPDATE sqlite_sequence SET seq = 3 WHERE name = 'outbox'")
        damaged.commit()
    result = outbox("status")
    assert result.code == 69
    assert "2 sequences are missing: the database is damaged" in result.out
    assert "2 MISSING" in result.out


def test_colours_are_for_terminals_and_no_color_is_obeyed(agent, outbox, monkeypatch):
    assert "\x1b[" not in outbox("status").out
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    assert "\x1b[1;32mOK" in outbox("status").out
    monkeypatch.setenv("NO_COLOR", "1")
    plain = outbox("status").out
    assert "OK" in plain
    assert not [code for code in ("\x1b[1;3", "\x1b[3", "\x1b[9") if code in plain]


def test_a_source_that_was_refused_is_a_problem_by_its_name(agent, outbox, weather):
    agent.configure(WEATHER.format(name="weather", url=weather.url).replace("= temperature_2m", "= nonsense"))
    assert outbox("collect").code == 69
    result = outbox("status")
    assert result.code == 69
    assert "source weather" in result.out
    assert "nonsense" in result.out


def test_a_database_that_was_put_back_is_a_problem_before_anything_refuses_it(agent, outbox):
    send(agent, 0, 1)
    known = read_witness(agent.database)
    write_witness(agent.database, known._replace(last_sequence=known.last_sequence + 7))
    result = outbox("status")
    assert result.code == 69
    assert "it was put back from a backup" in result.out
    assert "Hint: outbox agent renew" in result.out
    checked = outbox("check")
    assert checked.code == 65
    assert "it was put back from a backup" in checked.out
    assert outbox("agent", "renew").code == 0
    assert [outbox(command).code for command in ("status", "check")] == [0, 0]


def failed_upload(agent, error, times=1):
    with Database.open(agent.database) as database:
        for _ in range(times):
            with suppress(OutboxError), recorded(database, "upload", now=lambda: datetime.now(UTC)):
                raise error


def test_a_first_failure_that_may_pass_is_waiting_and_no_problem(agent, outbox):
    store_one(agent.folder, seal=False)
    failed_upload(agent, TransientError("s3.example cannot be reached. Nothing was lost"))
    result = outbox("status")
    assert result.code == 75
    assert result.out.startswith("WAITING   The next run may well succeed. Nothing is to be done yet.")
    assert "PROBLEM" not in result.out
    assert "s3.example cannot be reached" in result.out
    assert "Nothing is lost: collecting goes on, 1 record waiting." in result.out
    found = json.loads(outbox("status", "--json").out)
    assert (found["problems"], found["transient"][0]["what"]) == ([], "upload")
    failed_upload(agent, TransientError("s3.example cannot be reached. Nothing was lost"), times=2)
    result = outbox("status")
    assert result.code == 69
    assert "upload, 3 runs since " in result.out
    assert result.out.count("cannot be reached") == 1


def test_a_disk_below_the_floor_is_a_problem(agent, outbox):
    agent.configure(disk_floor="900TB")
    result = outbox("status")
    assert result.code == 69
    assert "\n           disk\n" in result.out
    assert "collecting waits below 900TB" in " ".join(result.out.split())


def test_who_was_never_scheduled_is_a_problem(agent, outbox):
    agent.configure(source("fixed"))
    with closing(sqlite3.connect(agent.database)) as older:
        older.execute("DROP TRIGGER agents_are_immutable")
        (row,) = older.execute("SELECT agent_id, customer, site, host, first_sequence, reason FROM agents")
        since = timestamp(datetime.now(UTC) - timedelta(days=90))
        number, values = 1, (*row[:5], since, row[5])
        older.execute("UPDATE agents SET since = ?, checksum = ?", (since, row_checksum(number, *values)))
        older.commit()
    result = outbox("status")
    assert result.code == 69
    assert "has never run, 90 days after it was set up" in " ".join(result.out.split())
    assert "collecting goes on" not in result.out


def test_a_clock_that_was_wrong_at_the_last_upload_is_shown(agent, outbox):
    with (
        Database.open(agent.database) as database,
        recorded(database, "upload", now=lambda: datetime.now(UTC)) as run,
    ):
        note_clock(database, run, datetime.now(UTC) - timedelta(hours=1), now=lambda: datetime.now(UTC))
    result = outbox("status")
    assert result.code == 0
    assert "Clock      60 min ahead of the store's, as the last upload heard" in result.out


def test_data_that_stopped_coming_is_a_problem_until_the_section_says_otherwise(agent, outbox, installed):
    agent.configure(source("fixed"))
    outbox("collect")
    outbox("rejected", "dismiss", "--source", "fixed")
    outbox("upload")
    with closing(sqlite3.connect(agent.database)) as older:
        older.execute(
            "UPDATE runs SET started_at = ? WHERE new > 0", (timestamp(datetime.now(UTC) - timedelta(9)),)
        )
        older.commit()
    with (
        Database.open(agent.database) as database,
        recorded(database, "collect", "fixed", now=lambda: datetime.now(UTC)),
    ):
        pass
    result = outbox("status")
    assert result.code == 69
    assert "runs well and has given nothing new for 9 days" in " ".join(result.out.split())
    for fresh, code in (("10d", 0), ("off", 0), ("1d", 69)):
        agent.configure(source("fixed", more=f"fresh = {fresh}\n"))
        assert outbox("status").code == code
    agent.configure(source("fixed", more="fresh = sometimes\n"))
    assert "fresh" in outbox("check", "--offline").out
