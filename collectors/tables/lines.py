"""Lines, CSV and NDJSON, streamed: memory is bounded by the longest line and row, not by the file.

Invariants:
- Each row knows its line, and the place behind it where reading can go on: whole lines alone are behind
  one, so that a last line without an end is read again when it has grown.
- Where a file may still grow (`waits`), what its end may have cut is no row yet: a last line without an end,
  unless it is a whole object of JSON, and a quote that is open. Every place stays before it.
- A line that is too long, or not in the encoding, is a row with a problem; the next line is read as if
  nothing had been. A quote that is never closed costs its own line only: what it swallowed is read again.
"""

import csv
import io
import re
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
_OPEN_CHARS = 65_536
"""A cell that a writer's buffer has cut is not open for longer; a stray quote is."""
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
    has_end: bool


class Lines:
    """The lines of a stream that begins at a place; `counts` says whether its bytes are counted.

    With `waits` what may be cut at the end of the stream is left there, and `waiting` says then what it is.
    With `header` the NUL characters that the first line begins with are passed over, and `nuls` counts them.
    """

    def __init__(
        self,
        stream: io.BufferedReader,
        encoding: str,
        place: Place = START,
        *,
        counts: bool = True,
        waits: bool = False,
        header: bool = False,
    ) -> None:
        self._stream = stream
        self._place = place
        self.encoding = encoding
        self.counts = counts
        self.waits = waits
        self.waiting = ""
        self._header = header
        self.nuls = 0

    def __iter__(self) -> Iterator[_Line]:
        return self

    def __next__(self) -> _Line:
        raw, before = self._stream.readline(MAX_LINE_BYTES + 1), self._place
        if not raw:
            raise StopIteration
        if len(raw) > MAX_LINE_BYTES:
            return self._too_long(raw)
        has_end = raw.endswith(b"\n")
        number, place = self._behind(len(raw), ended=has_end)
        if number == 1:
            raw = self._without_marks(raw)
        try:
            text, problem = raw.decode(self.encoding), ""
        except UnicodeError as error:
            text = raw.decode("ascii", errors="backslashreplace")
            problem = f"is not in {self.encoding}: {_reason(error)}"
        if "\0" in text:
            problem = problem or "holds a NUL character: damaged, or not a text at all"
        return _Line(text, number, before, place, problem, True, has_end)

    def _without_marks(self, raw: bytes) -> bytes:
        """Return the first line without a byte order mark, and without the hole that a truncated log has."""
        raw = raw.removeprefix(BOM)
        text = raw.lstrip(b"\0")
        if not self._header or not text.strip():
            return raw
        self.nuls = len(raw) - len(text)
        return text

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
        problem = f"is longer than {MAX_LINE_BYTES:,} bytes"
        return _Line(kept, number, before, place, problem, False, bool(raw))


_KEPT_TEXT = re.compile(r'\s*="([^"]*)"\s*')


class _SwallowsError(Exception):
    """A quote swallows line after line, or a line is no line."""


class CsvRows:
    """The rows of CSV lines, the header's among them.

    Where there is an `escape`, it takes the meaning from a quote, a delimiter, a line's end or itself that
    stands behind it; before anything else it is text. A quote may stand behind spaces, and a cell that
    reads ="00123", which keeps spreadsheets from making a number of it, is 00123.
    """

    def __init__(self, lines: Lines, *, delimiter: str, quote: str, escape: str = "") -> None:
        self._lines = lines
        self._has_ended = False
        self._waiting: deque[_Line] = deque()
        self._taken: list[_Line] = []
        self._taken_chars = self._read_again_chars = 0
        self._dialect: dict[str, Any] = {"delimiter": delimiter, "strict": True}
        self._dialect |= {"quotechar": quote} if quote else {"quoting": csv.QUOTE_NONE}
        self._dialect |= {"skipinitialspace": bool(quote) and delimiter != " ", "escapechar": escape or None}
        self._escape = escape
        self._literal = re.compile(
            rf"{re.escape(escape)}(?:(\r\n|[{re.escape(delimiter + quote + escape)}\r\n])|)", re.DOTALL
        )
        self._reader = self._new_reader()

    def __iter__(self) -> Iterator[Row]:
        return self

    def __next__(self) -> Row:
        self._taken.clear()
        self._taken_chars = 0
        try:
            cells = next(self._reader)
        except (csv.Error, _SwallowsError) as error:
            if self._is_cut():
                self._lines.waiting = "a quote is open at its end"
                raise StopIteration from None
            return self._spoilt(str(error))
        first, last = self._taken[0], self._taken[-1]
        if not last.has_end and self._lines.waits:
            self._lines.waiting = "its last line has no end"
            raise StopIteration
        if '="' in first.text or len(self._taken) > 1:
            cells = [match[1] if (match := _KEPT_TEXT.fullmatch(cell)) else cell for cell in cells]
        problem = first.problem or next((line.problem for line in self._taken if line.problem), "")
        place = last.place if last.has_end else first.before
        return Row(cells, first.number, place, problem, self._taken_chars)

    def _is_cut(self) -> bool:
        """Whether the row goes on where the file ends, and may be whole when it has grown."""
        return self._lines.waits and self._has_ended and self._taken_chars <= _OPEN_CHARS

    def _new_reader(self) -> Iterator[list[str]]:
        self._has_ended = False
        return csv.reader(self._feed(), **self._dialect)

    def _feed(self) -> Iterator[str]:
        while True:
            line = self._waiting.popleft() if self._waiting else next(self._lines, None)
            if line is None:
                self._has_ended = True
                return
            self._taken.append(line)
            self._taken_chars += len(line.text)
            if not line.is_whole or (self._taken_chars > MAX_ROW_CHARS and len(self._taken) > 1):
                raise _SwallowsError
            yield self._escaped(line.text) if self._escape and self._escape in line.text else line.text

    def _escaped(self, text: str) -> str:
        """Return a line whose escapes that take the meaning from nothing are written twice: they are text."""
        escape = self._escape

        def written(match: re.Match[str]) -> str:
            if match[1] == "\r\n":  # one end of a line, and two characters
                return f"{escape}\r{escape}\n"
            return match[0] if match[1] else 2 * escape

        return self._literal.sub(written, text)

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
        if lines.waits and not line.has_end and found is None:
            lines.waiting = "its last line has no end"
            return
        cells: Sequence[Any] | dict[str, Any] = [line.text.rstrip("\r\n")] if found is None else found
        yield Row(cells, line.number, line.place, problem, len(line.text))


def _reason(error: UnicodeError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"byte 0x{error.object[error.start]:02x} at {error.start}"
    return str(error)
