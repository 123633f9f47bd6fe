"""How the answers of a REST source follow each other until the list has ended.

Invariants:
- A list never goes on for ever: the same request again, the same records again or too many answers end
  it with an error.
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
    """The content of an answer; `last` says that the list ended with it."""

    content: Content
    last: bool


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

    def __iter__(self) -> Iterator[Part]:
        place: Place | None = self._start
        before: tuple[Place, Content] | None = None
        while place is not None:
            content = self._new(place)
            if before and not self._options.stable:
                self._require_joined(*before, place, content)
            before = place, content
            place = self._after(place, content)
            yield Part(content, last=place is None)

    def _new(self, place: Place) -> Content:
        """Return what is at a place where nobody has been yet."""
        if place in self._places:
            raise PermanentError(f"{self._where}: the answer leads back to a page that was read already")
        self._places.add(place)
        content = self._ask(place)
        if self._options.pagination != "none" and content.items:
            if content.digest in self._digests:
                raise PermanentError(
                    f"{self._where}: the same {len(content.items):,} records came again on another page",
                    hint="does the server know what asks it for the next page? If it repeats its last page, "
                    "say in more whether pages follow",
                )
            self._digests.add(content.digest)
        return content

    def _after(self, place: Place, content: Content) -> Place | None:
        """Return the place of the next page; None where the list ends."""
        found: Place | None = None
        match self._options.pagination:
            case "link" if content.link:
                found = Place(link=content.link)
            # A feed has no end: where it has nothing new, the next run goes on from this cursor.
            case "cursor" if content.cursor and (content.items or not self._options.keep_cursor):
                found = Place(cursor=content.cursor)
            case "page" if content.items:
                found = place._replace(page=place.page + 1)
            case "offset" if len(content.items) > place.seam:
                whole = self._options.stable or len(content.items) == 1
                offset = place.offset + len(content.items) - (not whole)
                found = Place(offset=offset, seam=not whole)
        return found if content.more else None

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
