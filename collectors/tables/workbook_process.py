"""The process that reads one workbook: its bytes on stdin, JSON lines on stdout. Run by `workbook`.

The library that reads workbooks aborts its process when memory runs out, so it gets a process of its own.
What the library does not report (the text of an error, a formula without a result, digits beyond a float's
precision, leading zeros of a number format) is read from the sheet's XML, and replaces cells by position.
Lines: {"sheets": names}, {"unread": names} where other sheets have content, a list for each row,
{"end": true}; or {"error": text} in place of any of them.
"""

import io
import itertools
import math
import re
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from xml.parsers import expat

import msgspec

from collectors.exact_json import Refused
from collectors.mapping.cells import kept

MAX_MEMORY_BYTES = 1_500_000_000
CHUNK_BYTES = 65_536
MAX_VALUE_CHARS = 1_000
UNCALCULATED = Refused(
    "contains a formula without a calculated result: open the workbook in Excel and save it"
)
OUT_OF_DATE = Refused(
    "contains a formula whose result the workbook declares out of date (fullCalcOnLoad): "
    "open it in Excel and save it"
)
MERGED = Refused("belongs to a merged cell, whose value is in its first row only: fill in every row")
_MANY_DIGITS = 16
"""Excel keeps 15 digits, which a float holds exactly: a longer number is read digit by digit."""
_WHOLE = re.compile(r"-?[0-9]{16,400}")
_ZEROS = re.compile(r"0{2,30}")
_SIGNS = (b"<f", b":f", b'"e', b"'e", b"<!", b"&#")
_LONG = re.compile(rb"v(?:\s|>\s*-?[0-9]{16})")
"""A sheet without any of these, and without a style that shows leading zeros, needs no correction."""
_CONTENT = re.compile(rb"<(?:[^\s<>/:!?]+:)?(?:v|is|f)[\s/>]")
_PLACE = re.compile(r"([A-Z]{1,3})([0-9]{1,7})")
_TRUE = ("1", "true")
_TYPED = (date, time, timedelta)


class Correction(NamedTuple):
    """What a cell really holds where the library reports something else; row and column count from 0."""

    row: int
    column: int
    cell: Refused | Decimal | str


def lines(content: bytes, sheet: str) -> Iterator[Any]:
    """Yield the lines for the parent process."""
    import python_calamine as calamine  # noqa: PLC0415 - an extra

    try:
        workbook = calamine.CalamineWorkbook.from_filelike(io.BytesIO(content))
        names = workbook.sheet_names
        yield {"sheets": names}
        if not names or (sheet and sheet not in names):
            return
        worksheet, visible = calamine.SheetTypeEnum.WorkSheet, calamine.SheetVisibleEnum.Visible
        open_ones = [m.name for m in workbook.sheets_metadata if m.typ == worksheet and m.visible == visible]
        if not sheet and not open_ones:
            raise ValueError("it has no visible worksheet: set sheet in the section")
        if any(m.name == sheet and m.typ != worksheet for m in workbook.sheets_metadata):
            raise ValueError("the section's sheet is not a worksheet")
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            parts = _Parts(packed)
            if unread := [] if sheet else [name for name in open_ones[1:] if parts.holds_cells(name)]:
                yield {"unread": unread}
            name = sheet or open_ones[0]
            for row in _corrected(workbook.get_sheet_by_name(name), parts.corrections(name)):
                yield [kept(cell) if _is_special(cell) else cell for cell in row]
        yield {"end": True}
    except GeneratorExit:
        raise
    except BaseException as error:  # noqa: BLE001 - a panic of the library does not inherit Exception
        yield {"error": str(error) or type(error).__name__}


def _is_special(cell: Any) -> bool:
    return isinstance(cell, (*_TYPED, Decimal, Refused)) or (
        isinstance(cell, float) and not math.isfinite(cell)
    )


