"""Restores and clones: a database on another machine, or behind its witness, stops until it is renewed."""

import shutil

import pytest

from outbox import agents
from outbox.agents import current_agent, renew, require_own
from outbox.delivery import Limits
from outbox.errors import DataError
from outbox.witness import Witnessed, read_witness, witness_of, write_witness
from tests.support.agent import opened, record


def test_an_agent_on_its_own_machine_is_its_own(agent):
    require_own(agent.database)
    agent.collect(record(0))
    batch = agent.seal()
    require_own(agent.database)
    assert read_witness(agent.database.path) == (batch.agent_id, 1)
    agent.acknowledge(batch)
    require_own(agent.database)


def test_the_witness_knows_of_a_seal_before_anything_can_be_put(agent, monkeypatch):
    agent.collect(record(0))
    seen = []
    monkeypatch.setattr(
        "outbox.delivery.write_witness",
        lambda path, known: seen.append((known, len(agent.delivery.sealed()))),
    )
    batch = agent.seal()
    assert seen == [(Witnessed(batch.agent_id, 1), 1)]


def test_a_database_on_another_machine_stops(agent, monkeypatch):
    monkeypatch.setattr(agents, "fingerprint", lambda: "0" * 32)
    with pytest.raises(DataError, match="another machine") as caught:
        require_own(agent.database)
    assert "outbox agent renew --moved" in caught.value.hint


@pytest.mark.parametrize("reason", ["cloned", "moved"])
def test_renewed_on_another_machine_it_goes_on_with_everything_it_had(agent, monkeypatch, reason):
    agent.collect(record(0), record(1), bookmark="here")
    sealed = agent.seal(Limits(1, 10**6))
    monkeypatch.setattr(agents, "fingerprint", lambda: "0" * 32)
    renewed = renew(agent.database, reason, now=agent.clock)
    require_own(agent.database)
    assert (renewed.first_sequence, renewed.agent_id[-12:]) == (2, "000000000002")
    assert agent.outbox.bookmarks("weather")[""].text == "here"
    after = agent.seal()
    assert (sealed.agent_id, after.agent_id) == ("0123456789abcdef-000000000001", renewed.agent_id)
    assert (after.first_sequence, after.last_sequence) == (2, 2)
    assert f"agent={renewed.agent_id}/" in after.object_key
    assert b'"agent_id":"0123456789abcdef-000000000001"' in agent.delivery.lines(sealed)
    assert renewed.agent_id.encode() in agent.delivery.lines(after)


def test_an_older_backup_that_was_put_back_stops_and_renewed_reuses_no_name(path, clock, tmp_path):
    with opened(path, clock) as agent:
        agent.collect(record(0))
    shutil.copy(path, tmp_path / "backup.db")
    with opened(path, clock) as agent:
        agent.collect(record(1, "lost with the restore"))
        before = agent.seal()
        agent.acknowledge(before)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink()
    shutil.copy(tmp_path / "backup.db", path)
    with opened(path, clock) as agent:
        with pytest.raises(DataError, match="sealed up to sequence 2 and now knows of 0"):
            require_own(agent.database)
        renewed = renew(agent.database, "restored", now=clock)
        require_own(agent.database)
        agent.collect(record(1, "read again"))
        after = agent.seal()
    assert (
        (after.first_sequence, after.last_sequence) == (before.first_sequence, before.last_sequence) == (1, 2)
    )
    assert after.agent_id == renewed.agent_id != before.agent_id
    assert after.object_key != before.object_key


def test_a_renewed_agent_is_never_older_than_its_predecessor(agent, clock):
    since = current_agent(agent.database).since
    clock.advance(days=-400)
    assert renew(agent.database, "restored", now=clock).since == since


def test_a_witness_that_is_missing_or_garbled_knows_nothing(agent):
    assert read_witness(agent.database.path) is None
    for text in ("", "{}", "[1]", '{"agent_id": "a", "last_sequence": "x"}'):
        witness_of(agent.database.path).write_text(text)
        assert read_witness(agent.database.path) is None
    require_own(agent.database)


def test_a_witness_of_another_agent_stops(agent):
    write_witness(agent.database.path, Witnessed("somebody", 0))
    with pytest.raises(DataError, match="backup"):
        require_own(agent.database)
