"""The bookmark of a REST source: the largest value of what only grows, or the last cursor.

Invariants:
- Numbers are compared as numbers, times as times, other texts as texts; two kinds in one list are an error.
- A time that lies more than a day ahead moves no bookmark: one wrong record would hide all that follow.
- What is asked for is at most the bookmark: the overlap is taken off when asking, never when storing.
"""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from collectors.collector import Context
from collectors.overlap import Position, behind, position
from collectors.rest_answer import Content, search
from collectors.rest_options import RestOptions
from outbox.errors import DataError, PermanentError

MAX_CHARS = 1_000
_AHEAD = timedelta(days=1)


class Mark(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is stored: the text of the largest value, or the cursor to go on with."""

    value: str = ""
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

    def __init__(self, options: RestOptions, mark: Mark, context: Context) -> None:
        self.began = Mark(
            value=mark.value if options.bookmark else "", cursor=mark.cursor if options.keep_cursor else ""
        )
        self._options = options
        self._now = context.now
        self._largest = position(self.began.value) if self.began.value else None
        self._last: Position | None = None
        self._cursor = self.began.cursor

    def asked_from(self) -> str:
        """Return what {bookmark} stands for, the overlap taken off; empty where nothing is known yet."""
        return behind(self.began.value, self._options.overlap) if self.began.value else self._options.start

    def see(self, items: list[Any]) -> bool:
        """Take in the records of an answer; False where they should have been sorted and are not."""
        orderly, expression = True, self._options.bookmark
        for item in items if expression else []:
            found = position_of(search(expression, item), expression)
            if found and not is_ahead(found, self._now()):
                self._largest = largest(self._largest, found, expression)
                orderly = orderly and not (self._last and found.order < self._last.order)
                self._last = largest(self._last, found, expression)
        return orderly or not self._options.sorted

    def after(self, content: Content, last: bool) -> str:
        """Return the bookmark that is true once the records of an answer are stored."""
        if self._options.keep_cursor:
            self._cursor = content.cursor or self._cursor
            return Mark(cursor=self._cursor).encode()
        if self._largest and (last or self._options.sorted):
            return Mark(value=self._largest.text).encode()
        return self.began.encode()


def position_of(found: Any, what: str) -> Position | None:
    """Return the position of what a record holds, None where it holds none; PermanentError for the rest."""
    if found is None or found == "":
        return None
    if isinstance(found, bool) or not isinstance(found, (str, int, float, Decimal)):
        raise PermanentError(f"{what} finds no number and no text in a record, which a bookmark has to be")
    text = found if isinstance(found, str) else _number(found)
    if len(text) > MAX_CHARS:
        raise PermanentError(f"{what} finds more than {MAX_CHARS:,} characters, too many for a bookmark")
    return position(text)


def largest(first: Position | None, second: Position | None, what: str) -> Position | None:
    """Return the larger of two; PermanentError where they are of two kinds."""
    if first is None or second is None:
        return first or second
    if first.kind != second.kind:
        one, other = (f"a {found.kind} ({found.text[:60]})" for found in (first, second))
        raise PermanentError(f"{what} is {one} in one record and {other} in another: they have no order")
    return second if second.order > first.order else first


def is_ahead(found: Position, now: datetime) -> bool:
    """Return whether this is a time that cannot have come yet."""
    return bool(found.kind == "time" and found.order > now + _AHEAD)


def _number(found: float | Decimal) -> str:
    text = format(Decimal(str(found)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
