"""check: everything that is wrong, before a scheduled run finds it."""

import os
import re
import sqlite3
import sys
from contextlib import closing
from datetime import UTC, datetime

import apsw
import pytest

from collectors.open_meteo.simulator import Reply
from outbox.cli.commands.init import template
from outbox.cli.findings import Finding, show
from outbox.cli.text import age, number, size
from tests.cli.conftest import WEATHER, source
from tests.cli.test_init import store_one

POSIX = pytest.mark.skipif(os.name == "nt", reason="Windows keeps its rights elsewhere")


def states(result):
    """The report: what each part's state is."""
    rows = [
        line.split() for line in result.out.splitlines() if line.startswith(("ok ", "WARNING ", "FAILED "))
    ]
    return {row[1]: row[0] for row in rows}


def test_a_healthy_agent_is_ok_and_nothing_is_stored(agent, outbox):
    before = {path: path.read_bytes() for path in agent.folder.rglob("*") if path.is_file()}
    result = outbox("check")
    assert (result.code, result.err) == (0, "")
    assert states(result) == dict.fromkeys(("config", "database", "disk", "destination"), "ok")
    assert result.out.endswith("4 ok, 0 warnings, 0 failed. No record was stored or sent.\n")
    assert {path: path.read_bytes() for path in agent.folder.rglob("*") if path in before} == before


def test_every_mistake_of_the_configuration_is_shown_at_once(agent, outbox):
    mistakes = "[source:weather]\ncollector = open_meteo\nplaces = Helsinki\ncurent = temperature_2m\n"
    agent.configure(mistakes, "[source:x]\ncollector = nothing\n", customer="Acme Ltd", to="nowhere")
    result = outbox("check")
    assert result.code == 78
    report = result.out
    for line in (2, 7, 10, 11, 13):
        assert f"config.ini:{line}  [" in report
    assert "did you mean current?" in report
    assert "'nothing' is unknown; known: email, files, open_meteo" in report
    assert "0 ok, 0 warnings, 1 failed" in report


def test_a_collector_that_cannot_start_is_a_finding(agent, outbox, installed):
    agent.configure(source("absent"))
    result = outbox("check")
    assert (result.code, states(result)["config"]) == (69, "ok")
    assert "the collector absent cannot start: No module named 'not_installed'" in result.out


def test_a_missing_database_is_found_and_not_made(agent, outbox):
    agent.database.unlink()
    result = outbox("check")
    assert (result.code, states(result)["database"]) == (69, "FAILED")
    assert "Hint: make one with: outbox init" in result.out
    assert not agent.database.exists()


def test_a_missing_folder_is_found_and_not_made(agent, outbox):
    agent.configure(folder="typing/error")
    result = outbox("check")
    assert result.code == 69
    assert states(result)["database"] == states(result)["disk"] == "FAILED"
    assert not (agent.folder / "typing").exists()


def test_a_foreign_database_is_left_alone(agent, outbox):
    agent.database.unlink()
    with closing(sqlite3.connect(agent.database)) as foreign:
        foreign.execute("CREATE TABLE theirs (x)")
    before = agent.database.read_bytes()
    result = outbox("check")
    assert (result.code, states(result)["database"]) == (65, "FAILED")
    assert "is another program's database" in result.out
    assert agent.database.read_bytes() == before


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: b"\0" * len(data),
        lambda data: data[:4096] + b"\xff" * 4096 + data[8192:],
        lambda data: data[:6000],
    ],
    ids=["empty", "zeros", "a page", "cut"],
)
def test_a_damaged_database_is_found_whatever_the_damage(agent, outbox, damage):
    for suffix in ("-wal", "-shm"):
        agent.database.with_name(agent.database.name + suffix).unlink(missing_ok=True)
    agent.database.write_bytes(damage(agent.database.read_bytes()))
    result = outbox("check")
    assert (result.code, states(result)["database"]) == (65, "FAILED")


@pytest.mark.parametrize("command", ["collect", "upload", "status", "vacuum", "check"])
def test_another_customers_database_is_refused_by_every_command(agent, outbox, command):
    agent.configure(site="oulu")
    result = outbox(command)
    assert result.code == 78
    assert "outbox init --start-over" in result.out + result.err
    assert agent.query("SELECT count(*) FROM runs") == [(0,)]


def test_a_disk_below_the_floor_is_found(agent, outbox):
    agent.configure(disk_floor="900TB")
    result = outbox("check")
    assert (result.code, states(result)["disk"]) == (73, "FAILED")


@pytest.mark.parametrize("how", [(), ("--offline",)], ids=["tried", "offline"])
def test_a_local_destination_that_is_not_there_is_found_and_not_made(agent, outbox, how):
    agent.objects.rmdir()
    result = outbox("check", *how)
    assert (result.code, states(result)["destination"]) == (69, "FAILED")
    assert not agent.objects.exists()


