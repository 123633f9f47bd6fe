"""Lines, CSV and NDJSON, streamed: memory is bounded by the longest line and row, not by the file.

Invariants:
- Each row knows its line, and the place behind it where reading can go on: whole lines alone are behind
  one, so that a last line without an end is read again when it has grown.
- A line that is too long, or not in the encoding, is a row with a problem; the next line is read as if
  nothing had been. A quote that is never closed costs its own line only: what it swallowed is read again.
"""

import csv
import io
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from collectors.exact_json import ExactReader
from collectors.tables.json import as_row
from outbox.errors import PermanentError

MAX_LINE_BYTES = 1_000_000
MAX_ROW_CHARS = 1_000_000
MAX_READ_AGAIN_CHARS = 64_000_000
_SKIP_BYTES = 1_000_000
_KEPT_OF_LONG = 1_000
BOM = b"\xef\xbb\xbf"


class Place(NamedTuple):
    """Where reading goes on: behind `offset` bytes where these can be counted, and behind `line` lines."""

    offset: int = 0
    line: int = 0


START = Place()


class Row(NamedTuple):
    """A row: its cells in order or by name, its line, and the place behind it.

    `problem` says why it can be no record, whatever the mapping ("" mostly); `size` is its text's.
    """

    cells: Sequence[Any] | dict[str, Any]
    line: int
    place: Place
    problem: str = ""
    size: int = 0


class _Line(NamedTuple):
    text: str
    number: int
    before: Place
    place: Place  # behind it; that before it where its end is still to come
    problem: str
    is_whole: bool  # False: too long to be parsed at all


class Lines:
    """The lines of a stream that begins at a place; `counts` says whether its bytes are counted."""

    def __init__(
        self, stream: io.BufferedReader, encoding: str, place: Place = START, *, counts: bool = True
    ) -> None:
        self._stream = stream
        self._place = place
        self.encoding = encoding
        self.counts = counts

    def __iter__(self) -> Iterator[_Line]:
        return self

    def __next__(self) -> _Line:
        raw, before = self._stream.readline(MAX_LINE_BYTES + 1), self._place
        if not raw:
            raise StopIteration
        if len(raw) > MAX_LINE_BYTES:
            return self._too_long(raw)
        number, place = self._behind(len(raw), ended=raw.endswith(b"\n"))
        if number == 1 and raw.startswith(BOM):
            raw = raw[len(BOM) :]
        try:
            text, problem = raw.decode(self.encoding), ""
        except UnicodeError as error:
            text = raw.decode("ascii", errors="backslashreplace")
            problem = f"is not in {self.encoding}: {_reason(error)}"
        if "\0" in text:
            problem = problem or "holds a NUL character: damaged, or no text at all"
        return _Line(text, number, before, place, problem, True)

    def _behind(self, length: int, *, ended: bool) -> tuple[int, Place]:
        number = self._place.line + 1
        if ended:
            self._place = Place(self._place.offset + length if self.counts else 0, number)
        return number, self._place

    def _too_long(self, raw: bytes) -> _Line:
        kept, length = raw[:_KEPT_OF_LONG].decode(self.encoding, errors="replace"), len(raw)
        while raw and not raw.endswith(b"\n"):
            raw = self._stream.readline(_SKIP_BYTES)
            length += len(raw)
        before = self._place
        number, place = self._behind(length, ended=bool(raw))
        return _Line(kept, number, before, place, f"is longer than {MAX_LINE_BYTES:,} bytes", False)


class _SwallowsError(Exception):
    """A quote swallows line after line, or a line is no line."""


class CsvRows:
    """The rows of CSV lines, the header's among them."""

    def __init__(self, lines: Lines, *, delimiter: str, quote: str) -> None:
        self._lines = lines
        self._waiting: deque[_Line] = deque()
        self._taken: list[_Line] = []
        self._taken_chars = self._read_again_chars = 0
        self._dialect: dict[str, Any] = {"delimiter": delimiter, "strict": True}
        self._dialect |= {"quotechar": quote} if quote else {"quoting": csv.QUOTE_NONE}
        self._reader = self._new_reader()

    def __iter__(self) -> Iterator[Row]:
        return self

    def __next__(self) -> Row:
        self._taken.clear()
        self._taken_chars = 0
        try:
            cells = next(self._reader)
        except (csv.Error, _SwallowsError) as error:
            return self._spoilt(str(error))
        first, last = self._taken[0], self._taken[-1]
        problem = next((line.problem for line in self._taken if line.problem), "")
        place = first.before if last.place == last.before else last.place
        return Row(cells, first.number, place, problem, self._taken_chars)

    def _new_reader(self) -> Iterator[list[str]]:
        return csv.reader(self._feed(), **self._dialect)

    def _feed(self) -> Iterator[str]:
        while True:
            line = self._waiting.popleft() if self._waiting else next(self._lines, None)
            if line is None:
                return
            self._taken.append(line)
            self._taken_chars += len(line.text)
            if not line.is_whole or (self._taken_chars > MAX_ROW_CHARS and len(self._taken) > 1):
                raise _SwallowsError
            yield line.text

    def _spoilt(self, reason: str) -> Row:
        """Give up the first line alone; the lines behind it are read again as rows of their own."""
        first, *others = self._taken
        self._read_again_chars += sum(len(line.text) for line in others)
        if self._read_again_chars > MAX_READ_AGAIN_CHARS:
            raise PermanentError(
                f"has quotes that do not close, line {first.number:,} the last of many",
                hint="set the source's quote, or quote = none where quotes are part of the text",
            )
        self._waiting.extendleft(reversed(others))
        self._reader = self._new_reader()
        problem = first.problem or f"is no row of CSV: {reason or 'a quote is not closed'}"
        return Row([first.text.rstrip("\r\n")], first.number, first.place, problem, len(first.text))


def ndjson_rows(lines: Lines) -> Iterator[Row]:
    """Yield the object of each line that is not blank."""
    reader = ExactReader(floats=False)
    for line in lines:
        if not line.text.strip():
            continue
        found, problem = None, line.problem
        if not problem:
            try:
                found, problem = as_row(*reader.read(line.text))
            except ValueError as error:
                problem = f"is not JSON: {error}"
        cells: Sequence[Any] | dict[str, Any] = [line.text.rstrip("\r\n")] if found is None else found
        yield Row(cells, line.number, line.place, problem, len(line.text))


def _reason(error: UnicodeError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"byte 0x{error.object[error.start]:02x} at {error.start}"
    return str(error)
