"""Tables and queries of an SQL database, followed by a column that only grows.

Invariants:
- Rows are read by one statement in the order of the bookmark; each page's bookmark is its last row. The next
  run goes on at that row: the same value again, or behind it where a tie-breaker tells rows of one value
  apart. A crash between two pages reads again and skips nothing.
- A row becomes visible when its transaction commits, maybe after rows with larger bookmarks: `overlap` reads
  that far behind again, and what is unchanged is stored once.
- What the bookmark cannot follow is said: rows without one, a table whose largest is behind the bookmark.
- Nothing in the database is changed, and memory does not grow with the number of rows.
"""

from collections.abc import Iterator, Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

from collectors.collector import Context, SourceOptions, Window
from collectors.exact_json import Refused
from collectors.mapping.columns import Columns
from collectors.mapping.options import plain, tidy
from collectors.mapping.times import Order
from collectors.overlap import is_ahead
from collectors.portion import Portion
from collectors.sql.bookmark import (
    Mark,
    day,
    decode,
    is_behind,
    is_of_another_form,
    is_of_another_kind,
    less,
    moves,
    repeated,
    require_tie,
    shown,
    typed,
)
from collectors.sql.options import SqlOptions, shown_address
from outbox.errors import DataError, PermanentError
from outbox.record import Page, Record, Rejected

if TYPE_CHECKING:
    from collectors.sql.query import Bounds
    from collectors.sql.server import Column, Reading, Server

_CELLS = (str, int, float, Decimal, date, time, timedelta, bytes, bytearray, list, dict, UUID)
_KNOWN = (*_CELLS, Refused, type(None))


class Sql:
    """Rows of a table or a query of an SQL database."""

    Options: ClassVar[type[SourceOptions]] = SqlOptions

    def __init__(self, options: SqlOptions, context: Context) -> None:
        self._options = options
        self._context = context
        self._zone = options.timezone or context.timezone
        stream = options.table.rpartition(".")[2].strip('"[]`') or "rows"
        self._mapping = Columns.of(options, context, stream)

    def collect(self, bookmarks: Mapping[str, str], window: Window | None = None) -> Iterator[Page]:
        """Yield the rows since the bookmark, or with a window those whose bookmark lies in those days."""
        mark = decode(bookmarks.get("", ""), self._options.followed, self._context.source)
        if window and not self._options.bookmark:
            raise PermanentError("without bookmark there are no days to back-fill")
        with self._server().reading() as reading:
            order = self._order(mark)
            yield from _Reader(self._options, self._context, self._mapping, reading, order).pages(
                mark, window
            )

    def reread(self, raw: str) -> Record | Rejected | None:
        """Return what a rejected row is under this configuration; see Columns.reread."""
        return self._mapping.reread(raw)

    def _order(self, mark: Mark) -> Order | None:
        try:
            return self._mapping.order(mark.order)
        except (ValueError, TypeError, AttributeError) as error:
            raise DataError(f"{self._context.source}: its bookmark is damaged: {error}") from error

    def _server(self) -> "Server":
        try:
            from collectors.sql.server import Server  # noqa: PLC0415 - what it needs is an extra
        except ModuleNotFoundError as error:
            raise PermanentError(
                "SQLAlchemy is not installed",
                hint="install snowflake-datapipe[postgres], or [mysql], [mssql], [sql]",
            ) from error
        return Server(self._options, self._context)


