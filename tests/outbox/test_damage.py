"""Rows that contradict themselves or each other: refused with 65 before anything is given, read or sent wrongly."""

import pytest

from outbox.agents import agent_by_id, current_agent, renew
from outbox.delivery import Limits
from outbox.errors import DataError
from tests.support.agent import record
from tests.support.damage import sabotage

TWO = Limits(2, 10**6)


@pytest.fixture
def filled(agent):
    """Sequences 1-2 sent, 3-4 sealed, 5-6 pending."""
    agent.collect(*[record(n) for n in range(6)])
    agent.acknowledge(agent.seal(TWO))
    agent.seal(TWO)
    return agent


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE sqlite_sequence SET seq = 70 WHERE name = 'outbox'",
        "UPDATE sqlite_sequence SET seq = 4 WHERE name = 'outbox'",
        "UPDATE sqlite_sequence SET name = 'outbux' WHERE name = 'outbox'",
        "UPDATE outbox SET sequence = 70 WHERE sequence = 6",
        "DELETE FROM outbox WHERE sequence = 6",
        "UPDATE batches SET last_sequence = 68 WHERE id = 2",
    ],
)
def test_no_number_is_given_and_nothing_sealed_where_the_last_number_is_in_doubt(filled, statement):
    sabotage(filled, statement)
    before = filled.sequences()
    with pytest.raises(DataError, match="is damaged: its counter says") as caught:
        filled.collect(record(9))
    assert "renew --salvage" in caught.value.hint
    with pytest.raises(DataError, match="is damaged"):
        filled.seal(TWO)
    assert filled.sequences() == before
    assert len(filled.delivery.sealed()) == 1


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE batches SET last_sequence = 3 WHERE id = 2",
        "UPDATE batches SET first_sequence = 2 WHERE id = 2",
        "UPDATE batches SET object_key = replace(object_key, '4-', '6-') WHERE id = 2",
        "UPDATE batches SET last_sequence = 5 WHERE id = 1",
    ],
)
def test_nothing_is_sealed_where_the_end_of_the_last_batch_is_in_doubt(filled, statement):
    """Else records would be sent twice, or never."""
    sabotage(filled, statement)
    with pytest.raises(DataError, match="which its name or an index denies"):
        filled.seal(TWO)


@pytest.mark.parametrize("assignment", ["first_sequence = 2", "first_sequence = 4", "last_sequence = 68"])
def test_a_damaged_range_is_not_sealed_again(filled, assignment):
    sabotage(filled, f"UPDATE batches SET {assignment} WHERE id = 2")
    (batch,) = filled.delivery.sealed()
    with pytest.raises(DataError, match="its name is not that"):
        filled.delivery.lines(batch)
    with pytest.raises(DataError, match="which its neighbours deny|its counter says"):
        filled.delivery.seal_again(batch, "damaged")
    assert filled.delivery.sealed() == [batch]


@pytest.mark.parametrize(
    "assignment",
    [
        "customer = 'acmf'",
        "site = 'helsinkj'",
        "host = '0' || substr(host, 2)",
        "first_sequence = 2",
        "since = replace(since, '2026', '2036')",
        "reason = 'moved'",
        "agent_id = '1' || substr(agent_id, 2)",
        "id = 3",
        "checksum = checksum + 1",
    ],
)
def test_an_agent_whose_row_was_altered_is_no_agent(filled, assignment):
    sabotage(filled, f"UPDATE agents SET {assignment}")
    for use in (
        lambda: current_agent(filled.database),
        lambda: agent_by_id(filled.database, "0123456789abcdef-000000000001"),
        lambda: renew(filled.database, "restored", now=filled.clock),
    ):
        with pytest.raises(DataError, match="is damaged: the row of agent .* was altered") as caught:
            use()
        assert "renew --salvage" in caught.value.hint


def test_also_an_agent_that_was_renewed_must_be_whole(filled):
    """Where its batches are: they name it."""
    renew(filled.database, "restored", now=filled.clock)
    sabotage(filled, "UPDATE agents SET since = '2036' WHERE id = 1")
    with pytest.raises(DataError, match="is damaged: the row of agent 0123"):
        current_agent(filled.database)


@pytest.mark.parametrize(
    "assignment", ["bookmark = 'c'", "revision = 9", "stored_at = 'soon'", "scope = 'x'"]
)
def test_a_bookmark_that_was_altered_is_not_handed_to_a_collector(filled, assignment):
    sabotage(filled, f"UPDATE bookmarks SET {assignment}")
    with pytest.raises(DataError, match="is damaged: the bookmark of weather was altered") as caught:
        filled.outbox.bookmarks("weather")
    assert "weather is then read from its beginning" in caught.value.hint


@pytest.mark.parametrize("assignment", ["since = '2026-01-11'", "source = 'x'", "checksum = 0"])
def test_a_backfill_that_was_altered_is_not_read(agent, assignment):
    agent.outbox.ask_backfill("weather", "2026-01-01", "2026-02-01")
    sabotage(agent, f"UPDATE backfills SET {assignment}")
    with pytest.raises(DataError, match="is damaged: back-fill 1 was altered"):
        agent.outbox.backfills()
