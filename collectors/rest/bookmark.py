"""The bookmark of a REST source: the largest value of what only grows, or the last cursor.

Invariants:
- Numbers are compared as numbers, times as times, other texts as texts. Where a list holds several kinds,
  times move the bookmark rather than numbers, and those rather than texts: one wrong value stops nothing.
- A time that lies more than a day ahead moves no bookmark, whatever it is written as: see `overlap`.
- What is asked for is at most the bookmark: the overlap is taken off when asking, never when storing.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from collectors.collector import Context
from collectors.exact_json import Refused
from collectors.mapping.options import plain
from collectors.overlap import Position, behind, is_ahead, position
from collectors.rest.answer import Content, search
from collectors.rest.options import RestOptions
from outbox.errors import DataError, PermanentError

MAX_CHARS = 1_000


class Mark(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is stored: the text of the largest value, `of` which expression, or the cursor to go on with."""

    value: str = ""
    of: str = ""
    cursor: str = ""

    @classmethod
    def decode(cls, text: str, source: str) -> "Mark":
        """Return the stored bookmark; DataError for what is none of this collector's."""
        try:
            return msgspec.json.decode(text, type=cls) if text else cls()
        except msgspec.DecodeError as error:
            raise DataError(f"{source}: its bookmark is none of rest's: {error}") from error

    def encode(self) -> str:
        """Return the text to store."""
        return msgspec.json.encode(self).decode()


class Progress:
    """How far one reading of the list has come, from the bookmark on where it `began`."""

    def __init__(
        self,
        options: RestOptions,
        mark: Mark,
        context: Context,
        read_time: Callable[[Sequence[Any]], datetime] | None = None,
    ) -> None:
        # The value of another field says nothing about this one: then it begins anew.
        known = bool(options.bookmark) and mark.of in ("", options.bookmark)
        self.began = Mark(
            value=mark.value if known else "",
            of=mark.of if known else "",
            cursor=mark.cursor if options.keep_cursor else "",
        )
        self._options = options
        self._now = context.now
        self._read_time = read_time if [options.bookmark] == [plain(name) for name in options.time] else None
        self._largest = position(self.began.value) if self.began.value else None
        self._last: Position | None = None
        self._cursor = self.began.cursor
        self._seen = self._found = self._ahead = 0

    def asked_from(self) -> str:
        """Return what {bookmark} stands for, the overlap taken off; empty where nothing is known yet."""
        return behind(self.began.value, self._options.overlap) if self.began.value else self._options.start

    def see(self, items: list[Any]) -> bool:
        """Take in the records of an answer; False where they should have been sorted and are not."""
        orderly, expression = True, self._options.bookmark
        for item in items if expression else []:
            self._seen += 1
            value = None if isinstance(item, Refused) else search(expression, item)
            found = position_of(value)
            if found is None:
                continue
            self._found += 1
            if is_ahead(value, self._now, self._read_time):
                self._ahead += 1
            else:
                self._largest = larger(self._largest, found)
                if self._last and found.kind == self._last.kind:
                    orderly = orderly and found.order >= self._last.order
                self._last = larger(self._last, found)
        return orderly or not self._options.sorted

    def require_found(self) -> None:
        """Raise PermanentError where records were read and none had a bookmark."""
        if self._seen and not self._found:
            raise PermanentError(
                f"bookmark = {self._options.bookmark} finds no number and no text in any of {self._seen:,} "
                "records, so that the whole list is read each time",
                hint="correct bookmark, or leave it out",
            )

    def remarks(self) -> Iterator[str]:
        """Yield what is worth knowing of the bookmark once a list was read to its end."""
        name = self._options.bookmark
        if self._ahead:
            yield (
                f"{self._ahead:,} records have a time in {name} more than a day ahead: they are kept, "
                "and move no bookmark"
            )
        is_time = self._largest and (self._largest.kind == "time" or self._read_time)
        if is_time and not self.began.value and self._options.overlap is None:
            yield (
                f"no overlap is set: if the server answers what is later than {{bookmark}}, a record of the "
                f"same {name} as the last one may never be read; overlap = 5m reads it"
            )

    def after(self, content: Content, last: bool) -> str:
        """Return the bookmark that is true once the records of an answer are stored."""
        if self._options.keep_cursor:
            self._cursor = content.cursor or self._cursor
            return Mark(cursor=self._cursor).encode()
        if self._largest and (last or self._options.sorted):
            return Mark(value=self._largest.text, of=self._options.bookmark).encode()
        return self.began.encode()


def position_of(found: Any) -> Position | None:
    """Return the position of what a record holds, None for what a bookmark cannot be."""
    if isinstance(found, bool) or not isinstance(found, (str, int, float, Decimal)):
        return None
    if not isinstance(found, str) and not math.isfinite(found):
        return None
    text = found if isinstance(found, str) else _number(found)
    return position(text) if text and len(text) <= MAX_CHARS else None


def larger(first: Position | None, second: Position) -> Position:
    """Return the larger of two; of two kinds, the one that is worth more."""
    if first is None or first.rank < second.rank:
        return second
    return second if first.kind == second.kind and second.order > first.order else first


def _number(found: float | Decimal) -> str:
    text = format(Decimal(str(found)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
