"""What a source would give, looked at without storing anything: records, rejections and what is odd.

Invariant: a page is judged as the outbox would judge it, by the same code.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from itertools import combinations
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from collectors.collect import Source
from collectors.mapping.columns import Columns
from outbox.errors import OutboxError, PermanentError
from outbox.reasons import kind_of
from outbox.record import Entry, Page, Record, Rejected
from outbox.record.page import normalise_page

MAX_EXAMINED = 2_000
LEAST_AHEAD = timedelta(minutes=5)
MOST_AHEAD = timedelta(hours=14)
"""No zone is further from another; what lies further ahead is a forecast, or another mistake."""
_HOUR_S, _HALF_HOUR_S, _JUST_NOW_S = 3_600, 1_800, 600


class Refusal(NamedTuple):
    """Inputs that would be rejected for one kind of reason, and the first of them."""

    times: int
    reason: str
    example: str


class Ambiguous(NamedTuple):
    """Records of one identity and different content: how many, the first of them, and a better entity.

    `better` names the columns that would make each unique; it is empty where none would.
    """

    records: int
    entity: str
    better: list[str]


class Sample:
    """The first records that a source would give, as many pages as hold `rows` of them.

    `is_cut` says that it was read no further; `said` is what the collector noted meanwhile, and `unchanged`
    how many records the outbox has already, which is what the argument `unchanged` counts.
    """

    def __init__(
        self,
        *,
        customer: str,
        site: str,
        rows: int,
        unchanged: Callable[[Sequence[Entry]], int] = lambda _entries: 0,
    ) -> None:
        self.records: list[Record] = []
        self.bodies: list[bytes] = []
        self.rejected: list[Rejected] = []
        self.silent = 0
        self.unchanged = 0
        self._unchanged = unchanged
        self.error: OutboxError | None = None
        self.is_cut = False
        self.said: list[str] = []
        self.mappings: list[Columns] = []
        self._claims: list[list[Record]] = []
        self._rows: dict[int, dict[str, Any]] = {}
        self._place = (customer, site)
        self._wanted = max(rows, 1)

    @property
    def is_empty(self) -> bool:
        """Whether the source gave nothing at all, without an error."""
        return not (self.records or self.rejected or self.error)

    def read(self, source: Source) -> None:
        """Read a source from its beginning until the sample is large enough; keep its error in `error`."""
        try:
            for page in source.collector.collect({}, None):
                self._take(page, source.name)
                if len(self.records) >= self._wanted or len(self.rejected) >= MAX_EXAMINED:
                    self.is_cut = True
                    break
        except OutboxError as error:
            self.error = error
        self.said = source.notes()

    def _take(self, page: Page, source: str) -> None:
        customer, site = self._place
        judged = normalise_page(page, customer=customer, site=site, source=source)
        self.records += page.records
        self._claims += judged.contradictory
        self.bodies += [entry.body for entry in judged.entries]
        self.unchanged += self._unchanged(judged.entries)
        self.rejected += judged.rejected

    def watch(self, mapping: Columns, row: dict[str, Any], found: Record | Rejected | None) -> None:
        """Keep what a row became, and its cells: see `Context.watch_row`."""
        if mapping not in self.mappings:
            self.mappings.append(mapping)
        if isinstance(found, Record) and len(self._rows) < 10 * MAX_EXAMINED:
            self._rows[id(found)] = row
        self.silent += found is None

    def refusals(self) -> list[Refusal]:
        """Return the rejected by kind of reason, the most frequent first."""
        first: dict[str, Rejected] = {}
        counts: Counter[str] = Counter()
        for rejected in self.rejected:
            kind = kind_of(rejected.reason)
            counts[kind] += 1
            first.setdefault(kind, rejected)
        return [Refusal(count, first[kind].reason, first[kind].raw) for kind, count in counts.most_common()]

    def ambiguous(self) -> Ambiguous | None:
        """Return what is ambiguous in the sample, None where nothing is."""
        groups = self._claims
        if not groups:
            return None
        rows = [[self._rows.get(id(record), {}) for record in group] for group in groups]
        apart = self._telling_apart(rows)
        better = [*self.mappings[0].entity, *apart] if apart else []
        return Ambiguous(sum(map(len, groups)), groups[0][0].entity, better)

    def _telling_apart(self, groups: Sequence[list[dict[str, Any]]]) -> list[str]:
        """The one column, or the two, in which the rows of each group differ; [] where there are none."""
        if not self.mappings:
            return []
        mapping = self.mappings[0]
        spent = {*mapping.entity, *mapping.time, *(column.column for column in mapping.values)}
        free = [name for name in groups[0][0] if name not in spent and name and not name.startswith("@")]
        for size in (1, 2):
            for columns in combinations(free[:50], size):
                if all(_differ(group, columns) for group in groups):
                    return list(columns)
        return []

    def ahead(self, now: datetime) -> timedelta | None:
        """Return how far the newest mapped record lies in the future; None for no suspicion.

        A source whose collector places its times itself is not suspected: forecasts are of the future.
        """
        times = [record.observed_at for record in self.records if id(record) in self._rows]
        ahead = max(times, default=now) - now
        return ahead if LEAST_AHEAD < ahead <= MOST_AHEAD else None

    def units(self) -> dict[str, str]:
        """Return the datapoints of the sample and their units, "" for none."""
        return {name: record.units.get(name, "") for record in self.records for name in record.values}

    def unseen(self) -> list[str]:
        """Return the values that the section names and no record has."""
        named = [column.name for mapping in self.mappings[:1] for column in mapping.values]
        seen = self.units()
        return [name for name in named if name not in seen] if self.records else []


def likely_offset(ahead: timedelta, zone: ZoneInfo, now: datetime) -> str:
    """Return the offset that the times seem to have, as UTC+03:00, for a newest one of just now."""
    offset_s = (now.astimezone(zone).utcoffset() or timedelta()).total_seconds()
    ahead_s = ahead.total_seconds()
    step_s = _HALF_HOUR_S if -ahead_s % _HALF_HOUR_S <= _JUST_NOW_S else _HOUR_S
    seconds = offset_s + math.ceil(ahead_s / step_s) * step_s
    sign = "-" if seconds < 0 else "+"
    hours, rest = divmod(int(abs(seconds)), 3_600)
    return f"UTC{sign}{hours:02}:{rest // 60:02}"


def require_previewable(sources: Sequence[Source], name: str) -> Source:
    """Return the one source there is; PermanentError for the agent itself, which describes no system."""
    if not sources:
        raise PermanentError(f"{name} is the agent itself: its records are made by collect alone")
    return sources[0]


def _differ(group: Iterable[dict[str, Any]], columns: Sequence[str]) -> bool:
    cells = [tuple(repr(row.get(name)) for name in columns) for row in group]
    return len(set(cells)) == len(cells) and not any(_blank(cell) for row in cells for cell in row)


def _blank(cell: str) -> bool:
    return cell in ("None", "''")
