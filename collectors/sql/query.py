"""The statements of an SQL source; of the files that know SQLAlchemy, the one that writes SQL.

Invariants: values are bound, names of columns are the database's own, quoted. Rows come in the order of
the bookmark, then of the tie-breaker, and those without a bookmark not at all. A cell that is too large
stays where it is: its row says so instead.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Double,
    Integer,
    LargeBinary,
    Numeric,
    Select,
    Text,
    and_,
    bindparam,
    case,
    cast,
    column,
    func,
    literal_column,
    or_,
    select,
    text,
)
from sqlalchemy.sql.elements import quoted_name
from sqlalchemy.types import NullType

from collectors.sql.server import Column, escaped

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HOURS_TWICE = 7_200
"""Seconds by which a local time may be another than it seems, where clocks change."""


class Bounds(NamedTuple):
    """Which rows: from `low` on, or behind the row (`low`, `tie`), and before `high`; None: no bound."""

    low: Any = None
    tie: Any = None
    high: Any = None


class Query:
    """What is read: a table or a query, and in it the column of the bookmark and the tie-breaker, if any."""

    def __init__(
        self,
        query: str,
        columns: Sequence[Column],
        bookmark: Column | None,
        tie_breaker: Column | None,
        kind: str,
    ) -> None:
        self._kind = kind
        inner = text(escaped(query)).columns(*[column(_quoted(each)) for each in columns]).subquery("q")
        self._of = inner.c
        self._from = inner
        self._follows, self._tells = bookmark, tie_breaker
        self._bookmark = self._key_of(bookmark)
        self._tie = self._key_of(tie_breaker)

    def rows(self, columns: Sequence[Column], bounds: Bounds, max_cell: int) -> Select[Any]:
        """Select the cells of these columns, then bookmark, tie-breaker, and 1 where a cell was too large."""
        limit = _bound("max_cell", max_cell)
        sizes = {each.name: self._size(self._of[each.name]) for each in columns if not each.small}
        cells: list[ColumnElement[Any]] = []
        for number, each in enumerate(columns):
            cell = self._told(each)
            kept = case((sizes[each.name] <= limit, cell)) if each.name in sizes else cell
            cells.append(kept.label(f"c{number}"))
        large = or_(*[size > limit for size in sizes.values()]) if sizes else None
        marks = [
            (self._mark(self._follows) if self._follows else literal_column("NULL")).label("b"),
            (self._mark(self._tells) if self._tells else literal_column("NULL")).label("t"),
            (case((large, 1), else_=0) if large is not None else literal_column("0", Integer)).label("l"),
        ]
        statement = select(*cells, *marks).select_from(self._from).where(*self._conditions(bounds))
        keys = [key for key in (self._bookmark, self._tie) if key is not None]
        return statement.order_by(*keys) if self._bookmark is not None else statement

    def newest(self) -> Select[Any]:
        """Select the largest bookmark."""
        cell = self._mark(self._follows) if self._follows else self._key
        found = select(cell).select_from(self._from).where(self._key.is_not(None))
        return found.order_by(self._key.desc()).limit(1)

    def without_bookmark(self) -> Select[Any]:
        """Select a 1 where any row has none."""
        return select(literal_column("1")).select_from(self._from).where(self._key.is_(None)).limit(1)

    @property
    def _key(self) -> ColumnElement[Any]:
        if self._bookmark is None:
            raise LookupError("this is asked only of what has a bookmark")
        return self._bookmark

    def _conditions(self, bounds: Bounds) -> list[ColumnElement[bool]]:
        if self._bookmark is None:
            return []
        if self._follows and self._follows.form == "instant":
            return self._between_instants(bounds)
        found: list[ColumnElement[bool]] = [self._key.is_not(None)]
        low = _bound("low", bounds.low)
        if bounds.low is not None and bounds.tie is not None and self._tie is not None:
            behind = and_(self._key == low, self._tie > _bound("tie", bounds.tie))
            found.append(or_(self._key > low, behind))
        elif bounds.low is not None:
            found.append(self._key >= low)
        if bounds.high is not None:
            found.append(self._key < _bound("high", bounds.high))
        return found

    def _between_instants(self, bounds: Bounds) -> list[ColumnElement[bool]]:
        """The conditions on MySQL's TIMESTAMP: exact as seconds, roughly by its index."""
        found: list[ColumnElement[bool]] = [self._key.is_not(None)]
        exact = func.unix_timestamp(self._key)
        if isinstance(bounds.low, datetime):
            low = _seconds(bounds.low)
            found.append(self._key >= func.from_unixtime(_bound("about_low", max(1, low - _HOURS_TWICE))))
            if bounds.tie is not None and self._tie is not None:
                behind = and_(exact == _bound("low", low), self._tie > _bound("tie", bounds.tie))
                found.append(or_(exact > _bound("low", low), behind))
            else:
                found.append(exact >= _bound("low", low))
        if isinstance(bounds.high, datetime):
            found.append(exact < _bound("high", _seconds(bounds.high)))
        return found

    def _told(self, each: Column) -> ColumnElement[Any]:
        """The cell in the form in which the server tells all of it; see Column."""
        cell = self._of[each.name]
        match each.form:
            case "instant":
                # A zero date is told as nothing at all; as 0 it is told from what is empty.
                return func.coalesce(func.unix_timestamp(cell), case((cell.is_not(None), 0)))
            case "float":
                return cell + literal_column("0e0")
            case "bits":
                return cell + literal_column("0")
            case "money":
                return cast(cell, Numeric())
        return cell

    def _mark(self, each: Column) -> ColumnElement[Any]:
        """The cell as it is kept as a bookmark: `_key_of` is compared with it."""
        return cast(self._of[each.name], Double()) if each.form == "real" else self._told(each)

    def _key_of(self, each: Column | None) -> ColumnElement[Any] | None:
        """What orders the rows: the column itself, whose index serves, unless no bound compares with it."""
        if each is None:
            return None
        return self._mark(each) if each.form in ("real", "money") else self._of[each.name]

    def _size(self, cell: ColumnElement[Any]) -> ColumnElement[int]:
        match self._kind:
            case "postgresql":
                size = func.octet_length(cast(cell, Text))
            case "sqlite":
                size = func.length(cast(cell, LargeBinary))
            case "mssql":
                size = func.datalength(cell)
            case _:
                size = func.length(cell)
        return func.coalesce(size, 0, type_=Integer())


def _seconds(moment: datetime) -> Decimal:
    return Decimal((moment - _EPOCH) // timedelta(microseconds=1)).scaleb(-6)


def _quoted(found: Column) -> quoted_name:
    return quoted_name(found.name, quote=True)


def _bound(name: str, value: Any) -> ColumnElement[Any]:
    """A value as the driver itself takes it."""
    return bindparam(name, value, type_=NullType())
