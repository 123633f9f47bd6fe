"""The source of the random kills: endless, the same at every reading, and known to the last row.

Page n tells of new facts, reads those of the two pages before it again (a third of them corrected on the
next page, half of these corrected back on the one after: A → B → A), and now and then holds a value that
is not a number. So what must arrive follows from the bookmark alone: `expected_rows` says it without
looking at any code of the outbox. A source never reads further back, so that forgetting is safe.

It imports the record and nothing else: a worker that is killed ten times a second has to start quickly.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from outbox.record import Page, Record

START = datetime(2026, 1, 1, tzinfo=UTC)
SOURCES = ("one", "two")


class Fact(NamedTuple):
    """What a source says at one place of one page; `value` is the content."""

    page: int
    place: int
    value: str

    @property
    def observed_at(self) -> str:
        return (START + timedelta(minutes=self.page)).isoformat()[:-6] + "Z"


def size(page: int) -> int:
    """How many facts are new on a page: mostly a few, now and then many, for a kill amid a long write."""
    return 150 if page % 16 == 5 else 1 + page * 7 % 13


def read(page: int) -> list[Fact]:
    """Everything that a page holds, in its order."""
    facts = [Fact(page, place, "A") for place in range(size(page))]
    if page >= 1:
        facts += [Fact(page - 1, place, "A" if place % 3 else "B") for place in range(size(page - 1))]
    if page >= 2:
        facts += [Fact(page - 2, place, "B" if place % 6 == 3 else "A") for place in range(size(page - 2))]
    return facts


def is_odd(page: int) -> bool:
    """Whether the page holds a value that is not a number."""
    return page % 5 == 2


def new_rows(page: int) -> list[Fact]:
    """The facts of a page that differ from what was said of them last."""
    rows = []
    for fact in read(page):
        age = page - fact.page
        if age == 0 or (age == 1 and fact.place % 3 == 0) or (age == 2 and fact.place % 6 == 0):
            rows.append(fact)
    return rows


def expected_rows(pages: int) -> list[Fact]:
    """The rows that the first pages make, in order."""
    return [row for page in range(pages) for row in new_rows(page)]


def expected_unchanged(pages: int) -> int:
    return sum(len(read(page)) - len(new_rows(page)) for page in range(pages))


def expected_rejected(pages: int) -> int:
    return sum(is_odd(page) for page in range(pages))


class Endless:
    """Yields at most `pages` pages a run, and remembers which one it yielded last."""

    def __init__(self, pages: int) -> None:
        self.pages = pages
        self.last = -1

    def collect(self, bookmarks: Mapping[str, str], window: object = None) -> Iterator[Page]:
        first = int(bookmarks.get("", "0"))
        for page in range(first, first + self.pages):
            self.last = page
            records = [_record(fact) for fact in read(page)]
            if is_odd(page):
                records.append(_record(Fact(page, 999, "A"), float("nan")))
            yield Page(records=records, bookmark=str(page + 1))


def _record(fact: Fact, value: float | None = None) -> Record:
    return Record(
        stream="facts",
        entity=str(fact.place),
        observed_at=START + timedelta(minutes=fact.page),
        values={"v": fact.value if value is None else value},
    )
