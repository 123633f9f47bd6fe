"""The loop that collects: every source in turn, then the back-fills.

Invariants: one source's failure stops no other; a page is stored before the next one is read; what is
not stored is read again by the next run; nothing is read below the disk floor; a login that was refused
is not tried again before something has changed (`outbox.refusals`).
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import NamedTuple, Protocol

from collectors.collector import Window
from outbox.backfills import Backfill
from outbox.bookmarks import Bookmark
from outbox.errors import Exit, LoginRefusedError, OutboxError
from outbox.machine.disk import require_room
from outbox.record import Page
from outbox.refusals import Login, Refusals
from outbox.runs import Counts, counts, recorded
from outbox.store import Outbox

MAX_NOTES = 5
"""So many sentences of a source are shown after a collect."""
MAX_WAITING_FOR_BACKFILL = 200_000
"""A back-fill pauses while more records wait: it must neither delay live data nor fill the disk."""

log = logging.getLogger(__name__)


class Collects(Protocol):
    """The one method of a collector that the loop needs."""

    def collect(self, bookmarks: Mapping[str, str], window: Window | None = None) -> Iterator[Page]:
        """Yield what is new since the bookmarks, page by page."""
        ...


class Notes:
    """What a collector notes for the person who runs it: the first sentences, and how many more came."""

    def __init__(self, most: int = MAX_NOTES) -> None:
        self._most = most
        self._kept: dict[str, None] = {}
        self._more = 0

    def __call__(self, text: str) -> None:
        """Take one more sentence; the same one counts once."""
        if text in self._kept:
            return
        if len(self._kept) < self._most:
            self._kept[text] = None
        else:
            self._more += 1

    def take(self) -> list[str]:
        """Return what was noted since this was last asked, "and 3 more" at its end where it was too much."""
        found = [*self._kept, *([f"and {self._more:,} more"] if self._more else [])]
        self._kept, self._more = {}, 0
        return found


class Source(NamedTuple):
    """A configured instance of a collector.

    `login` returns what its login rests upon, secrets too; `notes` what it has noted since it was last asked.
    """

    name: str
    collector: Collects
    login: Callable[[], Login] = Login
    notes: Callable[[], list[str]] = list


class Outcome(NamedTuple):
    """How one source, or one of its back-fills, fared; `error` is None when it went well.

    `unfinished` tells of a back-fill that goes on at the next run; `notes` are for the person.
    """

    source: str
    backfill: Backfill | None
    counts: Counts
    exit_code: Exit
    error: OutboxError | None
    unfinished: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Room:
    """The disk that collecting must not fill."""

    folder: Path
    floor_bytes: int

    def require(self) -> None:
        """Raise DiskFullError below the floor."""
        require_room(self.folder, self.floor_bytes)


class Collecting:
    """One run of `outbox collect` over an open outbox."""

    def __init__(
        self,
        outbox: Outbox,
        room: Room,
        *,
        limit_s: float,
        monotonic: Callable[[], float] = time.monotonic,
        on_page: Callable[[str, int], None] = lambda _source, _records: None,
    ) -> None:
        self._outbox = outbox
        self._refusals = Refusals(outbox.database, now=outbox.now)
        self._room = room
        self._monotonic = monotonic
        self._deadline = monotonic() + limit_s
        self._on_page = on_page

    def sources(self, sources: Sequence[Source]) -> list[Outcome]:
        """Collect what is new in each source."""
        return [self._outcome(source) for source in sources]

    def backfills(self, sources: Sequence[Source]) -> list[Outcome]:
        """Work off what is left of the back-fills of these sources, as far as time and backlog allow."""
        by_name = {source.name: source for source in sources}
        return [
            self._outcome(by_name[backfill.source], backfill)
            for backfill in self._outbox.backfills()
            if backfill.source in by_name and self._may_go_on()
        ]

    def _outcome(self, source: Source, backfill: Backfill | None = None) -> Outcome:
        error: OutboxError | None = None
        code, unfinished, run_id = Exit.OK, False, 0
        database = self._outbox.database
        try:
            with recorded(database, "collect", source.name, now=self._outbox.now) as run_id:
                unfinished = not self._read_with_login(source, run_id, backfill)
        except OutboxError as failure:
            error, code = failure, failure.exit_code
        except Exception as failure:
            log.exception("%s failed: this is a bug", source.name)
            error, code = OutboxError(f"a bug: {type(failure).__name__}; the log has the details"), Exit.BUG
        done = counts(database, run_id) if run_id else Counts(0, 0, 0, 0, 0)
        return Outcome(source.name, backfill, done, code, error, unfinished, tuple(source.notes()))

    def _read_with_login(self, source: Source, run_id: int, backfill: Backfill | None) -> bool:
        self._refusals.require_untried(source.name, source.login)
        try:
            finished = self._read(source, run_id, backfill)
        except LoginRefusedError as error:
            with suppress(OutboxError):  # that it was refused matters more than its note
                self._refusals.note(source.name, source.login, error.message)
            raise
        self._refusals.forget(source.name)
        return finished

    def _read(self, source: Source, run_id: int, backfill: Backfill | None) -> bool:
        """Store page after page; False when a back-fill pauses before its end."""
        self._room.require()
        self._outbox.require_acceptable(source.name)
        backfill_id = backfill.id if backfill else 0
        marks = self._outbox.bookmarks(source.name, backfill_id)
        texts = {scope: mark.text for scope, mark in marks.items()}
        for page in source.collector.collect(texts, _window(backfill)):
            self._room.require()
            revision = marks.get(page.scope, Bookmark("", 0)).revision
            added = self._outbox.add(
                page, source=source.name, run_id=run_id, revision=revision, backfill_id=backfill_id
            )
            marks[page.scope] = Bookmark(page.bookmark, revision + 1)
            self._on_page(source.name, len(page.records))
            if added.rejected:
                self._outbox.require_acceptable(source.name)
            if backfill and not self._may_go_on():
                return False
        if backfill:
            self._outbox.finish_backfill(backfill)
        return True

    def _may_go_on(self) -> bool:
        return self._monotonic() < self._deadline and self._outbox.waiting() < MAX_WAITING_FOR_BACKFILL


def _window(backfill: Backfill | None) -> Window | None:
    return (
        Window(date.fromisoformat(backfill.since), date.fromisoformat(backfill.until)) if backfill else None
    )
