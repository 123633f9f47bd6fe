"""Tables as customers export them: CSV, JSON, NDJSON and workbooks, plain or packed, read into records.

Invariants:
- Streamed: memory does not grow with the table; workbooks and JSON documents have limits instead.
- Where reading stopped it can go on: behind a line's bytes, or where these cannot be counted (packed, or
  no lines), behind as many lines or rows.
- A row that is no record is rejected with its line, and the next one is read. What is wrong with the whole
  table (no such column, another encoding, a bomb) is a PermanentError, which does not name the table.
- A header that comes again says nothing; one with other columns ends the table, whose rows behind it would
  be read under the wrong names.
- An object without the key of any value is rejected: a key that was renamed makes no source silent.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import PurePosixPath
from typing import IO, Any, NamedTuple

from collectors.exact_json import Refused
from collectors.mapping.columns import Columns, RowMapper
from collectors.mapping.numbers import printable
from collectors.mapping.options import plain, tidy
from collectors.mapping.times import Order
from collectors.tables.json import ArrayElements, as_row, read_document
from collectors.tables.lines import START, CsvRows, Lines, Place, Row, ndjson_rows
from collectors.tables.options import DELIMITERS, HEADER, VALUE, TableOptions
from collectors.tables.unpack import (
    ARCHIVES,
    SUFFIXES,
    WORKBOOKS,
    as_text,
    require_unpacked,
    unpacked,
    with_newlines,
)
from collectors.tables.workbook import sheet_rows
from outbox.errors import PermanentError
from outbox.record import Record, Rejected

MAX_COLUMNS = 20_000
MAX_NAMED_KEYS = 20
SAMPLE_ROWS, SAMPLE_CHARS = 1_000, 4_000_000
"""Objects name their columns each for itself: so many are looked at to know the columns there are."""
_FORMATS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".tab": "csv",
    ".txt": "csv",
    ".json": "json",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".xlsx": "xlsx",
    ".xlsm": "xlsx",
}


class Kind(NamedTuple):
    """What a table's name says: its format, its packing ("" for none), its usual delimiter."""

    format: str
    packing: str
    delimiter: str

    @property
    def grows(self) -> bool:
        """Whether lines may be appended to it, and are found again by their offset."""
        return self.format in ("csv", "ndjson") and not self.packing


class Outcome(NamedTuple):
    """What a row became (None: it says nothing), and the place behind it."""

    found: Record | Rejected | None
    place: Place


def kind_of(name: str, options: TableOptions) -> Kind:
    """Return what the name of a table says; PermanentError for one that is no table."""
    path = PurePosixPath(name.replace("\\", "/").lower())
    packing = SUFFIXES.get(path.suffix, "")
    suffix = PurePosixPath(path.stem).suffix if packing else path.suffix
    if suffix in ARCHIVES or suffix in SUFFIXES:
        raise PermanentError(
            "is an archive, or packed twice", hint="one layer of gzip or zstd is read; unpack the rest"
        )
    if options.format == "auto" and suffix in WORKBOOKS:
        raise PermanentError(
            f"is a workbook of a kind that is not read ({suffix})",
            hint="save it as .xlsx; if it is text by that name, set the section's format",
        )
    found = _FORMATS.get(suffix, "") if options.format == "auto" else options.format
    if not found:
        raise PermanentError(f"has no ending that is known: {suffix!a}", hint="set the section's format")
    return Kind(found, packing, "\t" if suffix in (".tsv", ".tab") else ",")


