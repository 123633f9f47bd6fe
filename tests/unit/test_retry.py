"""The one retry policy, on a clock that moves only when it is slept on."""

import pytest

from outbox.errors import ObjectError, PermanentError, TransientError
from outbox.retry import Retry


class Clock:
    def __init__(self):
        self.now, self.waits = 1_000.0, []

    def sleep(self, seconds):
        self.waits.append(seconds)
        self.now += seconds


def calls(clock, *outcomes, jitter=1.0, takes_s=0.0, **options):
    """A Retry, an operation that ends with the outcomes in turn, and the list of what it ended with."""
    made = []

    def operation():
        made.append(outcomes[len(made)])
        clock.now += takes_s
        if isinstance(made[-1], BaseException):
            raise made[-1]
        return made[-1]

    retry = Retry(sleep=clock.sleep, monotonic=lambda: clock.now, jitter=lambda: jitter, **options)
    return retry, operation, made


@pytest.fixture
def clock():
    return Clock()


def test_what_succeeds_is_called_once(clock):
    retry, operation, made = calls(clock, "done")
    assert retry(operation) == "done"
    assert (made, clock.waits) == (["done"], [])


def test_what_may_succeed_later_is_tried_again_after_growing_waits(clock):
    busy = [TransientError(str(n)) for n in range(3)]
    retry, operation, made = calls(clock, *busy, "done")
    assert retry(operation) == "done"
    assert clock.waits == [0.5, 1.0, 2.0]
    assert len(made) == 4


def test_the_last_error_comes_through_when_the_attempts_are_used_up(clock):
    busy = [TransientError(str(n)) for n in range(9)]
    retry, operation, made = calls(clock, *busy, attempts=3)
    with pytest.raises(TransientError) as caught:
        retry(operation)
    assert caught.value is busy[2]
    assert len(made) == 3
    assert len(clock.waits) == 2


def test_no_wait_of_ours_is_longer_than_30_seconds(clock):
    busy = [TransientError("busy")] * 12
    retry, operation, _ = calls(clock, *busy, "done", attempts=13, limit_s=10_000)
    retry(operation)
    assert clock.waits[5:] == [16.0, *[30.0] * 6]


@pytest.mark.parametrize(("jitter", "wait"), [(0.0, 0.25), (0.5, 0.375), (1.0, 0.5)])
def test_waits_are_spread_so_that_agents_do_not_come_all_at_once(clock, jitter, wait):
    retry, operation, _ = calls(clock, TransientError("busy"), "done", jitter=jitter)
    retry(operation)
    assert clock.waits == [wait]


@pytest.mark.parametrize("seconds", [0.0, 7.0, 599.0])
def test_a_servers_retry_after_is_obeyed_to_the_second(clock, seconds):
    retry, operation, _ = calls(clock, TransientError("busy", retry_after_s=seconds), "done")
    assert retry(operation) == "done"
    assert clock.waits == [seconds]


def test_a_retry_after_of_the_past_is_no_wait(clock):
    retry, operation, _ = calls(clock, TransientError("busy", retry_after_s=-5.0), "done")
    assert retry(operation) == "done"
    assert clock.waits == [0.0]


def test_a_retry_after_beyond_the_deadline_ends_the_run_at_once_with_the_servers_own_error(clock):
    error = TransientError("come back tomorrow", retry_after_s=86_400.0)
    retry, operation, made = calls(clock, error, "never")
    with pytest.raises(TransientError) as caught:
        retry(operation)
    assert caught.value is error
    assert (len(made), clock.waits) == (1, [])


def test_the_deadline_is_of_the_whole_run_and_not_of_one_call(clock):
    busy = [TransientError("busy", retry_after_s=40.0)] * 9
    retry, operation, made = calls(clock, *busy, limit_s=100.0)
    for _ in range(2):
        with pytest.raises(TransientError):
            retry(operation)
    assert clock.waits == [40.0, 40.0]
    assert len(made) == 4


def test_time_spent_in_the_calls_counts_too(clock):
    busy = [TransientError("busy")] * 9
    retry, operation, made = calls(clock, *busy, limit_s=100.0, takes_s=60.0)
    with pytest.raises(TransientError):
        retry(operation)
    assert len(made) == 2


@pytest.mark.parametrize(
    "error", [PermanentError("denied"), ObjectError("this one"), ValueError("a bug"), KeyboardInterrupt()]
)
def test_any_other_error_comes_through_and_is_not_tried_again(clock, error):
    retry, operation, made = calls(clock, error, "never")
    with pytest.raises(type(error)) as caught:
        retry(operation)
    assert caught.value is error
    assert (len(made), clock.waits) == (1, [])
