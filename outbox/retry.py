"""The one retry policy, for every network call of collectors and uploader.

Only `TransientError` is tried again; the libraries' own retries are switched off. A server's Retry-After
is obeyed, and where it reaches beyond the run's deadline the run ends at once: the next one goes on.
"""

import random
import time
from collections.abc import Callable
from typing import TypeVar

import tenacity

from outbox.errors import TransientError

T = TypeVar("T")

FIRST_WAIT_S = 0.5
MAX_WAIT_S = 30.0


class Retry:
    """Calls an operation until it succeeds, at most `attempts` times and not beyond `limit_s` from now."""

    def __init__(
        self,
        *,
        attempts: int = 4,
        limit_s: float = 600.0,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._attempts = attempts
        self._deadline = monotonic() + limit_s
        self._sleep = sleep
        self._monotonic = monotonic
        self._jitter = jitter

    def __call__(self, operation: Callable[[], T]) -> T:
        """Return what `operation` returns; its last TransientError, or any other error, comes through."""
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(TransientError),
            wait=self._wait_s,
            stop=self._stop,
            sleep=self._sleep,
            reraise=True,
        )
        return retrying(operation)

    def _wait_s(self, state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, TransientError) and error.retry_after_s is not None:
            return max(0.0, error.retry_after_s)
        return float(
            min(MAX_WAIT_S, FIRST_WAIT_S * 2 ** (state.attempt_number - 1)) * (0.5 + self._jitter() / 2)
        )

    def _stop(self, state: tenacity.RetryCallState) -> bool:
        too_late = self._monotonic() + state.upcoming_sleep > self._deadline
        return too_late or state.attempt_number >= self._attempts