@dataclass
class Table:
    """A table to be read, from the place on: its bytes, its name, and where it is (`origin`, in few texts).

    `extra` holds columns that the caller adds; their names begin with @. A stream that is to be read from
    an offset is seekable. `rows`, where given, are read instead of the stream: cells that the caller took
    apart, the header first. With `waits` the table may still grow, if it is one to which lines are appended:
    what its end may have cut is left there, and `waiting` says then what it is. `order` is what came before
    the place, where rows ascend; it is true behind each outcome's place as that is yielded. `note` takes a
    sentence on what looks odd.
    """

    stream: IO[bytes]
    name: str
    options: TableOptions
    mapping: Columns
    origin: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    place: Place = START
    order: Order | None = None
    waits: bool = False
    note: Callable[[str], None] = lambda _text: None
    waiting: str = field(default="", init=False)
    rows: Iterable[Row] | None = None

    def __iter__(self) -> Iterator[Outcome]:
        """Yield what each row becomes; PermanentError says what is wrong with the whole table."""
        before = self.place
        for outcome in self._outcomes():
            if self.order is not None and outcome.place != before:
                self.order.commit()
                before = outcome.place
            yield outcome

    def _outcomes(self) -> Iterator[Outcome]:
        if self.rows is not None:
            yield from self._cells(iter(self.rows), "line")
            return
        kind = kind_of(self.name, self.options)
        if kind.format == "xlsx":
            unpacked_stream = unpacked(self.stream, kind.packing)
            with closing(sheet_rows(unpacked_stream, self.options.sheet, self.note)) as found:
                yield from self._cells(islice(_numbered(found), max(0, self.options.header - 1), None), "row")
            return
        stream = unpacked(self.stream, kind.packing)
        require_unpacked(stream, kind.packing)
        text, encoding, has_offsets = as_text(stream, self.options.encoding)
        counts = has_offsets and kind.grows
        if kind.format != "json":
            has_lone_returns = _has_lone_returns(text, self.options.quote)
            text = with_newlines(text) if has_lone_returns else text
            has_header = kind.format == "csv" and self.options.header > 0
            lines = Lines(text, encoding, counts=counts, waits=self.waits and kind.grows, header=has_header)
            reading = _Reading(lines, has_lone_returns)
            yield from self._csv(reading, kind) if kind.format == "csv" else self._ndjson(reading)
            self.waiting = reading.waiting
        else:
            records = self.options.records
            elements = (
                ((found, 0) for found in read_document(text, encoding, records))
                if records
                else ArrayElements(text, encoding)
            )
            yield from self._objects(_elements(elements), "row")

    def _csv(self, reading: "_Reading", kind: Kind) -> Iterator[Outcome]:
        options = self.options
        delimiter = DELIMITERS.get(options.delimiter, options.delimiter) or kind.delimiter
        quote, escape = ("" if sign == "none" else sign for sign in (options.quote, options.escape))

        def rows_of(lines: Lines) -> CsvRows:
            return CsvRows(lines, delimiter=delimiter, quote=quote, escape=escape)

        lines = reading.lines
        for _ in range(options.header - 1):
            next(lines, None)
        rows: Iterator[Row] = rows_of(lines)
        if self._goes_on_in(lines):
            header = list(islice(rows, 1))
            rows = chain(header, rows_of(self._from_place(reading)))
        yield from self._cells(rows, "line", lines)

    def _ndjson(self, reading: "_Reading") -> Iterator[Outcome]:
        rows = ndjson_rows(reading.lines)
        if self._goes_on_in(reading.lines):
            yield from self._objects(rows, "line", lambda: ndjson_rows(self._from_place(reading)))
        else:
            yield from self._objects(rows, "line")

    def _goes_on_in(self, lines: Lines) -> bool:
        return lines.counts and self.place.offset > 0

    def _from_place(self, reading: "_Reading") -> Lines:
        """The lines behind the place; what was read before it, a header, is let go."""
        self.stream.seek(self.place.offset)
        stream = unpacked(self.stream, "")
        if reading.has_lone_returns:
            stream = with_newlines(stream)
        before = reading.lines
        reading.lines = Lines(stream, before.encoding, self.place, waits=before.waits)
        return reading.lines

    def _cells(self, rows: Iterator[Row], unit: str, lines: Lines | None = None) -> Iterator[Outcome]:
        """Map rows of cells, of which the first one is the header."""
        first = next(rows, None)
        if first is None:
            return
        self._require_readable(first, unit)
        names, again = [_name(cell) for cell in first.cells], None
        if self.options.header:
            again = _HeaderAgain(names, self.mapping.needed, self.mapping.time)
        else:
            names, rows = [str(number) for number in range(1, len(first.cells) + 1)], chain([first], rows)
        melt = _Melt(names, self.options.wide, self.mapping.needed) if self.options.wide else None
        columns = [*self.extra, *(melt.columns if melt else names)]
        mapper = self._bind_cells(columns, names)
        extra, before = list(self.extra.values()), self.place
        if lines and lines.nuls and not self.place.line:
            problem = f"begins with {lines.nuls:,} NUL characters: what stood there is lost"
            yield Outcome(mapper.reject(problem, [], {**self.origin, unit: 1}, is_row=False), self.place)
        width = len(names)
        least = width - next((n for n, name in enumerate(reversed(names)) if name.strip()), 0)
        for row in rows:
            if row.line <= self.place.line:
                continue
            origin, cells = {**self.origin, unit: row.line}, row.cells
            if least <= len(cells) < width:
                cells = [*cells, *[""] * (width - len(cells))]
            if row.problem:
                yield Outcome(mapper.reject(row.problem, cells, origin, is_row=False), row.place)
            elif (again and again.is_in(cells, row.line, unit)) or (len(cells) < width and _is_blank(cells)):
                yield Outcome(None, row.place)
            elif melt and len(cells) < width:
                problem = f"the row has {len(cells):,} cells, and {width:,} columns"
                yield Outcome(mapper.reject(problem, cells, origin, is_row=False), row.place)
            elif melt:
                yield from melt.outcomes(row._replace(cells=cells), before, mapper, extra, origin)
            else:
                yield Outcome(mapper([*extra, *cells], origin), row.place)
            before = row.place

    def _require_readable(self, first: Row, unit: str) -> None:
        """Raise PermanentError for a first row without which nobody knows the columns."""
        if first.problem:
            what = "header" if self.options.header else "first row"
            hint = (
                "set the section's encoding, such as cp1252"
                if first.problem.startswith("is not in ")
                else None
            )
            raise PermanentError(
                f"has no {what} in {unit} {first.line}, which {printable(first.problem)}", hint=hint
            )
        if len(first.cells) > MAX_COLUMNS:
            raise PermanentError(f"has {len(first.cells):,} columns; the limit is {MAX_COLUMNS:,}")

    def _bind_cells(self, columns: Sequence[str], names: Sequence[str]) -> RowMapper:
        try:
            return self.mapping.bind(columns, self.order)
        except PermanentError as error:
            if len(names) == 1 and (sign := max(DELIMITERS.values(), key=names[0].count)) in names[0]:
                word = next((word for word in ("tab", "space") if DELIMITERS[word] == sign), sign)
                error.hint = f"it has one column only: is delimiter = {word} meant?"
            raise

    def _objects(
        self, rows: Iterator[Row], unit: str, behind: Callable[[], Iterator[Row]] | None = None
    ) -> Iterator[Outcome]:
        """Map objects. A column that no object of the sample has is missing, if no record can do without.

        The sample is the table's beginning, also where reading goes on `behind` it.
        """
        sample, damage = _sample(rows)
        if not sample and not damage:
            return
        try:
            mapper, optional = self._bind_objects(sample)
        except PermanentError as error:
            raise damage or error from error
        rows = behind() if behind else chain(sample, [] if damage else rows)
        values = [column.column for column in self.mapping.values]
        unseen, objects = set(optional), 0
        for row in rows:
            if row.line <= self.place.line:
                continue
            origin = {**self.origin, unit: row.line}
            if row.problem or not isinstance(row.cells, dict):
                yield Outcome(mapper.reject(row.problem, row.cells, origin, is_row=False), row.place)
                continue
            objects += 1
            cells = {**row.cells, **self.extra}
            if unseen:
                unseen -= {tidy(name) for name in row.cells}
            found = mapper(cells, origin)
            if found is None and not any(optional.get(name) in cells for name in values):
                found = mapper.reject(_without(values, row.cells), cells, origin)
            yield Outcome(found, row.place)
        if objects and unseen:
            self.note(
                f"none of its {objects:,} new rows has {', '.join(sorted(unseen))}: renamed, or mistyped?"
            )
        if damage:  # what stands before it was read
            raise damage

    def _bind_objects(self, sample: Sequence[Row]) -> tuple[RowMapper, dict[str, str]]:
        """Return what maps the objects, and of each value and attribute how its key is spelt."""
        objects = [row.cells for row in sample if isinstance(row.cells, dict)]
        if not objects:
            problem = printable(sample[0].problem) if sample else "is missing"
            raise PermanentError(f"has no row that can be read: the first one {problem}")
        spelt: dict[str, str] = {}
        for name in dict.fromkeys(chain(self.extra, *objects)):
            spelt.setdefault(tidy(name), name)
        values = {column.column for column in self.mapping.values}
        needed = {*self.mapping.entity, *self.mapping.time, *(values if not values & spelt.keys() else ())}
        absent = [name for name in self.mapping.needed if name not in spelt and name not in needed]
        said = (*self.mapping.values, *self.mapping.attributes)
        optional = {column.column: spelt.get(column.column, column.column) for column in said}
        return self.mapping.bind([*spelt.values(), *absent], self.order), optional


