"""Reads workbooks (.xlsx), which are checked before they are opened. Needs the extra `excel`.

Invariants:
- The library that reads workbooks allocates as much memory as they claim. So it is given only what was
  inflated here within limits, and a sheet whose cells and repeated texts fit into memory.
- The library runs in a separate process: if that process dies, only one file cannot be read.
"""

import importlib.util
import io
import json
import os
import re
import subprocess
import sys
import threading
import zipfile
import zlib
from collections.abc import Callable, Generator
from contextlib import closing
from typing import IO, Any

import msgspec

from collectors.mapping.cells import restored
from collectors.mapping.numbers import printable
from collectors.tables.unpack import read_at_most
from outbox.errors import PermanentError

MAX_FILE_BYTES = 32_000_000
MAX_PARTS = 2_000
MAX_XML_BYTES = 64_000_000
MAX_CELLS = 5_000_000
MAX_ROW, MAX_COLUMN = 1_048_576, 16_384
MAX_READING_S = 300.0
MAX_TEXT_BYTES = 256_000_000
"""All texts of a sheet together; a text that several cells share is counted for each of them."""
_OLE = b"\xd0\xcf\x11\xe0"
_UNREADABLE = "is not a readable workbook"
_HINT_SIZE = "export it as CSV, which has no size limit"
_START = re.compile(rb"<(?:[^\s<>/:!?]+:)?(c|row)(?=[\s/>])")
_TAG = re.compile(rb"""((?:\s+[^\s=<>/"']+\s*=\s*(?:"[^"<]*"|'[^'<]*'))*)\s*/?>""")
_PLACE = re.compile(rb"""\s(?:[^\s=<>/"':]+:)?r\s*=\s*["']([^"']*)["']""")
_CELL_PLACE = re.compile(rb"([A-Z]{1,3})([0-9]{1,7})")
_COUNTS = re.compile(rb"""\s(?:uniqueCount|count)\s*=\s*(?:"[^"]*"|'[^']*')""")
_SHARED = re.compile(rb"""\bt\s*=\s*["']s["'][^>]*>\s*<(?:\w+:)?v[^>]*>\s*([0-9]+)""")
_SHARES = re.compile(rb"""\bt\s*=\s*["']s["']""")
_TEXT_ITEM = re.compile(rb"<(?:\w+:)?si(?:\s[^>]*)?(?:/>|>(.*?)</(?:\w+:)?si\s*>)", re.DOTALL)


def sheet_rows(
    stream: IO[bytes], sheet: str, note: Callable[[str], None] = lambda _text: None
) -> Generator[list[Any], None, None]:
    """Yield the rows of a sheet ("": the first visible one); PermanentError says why it cannot be read.

    Where no sheet was chosen, `note` is told which other visible sheets have content.
    """
    if importlib.util.find_spec("python_calamine") is None:
        raise PermanentError(
            "is a workbook, and the library that reads workbooks is not installed",
            hint="install the extra excel",
        )
    content = read_at_most(stream, MAX_FILE_BYTES)
    if len(content) > MAX_FILE_BYTES:
        raise PermanentError(f"is a workbook of more than {MAX_FILE_BYTES:,} bytes", hint=_HINT_SIZE)
    names: list[str] | None = None
    with closing(process_lines(_checked(content), sheet)) as lines:
        for line in lines:
            match line:
                case list():
                    yield line
                case {"sheets": list(found)}:
                    names = found
                case {"unread": list(others)}:
                    note(f"other sheets are not read: {printable(', '.join(others[:20]))} (sheet = …)")
                case {"end": True}:
                    return
                case {"error": text}:
                    raise PermanentError(f"{_UNREADABLE}: {printable(str(text))}")
    if names is None or (names and (not sheet or sheet in names)):
        raise PermanentError(
            f"{_UNREADABLE}: the process that read it was terminated", hint="export it as CSV"
        )
    if not names:
        raise PermanentError(f"{_UNREADABLE}: it has no sheet")
    shown = printable(", ".join(names[:20]))
    raise PermanentError(f"has no sheet {sheet}; its sheets are {shown}", hint="correct sheet in the section")


def process_lines(content: bytes, sheet: str) -> Generator[Any, None, None]:
    """Yield the lines that a separate process writes about a workbook, until that process ends."""
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-P", "-m", "collectors.tables.workbook_process", sheet]
    with subprocess.Popen(  # noqa: S603 - this program itself
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environ
    ) as process:
        limit = threading.Timer(MAX_READING_S, process.kill)
        limit.daemon = True
        limit.start()
        try:
            if process.stdin is None or process.stdout is None:
                return
            try:
                process.stdin.write(content)
                process.stdin.close()
            except OSError:  # it died before it had read everything
                return
            for line in process.stdout:
                if not line.endswith(b"\n"):
                    return
                is_plain = b'{"$' not in line
                yield msgspec.json.decode(line) if is_plain else json.loads(line, object_hook=restored)
        finally:
            limit.cancel()
            process.kill()


