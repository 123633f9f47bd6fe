"""How the answers of a REST source follow each other until the list has ended.

Invariants:
- A list never goes on for ever: the same request again, the same records again, too many answers or too many
  empty ones end it. That is its end where the answer that came again is the last page (a next page that is
  the page itself, a page behind the last, a cursor that is never null), and an error where it may be another.
- An empty page is not the end while the server says that more follow; a list that ends although the server
  says so is told of (`Part.unread`), and moves no bookmark.
- No record is skipped because the list moved while it was read. `offset` reads the last record of the page
  before once more; `page` asks for the page before once more. Where that record is not found again, the
  list is given up (TransientError), and the bookmark has not moved. With `link` and `cursor` that promise
  is the server's, and with `stable = yes` the configuration's.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from collectors.rest.answer import Content
from collectors.rest.options import RestOptions
from outbox.errors import PermanentError, TransientError

MAX_EMPTY_PAGES = 20


class Place(NamedTuple):
    """Where in the list: what the placeholders stand for. `link` is a whole address, or empty.

    `seam` says that the page begins with the last record of the one before.
    """

    cursor: str = ""
    page: int = 0
    offset: int = 0
    link: str = ""
    seam: bool = False


class Part(NamedTuple):
    """The content of an answer; `last` says that the list ended with it.

    `unread` is what the server said of further pages that are not read, "" where nothing; `is_sure` that it
    said so in as many words, and not by a total or a link alone.
    """

    content: Content
    last: bool
    unread: str = ""
    is_sure: bool = False


Ask = Callable[[Place], Content]


class Pages:
    """Walks through a list, from a kept cursor or from its beginning ("")."""

    def __init__(self, options: RestOptions, ask: Ask, *, where: str, cursor: str = "") -> None:
        self._options = options
        self._ask = ask
        self._where = where
        self._start = Place(cursor=cursor, page=options.first_page)
        self._places: set[Place] = set()
        self._digests: set[bytes] = set()
        self._seen = self._largest = self._empty = 0

    def __iter__(self) -> Iterator[Part]:
        place: Place | None = self._start
        before: tuple[Place, Content] | None = None
        while place is not None:
            content = self._at(place, before)
            if before and content is None:  # the last page once more: nothing new, and the end
                yield self._part(before[0], before[1]._replace(items=[]), None)
            if content is None:
                return
            if before and not self._options.stable:
                self._require_joined(*before, place, content)
            self._seen += len(content.items) - (place.seam and bool(content.items))
            self._largest = max(self._largest, len(content.items))
            self._empty = 0 if content.items else self._empty + 1
            before, here = (place, content), place
            place = self._after(here, content)
            yield self._part(here, content, place)

    def _part(self, here: Place, content: Content, following: Place | None) -> Part:
        if following is not None or not content.more or self._options.keep_cursor:
            return Part(content, last=following is None)
        by, is_sure = self._unread(here, content)
        return Part(content, True, by, is_sure)

    def _at(self, place: Place, before: tuple[Place, Content] | None) -> Content | None:
        """Return what is at a place; None where it is the last page, which has come before."""
        same_place = before is not None and before[0] == place
        if place in self._places and not same_place:
            raise PermanentError(f"{self._where}: the answer leads back to a page that was read already")
        self._places.add(place)
        content = self._ask(place)
        if self._options.pagination == "none" or not content.items:
            return content
        if content.digest in self._digests:
            if before and before[1].digest == content.digest and self._is_end(before[1], same_place):
                return None
            raise PermanentError(
                f"{self._where}: the same {len(content.items):,} records came again on another page",
                hint="does the server know what asks it for the next page? If it repeats its last page, "
                "say in more whether pages follow, or further = ignore",
            )
        self._digests.add(content.digest)
        return content

    def _is_end(self, before: Content, same_place: bool) -> bool:
        """Return whether a page that came twice in a row is the last: the server has turned pages before."""
        further = before.further
        said = further.more is False or (0 < further.pages <= len(self._digests))
        return same_place or said or len(self._digests) > 1 or self._options.further == "ignore"

    def _after(self, place: Place, content: Content) -> Place | None:
        """Return the place of the next page; None where the list ends."""
        found: Place | None = None
        goes_on = bool(content.items) or (
            self._empty <= MAX_EMPTY_PAGES and bool(self._unread(place, content)[0])
        )
        match self._options.pagination:
            case "link" if content.link:
                found = Place(link=content.link)
            # A feed has no end: where it has nothing new, the next run goes on from this cursor.
            case "cursor" if content.cursor and (goes_on or not self._options.keep_cursor):
                found = Place(cursor=content.cursor)
            case "page" if goes_on:
                found = place._replace(page=place.page + 1)
            case "offset" if len(content.items) > place.seam:
                whole = self._options.stable or len(content.items) == 1
                offset = place.offset + len(content.items) - (not whole)
                found = Place(offset=offset, seam=not whole)
        if not content.items and (found == place or self._empty > MAX_EMPTY_PAGES):
            return None  # a cursor or a link that is never null
        return found if content.more else None

    def _unread(self, place: Place, content: Content) -> tuple[str, bool]:
        """Return what says that pages follow, behind this one, "" where nothing; and whether that is sure."""
        further, paging = content.further, self._options.pagination
        if further.more is not None:
            return (f"{further.by} says that more follow", True) if further.more else ("", True)
        if further.pages:
            if paging in ("none", "page") and further.pages > 1 + place.page - self._options.first_page:
                return f"it has {further.pages:,} pages", paging == "none"
            return "", True
        # Where a link or a cursor is followed, the last one may be there for good.
        if further.pointer and paging in ("none", "page"):
            return f"{further.pointer} names a next page", paging == "none"
        if further.total and paging in ("none", "page"):
            pages_before = place.page - self._options.first_page if paging == "page" else 0
            end = further.end or max(self._seen, pages_before * self._largest + len(content.items))
            if end < further.total:
                return f"it has {further.total:,} records, and this is up to number {end:,}", paging == "none"
        return "", False

    def _require_joined(self, place: Place, before: Content, next_place: Place, content: Content) -> None:
        """Raise TransientError unless the page goes on where the one before ended."""
        if not before.items or not (next_place.seam or self._options.pagination == "page"):
            return
        last = before.items[-1]
        if last in content.items:
            return
        if self._options.pagination == "page":
            again = self._ask(place).items
            if again and again[-1] == last:
                return
        raise TransientError(
            f"{self._where}: the list moved while it was read, and a record may have slipped from one page "
            "to another; nothing is lost: it is read again",
            hint="sort by what does not change, take link or cursor, or stable = yes if nothing ever moves",
        )
