"""The loop: recovery first, one object's error stops no other, a store's error ends the run, memory is bounded."""

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from outbox.delivery import Limits
from outbox.errors import DataError, ObjectError, OutboxError, PermanentError, TransientError
from outbox.retry import Retry
from outbox.runs import counts
from tests.support.agent import Agent, Clock, make, opened, record
from uploader.compression import compress, decompress
from uploader.objectstore import Receipt
from uploader.upload import MAX_FAILURES_IN_A_ROW, Upload


class Store:
    """A store in memory that does what a test tells it before it accepts an object."""

    url = "file:///store"

    def __init__(self, before: Callable[[str], None] = lambda key: None) -> None:
        self.objects: dict[str, bytes] = {}
        self.puts: list[str] = []
        self.before = before
        self.after: Callable[[str], None] = lambda key: None
        self.lock = threading.Lock()
        self.now, self.most = 0, 0

    def put(self, key: str, data: bytes) -> Receipt:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
            self.puts.append(key)
        try:
            self.before(key)
            existed = key in self.objects
            self.objects.setdefault(key, data)
            self.after(key)
            return Receipt(None, existed)
        finally:
            with self.lock:
                self.now -= 1


@pytest.fixture
def agent(tmp_path: Path):
    make(tmp_path / "outbox.db", Clock())
    with opened(tmp_path / "outbox.db", Clock()) as found:
        yield found


def upload(
    agent: Agent, store: Store, *, encoding: str = "zstd", parallel: int = 1, attempts: int = 1
) -> None:
    Upload(
        agent.delivery,
        store,
        retry=Retry(attempts=attempts, sleep=lambda seconds: None),
        limits=Limits(2, 10**6),
        encoding=encoding,
        parallel=parallel,
        run_id=agent.run_id,
    )()


def fail(*numbers: int, error: Callable[[], OutboxError]) -> Callable[[str], None]:
    """Fail the puts of the batches that begin with these sequences."""

    def before(key: str) -> None:
        if any(f"/{number:012d}-" in key for number in numbers):
            raise error()

    return before


def sent(agent: Agent) -> list[int]:
    return [
        row[0] for row in agent.database.rows("SELECT sequence FROM outbox WHERE status = 'sent' ORDER BY 1")
    ]


@pytest.mark.parametrize("encoding", ["zstd", "gzip", "none"])
@pytest.mark.parametrize("parallel", [1, 4])
def test_everything_that_waits_is_put_once_and_marked_sent(agent, encoding, parallel):
    agent.collect(*[record(n) for n in range(9)])
    store = Store()
    upload(agent, store, encoding=encoding, parallel=parallel)
    assert sent(agent) == list(range(1, 10))
    assert len(store.puts) == len(store.objects) == 5
    lines = [decompress(store.objects[key], encoding).count(b"\n") for key in sorted(store.objects)]
    assert lines == [2, 2, 2, 2, 1]
    assert counts(agent.database, agent.run_id)[3:] == (5, 9)


def test_a_lost_reply_is_put_again_with_the_same_key_and_changes_nothing(agent):
    agent.collect(*[record(n) for n in range(4)])
    store = Store()
    store.after = fail(1, error=lambda: TransientError("reply lost"))
    with pytest.raises(TransientError):
        upload(agent, store)
    kept = dict(store.objects)
    assert sent(agent) == [3, 4]
    agent.collect(record(9))
    store.after = lambda key: None
    upload(agent, store)
    assert sent(agent) == [1, 2, 3, 4, 5]
    assert len(store.objects) == 3
    assert all(store.objects[key] == data for key, data in kept.items())


def test_a_retry_sends_the_same_lines_in_the_encoding_of_the_seal_after_a_change_of_configuration(agent):
    agent.collect(record(0))
    store = Store(fail(1, error=lambda: TransientError("away")))
    with pytest.raises(TransientError):
        upload(agent, store, encoding="gzip")
    store.before = lambda key: None
    upload(agent, store, encoding="none")
    (key,) = store.objects
    assert key.endswith(".ndjson.gz")
    assert set(store.puts) == {key}
    assert decompress(store.objects[key], "gzip").startswith(b'{"agent_id":')


def test_recovery_comes_before_anything_new(agent):
    agent.collect(record(0))
    agent.seal()
    agent.collect(record(1))
    store = Store()
    upload(agent, store)
    assert [key.split("/")[-1][:25] for key in store.puts] == [
        "000000000001-000000000001",
        "000000000002-000000000002",
    ]


def test_one_object_that_is_always_refused_blocks_no_other(agent):
    agent.clock.moment = datetime.now(UTC)  # the view `problems` looks at SQLite's clock
    agent.collect(*[record(n) for n in range(12)])
    store = Store(fail(5, error=lambda: ObjectError("too large")))
    for _ in range(2):
        with pytest.raises(ObjectError, match="too large"):
            upload(agent, store)
        assert sent(agent) == [1, 2, 3, 4, 7, 8, 9, 10, 11, 12]
    # Of the batch: how old the backlog is, the view asks the real clock, and this agent has a still one.
    assert agent.database.execute("SELECT what, why FROM problems WHERE what NOT LIKE 'backlog%'") == [
        ("batch 3", "too large")
    ]


def test_a_transient_error_of_one_object_ends_with_75_and_the_others_pass(agent):
    agent.collect(*[record(n) for n in range(6)])
    with pytest.raises(TransientError):
        upload(agent, Store(fail(3, error=lambda: TransientError("slow down"))))
    assert sent(agent) == [1, 2, 5, 6]