class _Reader:
    """One reading of the table, within one connection."""

    def __init__(
        self,
        options: SqlOptions,
        context: Context,
        mapping: Columns,
        reading: "Reading",
        order: Order | None,
    ) -> None:
        from collectors.sql.query import Query  # noqa: PLC0415 - what it needs is an extra

        self._options = options
        self._context = context
        self._zone = options.timezone or context.timezone
        self._reading = reading
        self._until = context.now() + timedelta(seconds=options.max_time)
        text = options.query or f"SELECT * FROM {options.table}"  # noqa: S608 - the section's own words
        self._columns = reading.columns(text)
        self._require_columns(mapping)
        self._wanted = [self._column(name) for name in mapping.needed]
        self._bookmark = self._column(options.bookmark) if options.bookmark else None
        tie_breaker = self._column(options.tie_breaker) if options.tie_breaker else None
        self._tie_breaker = tie_breaker
        used = {column.name: column for column in (*self._wanted, self._bookmark, tie_breaker) if column}
        self._query = Query(text, list(used.values()), self._bookmark, tie_breaker, options.kind)
        # Bookmark and tie-breaker tell rows apart: a rejected row, and preview, show them too.
        marks = [
            mark.name if mark and mark not in self._wanted else "" for mark in (self._bookmark, tie_breaker)
        ]
        self._beside = [number for number, name in enumerate(marks) if name and name not in marks[:number]]
        self._reads_again = False
        self._order = order
        self._rows = mapping.bind([*mapping.needed, *(marks[number] for number in self._beside)], order)
        # Where the bookmark is the time of a row, time_format says what a number or a text of it means.
        self._read_time = mapping.read_time if mapping.time == (plain(options.bookmark),) else None
        self._origin = {"database": shown_address(options.url), "from": options.what}

    def pages(self, mark: Mark, window: Window | None) -> Iterator[Page]:
        """Yield the rows behind the mark, page by page."""
        from collectors.sql.server import shortened, told  # noqa: PLC0415 - as above

        bounds = self._bounds(mark, window)
        if bounds is None:
            return
        if mark.value is None and not window:
            self._advise()
        portion, reached, count = Portion(), mark, 0
        statement = self._query.rows(self._wanted, bounds, self._options.max_cell)
        asked = [*self._wanted, self._bookmark, self._tie_breaker]
        instants = [number for number, column in enumerate(asked) if column and column.form == "instant"]
        singles = [number for number, column in enumerate(self._wanted) if column.form == "float"]
        for row in self._reading.rows(statement):
            *cells, large = tuple(row)
            for number in instants:
                cells[number] = told(cells[number], asked[number])
            for number in singles:
                cells[number] = shortened(cells[number])
            *cells, value, tie = cells
            cells += [(value, tie)[number] for number in self._beside]
            if portion.is_full():
                yield portion.page(reached.encode(self._options.followed))
                if not window and self._is_over(mark, reached):
                    return
            if self._order and value != reached.value:
                self._order.commit()  # rows of one value may be read again: those behind them may not know
            portion.add(self._record(cells, large=bool(large)))
            reached = self._after(reached, mark, value, tie)
            count += 1
        if self._bookmark and not window:
            for note in self._notes(mark, count):
                portion.add(note)
        if portion or reached != mark:
            yield portion.page(reached.encode(self._options.followed))

    def _advise(self) -> None:
        """Note what the first reading should know: SQLite has one writer, in_order needs rows read once."""
        options = self._options
        may_be_late = options.kind != "sqlite" and self._order is None
        if options.bookmark and options.overlap is None and may_be_late:
            self._context.note(
                f"no overlap is set: a row that becomes visible after one with a larger {options.bookmark}, "
                "as its transaction ends late, is never read; overlap = 10m reads it, or 100 where that is a "
                "number"
            )

    def _is_over(self, began: Mark, reached: Mark) -> bool:
        """Return whether the run has read enough for now, and the next one will get further."""
        return reached.value != began.value and self._context.now() > self._until

    def _bounds(self, mark: Mark, window: Window | None) -> "Bounds | None":
        """Return which rows to read; None where the table has none whose days could be compared."""
        from collectors.sql.query import Bounds  # noqa: PLC0415 - as above

        if window:
            like = self._newest()
            if like is None:
                return None
            low = mark.value if mark.value is not None else day(window.since, like, self._zone)
            return Bounds(low, mark.tie, day(window.until + timedelta(days=1), like, self._zone))
        if mark.value is not None and self._bookmark:
            twice = repeated(mark.value, self._zone)
            self._reads_again = twice is not None or self._options.overlap is not None
            if not self._reads_again:
                return Bounds(mark.value, mark.tie)
            return Bounds(less(less(mark.value, twice), self._options.overlap))
        if self._options.start:
            like = self._newest()
            return Bounds() if like is None else Bounds(typed(self._options.start, like, self._zone))
        return Bounds()

    def _newest(self) -> Any:
        from collectors.sql.server import told  # noqa: PLC0415 - as above

        return told(self._reading.value(self._query.newest()), self._bookmark)

    def _record(self, cells: list[Any], *, large: bool) -> Record | Rejected | None:
        row = [cell if isinstance(cell, _KNOWN) else str(cell) for cell in cells]
        if large:
            limit = f"a cell has more than {self._options.max_cell:,} bytes"
            return self._rows.reject(limit, row, self._origin)
        return self._rows(row, self._origin)

    def _after(self, reached: Mark, began: Mark, value: Any, tie: Any) -> Mark:
        """Return the bookmark that is true once a row is stored."""
        if not self._bookmark:
            return reached
        if not isinstance(value, date) and is_ahead(value, self._context.now, self._read_time):
            return reached
        if not moves(value, is_time=self._bookmark.time, zone=self._zone, now=self._context.now):
            return reached
        if is_of_another_kind(value, reached.value):
            return reached
        if is_of_another_form(value, reached.value):
            raise PermanentError(
                f"the bookmark holds times in two forms, {shown(reached.value)} and {shown(value)}, "
                "which do not sort as times",
                hint="a query in place of table can give them one form: strftime, or a cast",
            )
        if self._reads_again and is_behind(value, began.value):
            return reached
        if self._order and repeated(value, self._zone):
            raise PermanentError(
                "the bookmark is in an hour that comes twice, whose rows are read twice: they have no order",
                hint="repeated_hour = in_order needs a bookmark that counts up, or an instant",
            )
        require_tie(tie)
        return Mark(value, tie, self._order.text() if self._order else "")

    def _notes(self, mark: Mark, count: int) -> Iterator[Rejected]:
        """Yield what the bookmark cannot follow; the same words each time, so that they are kept once."""
        name, what = self._options.bookmark, self._options.what
        if self._reading.value(self._query.without_bookmark()):
            reason = f"rows of {what} without {name} are not read: a query can give them one, with coalesce"
            yield Rejected(reason, f"{name} IS NULL")
        if not count and mark.value is not None:
            newest = self._newest()
            if newest is not None and is_behind(newest, mark.value):
                reason = (
                    f"no row of {what} has a {name} as large as the bookmark: was it emptied or restored? "
                    "What is added below it is not read"
                )
                yield Rejected(reason, f"bookmark {shown(mark.value)}")

    def _require_columns(self, mapping: Columns) -> None:
        """Raise PermanentError that names the columns which are configured and missing, or there twice."""
        names = [column.name for column in self._columns]
        known = {tidy(name).casefold() for name in names}
        try:
            if any(name.casefold() not in known for name in mapping.needed):
                mapping.bind(names)
            for option in ("bookmark", "tie_breaker"):
                name = getattr(self._options, option)
                if name and tidy(name).casefold() not in known:
                    raise PermanentError(
                        f"has no column {name}, its {option}; it has {', '.join(names[:30])}"
                    )
            for name in filter(None, (*mapping.needed, self._options.bookmark, self._options.tie_breaker)):
                self._column(name)
        except PermanentError as error:
            message = f"{self._options.what} {error.message}"
            raise PermanentError(message, hint=error.hint) from error

    def _column(self, name: str) -> "Column":
        """Return the one column of this name; letters' case counts only where two differ in nothing else."""
        wanted = tidy(name)
        found = [column for column in self._columns if tidy(column.name) == wanted] or [
            column for column in self._columns if tidy(column.name).casefold() == wanted.casefold()
        ]
        if len(found) > 1:
            raise PermanentError(
                f"has the column {name} more than once",
                hint="give them names of their own in a query, with AS",
            )
        return found[0]
