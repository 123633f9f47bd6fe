"""Reports of agents that looked healthy while nothing arrived: what status says of such, as people run it."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from outbox.record import timestamp

ORDERS = "entity = OrderNo\ntime = Changed\ntime_format = %Y-%m-%d\nvalues = Qty\ndelimiter = ;\n"


@pytest.fixture
def delivering(journey):
    """A source that was read, and whose record was delivered."""
    journey.files(f"pattern = *.csv\n{ORDERS}")
    journey.write("a.csv", "OrderNo;Changed;Qty\nA1;2026-01-02;3\n")
    assert journey.collect().code == 0
    assert journey.outbox("upload").code == 0
    assert journey.outbox("status").code == 0
    return journey


def change(journey, sql, *parameters):
    with closing(sqlite3.connect(journey.agent.database)) as database, database:
        database.execute(sql, parameters)


def days_ago(days):
    return timestamp(datetime.now(UTC) - timedelta(days=days))


def status(journey):
    result = journey.outbox("status")
    return result.code, " ".join(result.out.split())


def test_a_task_that_was_switched_off_is_told_at_once_with_its_question(delivering):
    """erikdarlingdata/PerformanceMonitor#1246: its jobs were disabled, and it looked healthy, even calmer."""
    change(delivering, "UPDATE runs SET started_at = ?1, finished_at = ?1", days_ago(2))
    code, text = status(delivering)
    assert code == 69
    assert "collect and upload, since" in text
    assert "has not run for 2 days, expected every 15 min and 5 min" in text
    assert "Hint: does the scheduled task still run" in text
    assert text.startswith("PROBLEM 1 problem needs attention.")


def test_a_source_whose_every_run_fails_is_told_by_its_own_error(delivering):
    """open-ace/open-ace#3144: each run failed, and the only alert said that the scheduler was stale."""
    delivering.write("b.csv", "Other;Header\n1;2\n")
    for _ in range(4):
        assert delivering.collect().code == 69
    code, text = status(delivering)
    assert code == 69
    assert "source s, 4 runs since" in text
    assert "b.csv has no column OrderNo" in text
    assert "has not run" not in text


def test_one_source_that_delivers_does_not_hide_another_that_does_not(delivering):
    """erikdarlingdata/PerformanceMonitor#3236: freshness was that of whichever collector was the freshest."""
    other = delivering.section.replace("[source:s]", "[source:t]")
    delivering.agent.configure(delivering.section, other, disk_floor="1MB\ntimezone = Europe/Helsinki")
    assert delivering.collect().code == 0
    change(delivering, "UPDATE runs SET started_at = ? WHERE source = 't'", days_ago(9))
    delivering.write("a.csv", "OrderNo;Changed;Qty\nA1;2026-01-02;3\nA2;2026-01-02;4\n")
    assert delivering.outbox("collect", "s").code == 0
    code, text = status(delivering)
    assert code == 69
    assert "collect t, since" in text
    assert "does the scheduled command name its sources?" in text


def test_a_destination_that_cannot_be_reached_is_no_health(delivering):
    """elastic/elastic-agent#443: the output was unreachable, and the agent reported that it was healthy."""
    delivering.write("b.csv", "OrderNo;Changed;Qty\nB1;2026-01-02;3\n")
    delivering.collect()
    delivering.agent.objects.rename(delivering.agent.objects.with_name("away"))
    assert delivering.outbox("upload").code == 69
    code, text = status(delivering)
    assert code == 69
    assert "upload, since" in text
    assert "collecting goes on, 1 record waiting" in text


def test_a_clock_that_was_years_ahead_for_a_moment_stops_nothing_afterwards(delivering):
    """dubiousjim/dcron#16: after the date was set back, jobs that had run in the future would wait for it."""
    ahead = timestamp(datetime.now(UTC) + timedelta(days=3_650))
    change(delivering, "UPDATE runs SET started_at = ?1, finished_at = ?1", ahead)
    code, text = status(delivering)
    assert code == 69
    assert "clock the latest run, upload, began at" in text
    assert delivering.outbox("vacuum").code == 75
    assert [delivering.outbox(command).code for command in ("collect", "upload", "vacuum")] == [0, 0, 0]
    assert status(delivering)[0] == 0


def test_an_export_that_stopped_is_told_although_every_run_goes_well(delivering):
    """netdata/netdata-cloud#916: a collector that had given data for long gave none, and nobody was told."""
    change(delivering, "UPDATE runs SET started_at = ?1, finished_at = ?1", days_ago(90))
    assert [delivering.outbox(command).code for command in ("collect", "upload")] == [0, 0]
    code, text = status(delivering)
    assert code == 69
    assert "source s, since" in text
    assert "runs well and has given nothing new for 90 days" in text
    assert "Hint: does what it reads still grow? outbox preview s shows what is found" in text