@pytest.mark.parametrize("parallel", [1, 3])
def test_a_refusal_by_the_store_ends_the_run_and_leaves_everything_sealed(agent, parallel):
    agent.collect(*[record(n) for n in range(20)])
    store = Store(fail(*range(1, 21), error=lambda: PermanentError("access denied")))
    with pytest.raises(PermanentError, match="access denied"):
        upload(agent, store, parallel=parallel)
    assert len(store.puts) <= parallel
    assert sent(agent) == []
    store.before = lambda key: None
    upload(agent, store)
    assert sent(agent) == list(range(1, 21))


def test_a_store_that_is_away_is_given_up_after_a_few_objects(agent):
    agent.collect(*[record(n) for n in range(40)])
    store = Store(fail(*range(1, 41), error=lambda: TransientError("connection refused")))
    with pytest.raises(TransientError):
        upload(agent, store, attempts=2)
    assert len(store.puts) == 2 * MAX_FAILURES_IN_A_ROW


def test_a_success_from_before_the_store_went_away_does_not_prolong_the_run(agent):
    agent.collect(*[record(n) for n in range(16)])
    another_began = threading.Event()

    def before(key: str) -> None:
        if "/000000000001-" in key:  # put while the store was still there, and heard of late
            assert another_began.wait(10)
            return
        if "/000000000003-" not in key:
            another_began.set()
        raise TransientError("the store is away")

    store = Store(before)
    with pytest.raises(TransientError):
        upload(agent, store, parallel=2)
    assert sent(agent) == [1, 2]
    assert len(store.puts) <= 1 + MAX_FAILURES_IN_A_ROW + 1


def test_a_transient_error_is_retried_within_the_run(agent):
    agent.collect(record(0))
    failures = iter([TransientError("once"), TransientError("twice")])

    def before(key: str) -> None:
        if error := next(failures, None):
            raise error

    upload(agent, Store(before), attempts=3)
    assert sent(agent) == [1]


def test_the_worst_error_is_the_one_that_is_reported(agent):
    agent.collect(*[record(n) for n in range(6)])
    refuse, wait = fail(1, error=lambda: ObjectError("no")), fail(5, error=lambda: TransientError("later"))

    def before(key: str) -> None:
        refuse(key)
        wait(key)

    with pytest.raises(ObjectError):
        upload(agent, Store(before))
    assert sent(agent) == [3, 4]


def test_a_damaged_batch_is_sealed_again_delivered_with_its_loss_and_ends_with_65(agent):
    agent.collect(*[record(n) for n in range(4)])
    batch = agent.seal(Limits(2, 10**6))
    agent.database.execute("DROP TRIGGER bodies_are_immutable")
    agent.database.execute("UPDATE bodies SET body = replace(body, '1.5', '2.5') WHERE sequence = 1")
    store = Store()
    with pytest.raises(DataError, match="no longer matches its seal"):
        upload(agent, store)
    assert sent(agent) == [1, 2, 3, 4]
    assert batch.object_key not in store.puts
    lines = b"".join(decompress(store.objects[key], "zstd") for key in sorted(store.objects))
    assert [("lost" in json.loads(line)) for line in lines.splitlines()] == [True, False, False, False]
    assert agent.database.execute("SELECT what FROM problems") == [("rejected inputs of weather",)]
    upload(agent, store)


def test_a_record_that_was_damaged_before_its_seal_stops_no_other(agent):
    agent.collect(*[record(n) for n in range(4)])
    agent.database.execute("DROP TRIGGER bodies_are_immutable")
    agent.database.execute("UPDATE bodies SET body = '' WHERE sequence = 2")
    with pytest.raises(DataError, match="1 of the records 1 to 2 were damaged"):
        upload(agent, Store())
    assert sent(agent) == [1, 2, 3, 4]


def test_no_more_puts_than_allowed_are_under_way(agent):
    agent.collect(*[record(n) for n in range(24)])
    barrier = threading.Barrier(3, timeout=30)
    store = Store(lambda key: barrier.wait() and None)
    upload(agent, store, parallel=3)
    assert store.most == 3
    assert len(store.objects) == 12


def test_no_transaction_is_open_during_a_put(agent):
    agent.collect(*[record(n) for n in range(6)])
    open_ones: list[bool] = []
    store = Store(lambda key: open_ones.append(agent.database.connection.in_transaction))
    upload(agent, store)
    assert open_ones == [False] * 3


def test_two_uploaders_at_once_put_and_count_everything_once(agent, tmp_path):
    agent.collect(*[record(n) for n in range(40)])
    store = Store()
    errors: list[OutboxError] = []

    def another() -> None:
        try:
            with opened(tmp_path / "outbox.db", Clock()) as other:
                upload(other, store, parallel=2)
        except OutboxError as error:
            errors.append(error)

    threads = [threading.Thread(target=another) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert errors == []
    assert sent(agent) == list(range(1, 41))
    assert len(store.objects) == agent.database.value("SELECT count(*) FROM batches") == 20
    assert agent.database.value("SELECT sum(sent) FROM runs") == 40


@pytest.mark.parametrize("encoding", ["zstd", "gzip", "none"])
def test_compression_gives_back_what_it_took(encoding):
    for lines in (b"", b"{}\n", b"x" * 10**6):
        assert decompress(compress(lines, encoding), encoding) == lines
        assert compress(lines, encoding) == compress(lines, encoding)
