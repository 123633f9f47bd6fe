"""Numbers as tables write them, read exactly. No I/O.

Invariant: a number is either the one that was written or refused with a reason. Nothing is guessed: which
sign parts the decimals and which one the thousands is said by the configuration, never by the data.
"""

import re
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Any

MAX_NUMBER_CHARS = 400
MAX_EXPONENT = 308
"""Of ten, as in a binary float: what lies beyond it was never measured."""
SEPARATORS = {"": "", ".": r"\.", ",": ",", "'": "['’]", "space": r"[\s]"}
_SEPARATED = re.compile(r"[+-]?[0-9]+(?:[.,'’\s][0-9]+)+-?")
_EXACT = Context(prec=2 * MAX_NUMBER_CHARS + 2 * MAX_EXPONENT, traps=[Inexact, InvalidOperation])


class NumberReader:
    """Reads the numbers of one source: `decimal` is . or , and `thousands` a key of SEPARATORS."""

    def __init__(self, decimal: str = ".", thousands: str = "") -> None:
        groups = rf"|[0-9]{{1,3}}(?:{SEPARATORS[thousands]}[0-9]{{3}})+" if thousands else ""
        self._whole = re.compile(
            rf"([+-]?)((?:[0-9]+{groups})?)(?:{re.escape(decimal)}([0-9]*))?(?:[eE]([+-]?[0-9]{{1,4}}))?(-?)"
        )

    def __call__(self, cell: Any) -> int | Decimal:
        """Return the number that a text or a number stands for; ValueError says why it is none."""
        if type(cell) is not str:
            if type(cell) is int:
                return cell
            if isinstance(cell, Decimal):
                return in_range(cell)
            if type(cell) is float:
                return in_range(Decimal(repr(cell)))
        if not isinstance(cell, str) or len(cell) > MAX_NUMBER_CHARS:
            raise ValueError(f"is not a number: {shown(cell)}")
        text = cell.strip().replace("−", "-")
        match = self._whole.fullmatch(text)
        if not match or not (match[2] or match[3]) or (match[1] and match[5]):
            advice = (
                "; decimal and thousands say how numbers are written" if _SEPARATED.fullmatch(text) else ""
            )
            raise ValueError(f"is not a number: {shown(cell)}{advice}")
        sign = match[1] or match[5]  # some systems write the minus behind: 12.50-
        whole = match[2] if match[2].isdigit() else re.sub(r"[^0-9]", "", match[2])
        if match[3] is None and match[4] is None:
            return int(sign + whole)
        return in_range(Decimal(f"{sign}{whole or 0}.{match[3] or 0}E{match[4] or 0}"))


def in_range(number: Decimal) -> Decimal:
    """Return a finite number of a magnitude that can be meant; ValueError for any other."""
    if not number.is_finite():
        raise ValueError(f"is not a number: {number}")
    if number and abs(number.adjusted()) > MAX_EXPONENT:
        raise ValueError(f"is beyond the range of numbers: {shown(str(number))}")
    return number


def product(number: int | Decimal, factor: Decimal) -> Decimal:
    """Return the exact product; ValueError where it has too many digits."""
    try:
        return in_range(_EXACT.multiply(Decimal(number), factor))
    except (Inexact, InvalidOperation) as error:
        raise ValueError("has too many digits to be multiplied exactly") from error


def shown(cell: Any) -> str:
    """Return what a reason may show of a cell: its first characters, control and direction marks escaped."""
    if isinstance(cell, str):
        return f"'{printable(cell if len(cell) <= 60 else f'{cell[:57]}...')}'"
    kinds = {dict: "an object", list: "a list", bool: "true or false", type(None): "nothing"}
    return kinds.get(type(cell)) or (str(cell) if isinstance(cell, (float, Decimal)) else type(cell).__name__)


def printable(text: str) -> str:
    """Return text with its control characters and direction marks escaped: it goes onto a terminal."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
