"""JSON read exactly: what a document says is what comes out. No I/O.

Invariants, the same for every source that reads JSON:
- A number is the one that is written: an int, a float where that is the same number, else a Decimal. NaN and
  the infinities, which JSON does not have, are Decimals that every reader of cells refuses.
- A key that stands twice in one object (RFC 8259 §4 leaves open which one counts) is never decided here, at
  whatever depth it stands: the row in which it stands is `Refused`, or the document.
- A row has at most `MAX_DEPTH` levels, what a record can hold: nothing behind the reader meets a deeper one.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from outbox.record.canonical import MAX_DEPTH

MAX_INTEGER_CHARS = 400
MAX_SHOWN_KEY_CHARS = 60
_SAFE_FLOAT_CHARS = 16
_MAX_FLOAT_CHARS = 17
TOO_DEEP = f"is nested deeper than {MAX_DEPTH} levels"

Json = Any


@dataclass(frozen=True)
class Refused:
    """A row, or a cell, that no record is made of: why, and what there is to show of it, cut in depth."""

    problem: str
    shown: Json = None


class TooDeepError(ValueError):
    """A document is nested beyond all reading."""


class Twice(dict[str, Json]):
    """An object in which a key stands twice; it holds the later one, and `key` is its beginning."""

    key = ""

    @property
    def problem(self) -> str:
        """Why the object is refused."""
        return f"has a key that stands twice: {self.key!a}"


class ExactReader:
    """Reads one text after another; ValueError for what is not JSON or is nested beyond all reading.

    `floats` False makes every fraction a Decimal: the mapping of rows is a tenth faster so.
    """

    def __init__(self, *, floats: bool = True) -> None:
        self._twice: Twice | None = None
        self._decoder = json.JSONDecoder(
            object_pairs_hook=self._object,
            parse_int=_integer,
            parse_float=exact_float if floats else _fraction,
            parse_constant=Decimal,
        )

    def read(self, text: str) -> tuple[Json, str]:
        """Return what a text is, and "" or why it is refused: then what there is to show of it."""
        self._twice = None
        try:
            found = self._decoder.decode(text)
        except RecursionError:
            return None, TOO_DEEP
        problem = self._problem(found, text.count("[") + text.count("{"))
        return cut(found) if problem else found, problem

    def read_at(self, text: str, start: int) -> tuple[Json, int, str]:
        """Return the value that begins at `start` as `read` does, and where it ends."""
        self._twice = None
        try:
            found, end = self._decoder.raw_decode(text, start)
        except RecursionError as error:
            raise TooDeepError(TOO_DEEP) from error
        problem = self._problem(found, text.count("[", start, end) + text.count("{", start, end))
        return cut(found) if problem else found, end, problem

    def read_document(self, text: str) -> Json:
        """Return what a document is, whatever is refused in it; `rows_of` tells that of its rows."""
        try:
            return self._decoder.decode(text)
        except RecursionError as error:
            raise TooDeepError(TOO_DEEP) from error

    def _problem(self, found: Json, brackets: int) -> str:
        if self._twice is not None:
            return self._twice.problem
        # Most rows have too few brackets to be nested deeply, and are not walked through.
        return problem_of(found) if brackets > MAX_DEPTH else ""

    def _object(self, pairs: list[tuple[str, Json]]) -> dict[str, Json]:
        found = dict(pairs)
        if len(found) == len(pairs):
            return found
        self._twice = Twice(found)
        names = [name for name, _ in pairs]
        self._twice.key = next(name for name in names if names.count(name) > 1)[:MAX_SHOWN_KEY_CHARS]
        return self._twice


def rows_of(document: Json, rows: Sequence[Json]) -> list[Json]:
    """Return the rows that were found in a document, `Refused` in place of each that cannot be read.

    ValueError where what is wrong stands in the document, outside its rows.
    """
    if problem := problem_of(document, apart=rows):
        raise ValueError(problem)
    if not problem_of(rows):
        return list(rows)
    return [Refused(problem, cut(row)) if (problem := problem_of(row)) else row for row in rows]


def problem_of(value: Json, *, apart: Iterable[Json] = ()) -> str:
    """Return why a value is refused, "" where it is not; what stands `apart` in it is not looked at."""
    skipped = {id(item) for item in apart}
    level: list[Json] = [value] if isinstance(value, (dict, list)) and id(value) not in skipped else []
    for _ in range(MAX_DEPTH):
        twice = next((item for item in level if type(item) is Twice), None)
        if twice is not None:
            return twice.problem
        level = [
            item
            for outer in level
            for item in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(item, (dict, list))
        ]
        if skipped:
            level = [item for item in level if id(item) not in skipped]
        if not level:
            return ""
    return TOO_DEEP


def cut(value: Json, depth: int = 0) -> Json:
    """Return a value with `...` for what is deeper than `MAX_DEPTH` levels: it can be shown and written."""
    if not isinstance(value, (dict, list)):
        return value
    if depth >= MAX_DEPTH:
        return "..."
    if isinstance(value, dict):
        return {name: cut(item, depth + 1) for name, item in value.items()}
    return [cut(item, depth + 1) for item in value]


def exact_float(text: str) -> float | Decimal:
    """Return a number of JSON as a float where that is the same number, else as a Decimal."""
    try:
        # A binary float holds any 15 digits exactly as they are, unless an exponent takes it to its ends.
        if len(text) <= _SAFE_FLOAT_CHARS and "e" not in text and "E" not in text:
            return float(text)
        if len(text) <= _MAX_FLOAT_CHARS and Decimal(repr(number := float(text))) == Decimal(text):
            return number
        return Decimal(text)
    except InvalidOperation:  # an exponent beyond all sense
        return Decimal("Infinity")


def _fraction(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        return Decimal("Infinity")


def _integer(text: str) -> int | Decimal:
    return int(text) if len(text) <= MAX_INTEGER_CHARS else Decimal(text)
