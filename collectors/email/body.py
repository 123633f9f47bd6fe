"""A table that stands in the message itself: in its HTML, or as lines of its text.

Invariant: what is around the table (a greeting, a signature, layout tables) is passed over; the table is
the one whose header has all the columns that the section names.
"""

import csv
import io
from collections.abc import Collection, Iterable
from html.parser import HTMLParser

from collectors.email.message import BadMessageError, CheckTime
from collectors.mapping.options import tidy
from collectors.tables.options import DELIMITERS

MAX_HTML_CHARS = 2_000_000
MAX_TABLES = 1_000
MAX_ROW_CELLS = 1_000
_PIECE_CHARS = 64 * 1024


def html_table(html: str, needed: Collection[str], check_time: CheckTime) -> str | None:
    """Return, as CSV, the first table with a row that holds all the needed columns, from there on.

    None where there is no such table.
    """
    if len(html) > MAX_HTML_CHARS:
        raise BadMessageError(f"its HTML has more than {MAX_HTML_CHARS:,} characters")
    parser = _Tables()
    try:
        for start in range(0, len(html), _PIECE_CHARS):
            check_time()
            parser.feed(html[start : start + _PIECE_CHARS])
        # Not closed: what an unfinished tag at the end could tell is no row, and may take very long.
    except AssertionError as error:
        raise BadMessageError("its HTML cannot be read") from error
    for rows in parser.tables:
        for number, row in enumerate(rows):
            if set(needed) <= {tidy(cell) for cell in row}:
                return _csv(rows[number:])
    return None


def text_table(text: str, needed: Collection[str], delimiter: str) -> str | None:
    """Return, as CSV, the lines from the header to the next empty line; None where no line is that header.

    `delimiter` is what the section says; empty: a comma.
    """
    sign = DELIMITERS.get(delimiter, delimiter) or ","
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if sign in line and set(needed) <= {tidy(cell) for cell in _cells(line, sign)}:
            end = next((at for at in range(number, len(lines)) if not lines[at].strip()), len(lines))
            return _csv(_cells(each, sign) for each in lines[number:end])
    return None


def _cells(line: str, delimiter: str) -> list[str]:
    """The cells of one line: in a mail no cell spans two."""
    try:
        return next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
    except csv.Error as error:
        raise BadMessageError(f"a line of its text cannot be read: {error}") from error


def _csv(rows: Iterable[list[str]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


class _Tables(HTMLParser):
    """Collects the cells of every table; one inside another is a table of its own."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tables: list[list[list[str]]] = []
        self._open: list[list[list[str]]] = []
        self._cell: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002
        """Begin a table, a row or a cell."""
        if tag == "table":
            self._end_cell()
            if len(self.tables) >= MAX_TABLES:
                raise BadMessageError(f"its HTML has more than {MAX_TABLES:,} tables")
            self.tables.append([])
            self._open.append(self.tables[-1])
        elif self._open and tag == "tr":
            self._end_cell()
            self._open[-1].append([])
        elif self._open and tag in ("td", "th"):
            self._end_cell()
            self._cell = []
        elif tag in ("br", "p", "div", "li"):
            self.handle_data(" ")

    def handle_endtag(self, tag: str) -> None:
        """End a cell or a table."""
        if tag in ("td", "th", "tr", "table"):
            self._end_cell()
        if self._open and tag == "table":
            self._open.pop()

    def handle_data(self, data: str) -> None:
        """Take the text of the cell that is open."""
        if self._cell is not None:
            self._cell.append(data)

    def _end_cell(self) -> None:
        if self._cell is None or not self._open:
            return
        rows = self._open[-1]
        if not rows:
            rows.append([])
        if len(rows[-1]) >= MAX_ROW_CELLS:
            raise BadMessageError(f"a table in its HTML has more than {MAX_ROW_CELLS:,} columns")
        rows[-1].append(" ".join("".join(self._cell).split()))
        self._cell = None
