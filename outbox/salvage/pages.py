"""The records in the pages of a damaged SQLite file, read without SQLite and without trust in anything.

Every leaf of a table and every page of an index is read for itself, wherever it lies, in the database and in
the committed part of its -wal: no root, no pointer between pages and no schema needs to be whole. What was
replaced or deleted and still lies in a page is found as well: who uses this knows what to prefer.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, Self

PAGE_BYTES = 4_096
MAX_RECORD_BYTES = 16 * 1024 * 1024
Value = int | float | str | bytes | None

_LEAF, _INDEX_LEAF, _INDEX = 13, 10, 2
_KNOWN_PAGES = {_LEAF, _INDEX_LEAF, _INDEX, 5}
_MAP_EVERY = PAGE_BYTES // 5 + 1
"""Of so many pages one, the second first, says who points to the others: auto_vacuum needs it."""
_WAL_HEADER, _FRAME_HEADER = 32, 24
_BIG_ENDIAN_SUMS, _LITTLE_ENDIAN_SUMS = 0x377F0683, 0x377F0682
_INTEGERS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
# How much of a record its own page holds, as the file format says.
_TABLE_LOCAL, _INDEX_LOCAL = PAGE_BYTES - 35, (PAGE_BYTES - 12) * 64 // 255 - 23
_LEAST_LOCAL = (PAGE_BYTES - 12) * 32 // 255 - 23


class Found(NamedTuple):
    """A record: its rowid, None where it is of an index or of a table without one, and its values."""

    rowid: int | None
    values: tuple[Value, ...]


class Pages:
    """A database file and its -wal, as a context manager; `unreadable` counts pages of no known kind."""

    def __init__(self, database: Path) -> None:
        self.unreadable = 0
        self._file = database.open("rb")
        wal = database.with_name(database.name + "-wal")
        self._wal = wal.open("rb") if wal.exists() else None
        self._frames = dict(_frames(self._wal)) if self._wal else {}
        size = self._file.seek(0, 2)
        self._count = -(-size // PAGE_BYTES)
        self._file.seek(28)
        told = int.from_bytes(self._file.read(4))
        self._missing = max(0, told - self._count) if told < 2 * self._count + 1_000 else 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        if self._wal:
            self._wal.close()

    def records(self) -> Iterator[Found]:
        """Yield every record of every page, of the -wal first."""
        self.unreadable = self._missing
        for number in sorted(self._frames):
            yield from self._records(number, newest=True)
        for number in range(1, self._count + 1):
            yield from self._records(number, newest=False)

    def _records(self, number: int, *, newest: bool) -> Iterator[Found]:
        page = self._page(number, newest=newest)
        start = 100 if number == 1 else 0
        kind = page[start] if len(page) > start else 0
        if kind not in _KNOWN_PAGES or (number - 2) % _MAP_EVERY == 0:
            self.unreadable += (number - 2) % _MAP_EVERY != 0 and not self._is_overflow(page)
            return
        if kind == 5:
            return
        header = start + (12 if kind == _INDEX else 8)
        for n in range(min(int.from_bytes(page[start + 3 : start + 5]), PAGE_BYTES // 4)):
            at = int.from_bytes(page[header + 2 * n : header + 2 * n + 2])
            try:
                yield self._cell(page, at, kind, newest=newest)
            except (IndexError, ValueError, struct.error):
                continue  # this one was damaged

    @staticmethod
    def _is_overflow(page: bytes) -> bool:
        """Whether a page may be the rest of a long record, or free: it then begins with a page's number."""
        return len(page) == PAGE_BYTES and any(page) and page[0] == 0

    def _page(self, number: int, *, newest: bool) -> bytes:
        if newest and self._wal and number in self._frames:
            self._wal.seek(self._frames[number])
            return self._wal.read(PAGE_BYTES)
        self._file.seek((number - 1) * PAGE_BYTES)
        return self._file.read(PAGE_BYTES)

    def _cell(self, page: bytes, at: int, kind: int, *, newest: bool) -> Found:
        at += 4 if kind == _INDEX else 0
        size, at = _varint(page, at)
        rowid = None
        if kind == _LEAF:
            rowid, at = _varint(page, at)
        if size > MAX_RECORD_BYTES:
            raise ValueError("no record of ours")  # else a damaged size would follow a circle of pages
        local = _TABLE_LOCAL if kind == _LEAF else _INDEX_LOCAL
        if size <= local:
            payload = page[at : at + size]
        else:
            kept = _LEAST_LOCAL + (size - _LEAST_LOCAL) % (PAGE_BYTES - 4)
            kept = kept if kept <= local else _LEAST_LOCAL
            rest = self._overflow(int.from_bytes(page[at + kept : at + kept + 4]), size - kept, newest=newest)
            payload = page[at : at + kept] + rest
        if len(payload) != size:
            raise ValueError("cut")
        return Found(rowid, tuple(_values(payload)))

    def _overflow(self, number: int, size: int, *, newest: bool) -> bytes:
        parts = []
        while size > 0 and 0 < number <= self._count + len(self._frames):
            page = self._page(number, newest=newest)
            number, part = int.from_bytes(page[:4]), page[4 : 4 + size]
            if not part:
                break
            parts.append(part)
            size -= len(part)
        return b"".join(parts)


