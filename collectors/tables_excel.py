"""Workbooks (.xlsx), looked at before they are opened. Needs the extra `excel`.

Invariant: the library that reads workbooks allocates what they claim. So it gets to see only what was
inflated here within limits, and a sheet whose cells, and whose repeated texts, fit into memory.
"""

import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, Any

from collectors.numbers import printable
from collectors.tables_unpack import read_at_most
from outbox.errors import PermanentError

MAX_FILE_BYTES = 32_000_000
MAX_PARTS = 2_000
MAX_XML_BYTES = 64_000_000
MAX_CELLS = 5_000_000
MAX_TEXT_BYTES = 256_000_000
"""Of all texts of a sheet together, a text that many cells share counted for each of them."""
_OLE = b"\xd0\xcf\x11\xe0"
_HINT_SIZE = "export it as CSV, which may be of any size"
_PLACE = re.compile(rb"""\sr\s*=\s*["']([A-Z]{0,3})([0-9]{1,7})["']""")
_CELL = re.compile(rb"<(?:\w+:)?c[\s/>]")
_ROW = re.compile(rb"<(?:\w+:)?row[\s/>]")
_SHARED = re.compile(rb"""\bt\s*=\s*["']s["'][^>]*>\s*<(?:\w+:)?v[^>]*>\s*([0-9]+)""")
_SHARES = re.compile(rb"""\bt\s*=\s*["']s["']""")
_TEXT_ITEM = re.compile(rb"<(?:\w+:)?si(?:\s[^>]*)?(?:/>|>(.*?)</(?:\w+:)?si\s*>)", re.DOTALL)


def sheet_rows(stream: IO[bytes], sheet: str) -> Iterator[list[Any]]:
    """Return the rows of a sheet ("": the first), from its first on; PermanentError says why none."""
    try:
        import python_calamine as calamine  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise PermanentError(
            "is a workbook, and nothing is installed that reads it", hint="install the extra excel"
        ) from error
    content = read_at_most(stream, MAX_FILE_BYTES)
    if len(content) > MAX_FILE_BYTES:
        raise PermanentError(f"is a workbook of more than {MAX_FILE_BYTES:,} bytes", hint=_HINT_SIZE)
    checked = _checked(content)
    try:
        workbook = calamine.CalamineWorkbook.from_filelike(checked)
        names = workbook.sheet_names
        if not names:
            raise PermanentError("is no workbook that can be read: it has no sheet")
        if sheet and sheet not in names:
            raise PermanentError(
                f"has no sheet {sheet}; its sheets are {printable(', '.join(names[:20]))}",
                hint="correct the section's sheet",
            )
        found = workbook.get_sheet_by_name(sheet or names[0])
        return iter(found.iter_rows())
    except (calamine.CalamineError, OSError, ValueError) as error:
        raise PermanentError(f"is no workbook that can be read: {error}") from error
    except BaseException as error:
        if (
            type(error).__name__ != "PanicException"
        ):  # the library's own bug, which it does not call Exception
            raise
        raise PermanentError(f"is no workbook that can be read: {error}") from error


def _checked(content: bytes) -> io.BytesIO:
    """Return the workbook's XML alone, inflated here, in a new container without compression."""
    if content.startswith(_OLE):
        raise PermanentError(
            "is protected by a password, or is an old .xls", hint="save it as .xlsx without a password"
        )
    plain = io.BytesIO()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as packed, zipfile.ZipFile(plain, "w") as copy:
            parts = packed.infolist()
            if len(parts) > MAX_PARTS or len({part.filename for part in parts}) < len(parts):
                raise PermanentError(f"is a workbook of {len(parts):,} parts, or has one twice")
            if sum(part.file_size for part in parts) > 2 * MAX_XML_BYTES:
                raise PermanentError(f"unfolds into more than {2 * MAX_XML_BYTES:,} bytes", hint=_HINT_SIZE)
            texts: list[int] = []
            for part in sorted(parts, key=lambda part: "sharedStrings" not in part.filename):
                if part.filename.endswith((".xml", ".rels")):
                    room = MAX_XML_BYTES - plain.tell()
                    xml = _inflated(packed, part, room)
                    if "sharedStrings" in part.filename:
                        texts = [len(match[1] or b"") for match in _TEXT_ITEM.finditer(xml)]
                    elif "worksheets/" in part.filename and part.filename.endswith(".xml"):
                        _require_bounded(xml, texts)
                    copy.writestr(zipfile.ZipInfo(part.filename), xml)
    except (
        zipfile.BadZipFile,
        zlib.error,
        NotImplementedError,
        EOFError,
        RuntimeError,
        OSError,
        ValueError,
    ) as error:
        raise PermanentError(f"is no workbook that can be read: {error}") from error
    plain.seek(0)
    return plain


def _inflated(packed: zipfile.ZipFile, part: zipfile.ZipInfo, room: int) -> bytes:
    with packed.open(part) as file:
        xml = read_at_most(file, max(room, 0))
        if len(xml) > room:
            raise PermanentError(f"unfolds into more than {MAX_XML_BYTES:,} bytes of XML", hint=_HINT_SIZE)
    if b"\0" in xml or b"<!DOCTYPE" in xml or b"<!ENTITY" in xml:
        raise PermanentError(f"is no workbook that can be read: {part.filename[:60]!a} is no plain XML")
    return xml


def _require_bounded(xml: bytes, texts: list[int]) -> None:
    """Count the cells that the sheet spans and the bytes of their texts, rather too many than too few."""
    columns = rows = with_place = 0
    for match in _PLACE.finditer(xml):
        columns = max(columns, _column(match[1]))
        rows = max(rows, int(match[2]))
        with_place += bool(match[1])
    cells = sum(1 for _ in _CELL.finditer(xml))
    if cells > with_place:  # a cell without a place stands behind the one before it
        columns += max(sum(1 for _ in _CELL.finditer(row)) for row in _ROW.split(xml))
        rows += sum(1 for _ in _ROW.finditer(xml))
    if max(columns, 1) * max(rows, 1) > MAX_CELLS or cells > MAX_CELLS:
        raise PermanentError(
            f"spans {rows:,} rows and {columns:,} columns: more than {MAX_CELLS:,} cells", hint=_HINT_SIZE
        )
    longest = max(texts, default=0)
    if longest * cells > MAX_TEXT_BYTES:
        shared = [int(match[1]) for match in _SHARED.finditer(xml)]
        unclear = sum(1 for _ in _SHARES.finditer(xml)) - len(shared)
        if sum(texts[n] if n < len(texts) else 0 for n in shared) + unclear * longest > MAX_TEXT_BYTES:
            raise PermanentError(f"holds more than {MAX_TEXT_BYTES:,} bytes of text", hint=_HINT_SIZE)


def _column(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = 26 * number + letter - 64
    return number
