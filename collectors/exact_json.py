"""JSON read exactly: what a document says is what comes out. No I/O."""

from decimal import Decimal

MAX_FLOAT_CHARS = 17


def exact_float(text: str) -> float | Decimal:
    """Return a number of JSON as a float where that is the same number, else as a Decimal."""
    if len(text) <= MAX_FLOAT_CHARS and Decimal(repr(number := float(text))) == Decimal(text):
        return number
    return Decimal(text)
