"""Finds tables in the text of a message; those in its HTML are found by `html`.

Invariant: everything around a table (greeting, signature, layout tables) is skipped, and a table is one whose
header has all the columns that the section names. The caller decides which of several tables are read; each
knows how deep it is quoted.
"""

import csv
import re
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from collectors.email.message import BadMessageError, CheckTime
from collectors.mapping.options import tidy
from collectors.tables.lines import Place, Row
from collectors.tables.options import DELIMITERS

_TAIL_LINES = 8
_ANNOUNCED = re.compile(
    r"(?<!-)-{3,}+\s*+(?:Original Message|Forwarded message|Ursprüngliche Nachricht|Weitergeleitete Nachricht"
    r"|Message d'origine|Message transféré|Mensaje original|Messaggio originale|Oorspronkelijk bericht"
    r"|Alkuperäinen viesti|Välitetty viesti|Ursprungligt meddelande|Oprindelig meddelelse"
    r"|Wiadomość oryginalna)\s*+-{3}",
    re.IGNORECASE,
)
_SUBJECT = re.compile(r"\b(?:Subject|Betreff|Objet|Asunto|Oggetto|Onderwerp|Aihe|Ämne|Emne|Temat)\s*:")
_FROM = re.compile(r"\b(?:From|Von|De|Da|Van|Lähettäjä|Från|Fra|Od)\s*:")
_SENT = re.compile(
    r"\b(?:Sent|Date|Gesendet|Datum|Envoyé|Enviado|Fecha|Inviato|Data|Verzonden|Lähetetty|Päivämäärä"
    r"|Skickat|Sendt|Dato|Wysłano)\s*:"
)
_WROTE = re.compile(
    r"\b(?:wrote|schrieb|a écrit|escribió|ha scritto|schreef|kirjoitti|skrev|napisał)\b.*:\s*$"
)
GAP = "follows an empty line, and it is unclear whether it is a row of the table"
_QUOTED = "begins with > like a quoted line"

Judgement = Literal["rows", "unclear", "text"]
Judge = Callable[[Sequence[str], list[list[str]]], Judgement]
"""Decides whether lines with as many cells as a header are rows of that table."""


class RequiredColumns(NamedTuple):
    """The columns that a table must have, and those of the entity; with `wide` any column may count."""

    needed: frozenset[str]
    entity: frozenset[str]
    are_all_needed: bool


class BodyTable(NamedTuple):
    """A table: its rows, the header first, and how deep it is quoted.

    `is_passed` says that it is hidden or quoted by > and never read. `unread` counts the lines after an empty
    line that have as many cells as the header, but are not rows.
    """

    rows: list[Row]
    quoted: int
    is_passed: bool = False
    unread: int = 0


def tells_a_quote(text: str) -> bool:
    """Return whether a few lines of text contain what mail programs write above a quoted message."""
    if "---" in text and _ANNOUNCED.search(text):
        return True
    return bool(_SUBJECT.search(text) and _FROM.search(text) and _SENT.search(text))


def text_tables(
    text: str, columns: RequiredColumns, delimiter: str, judge: Judge, check_time: CheckTime
) -> list[BodyTable]:
    """Return every table in a text: a header and the rows that follow it.

    An empty line ends a table only where the lines after it are not rows. `delimiter` is the section's; "" is
    a comma.
    """
    tables = _TextReader(columns, DELIMITERS.get(delimiter, delimiter) or ",", judge)
    for line in text.splitlines():
        check_time()
        tables.take(line)
    tables.end_block()
    read = [BodyTable(each.rows, each.quoted, unread=each.unread) for each in tables.tables]
    return [*read, *tables.passed]


class _Table:
    def __init__(self, quoted: int, header: list[str]) -> None:
        self.quoted = quoted
        self.header = header
        self.rows: list[Row] = []
        self.unread = 0
        self.lines = 0
        self.add(header)

    def add(self, cells: list[str], problem: str = "") -> None:
        """Add the next line of the table as a row."""
        self.lines += 1
        self.rows.append(Row(cells, self.lines, Place(0, self.lines), problem))


class _TextReader:
    """Finds the tables of a text, which is passed line by line."""

    def __init__(self, columns: RequiredColumns, sign: str, judge: Judge) -> None:
        self.tables: list[_Table] = []
        self.passed: list[BodyTable] = []
        self._columns = columns
        self._sign = sign
        self._judge = judge
        self._table: _Table | None = None
        self._block: list[list[str]] | None = None
        """The table's lines since the last empty line; None where there was none."""
        self._quoted = 0
        self._tail: list[str] = []
        self._is_answered = False

    def take(self, line: str) -> None:
        """Process the next line."""
        if not line.strip():
            self.end_block()
            if self._table:
                self._block = []
                self._table.lines += 1
            return
        is_quoted = line.startswith(">")
        if self._is_answered and not is_quoted:
            self._quote()
        self._is_answered = bool(_WROTE.search(line[-300:]))
        cells = _cells(line.lstrip("> ") if is_quoted else line, self._sign)
        is_header = self._sign in line and self._columns.needed <= {tidy(cell) for cell in cells}
        if is_quoted:
            self._take_quoted(line, is_header=is_header)
            return
        self._watch(line)
        if is_header:
            self.end_block()
            self._table = _Table(self._quoted, cells)
            self.tables.append(self._table)
        elif self._block is not None:
            self._block.append(cells)
        elif self._table:
            self._table.add(cells)

    def end_block(self) -> None:
        """Decide whether the lines after an empty line are rows of the table, or text that follows it."""
        block, table, self._block = self._block, self._table, None
        if not block or not table:
            return
        alike = [cells for cells in block if len(cells) == len(table.header) > 1]
        judgement = self._judge(table.header, alike) if alike else "text"
        if judgement == "text":
            table.unread += len(alike)
            table.lines += len(block)
            return
        for cells in block:
            table.add(cells, GAP if judgement == "unclear" else "")

    def _take_quoted(self, line: str, *, is_header: bool) -> None:
        if self._table and self._block is None:
            self._table.add([line], _QUOTED)
        elif is_header:
            self.end_block()
            self._table = None
            self.passed.append(BodyTable([], self._quoted + 1, is_passed=True))

    def _watch(self, line: str) -> None:
        """Recognise the lines that a mail program writes above a quoted message."""
        self._tail = [*self._tail[1 - _TAIL_LINES :], line[:1_000]]
        if (":" in line or "--" in line) and tells_a_quote("\n".join(self._tail)):
            self._quote()

    def _quote(self) -> None:
        self.end_block()
        self._quoted += 1
        self._table, self._tail = None, []


def _cells(line: str, delimiter: str) -> list[str]:
    """Return the cells of one line: in a mail, a cell never spans two lines."""
    try:
        return next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
    except csv.Error as error:
        raise BadMessageError(f"a line of its text cannot be read: {error}") from error