class _Parts:
    """The XML parts of a workbook: which of them is which sheet, and what all sheets share."""

    def __init__(self, packed: zipfile.ZipFile) -> None:
        self._packed = packed
        self._names = {name.replace("\\", "/").lower(): name for name in packed.namelist()}
        self._ids: dict[str, str] = {}
        self._targets: dict[str, str] = {}
        self._is_out_of_date = False
        _walk(self._xml("xl/workbook.xml"), self._on_workbook)
        _walk(self._xml("xl/_rels/workbook.xml.rels"), self._on_relation)

    def holds_cells(self, sheet: str) -> bool:
        """Return whether any cell of the sheet has content."""
        return _CONTENT.search(self._sheet(sheet)) is not None

    def corrections(self, sheet: str) -> Iterator[Correction]:
        """Yield what the library does not report of the sheet, in the order of its XML."""
        xml, zeros = self._sheet(sheet), self._zeros()
        if zeros or any(sign in xml for sign in _SIGNS) or _LONG.search(xml):
            yield from _Cells(zeros, is_out_of_date=self._is_out_of_date).corrections(xml)

    def _xml(self, name: str) -> bytes:
        if name.lower() not in self._names:
            raise ValueError(f"it has no part {name[:60]!a}")
        return self._packed.read(self._names[name.lower()])

    def _sheet(self, sheet: str) -> bytes:
        target = self._targets.get(self._ids.get(sheet, ""), "").lstrip("/")
        return self._xml(target if target.startswith("xl/") else f"xl/{target}")

    def _on_workbook(self, name: str, attributes: dict[str, str]) -> None:
        if name == "sheet":
            self._ids.setdefault(attributes.get("name", ""), attributes.get("id", ""))
        elif name == "calcPr":
            self._is_out_of_date = attributes.get("fullCalcOnLoad") in _TRUE

    def _on_relation(self, name: str, attributes: dict[str, str]) -> None:
        if name == "Relationship":
            self._targets[attributes.get("Id", "")] = attributes.get("Target", "")

    def _zeros(self) -> dict[str, int]:
        """Return the number of digits for each style that shows leading zeros (number format 00000)."""
        formats: dict[str, int] = {}
        zeros: dict[str, int] = {}
        styles, is_cell_style = 0, False

        def on_start(name: str, attributes: dict[str, str]) -> None:
            nonlocal styles, is_cell_style
            if name == "numFmt" and _ZEROS.fullmatch(attributes.get("formatCode", "")):
                formats[attributes.get("numFmtId", "")] = len(attributes["formatCode"])
            elif name in ("cellStyleXfs", "cellXfs", "cellStyles", "dxfs"):
                is_cell_style = name == "cellXfs"
            elif name == "xf" and is_cell_style:
                if width := formats.get(attributes.get("numFmtId", "")):
                    zeros[str(styles)] = width
                styles += 1

        if "xl/styles.xml" in self._names:
            _walk(self._xml("xl/styles.xml"), on_start)
        return zeros


class _Cells:
    """Reads a sheet's XML in chunks."""

    def __init__(self, zeros: dict[str, int], *, is_out_of_date: bool) -> None:
        self._zeros = zeros
        self._is_out_of_date = is_out_of_date
        self._row = self._column = -1
        self._cell: dict[str, str] | None = None
        self._has_formula = self._is_value = False
        self._text = self._place = ""
        self._found: list[Correction] = []

    def corrections(self, xml: bytes) -> Iterator[Correction]:
        """Yield the corrections in the order of the XML."""
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._data
        for start in range(0, len(xml), CHUNK_BYTES):
            parser.Parse(xml[start : start + CHUNK_BYTES], False)
            yield from self._found
            self._found.clear()
        parser.Parse(b"", True)
        yield from self._found

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        local = name.rpartition(":")[2] if ":" in name else name
        if local == "v":
            self._is_value = self._cell is not None
        elif local == "c":
            self._cell, self._has_formula, self._text = attributes, False, ""
            if "r" in attributes:
                self._place = attributes["r"]
            else:  # it follows the one before it
                self._move()
                self._column += 1
        elif local == "f":
            self._has_formula = True
        elif local == "row":
            self._move()
            said = attributes.get("r", "")
            self._row, self._column = int(said) - 1 if said.isdecimal() else self._row + 1, -1

    def _move(self) -> None:
        """Work out row and column from the last reference: few cells need theirs."""
        if place := _PLACE.fullmatch(self._place):
            self._row, self._column = int(place[2]) - 1, _column(place[1])
        self._place = ""

    def _end(self, name: str) -> None:
        local = name.rpartition(":")[2] if ":" in name else name
        if local == "v":
            self._is_value = False
        elif local == "c" and self._cell is not None:
            found = self._odd(self._cell, self._text.strip())
            if found is not None:
                self._move()
                self._found.append(Correction(self._row, self._column, found))
            self._cell = None

    def _data(self, text: str) -> None:
        if self._is_value and len(self._text) < MAX_VALUE_CHARS:  # longer ones are text, not numbers
            self._text += text

    def _odd(self, cell: dict[str, str], text: str) -> Refused | Decimal | str | None:
        kind = cell.get("t", "n")
        if self._has_formula and not text and kind != "str":
            return UNCALCULATED
        if self._has_formula and self._is_out_of_date:
            return OUT_OF_DATE
        if kind == "e":
            return text or Refused("contains an error without a name")
        if kind != "n" or (len(text) < _MANY_DIGITS and not self._zeros):
            return None
        if (width := self._zeros.get(cell.get("s", ""))) and text.isascii() and text.isdecimal():
            return text.zfill(width)
        return Decimal(text) if len(text) >= _MANY_DIGITS and _WHOLE.fullmatch(text) else None