class _Reading:
    """The lines that are read last, and whether a carriage return alone ends them."""

    def __init__(self, lines: Lines, has_lone_returns: bool) -> None:
        self._first = self.lines = lines
        self.has_lone_returns = has_lone_returns

    @property
    def waiting(self) -> str:
        """What waits at the end of the lines; empty where nothing does."""
        return self.lines.waiting or self._first.waiting


class _HeaderAgain:
    """Finds the header in rows behind it: tables that were written one behind the other."""

    def __init__(self, names: Sequence[str], needed: Sequence[str], time: Sequence[str]) -> None:
        self._names = _trimmed(names)
        self._times = [number for number, name in enumerate(self._names) if name in time]
        self._needed = {name for name in needed if not name.startswith("@")}
        self._words = {*names, *self._names} - {""}

    def is_in(self, cells: Iterable[Any], line: int, unit: str) -> bool:
        """Return whether a row is the header; PermanentError for one that names other columns.

        It is asked of every row, and mostly sees that a row is none from no cell being a column's name.
        """
        if self._words.isdisjoint(cells):
            return False
        found = _trimmed(cells)
        if found == self._names:
            return True
        is_named = any(number < len(found) and found[number] in self._needed for number in self._times)
        if is_named or (len(self._needed) > 1 and self._needed <= set(found)):
            raise PermanentError(
                f"has another header in {unit} {line:,}, with other columns than the first one",
                hint="the rows before it are read; make a file of its own of those from there on",
            )
        return False


