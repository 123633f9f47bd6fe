"""The loop over a database that cannot be read everywhere: what was put is marked, the others pass, 65."""

from pathlib import Path

import pytest

from outbox.delivery import Batch, Limits
from outbox.errors import DataError
from tests.support.agent import Clock, make, opened, record
from tests.uploader.test_upload import Store, sent, upload


@pytest.fixture
def agent(tmp_path: Path):
    make(tmp_path / "outbox.db", Clock())
    with opened(tmp_path / "outbox.db", Clock()) as found:
        yield found


def test_a_page_that_cannot_be_read_keeps_no_confirmed_put_from_being_marked(agent):
    agent.collect(*[record(n) for n in range(6)])
    agent.seal(Limits(2, 10**6))
    agent.database.execute("DROP TRIGGER bodies_are_immutable")
    agent.database.execute(
        "UPDATE bodies SET body = '' WHERE sequence = 2"
    )  # an error of its own, and lesser
    seal, store = agent.delivery.seal, Store()

    def broken(limits: Limits, encoding: str) -> None:
        if agent.delivery.sealed()[-1].last_sequence == 4:
            raise DataError("database disk image is malformed")
        return seal(limits, encoding)

    agent.delivery.seal = broken
    with pytest.raises(DataError, match="malformed"):
        upload(agent, store, parallel=4)
    assert len(store.objects) == 2
    assert sent(agent) == [1, 2, 3, 4]


def test_a_sealed_batch_that_cannot_even_be_sealed_again_stops_no_other_and_nothing_new_is_sealed(agent):
    agent.collect(*[record(n) for n in range(6)])
    for _ in range(2):
        agent.seal(Limits(2, 10**6))
    lines = agent.delivery.lines

    def broken(batch: Batch) -> bytes:
        if batch.first_sequence == 1:
            raise DataError("database disk image is malformed")
        return lines(batch)

    def nothing(batch: Batch, reason: str) -> None:
        raise DataError(reason)

    agent.delivery.lines, agent.delivery.seal_again = broken, nothing
    with pytest.raises(DataError, match="malformed"):
        upload(agent, Store())
    assert sent(agent) == [3, 4]
    assert [batch.first_sequence for batch in agent.delivery.sealed()] == [1]
