"""The audit of a database with which collect or upload would stop: it says why."""

import pytest

from outbox.witness import Witnessed, write_witness
from tests.outbox.test_audit import TWO, look
from tests.support.agent import record
from tests.support.damage import sabotage


@pytest.fixture
def filled(agent):
    """Sequences 1-2 sent, 3-4 sealed, 5-6 pending."""
    agent.collect(*[record(n) for n in range(6)])
    agent.acknowledge(agent.seal(TWO))
    agent.seal(TWO)
    return agent


def test_of_what_waits_the_texts_of_the_next_seal_are_read(filled, monkeypatch):
    sabotage(filled, "UPDATE bodies SET body = replace(body, '1.5', '2.5') WHERE sequence = 6")
    monkeypatch.setattr("outbox.audit.texts.NEXT_RECORDS", 1)
    assert look(filled) == []


def test_a_database_that_collect_and_upload_refuse_is_a_finding(filled, monkeypatch):
    write_witness(filled.database.path, Witnessed("0123456789abcdef-000000000001", 1_000))
    ((kind, text),) = look(filled)
    assert kind == "identity"
    assert "had sealed up to sequence 1,000 and now knows of 4" in text
    assert "What to do: outbox agent renew" in text
    monkeypatch.setattr("outbox.agents.fingerprint", lambda: "0" * 32)
    ((kind, text),) = look(filled)
    assert kind == "identity"
    assert "another machine" in text
    assert "outbox agent renew --moved" in text
