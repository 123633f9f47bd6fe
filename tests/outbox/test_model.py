"""The outbox against an oracle that is written from its promises: hypothesis walks, every step is compared.

What is modelled, and what is not, stands in `tests/crash/model.py`; the steps in `model_machine.py`, which
also walks for as long as one likes: `python -m tests.crash.model_machine STEPS SEED`.
"""

import pytest

from outbox.housekeeping import vacuum
from outbox.runs import recorded
from tests.crash import model_machine
from tests.support.agent import LIMITS, record

DAY_S = 86_400


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_random_walk_agrees_with_the_oracle_at_every_step(seed):
    assert model_machine.run(2_000, seed)["steps"] >= 2_000


def test_a_correction_is_stored_although_the_latest_revision_was_forgotten_before_an_older_one(agent, clock):
    """A is sealed and its object refused; its correction B is sent; long after, A is sent, and said again."""

    def read(*records):
        with recorded(agent.database, "collect", "weather", now=clock) as agent.run_id:
            return agent.collect(*records).new

    read(record(0, "A"))
    stuck = agent.seal()
    read(record(0, "B"))
    agent.acknowledge(agent.seal(LIMITS))
    clock.advance(days=35)
    agent.acknowledge(stuck)
    read(record(24 * 34))
    vacuum(agent.database, keep_sent_s=7 * DAY_S, remember_s=30 * DAY_S, now=clock)
    assert read(record(0, "A")) == 1


def test_a_forecast_that_was_revised_often_is_forgotten_at_once(agent, clock):
    """I8: with one revision a vacuum, a ledger of forecasts would grow faster than it is forgotten."""
    for value in range(20):
        agent.collect(record(0, value))
    agent.acknowledge(agent.seal(LIMITS))
    clock.advance(days=40)
    with recorded(agent.database, "collect", "weather", now=clock) as agent.run_id:
        agent.collect(record(24 * 39))
    vacuum(agent.database, keep_sent_s=7 * DAY_S, remember_s=30 * DAY_S, now=clock)
    assert agent.sequences() == [21]


def test_a_command_that_begins_while_a_vacuum_does_is_no_clock_that_went_back(agent, clock):
    with_a_run_since = iter((True,))

    def now():
        moment = clock()
        if next(with_a_run_since, False):
            clock.advance(seconds=0.001)
            with recorded(agent.database, "upload", now=clock):
                pass
        return moment

    vacuum(agent.database, keep_sent_s=7 * DAY_S, remember_s=30 * DAY_S, now=now)


def test_what_waits_is_never_less_than_nothing_whatever_others_do_meanwhile(agent, monkeypatch):
    agent.collect(record(0))
    value = agent.database.value
    others = iter((True,))

    def slow(*arguments):
        found = value(*arguments)
        if next(others, False):
            monkeypatch.undo()
            agent.collect(record(1), record(2))
            agent.acknowledge(agent.seal())
        return found

    monkeypatch.setattr(agent.database, "value", slow)
    assert agent.outbox.waiting() >= 0


def test_a_database_is_made_in_wal_mode_so_that_several_may_open_it_first(path):
    assert path.read_bytes()[18:20] == b"\x02\x02"


def damage(agent):
    agent.database.execute("DROP TRIGGER IF EXISTS bodies_are_immutable")
    agent.database.execute("UPDATE bodies SET body = body || ' ' WHERE sequence = 1")


def test_a_reply_for_a_voided_seal_does_not_confirm_the_seal_that_replaced_it(agent):
    """I5: another uploader holds the old seal, its put under way; nobody has put the new one yet."""
    agent.collect(record(0), record(1))
    old = agent.seal()
    damage(agent)
    new = agent.delivery.seal_again(old, "damaged").batch
    assert new.object_key != old.object_key
    assert not agent.acknowledge(old)
    assert agent.delivery.sealed() == [new]


def test_a_seal_can_be_voided_twice(agent):
    agent.collect(record(0), record(1))
    again = agent.delivery.seal_again(agent.seal(), "damaged").batch
    damage(agent)
    assert agent.delivery.seal_again(again, "damaged") is not None
    assert agent.database.value("SELECT count(*) FROM voided") == 2