def _corrected(sheet: Any, corrections: Iterator[Correction]) -> Iterator[list[Any]]:
    """Yield the rows of the sheet with their corrections.

    ValueError where a correction is out of order, or to the left of the sheet's first column.
    """
    (_, left), (_, right) = (sheet.start, sheet.end) if sheet.start else ((0, sys.maxsize), (0, sys.maxsize))
    rows = iter(sheet.iter_rows())
    merged = _Merged(sheet.merged_cell_ranges or (), left, right)
    correction = next(corrections, None)
    for number in itertools.count():
        row = next(rows, None)
        if row is None:
            if correction is None:
                return
            row = [""] * (right - left + 1 if sheet.start else 0)
        while correction is not None and correction.row <= number:
            if correction.row < number:
                raise ValueError("its rows are not in ascending order")
            if correction.column < left:
                raise ValueError(
                    "its first column, or the whole sheet, has formulas without a calculated result"
                )
            at = correction.column - left
            if at < len(row) and (isinstance(correction.cell, Refused) or not isinstance(row[at], _TYPED)):
                row[at] = correction.cell
            correction = next(corrections, None)
        merged.mark(number, row)
        yield row


class _Merged:
    """Marks the blank cells that a merged cell covers below its first row."""

    def __init__(self, ranges: Iterable[Any], left: int, right: int) -> None:
        tall = [(top, first, bottom, last) for (top, first), (bottom, last) in ranges if bottom > top]
        self._waiting = sorted(tall, reverse=True)
        self._left, self._right = left, right
        self._covered: dict[int, int] = {}

    def mark(self, number: int, row: list[Any]) -> None:
        """Mark the cells of one row; rows are passed in ascending order."""
        if self._covered:
            self._covered = {column: last for column, last in self._covered.items() if last >= number}
            for column in self._covered:
                at = column - self._left
                if at < len(row) and row[at] in ("", None):
                    row[at] = MERGED
        while self._waiting and self._waiting[-1][0] <= number:
            _, first, bottom, last = self._waiting.pop()
            for column in range(max(first, self._left), min(last, self._right) + 1):
                self._covered[column] = max(bottom, self._covered.get(column, 0))


def _walk(xml: bytes, on_start: Callable[[str, dict[str, str]], None]) -> None:
    """Call `on_start` for each element of a document, with names that have no prefixes."""
    parser = expat.ParserCreate()
    parser.StartElementHandler = lambda name, found: on_start(name.rpartition(":")[2], _local(found))
    parser.Parse(xml, True)


def _local(attributes: dict[str, str]) -> dict[str, str]:
    return {name.rpartition(":")[2]: value for name, value in attributes.items()}


def _column(letters: str) -> int:
    number = 0
    for letter in letters:
        number = 26 * number + ord(letter) - 64
    return number - 1


def limit_memory() -> None:
    """Set the memory limit where the operating system supports it."""
    try:
        import resource  # noqa: PLC0415 - POSIX alone has it

        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    except (ImportError, ValueError, OSError):
        return


def main() -> None:
    """Read one workbook; the sheet's name is the argument."""
    limit_memory()
    content = sys.stdin.buffer.read()
    encode = msgspec.json.Encoder().encode
    for line in lines(content, sys.argv[1]):
        sys.stdout.buffer.write(encode(line) + b"\n")


if __name__ == "__main__":
    main()
