"""From the rows of any table to records: the one way of saying which column is what. No I/O.

Invariants:
- A row becomes a record, is rejected with its reason and enough of itself to be read again, or says
  nothing at all (None): no row disappears without one of the three.
- What a cell becomes depends on the configuration and on this cell alone, never on other rows: a text
  among `values` is a number or the row is rejected; `(text)` keeps every cell as text.
- A row without any value says nothing: None. It is no error: tables have blank rows and gaps.
- A column that is configured and missing is an error of the whole table, named with what is there.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from copy import copy
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple, Self
from zoneinfo import ZoneInfo

from collectors.collector import Context, WatchRow
from collectors.exact_json import Refused
from collectors.mapping.cells import entity_of, kept, restored, seen, text_of, value_of
from collectors.mapping.numbers import NumberReader, printable, product, shown
from collectors.mapping.options import Column, MappingOptions, parse_column, plain, tidy
from collectors.mapping.times import Order, TimeReader
from outbox.errors import PermanentError, shorten
from outbox.record import MAX_RAW_BYTES, Record, Rejected

MAX_NAMED_COLUMNS = 30
MAX_SHOWN_COLUMNS = 300
"""Of the columns that other objects have, so many are shown as empty with one that was rejected."""
MAX_KNOWN_KEYS = 20_000
NOT_KEPT = "it was not kept as a row that can be read again: mend the source, and have it collected anew"

Row = Sequence[Any] | Mapping[str, Any]
"""A row: its cells in the order of the columns, or by their names."""


class Columns:
    """What a section says about its columns, ready for the tables of one source.

    `zone` is that of times without one; `stream` is used where the section names none.
    """

    def __init__(
        self,
        options: MappingOptions,
        *,
        zone: ZoneInfo,
        source: str,
        stream: str = "rows",
        watch: WatchRow | None = None,
    ) -> None:
        self.source = source
        self.watch = watch
        self.stream = options.stream or stream
        self.entity = tuple(plain(name) for name in options.entity)
        self.time = tuple(plain(name) for name in options.time)
        self.values = tuple(parse_column(item) for item in options.values)
        self.attributes = tuple(parse_column(item) for item in options.attributes)
        self.read_time = TimeReader(
            options.time_format, zone, repeated=options.repeated_hour, finer=options.finer_times
        )
        self._in_order = options.repeated_hour == "in_order"
        self.read_number = NumberReader(options.decimal, options.thousands)
        self.empty = frozenset(map(seen, options.empty))
        self.fingerprint = _fingerprint(options, zone, self.stream)
        self.units = {column.name: column.unit for column in self.values if column.unit}

    @classmethod
    def of(cls, options: MappingOptions, context: Context, stream: str = "rows") -> Self:
        """Return the columns of a section, in its time zone or the agent's."""
        zone = options.timezone or context.timezone
        return cls(options, zone=zone, source=context.source, stream=stream, watch=context.watch_row)

    def order(self, text: str = "") -> Order | None:
        """Return what came before the next rows, from `Order.text`; None where their order says nothing."""
        return Order(text) if self._in_order else None

    def unwatched(self) -> "Columns":
        """Return the same columns for rows that are only tried, and that nobody is told of."""
        columns = copy(self)
        columns.watch = None
        return columns

    @property
    def needed(self) -> tuple[str, ...]:
        """The columns that a table must have, each once."""
        named = [column.column for column in (*self.values, *self.attributes)]
        return tuple(dict.fromkeys((*self.entity, *self.time, *named)))

    def bind(self, columns: Sequence[str], order: Order | None = None) -> "RowMapper":
        """Return what maps the rows of a table with these columns.

        `order` is what came before, where rows ascend (`repeated_hour = in_order`). PermanentError names the
        columns that are configured and missing, or there more than once.
        """
        tidied = [tidy(column) for column in columns]
        there = set(tidied)
        if missing := [name for name in self.needed if name not in there]:
            shown = [printable(name)[:100] for name in tidied if name and not name.startswith("@")]
            found = ", ".join(shown[:MAX_NAMED_COLUMNS]) or "none"
            more = f" and {len(shown) - MAX_NAMED_COLUMNS:,} more" if len(shown) > MAX_NAMED_COLUMNS else ""
            raise PermanentError(
                f"has no column {', '.join(missing)}; its columns are {found}{more}",
                hint="was the export changed? have it exported as before, or correct the section's entity, "
                "time, values or attributes, or its header or delimiter",
            )
        if twice := [name for name in self.needed if tidied.count(name) > 1]:
            raise PermanentError(
                f"has the column {', '.join(twice)} more than once",
                hint="nobody can say which is meant: have the export name its columns differently",
            )
        return RowMapper(self, columns, order)

    def reread(self, raw: str) -> Record | Rejected | None:
        """Return what a rejected row is under this mapping: a record, rejected still, or nothing to say.

        `raw` is what `Rejected.raw` held; one that was cut, or is no row, stays rejected and says so.
        """
        try:
            found = json.loads(raw, object_hook=restored)
            row, origin = found["row"], found["origin"]
            if not isinstance(row, dict) or not isinstance(origin, dict):
                raise TypeError("no row")
        except (ValueError, KeyError, TypeError, ArithmeticError, RecursionError):
            return Rejected(NOT_KEPT, raw)
        try:
            return self.bind(list(row))(row, origin)
        except PermanentError as error:
            return Rejected(error.message, raw)


