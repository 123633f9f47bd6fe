"""What was spent of Open-Meteo's free limits, so that it never has to refuse.

Invariants:
- Minutes, hours and days are UTC's, as the server counts them; every attempt is charged in full, for an
  answer that was lost on the way has cost the server the same.
- The tally travels in the bookmark: a run that starts where the last one ended knows what is left.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from outbox.errors import TransientError

LIMITS: Mapping[str, tuple[int, float]] = {
    "minute": (60, 600.0),
    "hour": (3_600, 5_000.0),
    "day": (86_400, 10_000.0),
}
MARGIN_S = 5.0
"""Added to every wait: our clock and the server's do not strike the hour together."""

Spent = dict[str, tuple[int, float]]
"""Of each period: which one it is, counted since 1970, and the calls that were spent in it."""


class Account:
    """Lets calls pass while the limits last; `share` is the part of them that may be used."""

    def __init__(self, spent: Spent, *, now: Callable[[], datetime], share: float = 1.0) -> None:
        self._spent = spent
        self._now = now
        self._share = share

    @property
    def spent(self) -> Spent:
        """What a bookmark keeps."""
        return dict(self._spent)

    def spend(self, weight: float) -> None:
        """Charge a call; TransientError, with the time to wait, where a limit would be passed.

        A call that is heavier than a whole limit passes as the first of its period.
        """
        seconds = self._now().timestamp()
        used = {}
        for name, (length_s, limit) in LIMITS.items():
            period = int(seconds // length_s)
            last, count = self._spent.get(name, (period, 0.0))
            used[name] = (period, (count if last == period else 0.0) + weight)
            if used[name][1] > max(limit * self._share, weight):
                ends = datetime.fromtimestamp((period + 1) * length_s, UTC)
                raise TransientError(
                    f"of Open-Meteo's {limit:,.0f} free calls a {name} this source has used its part, "
                    f"until {ends:%Y-%m-%d %H:%M} UTC",
                    hint="raise every, ask for fewer places or datapoints, or use an api_key",
                    retry_after_s=ends.timestamp() - seconds + MARGIN_S,
                )
        self._spent = used


def until_next(length_s: int, now: datetime) -> float:
    """Return the seconds until the period of this length ends that `now` lies in, margin included."""
    return length_s - now.timestamp() % length_s + MARGIN_S