def test_credentials_that_are_not_there_are_found(agent, outbox):
    agent.configure(to="s3://b/raw", credentials="file:secrets/aws")
    result = outbox("check")
    assert (result.code, states(result)["destination"]) == (69, "FAILED")
    assert "does not exist yet" in result.out
    assert "outbox secret set aws" in result.out


def test_credentials_are_shown_by_their_ends_only(agent, outbox):
    agent.configure(to="s3://b/raw", credentials="file:secrets/aws")
    outbox("secret", "set", "aws", stdin="AKIACANARY0000007Q2F\nCANARYsecretaccesskey\n")
    result = outbox("check", "--offline")
    assert result.code == 0
    assert "key AKIA…7Q2F; not contacted" in result.out
    assert "CANARY" not in result.out


@POSIX
def test_secrets_that_others_can_read_are_a_warning(agent, outbox):
    outbox("secret", "set", "x", stdin="secret\n")
    assert states(outbox("check"))["secrets"] == "ok"
    (agent.folder / "secrets" / "x").chmod(0o640)
    result = outbox("check")
    assert (result.code, states(result)["secrets"]) == (0, "WARNING")
    assert "others can read x" in result.out
    assert "1 warning, 0 failed" in result.out


def test_a_source_that_may_have_been_renamed_is_a_warning(agent, outbox):
    store_one(agent.folder, seal=False)
    agent.configure(WEATHER.format(name="weather", url="http://127.0.0.1:9"))
    result = outbox("check", "--offline")
    assert (result.code, states(result)["sources"]) == (0, "WARNING")
    assert "x was collected and is not configured; weather is new" in result.out
    agent.configure(WEATHER.format(name="x", url="http://127.0.0.1:9"))
    assert "sources" not in states(outbox("check", "--offline"))


def test_a_datapoint_that_head_office_does_not_list_is_a_warning(agent, outbox):
    (agent.folder / "datapoints.csv").write_text("name,unit,meaning\nquantity,pcs,Pieces\nprice,EUR,Each\n")
    orders = f"[source:orders]\ncollector = files\npath = {agent.folder}\ntime = Changed\n"
    agent.configure(orders + "values = quantity: Qty [pcs], price: Price [USD], weigth: W [kg]\n")
    result = outbox("check")
    assert (result.code, states(result)["orders"]) == (0, "WARNING")
    assert "price is in USD, and in datapoints.csv in EUR" in result.out
    assert "weigth is not in datapoints.csv" in result.out
    assert "quantity" not in result.out
    agent.configure(orders + "values = quantity: Qty [pcs]\n")
    assert "WARNING" not in outbox("check").out
    (agent.folder / "datapoints.csv").write_text("nome;unita\n")
    result = outbox("check")
    assert (result.code, states(result)["datapoints"]) == (69, "FAILED")


def test_each_source_is_tried_and_nothing_is_stored(agent, outbox, weather):
    other = WEATHER.format(name="other", url="http://127.0.0.1:9")
    agent.configure(
        WEATHER.format(name="weather", url=weather.url),
        other,
        source("files", more="path = /no/such\ntime = at\nvalues = t\n"),
    )
    result = outbox("check")
    assert result.code in (69, 75)
    assert (states(result)["weather"], states(result)["other"], states(result)["files"]) == (
        "ok",
        "FAILED",
        "FAILED",
    )
    assert re.search(r"ok +weather +can be read; \d+ records at first\n", result.out)
    assert "/no/such" in result.out
    assert agent.query("SELECT (SELECT count(*) FROM runs), (SELECT count(*) FROM outbox)") == [(0, 0)]


def test_named_sources_are_tried_alone(agent, outbox, weather):
    agent.configure(
        WEATHER.format(name="a", url=weather.url), WEATHER.format(name="b", url="http://127.0.0.1:9")
    )
    result = outbox("check", "a")
    assert (result.code, set(states(result))) == (0, {"config", "a"})
    assert outbox("check", "c").code == 78


def test_offline_no_source_is_contacted(agent, outbox, weather):
    agent.configure(WEATHER.format(name="weather", url=weather.url))
    assert outbox("check", "--offline").code == 0
    assert weather.requests == []


def test_a_source_that_hangs_is_given_up(agent, outbox, installed, monkeypatch):
    monkeypatch.setattr("outbox.cli.probe.LIMIT_S", 0.5)
    agent.configure(source("hanging"), source("broken"), source("fixed"))
    result = outbox("check")
    assert "gave nothing within 0.5 s" in result.out
    assert "a bug: ZeroDivisionError" in result.out
    assert "1 of the first 2 inputs would be rejected" in result.out
    assert result.code == 1


def test_a_login_that_is_refused_is_remembered_and_not_tried_again(agent, outbox, weather):
    weather._fault = lambda _request, _reply: Reply(401, {}, b'{"error":true,"reason":"wrong key"}')
    agent.configure(WEATHER.format(name="weather", url=weather.url))
    assert outbox("check").code == 69
    asked = len(weather.requests)
    result = outbox("check")
    assert "was refused at" in result.out
    assert "is not tried again before" in " ".join(result.out.split())
    assert len(weather.requests) == asked == 1


