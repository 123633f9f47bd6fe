"""Vacuum: what was sent and is old goes, what was not sent stays, and what is read again is still known."""

import pytest

from outbox import housekeeping
from outbox.delivery import Limits
from outbox.errors import TransientError
from outbox.housekeeping import vacuum
from outbox.record import Rejected
from outbox.runs import recorded
from tests.support.agent import record

DAY_S = 86_400


def clean(agent, **overrides):
    return vacuum(
        agent.database,
        **({"keep_sent_s": 7 * DAY_S, "remember_s": 30 * DAY_S, "now": agent.clock} | overrides),
    )


def run(agent, *records):
    """A run of its own, which reads the records."""
    with recorded(agent.database, "collect", "weather", now=agent.clock) as agent.run_id:
        return agent.collect(*records)


def count(agent, table):
    return agent.database.value(f"SELECT count(*) FROM {table}")


def test_a_sent_body_goes_after_keep_sent_and_not_before(agent, clock):
    agent.collect(record(0), record(1))
    agent.acknowledge(agent.seal())
    clock.advance(days=7)
    assert clean(agent).bodies == 0
    clock.advance(seconds=1)
    assert clean(agent).bodies == 2
    assert (count(agent, "bodies"), count(agent, "outbox")) == (0, 2)


def test_nothing_that_was_not_sent_goes_however_old(agent, clock):
    agent.collect(record(0), record(1))
    agent.seal()
    agent.collect(record(2))
    clock.advance(days=4000)
    assert clean(agent)[:2] == (0, 0)
    assert (count(agent, "bodies"), count(agent, "outbox")) == (3, 3)


def test_a_sent_batch_behind_an_unsent_one_is_pruned_too(agent, clock):
    agent.collect(record(0))
    agent.seal()
    agent.collect(record(1))
    agent.acknowledge(agent.seal())
    clock.advance(days=8)
    assert clean(agent).bodies == 1
    assert agent.database.execute("SELECT sequence FROM bodies") == [(1,)]


def test_a_record_is_forgotten_when_its_source_no_longer_reads_back_to_it(agent, clock):
    run(agent, record(0))
    agent.acknowledge(agent.seal())
    clock.advance(days=40)
    run(agent, record(24 * 39))
    assert clean(agent).forgotten == 1
    assert agent.sequences() == [2]


def test_a_full_export_that_is_read_every_night_is_not_sent_again(agent, clock):
    run(agent, record(0), record(1))
    agent.acknowledge(agent.seal())
    for _ in range(10):
        clock.advance(days=10)
        assert run(agent, record(0), record(1)).new == 0
        assert clean(agent).forgotten == 0


def test_one_source_that_reads_far_back_does_not_make_another_one_remembered(agent, clock):
    run(agent, record(0))
    agent.collect(record(0), source="export")
    agent.acknowledge(agent.seal())
    clock.advance(days=40)
    with recorded(agent.database, "collect", "export", now=clock) as agent.run_id:
        agent.collect(record(0), source="export")
    run(agent, record(24 * 39))
    assert clean(agent).forgotten == 1
    assert agent.database.execute("SELECT source FROM outbox ORDER BY sequence") == [
        ("export",),
        ("weather",),
    ]


def test_a_source_that_read_nothing_for_long_is_remembered(agent, clock):
    run(agent, record(0))
    agent.acknowledge(agent.seal())
    clock.advance(days=60)
    clean(agent)
    assert agent.sequences() == [1]


def test_a_body_that_is_kept_keeps_its_row(agent, clock):
    run(agent, record(0))
    agent.acknowledge(agent.seal())
    clock.advance(days=40)
    run(agent, record(24 * 39))
    assert clean(agent, keep_sent_s=400 * DAY_S).forgotten == 0


def test_it_works_in_steps_and_gives_the_space_back(agent, clock, monkeypatch):
    monkeypatch.setattr(housekeeping, "STEP_ROWS", 100)
    agent.collect(*[record(n, f"{n}" * 900) for n in range(2_000)])
    agent.acknowledge(agent.seal(Limits(2_000, 10**9)))
    clock.advance(days=8)
    steps = []
    agent.database.connection.exec_trace = lambda _cursor, sql, _bindings: steps.append(sql) or True
    done = clean(agent)
    agent.database.connection.exec_trace = None
    assert done.bodies == 2_000
    assert sum(sql.startswith("DELETE FROM bodies") for sql in steps) == 20
    assert done.bytes > 2_000_000
    assert agent.database.value("PRAGMA freelist_count") == 0
    assert agent.database.value("PRAGMA integrity_check") == "ok"


def test_old_runs_and_rejected_inputs_expire(agent, clock):
    agent.collect(rejected=[Rejected("why", "{}")])
    clock.advance(days=91)
    with recorded(agent.database, "vacuum", now=clock):
        done = clean(agent)
    assert (done.runs, done.rejected) == (1, 1)
    assert (count(agent, "runs"), count(agent, "rejected")) == (1, 0)


def test_a_clock_that_went_back_removes_nothing(agent, clock):
    clock.advance(days=-1)
    with pytest.raises(TransientError, match="nothing was removed"):
        clean(agent)


def test_the_ledger_is_walked_once_however_many_sources_there_are(agent, clock, monkeypatch):
    monkeypatch.setattr(housekeeping, "STEP_ROWS", 10)
    for number in range(30):
        with recorded(agent.database, "collect", f"s{number}", now=clock) as agent.run_id:
            agent.collect(record(0), record(1), source=f"s{number}")
    agent.acknowledge(agent.seal())
    clock.advance(days=40)
    for number in range(0, 30, 2):  # every second source no longer reads back to what it read then
        with recorded(agent.database, "collect", f"s{number}", now=clock) as agent.run_id:
            agent.collect(record(24 * 39), source=f"s{number}")
    steps = []
    agent.database.connection.exec_trace = lambda _cursor, sql, _bindings: steps.append(sql) or True
    done = clean(agent)
    agent.database.connection.exec_trace = None
    assert done.forgotten == 30
    assert sum("DELETE FROM outbox" in sql for sql in steps) == 8  # 75 rows, in steps of 10
    left = agent.database.execute("SELECT DISTINCT source FROM outbox WHERE sequence <= 60")
    assert {name for (name,) in left} == {f"s{number}" for number in range(1, 30, 2)}


def test_a_run_of_a_clock_that_was_wrong_stops_no_vacuum_once_others_have_run(agent, clock):
    clock.advance(days=365)
    with recorded(agent.database, "collect", "weather", now=clock):
        pass
    clock.advance(days=-365)
    with pytest.raises(TransientError, match="nothing was removed") as stopped:
        clean(agent)
    assert "if it is right now, it was wrong then" in str(stopped.value)
    with recorded(agent.database, "collect", "weather", now=clock):
        pass
    assert clean(agent).bodies == 0
