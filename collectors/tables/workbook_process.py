"""The process that reads one workbook: its bytes on stdin, JSON lines on stdout. Run by `tables_excel`.

The library that reads workbooks ends its process where memory runs out: here it ends nobody else's.
Lines: {"sheets": names}, a list for each row, {"end": true}; or {"error": text} instead of any of them.
"""

import io
import math
import sys
from collections.abc import Iterator
from datetime import date, time, timedelta
from typing import Any

import msgspec

from collectors.mapping.cells import kept

MAX_MEMORY_BYTES = 1_500_000_000


def lines(content: bytes, sheet: str) -> Iterator[Any]:
    """Yield what the parent is told."""
    import python_calamine as calamine  # noqa: PLC0415 - an extra

    try:
        workbook = calamine.CalamineWorkbook.from_filelike(io.BytesIO(content))
        names = workbook.sheet_names
        yield {"sheets": names}
        if not names or (sheet and sheet not in names):
            return
        for row in workbook.get_sheet_by_name(sheet or names[0]).iter_rows():
            yield [kept(cell) if _is_special(cell) else cell for cell in row]
        yield {"end": True}
    except GeneratorExit:
        raise
    except BaseException as error:  # noqa: BLE001 - the library's own bugs are no Exception
        yield {"error": str(error) or type(error).__name__}


def _is_special(cell: Any) -> bool:
    return isinstance(cell, (date, time, timedelta)) or (isinstance(cell, float) and not math.isfinite(cell))


def limit_memory() -> None:
    """Set the limit where the system knows one."""
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