def test_a_locked_database_is_said_and_what_holds_it(agent, outbox, monkeypatch):
    monkeypatch.setattr("outbox.cli.commands.check._WRITE_LIMIT_MS", 50)
    # by the same library: POSIX drops a process's locks when another library in it closes the file
    with closing(apsw.Connection(str(agent.database))) as other:
        other.execute("BEGIN IMMEDIATE")
        result = outbox("check")
        other.execute("ROLLBACK")
    assert (result.code, states(result)["database"]) == (75, "FAILED")
    assert "another program is writing into" in result.out
    assert "DB Browser" in result.out
    assert outbox("check").code == 0


def test_what_is_the_example_s_is_a_warning(agent, outbox):
    example = template().partition("[source:weather]")
    agent.configure("[source:weather]" + example[2].partition("\n[")[0] + "\n")
    result = outbox("check", "--offline")
    assert (result.code, states(result)["weather"]) == (0, "WARNING")
    assert "[source:weather] places are the example's: put yours, or remove the source" in " ".join(
        result.out.split()
    )


@POSIX
def test_files_that_others_may_use_are_a_warning_and_a_folder_that_they_may_write_a_failure(agent, outbox):
    agent.folder.chmod(0o755)
    agent.config.chmod(0o644)
    result = outbox("check")
    assert (result.code, states(result)["account"]) == (0, "WARNING")
    assert "others may use config.ini" in result.out
    agent.folder.chmod(0o777)
    result = outbox("check")
    assert (result.code, states(result)["account"]) == (69, "FAILED")


def test_how_long_the_disk_has_room_is_said_once_a_day_is_known(agent, outbox, weather):
    assert "offline" not in outbox("check").out
    agent.configure(WEATHER.format(name="weather", url=weather.url))
    assert outbox("collect").code == 0
    assert re.search(r"ok +disk +\S+ [kMGT]B free: room for .+ offline; floor 1.0 MB\n", outbox("check").out)


@pytest.mark.parametrize("width", [80, 40])
def test_on_a_terminal_lines_fit_and_no_word_is_lost(monkeypatch, capsys, width):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    words = ["word", "s3://b/raw", "AKIA…7Q2F,"] * 12
    show(Finding("WARNING", "credentials", f"{' '.join(words)}\nHint: {' '.join(words)}"))
    first, *rest = capsys.readouterr().out.splitlines()
    assert first.startswith("WARNING  credentials   word")
    assert max(map(len, [first, *rest])) <= width
    assert {len(line) - len(line.lstrip()) for line in rest} == {9, 23}
    assert " ".join([first, *rest]).split() == ["WARNING", "credentials", *words, "Hint:", *words]


def test_elsewhere_a_finding_stays_on_its_line(capsys):
    show(Finding("ok", "x", "word " * 100 + "\nHint: y"))
    assert (
        capsys.readouterr().out == f"ok       x             {'word ' * 100}".rstrip() + "\n         Hint: y\n"
    )


def test_numbers_are_shown_in_three_digits():
    shown = [size(count) for count in (0, 999, 1_000, 9_940, 9_960, 999_400, 999_600, 2 * 10**9, 5 * 10**12)]
    assert shown == ["0 B", "999 B", "1.0 kB", "9.9 kB", "10 kB", "999 kB", "1.0 MB", "2.0 GB", "5.0 TB"]
    assert [number(count, "object") for count in (0, 1, 1_234)] == ["0 objects", "1 object", "1,234 objects"]


def test_ages_are_shown_in_the_two_units_that_matter():
    moment = datetime(2026, 11, 23, 2, tzinfo=UTC)
    ages = [
        "2026-11-23T01:59:48Z",
        "2026-11-23T01:56:00Z",
        "2026-11-22T20:34:00Z",
        "2026-11-20T01:00:00Z",
        None,
    ]
    assert [age(text, moment) for text in ages] == ["12 s", "4 min", "5 h 26 min", "3 d 1 h", "never"]
    assert age("2026-11-23T03:00:00Z", moment) == "0 s"


def test_objects_that_vanished_from_a_folder_are_named_with_their_cure(agent, outbox, installed):
    agent.configure(source("fixed"))
    for command in ("collect", "upload"):
        assert outbox(command).code == 0
    assert "objects" not in states(outbox("check", "--offline"))
    (path,) = agent.objects.rglob("*.ndjson.zst")
    path.unlink()
    result = outbox("check", "--offline")
    assert states(result)["objects"] == "WARNING"
    assert "1 object of the latest 100 sent cannot be found there any more, as batch 1" in " ".join(
        result.out.split()
    )
    assert "outbox resend 1" in result.out
    assert outbox("resend", "1").code == 0
    assert "objects" not in states(outbox("check", "--offline"))