def _varint(page: bytes, at: int) -> tuple[int, int]:
    value = 0
    for n in range(8):
        byte = page[at + n]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + n + 1
    value = value << 8 | page[at + 8]
    return value - (1 << 64) if value >= 1 << 63 else value, at + 9


def _values(payload: bytes) -> Iterator[Value]:
    size, at = _varint(payload, 0)
    begin = size
    while at < size:
        kind, at = _varint(payload, at)
        length = _INTEGERS.get(kind, 8 if kind == 7 else max(0, (kind - 12) // 2))
        raw = payload[begin : begin + length]
        if len(raw) != length or kind in (10, 11) or kind < 0:
            raise ValueError("no value")
        begin += length
        yield _value(kind, raw)


def _value(kind: int, raw: bytes) -> Value:
    if kind == 0:
        return None
    if kind in (8, 9):
        return kind - 8
    if kind in _INTEGERS:
        return int.from_bytes(raw, signed=True)
    if kind == 7:
        return float(struct.unpack(">d", raw)[0])
    return raw.decode() if kind % 2 else raw


def _frames(wal: BinaryIO) -> Iterator[tuple[int, int]]:
    """Yield (page, offset of its content) for every frame of the -wal that was committed, in their order."""
    header = wal.read(_WAL_HEADER)
    if len(header) < _WAL_HEADER:
        return
    magic, _, page_bytes, _, salts, sums = struct.unpack(">IIII8s8s", header)
    order = {_BIG_ENDIAN_SUMS: ">", _LITTLE_ENDIAN_SUMS: "<"}.get(magic)
    if order is None or page_bytes != PAGE_BYTES:
        return
    known = _sums(order, header[:24], (0, 0))
    if struct.pack(">II", *known) != sums:
        return
    waiting = []
    while len(frame := wal.read(_FRAME_HEADER + PAGE_BYTES)) == _FRAME_HEADER + PAGE_BYTES:
        number, committed, of_frame, sums = struct.unpack(">II8s8s", frame[:_FRAME_HEADER])
        known = _sums(order, frame[:8] + frame[_FRAME_HEADER:], known)
        if of_frame != salts or struct.pack(">II", *known) != sums:
            return
        waiting.append((number, wal.tell() - PAGE_BYTES))
        if committed:
            yield from waiting
            waiting = []


def _sums(order: str, data: bytes, before: tuple[int, int]) -> tuple[int, int]:
    """The -wal's own checksum."""
    one, two = before
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for even, odd in zip(words[::2], words[1::2], strict=True):
        one = one + even + two & 0xFFFF_FFFF
        two = two + odd + one & 0xFFFF_FFFF
    return one, two
