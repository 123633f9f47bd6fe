"""What the store says of waiting holds for the whole run: no other put of it goes before, nor beyond the run."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from outbox.delivery import Limits
from outbox.errors import TransientError
from outbox.retry import Retry
from tests.support.agent import Agent, Clock, make, opened, record
from uploader.objectstore import Receipt
from uploader.upload import Upload

WAIT_S = 100.0
RECORDS = 6


class Busy:
    """A store that is busy until WAIT_S, and says so; time passes by sleeping only."""

    url = "s3://busy"

    def __init__(self) -> None:
        self.now_s = 0.0
        self.asked: list[tuple[float, int]] = []

    def put(self, key: str, data: bytes) -> Receipt:
        self.asked.append((self.now_s, int(key.rpartition("/")[2][:12])))
        if self.now_s < WAIT_S:
            raise TransientError("busy", retry_after_s=WAIT_S - self.now_s)
        return Receipt(None, existed=False)

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    make(tmp_path / "outbox.db", Clock())
    with opened(tmp_path / "outbox.db", Clock()) as found:
        found.collect(*[record(n) for n in range(RECORDS)])
        yield found


def upload(agent: Agent, store: Busy, *, limit_s: float, parallel: int) -> None:
    def monotonic() -> float:
        return store.now_s

    Upload(
        agent.delivery,
        store,
        retry=Retry(limit_s=limit_s, sleep=store.sleep, monotonic=monotonic),
        limits=Limits(1, 10**6),
        encoding="none",
        parallel=parallel,
        run_id=agent.run_id,
        monotonic=monotonic,
    )()


@pytest.mark.parametrize("parallel", [1, 3])
def test_what_one_put_is_told_all_of_them_obey(agent: Agent, parallel: int):
    store = Busy()
    upload(agent, store, limit_s=2 * WAIT_S * parallel, parallel=parallel)
    assert 1 <= len([number for moment, number in store.asked if moment < WAIT_S]) <= parallel
    assert sorted(number for moment, number in store.asked if moment >= WAIT_S) == list(range(1, RECORDS + 1))


def test_where_that_is_beyond_the_run_the_run_ends_at_once_and_asks_no_more(agent: Agent):
    store = Busy()
    with pytest.raises(TransientError, match="busy"):
        upload(agent, store, limit_s=WAIT_S - 1, parallel=1)
    assert store.asked == [(0.0, 1)]
    assert store.now_s == 0
    store.now_s = WAIT_S
    upload(agent, store, limit_s=WAIT_S, parallel=1)
    assert [number for _, number in store.asked[1:]] == list(range(1, RECORDS + 1))