class _Melt:
    """Turns a wide row into rows: the columns that stay, then @header and @value."""

    def __init__(self, names: Sequence[str], wide: Sequence[str], needed: Sequence[str]) -> None:
        tidied = [tidy(name) for name in names]
        wanted = [plain(name) for name in wide]
        if missing := [name for name in wanted if name not in tidied and name != "*"]:
            raise PermanentError(f"has no column {', '.join(missing)} of those that are wide")
        every = "*" in wanted
        self._turned = [
            number
            for number, name in enumerate(tidied)
            if name and (name in wanted or (every and name not in needed))
        ]
        turned = set(self._turned)
        self._kept = [number for number in range(len(names)) if number not in turned]
        self._names = tidied
        self.columns = [*(names[number] for number in self._kept), HEADER, VALUE]

    def outcomes(
        self, row: Row, before: Place, mapper: RowMapper, extra: Sequence[Any], origin: dict[str, Any]
    ) -> Iterator[Outcome]:
        """Yield what each cell of a wide row becomes; only the last one moves the place behind the row."""
        cells = list(row.cells)
        kept = [*extra, *(cells[number] for number in self._kept)]
        for number in self._turned:
            name = self._names[number]
            yield Outcome(mapper([*kept, name, cells[number]], {**origin, "column": name}), before)
        yield Outcome(None, row.place)


def _has_lone_returns(stream: IO[bytes], quote: str) -> bool:
    """Return whether the first line ends with a carriage return alone, as old programs for the Mac write."""
    start = stream.peek(0)  # type: ignore[attr-defined] # a BufferedReader
    if b"\r" not in start:
        return False
    if quote != "none":
        start = re.sub(quote.encode() + b"[^%b]*" % quote.encode() + quote.encode(), b"", start)
    end = re.search(rb"\r\n|\r(?=.)|\n", start, re.DOTALL)
    return end is not None and end[0] == b"\r"


def _without(values: Sequence[str], found: Mapping[str, Any]) -> str:
    shown = ", ".join(printable(name)[:60] for name in list(found)[:MAX_NAMED_KEYS]) or "no key"
    return f"none of {', '.join(values)} is there, but {shown}"


def _trimmed(cells: Iterable[Any]) -> list[str]:
    """Return cells as names of columns, without those at the end that are empty."""
    names = [tidy(_name(cell)) for cell in cells]
    while names and not names[-1]:
        names.pop()
    return names


def _sample(rows: Iterator[Row]) -> tuple[list[Row], PermanentError | None]:
    """Return the first rows, and the damage that ended them early, or None."""
    sample, size = [], 0
    try:
        for row in rows:
            sample.append(row)
            size += row.size
            if len(sample) >= SAMPLE_ROWS or size > SAMPLE_CHARS:
                break
    except PermanentError as error:
        return sample, error
    return sample, None


def _numbered(rows: Iterable[list[Any]]) -> Iterator[Row]:
    for number, cells in enumerate(rows, 1):
        yield Row(cells, number, Place(0, number))


def _elements(elements: Iterable[tuple[Any, int]]) -> Iterator[Row]:
    for number, (found, size) in enumerate(elements, 1):
        cells, problem = as_row(found)
        shown = [found.shown if isinstance(found, Refused) else found]
        yield Row(shown if cells is None else cells, number, Place(0, number), problem, size)


def _name(cell: Any) -> str:
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return "" if cell is None or isinstance(cell, Refused) else str(cell)


def _is_blank(cells: Sequence[Any] | Mapping[str, Any]) -> bool:
    return all(cell is None or (isinstance(cell, str) and not cell.strip()) for cell in cells)
