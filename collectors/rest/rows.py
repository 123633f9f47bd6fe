"""From the JSON objects of an API to records: a column is a key of the object, or a JMESPath expression.

Invariants:
- A key of that very name comes first, so that a name which looks like an expression is no trap.
- An object that has not one of the configured values' keys is rejected, and says which keys it has: a
  name that is mistyped must not make a source silent. One whose values are null says nothing.
"""

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError

from collectors.collector import Context
from collectors.exact_json import Refused
from collectors.mapping.cells import restored
from collectors.mapping.columns import NOT_KEPT, Columns
from collectors.mapping.options import tidy
from collectors.rest.answer import keys_of
from collectors.rest.options import RestOptions
from outbox.record import Record, Rejected
from outbox.redaction import without_secrets

_tidy = lru_cache(maxsize=4_096)(tidy)
_FIRST_NAME = re.compile(r'\s*(?:([A-Za-z_]\w*)(?!\w*\()|"([^"]*)")')


class Rows:
    """Maps the objects of one source."""

    def __init__(self, options: RestOptions, context: Context) -> None:
        self._mapping = Columns.of(options, context, "records")
        self.read_time = self._mapping.read_time
        self._mapped = self._mapping.bind(self._mapping.needed)
        self._origin = {"url": without_secrets(options.url)}
        self._columns = {name: _compiled(name) for name in self._mapping.needed}
        self._values = [column.column for column in self._mapping.values]

    def __call__(self, items: list[Any]) -> Iterator[Record | Rejected | None]:
        """Yield what each object is: a record, rejected, or None where it says nothing."""
        for item in items:
            yield self._one(item)

    def reread(self, raw: str) -> Record | Rejected | None:
        """Return what a rejected object is under this mapping; one that was cut stays rejected."""
        try:
            row = json.loads(raw, object_hook=restored)["row"]
            # A column that was missing was kept as null.
            item = {name: cell for name, cell in row.items() if cell is not None}
        except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError):
            return Rejected(NOT_KEPT, raw)
        return next(self([item]))

    def _one(self, item: Any) -> Record | Rejected | None:
        if isinstance(item, Refused):
            return self._mapped.reject(item.problem, [item.shown], self._origin, is_row=False)
        if not isinstance(item, dict):
            reason = f"is {keys_of(item)}, not an object"
            return self._mapped.reject(reason, [item], self._origin, is_row=False)
        tidied = {_tidy(name): value for name, value in item.items()}
        if len(tidied) < len(item):
            names = [_tidy(name) for name in item]
            if twice := [name for name in self._columns if names.count(name) > 1]:
                reason = f"has the key {', '.join(twice)} more than once, but for what cannot be seen"
                return self._mapped.reject(reason, item, self._origin, is_row=False)
        row = {**item}
        for name, expression in self._columns.items():
            if name in tidied:
                row[name] = tidied[name]
            elif expression is not None:
                try:
                    row[name] = expression.search(item)
                except (JMESPathError, TypeError, ValueError, ArithmeticError) as error:
                    return self._mapped.reject(f"{name}: {str(error).splitlines()[0]}", item, self._origin)
        found = self._mapped(row, self._origin)
        if found is None and not any(self._is_named(name, tidied) for name in self._values):
            wanted = ", ".join(self._values)
            return self._mapped.reject(f"none of {wanted} is there, but {keys_of(item)}", row, self._origin)
        return found

    def _is_named(self, name: str, item: dict[str, Any]) -> bool:
        """Return whether the object has the key, or the first key of the expression."""
        if name in item:
            return True
        first = _FIRST_NAME.match(name)
        return first is None or (first[1] or first[2]) in item


def _compiled(name: str) -> Any:
    try:
        return jmespath.compile(name)
    except JMESPathError:
        return None  # a name that is no expression: only a key can be meant
