"""Health is computed from the rows: what waits, what was delivered, what needs a person."""

import pytest

from outbox.delivery import Limits
from outbox.errors import PermanentError
from outbox.health import Expected, examine
from outbox.record import Rejected
from outbox.runs import recorded
from tests.support.agent import record

SCHEDULED = "Hint: does the scheduled task still run, and as the account that owns this folder?"


def look(agent, **changes):
    return examine(agent.database, expected(**changes), now=agent.clock)


def expected(**changes):
    return Expected(**({"every_s": {"weather": 900.0}, "upload_every_s": 300.0} | changes))


def test_a_new_agent_is_healthy_and_has_nothing(agent):
    health = look(agent)
    assert (health.waiting, health.sent, health.missing, health.problems) == (0, 0, 0, ())
    assert (health.first_sequence, health.last_sequence) == (1, 0)


def test_what_waits_and_what_was_sent_are_counted_from_the_rows(agent, clock):
    agent.collect(*[record(n) for n in range(5)])
    clock.advance(minutes=4)
    agent.acknowledge(agent.seal(Limits(3, 10**6)))
    health = look(agent)
    assert (health.waiting, health.sent, health.missing, health.last_sequence) == (2, 3, 0, 5)
    assert (health.objects_24h, health.sent_24h) == (1, 3)
    assert health.oldest_waiting == "2026-11-23T02:00:00.000Z"
    assert health.waiting_bytes == agent.database.value(
        "SELECT sum(bytes) FROM outbox WHERE status = 'pending'"
    )
    assert health.sources[0][:5] == ("weather", "2026-11-23T02:00:00.000Z", 5, 0, 0)
    assert health.sources[0].newest == "2026-11-23T06:00:00.000Z"


def test_batches_that_were_sent_out_of_order_are_counted_rightly(agent):
    agent.collect(*[record(n) for n in range(6)])
    batches = [agent.seal(Limits(2, 10**6)) for _ in range(3)]
    agent.acknowledge(batches[1])
    assert (look(agent).waiting, look(agent).sent, agent.outbox.waiting()) == (4, 2, 4)


def test_a_failed_run_is_a_problem_until_one_succeeds(agent, clock):
    for _ in range(2):
        clock.advance(minutes=5)
        with pytest.raises(PermanentError), recorded(agent.database, "upload", now=clock):
            raise PermanentError("access denied", hint="ask head office")
    health = look(agent)
    assert [(p.what, p.why) for p in health.problems] == [("upload", "access denied\nHint: ask head office")]
    assert health.problems[0][2:] == ("2026-11-23T02:05:00.000Z", 2)
    with recorded(agent.database, "upload", now=clock):
        pass
    assert look(agent).problems == ()


def test_a_source_that_fails_is_named_and_another_ones_success_does_not_hide_it(agent, clock):
    with pytest.raises(PermanentError), recorded(agent.database, "collect", "orders", now=clock):
        raise PermanentError("no such table")
    with recorded(agent.database, "collect", "weather", now=clock):
        pass
    assert [problem.what for problem in look(agent).problems] == ["source orders"]


def test_rejected_inputs_are_a_problem(agent):
    agent.collect(rejected=[Rejected("no time", "{}"), Rejected("no time", "[]")])
    (problem,) = look(agent).problems
    assert problem.what == "rejected inputs of weather"
    assert problem.why == (
        "2 inputs could not become records, as: no time\nHint: outbox rejected list --source weather"
    )


def test_silence_is_a_problem(agent, clock):
    with recorded(agent.database, "upload", now=clock):
        pass
    clock.advance(minutes=59)
    assert look(agent, upload_every_s=3_600).problems == ()
    clock.advance(minutes=2)
    (problem,) = look(agent, upload_every_s=3_600).problems
    assert problem == (
        "collect",
        f"has not run for 61 min, expected every 15 min\n{SCHEDULED}",
        "2026-11-23T02:00:00.000Z",
        0,
    )


def test_a_killed_run_is_no_problem_and_no_success(agent, clock):
    with agent.database.transaction():
        agent.database.execute(
            "INSERT INTO runs (command, started_at) VALUES ('upload', '2026-11-23T02:00:00.000Z')"
        )
    assert look(agent).problems == ()
    assert look(agent).last_upload is None


def test_missing_sequences_are_seen(agent):
    agent.collect(*[record(n) for n in range(5)])
    agent.database.execute("DROP TRIGGER outbox_keeps_pending")
    agent.database.execute("DELETE FROM outbox WHERE sequence = 3")
    assert look(agent).missing == 1


@pytest.mark.parametrize("column", ["started_at", "finished_at", "oldest", "newest"])
def test_a_damaged_row_of_a_run_hides_nothing_else(agent, column):
    agent.collect(record(0))
    agent.database.execute(f"UPDATE runs SET {column} = '2026-11-2\x7f'")
    health = look(agent)
    assert (health.waiting, health.sources[0].name) == (1, "weather")
    assert health.daily_bytes >= 0