class _Plan(NamedTuple):
    """Where the cells stand: by number for rows that are sequences, by name for those that are objects."""

    entity: list[tuple[str, Any]]
    time: list[Any]
    values: list[tuple[Column, Any]]
    attributes: list[tuple[Column, Any]]


class RowMapper:
    """Maps the rows of one table."""

    def __init__(self, mapping: Columns, columns: Sequence[str], order: Order | None = None) -> None:
        self._mapping = mapping
        self._empty = mapping.empty
        self._order = order
        self._columns = tidied = [tidy(column) for column in columns]
        self._by_number = self._plan({name: number for number, name in enumerate(tidied)})
        self._by_name = self._plan(dict(zip(tidied, columns, strict=True)))
        counts = Counter(tidied)
        self._once = [number for number, name in enumerate(tidied) if counts[name] == 1]
        needed = set(mapping.needed)
        self._needed = [name for name in tidied if name in needed]
        spelt = [name for name, known in zip(columns, tidied, strict=True) if known in needed]
        self._shown = dict.fromkeys([*spelt, *columns[:MAX_SHOWN_COLUMNS]])
        self._tidied = {columns[number]: tidied[number] for number in self._once}
        self._known = set(columns)
        self._spelt = dict(zip(self._needed, spelt, strict=True))
        self._added = sum(name.startswith("@") for name in tidied)  # by the source, not by the table
        self._width = len(columns) - self._added
        self._units: dict[tuple[str, ...], dict[str, str]] = {}
        self._watch = mapping.watch

    def __call__(self, row: Row, origin: dict[str, Any]) -> Record | Rejected | None:
        """Return the row's record, or why it has none; None for a row without any value.

        A row is its cells in the order of the columns, or cells by name, where a missing one is empty.
        `origin` says where the row stands, in a few texts and numbers: file and line, or message.
        """
        found = self._mapped(row, origin)
        if self._watch:
            self._watch(self._mapping, self._by_column(row), found)
        return found

    def _mapped(self, row: Row, origin: dict[str, Any]) -> Record | Rejected | None:
        try:
            if isinstance(row, Mapping):
                cells = row if row.keys() <= self._known else self._respelt(row)
                return self._record(cells.get, self._by_name, origin)
            if self._fits(row):
                return self._record(row.__getitem__, self._by_number, origin)
            if not any(map(self._is_there, row)):
                return None
            self._lose_order()
            raise ValueError(f"the row has {len(row) - self._added:,} cells, and {self._width:,} columns")
        except ValueError as error:
            return self.reject(str(error), row, origin)

    def _respelt(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a row whose needed cells are under the names of `bind`, however its own keys are spelt."""
        cells = dict(row)
        for key in [key for key in row if key not in self._known]:
            name = self._spelt.get(tidy(key))
            if name is None:
                if len(self._known) < MAX_KNOWN_KEYS:
                    self._known.add(key)
            elif name in cells:
                self._lose_order()
                raise ValueError(f"has the column {tidy(key)} more than once")
            else:
                cells[name] = cells.pop(key)
        return cells

    def reject(
        self,
        reason: str,
        row: Row,
        origin: dict[str, Any],
        *,
        is_row: bool = True,
    ) -> Rejected:
        """Return the row as rejected, with where it stands and what `reread` needs.

        With `is_row=False` it is something else that was there, and no mapping will make a record of it.
        """
        if not is_row:
            self._lose_order()
        where = ", ".join(f"{key} {shown(v) if isinstance(v, str) else v}" for key, v in origin.items())
        whole = printable(f"{reason} ({where})" if where else reason)
        return Rejected(shorten(whole, 500), self._raw(row, origin, is_row=is_row))

    def _record(self, cell_at: Callable[[Any], Any], plan: _Plan, origin: dict[str, Any]) -> Record | None:
        try:
            values = self._columns_of(cell_at, plan.values, text=False)
        except ValueError:
            self._note_order(cell_at, plan)
            raise
        if not values:
            self._note_order(cell_at, plan)
            return None
        present = tuple(values)
        units = self._units.get(present)
        if units is None:  # the same units are one object: they are encoded once
            known = self._mapping.units
            units = self._units[present] = {name: known[name] for name in present if name in known}
        return Record(
            stream=self._mapping.stream,
            entity=(entity := self._entity(cell_at, plan)),
            observed_at=self._time(cell_at, plan, entity),
            values=values,
            units=units,
            attributes=self._columns_of(cell_at, plan.attributes, text=True),
            origin=origin,
        )

    def _columns_of(
        self, cell_at: Callable[[Any], Any], columns: list[tuple[Column, Any]], *, text: bool
    ) -> dict[str, Any]:
        found = {}
        for column, key in columns:
            cell = cell_at(key)
            if self._is_there(cell):
                found[column.name] = self._value(column, cell, text=text)
        return found

    def _value(self, column: Column, cell: Any, *, text: bool) -> Any:
        mapping = self._mapping
        try:
            if column.kind == "text":
                return text_of(cell)
            as_it_is = column.kind == "json" or (text and not column.kind and column.factor is None)
            if isinstance(cell, str):
                if as_it_is:
                    return cell.strip()
                number = mapping.read_number(cell)
                return number if column.factor is None else product(number, column.factor)
            must = not as_it_is
            return value_of(cell, mapping.read_number, mapping.read_time, column.factor, must_be_number=must)
        except ValueError as error:
            hint = "; (text) keeps text" if isinstance(cell, str) else "; (json) keeps it as it is"
            has_none = isinstance(cell, (int, float, Decimal, Refused)) and not isinstance(cell, bool)
            hint = "" if column.kind or column.factor or has_none else hint
            raise ValueError(f"{column.column} {error}{hint}") from error

    def _entity(self, cell_at: Callable[[Any], Any], plan: _Plan) -> str:
        parts = []
        for name, key in plan.entity:
            cell = cell_at(key)
            if not self._is_there(cell):
                self._lose_order()
                raise ValueError(f"{name} is empty, and part of the entity")
            try:
                parts.append(seen(cell if isinstance(cell, str) else text_of(cell)))
            except ValueError as error:
                self._lose_order()
                raise ValueError(f"{name} {error}") from error
        return entity_of(parts) or self._mapping.source

    def _time(self, cell_at: Callable[[Any], Any], plan: _Plan, entity: str) -> datetime:
        cells = [cell_at(key) for key in plan.time]
        try:
            if not all(map(self._is_there, cells)):
                raise ValueError("is empty, and says when it was true")
            return self._mapping.read_time(cells, self._order, entity)
        except ValueError as error:
            if self._order is not None:
                self._order.forget(entity)
            problem = next((cell.problem for cell in cells if isinstance(cell, Refused)), str(error))
            raise ValueError(f"{' and '.join(self._mapping.time)} {problem}") from error

    def _note_order(self, cell_at: Callable[[Any], Any], plan: _Plan) -> None:
        """Let a row without a record count for the order of times, in which it stands all the same."""
        if self._order is not None and any(self._is_there(cell_at(key)) for key in plan.time):
            with suppress(ValueError):
                self._time(cell_at, plan, self._entity(cell_at, plan))

    def _lose_order(self) -> None:
        """Forget what came before: a row whose entity nobody knows stands between it and what follows."""
        if self._order is not None:
            self._order.lose()

    def _is_there(self, cell: Any) -> bool:
        if isinstance(cell, str):
            text = cell.strip() if cell.isascii() else seen(cell)
            return text != "" and text not in self._empty
        return cell is not None

    def _fits(self, row: Sequence[Any]) -> bool:
        """Cells too many are fine while they are empty; any other difference may have shifted the rest."""
        extra = len(row) - len(self._columns)
        return not extra or (extra > 0 and not any(map(self._is_there, row[-extra:])))

    def _plan(self, keys: Mapping[str, Any]) -> _Plan:
        mapping = self._mapping
        return _Plan(
            entity=[(name, keys[name]) for name in mapping.entity],
            time=[keys[name] for name in mapping.time],
            values=[(column, keys[column.column]) for column in mapping.values],
            attributes=[(column, keys[column.column]) for column in mapping.attributes],
        )

    def _by_column(self, row: Row) -> dict[str, Any]:
        """The row by its columns' names; of two columns of one name there is none."""
        if isinstance(row, Mapping):
            return {self._tidied.get(name, name): row.get(name) for name in self._shown | dict.fromkeys(row)}
        return {self._columns[number]: row[number] for number in self._once if number < len(row)}

    def _raw(self, row: Row, origin: dict[str, Any], *, is_row: bool) -> str:
        """Everything of the row, so that a mapping of other columns can read it; else what is needed."""
        if not is_row or not (isinstance(row, Mapping) or self._fits(row)):
            if isinstance(row, Mapping):
                return _json({"origin": origin, "cells": kept(dict(row))})[:MAX_RAW_BYTES]
            own = row[self._added :] if is_row else row
            return _json({"origin": origin, "cells": [kept(cell) for cell in own]})[:MAX_RAW_BYTES]
        by_name = {name: kept(cell) for name, cell in self._by_column(row).items()}
        whole = _json({"origin": origin, "row": by_name})
        if len(whole) <= MAX_RAW_BYTES:
            return whole
        part = {name: by_name[name] for name in self._needed if name in by_name}
        return _json({"origin": origin, "row": part})[:MAX_RAW_BYTES]


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _fingerprint(options: MappingOptions, zone: ZoneInfo, stream: str) -> str:
    """What changes when a row may become another record: a source that can reads everything anew then."""
    said = {name: getattr(options, name) for name in MappingOptions.model_fields}
    relevant = [said[name] for name in ("entity", "time", "time_format", "values", "attributes", "decimal")]
    more = [said["thousands"], said["empty"], said["repeated_hour"], said["finer_times"], zone.key, stream]
    return hashlib.sha256(_json([*relevant, *more]).encode()).hexdigest()[:16]