def _checked(content: bytes) -> bytes:
    """Return the workbook's XML parts only, inflated here, in a new container without compression."""
    if content.startswith(_OLE):
        raise PermanentError(
            "is password-protected, or an old .xls workbook", hint="save it as .xlsx without a password"
        )
    plain = io.BytesIO()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as packed, zipfile.ZipFile(plain, "w") as copy:
            parts = packed.infolist()
            if len(parts) > MAX_PARTS or len({part.filename for part in parts}) < len(parts):
                raise PermanentError(
                    f"is a workbook of {len(parts):,} parts; the limit is {MAX_PARTS:,}, each of them once"
                )
            if sum(part.file_size for part in parts) > 2 * MAX_XML_BYTES:
                raise PermanentError(f"unpacks to more than {2 * MAX_XML_BYTES:,} bytes", hint=_HINT_SIZE)
            texts: list[int] = []
            for part in sorted(parts, key=lambda part: "sharedStrings" not in part.filename):
                if part.filename.endswith((".xml", ".rels")):
                    room = MAX_XML_BYTES - plain.tell()
                    xml = _inflated(packed, part, room)
                    if "sharedStrings" in part.filename:
                        xml = _COUNTS.sub(b"", xml)  # the library reserves memory for these counts
                        texts = [len(match[1] or b"") for match in _TEXT_ITEM.finditer(xml)]
                    elif "worksheets/" in part.filename and part.filename.endswith(".xml"):
                        _require_bounded(xml, texts)
                    copy.writestr(zipfile.ZipInfo(part.filename), xml)
    except (
        zipfile.BadZipFile,
        zlib.error,
        NotImplementedError,  # raised by zipfile for an unknown compression
        EOFError,
        RuntimeError,
        OSError,
        ValueError,
    ) as error:
        raise PermanentError(f"{_UNREADABLE}: {error}") from error
    return plain.getvalue()


def _inflated(packed: zipfile.ZipFile, part: zipfile.ZipInfo, room: int) -> bytes:
    with packed.open(part) as file:
        xml = read_at_most(file, max(room, 0))
        if len(xml) > room:
            raise PermanentError(f"unpacks to more than {MAX_XML_BYTES:,} bytes of XML", hint=_HINT_SIZE)
    if b"\0" in xml or b"<!DOCTYPE" in xml or b"<!ENTITY" in xml:
        raise PermanentError(f"{_UNREADABLE}: {part.filename[:60]!a} is not plain XML")
    return xml


def _require_bounded(xml: bytes, texts: list[int]) -> None:
    """Refuse a sheet that spans too many cells or bytes of text; when in doubt, count too many."""
    columns = rows = cells = unplaced_rows = column = 0
    for start in _START.finditer(xml):
        tag = _TAG.match(xml, start.end())
        places = _PLACE.findall(tag[1]) if tag else []
        if not tag or len(places) > 1:
            raise PermanentError(f"{_UNREADABLE}: a cell is not plain XML")
        if start[1] == b"row":
            column, row = 0, _number(places[0], MAX_ROW) if places else 0
            unplaced_rows += not places
        else:  # a cell without a reference follows the one before it
            cells += 1
            column, row = _placed(places[0]) if places else (column + 1, 0)
        columns, rows = max(columns, column), max(rows, row)
    rows += unplaced_rows
    if columns * rows > MAX_CELLS or cells > MAX_CELLS:
        raise PermanentError(
            f"spans {rows:,} rows and {columns:,} columns: more than {MAX_CELLS:,} cells", hint=_HINT_SIZE
        )
    longest = max(texts, default=0)
    if longest * cells > MAX_TEXT_BYTES:
        shared = [int(match[1]) for match in _SHARED.finditer(xml)]
        unclear = sum(1 for _ in _SHARES.finditer(xml)) - len(shared)
        if sum(texts[n] if n < len(texts) else 0 for n in shared) + unclear * longest > MAX_TEXT_BYTES:
            raise PermanentError(f"holds more than {MAX_TEXT_BYTES:,} bytes of text", hint=_HINT_SIZE)


def _placed(place: bytes) -> tuple[int, int]:
    match = _CELL_PLACE.fullmatch(place)
    if not match:
        raise PermanentError(f"{_UNREADABLE}: {place[:20]!a} is not a valid cell reference")
    return _column(match[1]), _number(match[2], MAX_ROW)


def _number(digits: bytes, most: int) -> int:
    if not digits.isdigit() or len(digits) > 7 or not 0 < int(digits) <= most:
        raise PermanentError(f"{_UNREADABLE}: {digits[:20]!a} is not a valid row number")
    return int(digits)


def _column(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = 26 * number + letter - 64
    if number > MAX_COLUMN:
        raise PermanentError(f"{_UNREADABLE}: {letters!a} is not a valid column")
    return number
