"""Messages as nobody should send them, and what must become of each.

A case is its name, the message, options of the section, and what is expected: how many rows become
records, and the reasons of what is rejected (a part of each text, in order). A message that has no rows
and no reasons is not claimed: it is counted, and nothing else.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

CSV = "orders.csv"
ROWS = 2


class Case(NamedTuple):
    name: str
    message: bytes
    rows: int = 0
    reasons: tuple[str, ...] = ()
    options: Mapping[str, str] = MappingProxyType({})
    file: str | None = None
    """The name that the records' origin must have."""
    claimed: bool | None = None
