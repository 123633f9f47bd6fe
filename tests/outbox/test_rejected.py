"""Rejected inputs: read again in one transaction, never older over newer, and dismissed only when told to."""

import pytest

from outbox.errors import PermanentError
from outbox.record import Record, Rejected
from outbox.rejected import RejectedInputs
from outbox.runs import recorded
from tests.support.agent import record


@pytest.fixture
def inputs(agent, clock):
    return RejectedInputs(agent.database, now=clock)


def reject(agent, *raws, reason="'x' is not a number", source="weather"):
    with recorded(agent.database, "collect", source, now=agent.clock) as agent.run_id:
        agent.collect(rejected=[Rejected(reason, raw) for raw in raws], source=source)


def read_again(agent, number, found):
    with recorded(agent.database, "retry", "weather", now=agent.clock) as run_id:
        added = agent.outbox.retry(number, lambda _raw: found, run_id=run_id)
    counts = agent.database.execute(
        "SELECT new, unchanged, rejected, reasons FROM runs WHERE id = ?", (run_id,)
    )
    assert counts[0][:3] == added
    return added, counts[0][3]


def state(agent, number=1):
    return agent.database.execute("SELECT reason, resolved_at FROM rejected WHERE id = ?", (number,))[0]


def test_a_mended_input_is_stored_and_resolved(agent, clock):
    reject(agent, "a")
    clock.advance(hours=1)
    assert read_again(agent, 1, record(0)) == ((1, 0, 0), "{}")
    assert agent.sequences() == [1]
    assert state(agent)[1] == "2026-11-23T03:00:00.000Z"
    assert agent.database.value("SELECT source FROM outbox") == "weather"


def test_the_record_and_its_resolution_are_one_transaction(agent):
    reject(agent, "a")
    agent.database.execute(
        "CREATE TEMP TRIGGER no BEFORE UPDATE ON rejected BEGIN SELECT raise(ABORT, 'no'); END"
    )
    with pytest.raises(Exception, match="no"):
        read_again(agent, 1, record(0))
    assert agent.sequences() == []
    assert state(agent)[1] is None


def test_what_is_still_wrong_stays_with_its_new_reason(agent):
    reject(agent, "a")
    assert read_again(agent, 1, Rejected("'y' is not a number", "a")) == (
        (0, 0, 1),
        '{"\\u2026 is not a number": 1}',
    )
    assert state(agent) == ("'y' is not a number", None)


def test_a_record_that_cannot_be_stored_stays_rejected_with_the_reason(agent):
    reject(agent, "a")
    assert read_again(agent, 1, record(0, value=float("nan")))[0] == (0, 0, 1)
    assert state(agent) == ("nan is not a number that JSON can hold", None)


def test_an_input_that_says_nothing_any_more_is_resolved_without_a_record(agent):
    reject(agent, "a")
    assert read_again(agent, 1, None)[0] == (0, 1, 0)
    assert state(agent)[1]
    assert agent.sequences() == []


def test_a_record_that_is_known_already_is_not_stored_twice(agent):
    agent.collect(record(0))
    reject(agent, "a")
    assert read_again(agent, 1, record(0))[0] == (0, 1, 0)
    assert agent.sequences() == [1]
    assert state(agent)[1]


def test_a_correction_of_what_was_read_before_is_stored(agent):
    agent.collect(record(0, value=1))
    reject(agent, "a")
    assert read_again(agent, 1, record(0, value=2))[0] == (1, 0, 0)
    assert agent.sequences() == [1, 2]


def test_an_older_input_never_overwrites_what_was_read_since(agent):
    reject(agent, "a")
    with recorded(agent.database, "collect", "weather", now=agent.clock) as agent.run_id:
        agent.collect(record(0, value=2))
    assert read_again(agent, 1, record(0, value=1))[0] == (0, 0, 1)
    assert state(agent) == ("the same record was read then or since, with other content, which counts", None)
    assert read_again(agent, 1, record(0, value=2))[0] == (0, 1, 0)
    assert agent.sequences() == [1]


def test_an_input_that_is_read_and_rejected_once_more_is_as_new_as_its_last_reading(agent):
    reject(agent, "a")
    with recorded(agent.database, "collect", "weather", now=agent.clock) as agent.run_id:
        agent.collect(record(0, value=2))
    reject(agent, "a")
    assert read_again(agent, 1, record(0, value=1))[0] == (1, 0, 0)


def test_two_inputs_that_become_one_record_are_revisions_only_in_their_order(agent):
    reject(agent, "a", "b")
    assert read_again(agent, 1, record(0, value=1))[0] == (1, 0, 0)
    assert read_again(agent, 2, record(0, value=2))[0] == (0, 0, 1)


def test_the_list_is_by_source_latest_first_and_without_the_resolved(agent, inputs, clock):
    reject(agent, "a")
    clock.advance(hours=1)
    reject(agent, "b", source="orders")
    assert [(item.id, item.source, item.raw) for item in inputs.find()] == [
        (2, "orders", "b"),
        (1, "weather", "a"),
    ]
    assert inputs.dismiss([2, 2]) == 1
    assert [item.id for item in inputs.find()] == [1]
    assert [item.id for item in inputs.find("orders", resolved=True)] == [2]
    assert inputs.get(2).resolved_at == "2026-11-23T03:00:00.000Z"


def test_those_that_are_open_are_chosen_by_number_or_by_source(agent, inputs):
    reject(agent, "a", "b", "c")
    inputs.dismiss([2])
    assert inputs.chosen([1, 2], None) == [1]
    assert inputs.chosen([], "weather") == [1, 3]
    assert inputs.chosen([], "orders") == []
    with pytest.raises(PermanentError, match="there is no rejected input 9"):
        inputs.chosen([9], None)


def test_a_dismissed_input_that_is_read_again_stays_dismissed(agent, inputs):
    reject(agent, "a")
    inputs.dismiss([1])
    reject(agent, "a")
    assert (inputs.get(1).times, inputs.get(1).resolved_at) == (2, "2026-11-23T02:00:00.000Z")


def test_the_raw_text_is_what_is_read_again(agent):
    reject(agent, "the raw text")
    seen = []

    def reread(raw):
        seen.append(raw)
        return Record(stream="s", entity="e", observed_at=agent.clock(), values={"raw": raw})

    with recorded(agent.database, "retry", "weather", now=agent.clock) as run_id:
        agent.outbox.retry(1, reread, run_id=run_id)
    assert seen == ["the raw text"]
