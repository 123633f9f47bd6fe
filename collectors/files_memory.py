"""What was read of which file, remembered by content: the bookmarks of a folder. No I/O but hashing.

Invariants:
- A file is known by its first bytes: by a digest of as many as were read. What begins with the same bytes is
  read on behind them, whatever its name: renamed, copied or appended. What does not is read from its start.
- A scope holds one file. The scope of a file that is long gone is given to a new one, so that there are
  never more scopes than files that are there or were there lately.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import IO, NamedTuple

import msgspec

from collectors.files_found import Found
from collectors.tables_lines import Place
from outbox.errors import DataError

FORGET_AFTER = timedelta(days=90)
_CHUNK_BYTES = 1024 * 1024


class Read(msgspec.Struct, frozen=True):
    """What was read of a file, `key` says how: its first `length` bytes are of this digest.

    `offset` (0: not countable) and `line` are the place behind it. `size` and `modified_ns` are what the
    file looked like, `done` says that it holds nothing more while it looks so, `at` when that was.
    """

    file: str
    key: str
    size: int
    modified_ns: int
    length: int
    digest: str
    offset: int
    line: int
    done: bool
    at: datetime


class Start(NamedTuple):
    """Where a file's reading begins, and in which scope it is kept; `done`: there is nothing new in it."""

    scope: str
    place: Place
    done: bool


class Prefix:
    """The digests of a file's first bytes, in growing lengths."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()
        self._length = 0

    def digest(self, length: int) -> str:
        """Return the digest of the first `length` bytes, or of all where there are fewer."""
        while self._length < length:
            chunk = self._stream.read(min(_CHUNK_BYTES, length - self._length))
            if not chunk:
                break
            self._hash.update(chunk)
            self._length += len(chunk)
        return self._hash.hexdigest()[:32]


class Memory:
    """The bookmarks of one source, by scope and by file."""

    def __init__(self, bookmarks: Mapping[str, str], source: str) -> None:
        try:
            self._read = {
                scope: msgspec.json.decode(text, type=Read) for scope, text in bookmarks.items() if scope
            }
        except msgspec.DecodeError as error:
            raise DataError(f"{source}: a bookmark of it is none of files': {error}") from error
        self._scopes = {read.file: scope for scope, read in self._read.items()}

    def is_known(self, found: Found, key: str) -> bool:
        """Return whether a file was read to its end and looks as it did then."""
        read = self._read.get(self._scopes.get(found.name, ""))
        return bool(
            read
            and read.done
            and (read.key, read.size, read.modified_ns) == (key, found.size, found.modified_ns)
        )

    def start(self, found: Found, key: str, stream: IO[bytes], *, there: set[str], now: datetime) -> Start:
        """Return where to begin with a file, by its content; `there` are the names of all files there are."""
        known = {
            (read.length, read.digest): (scope, read)
            for scope, read in self._read.items()
            if read.key == key and 0 < read.length <= found.size
        }
        prefix, match = Prefix(stream), None
        for length in sorted({length for length, _ in known}):
            match = known.get((length, prefix.digest(length))) or match
        scope = self._scopes.get(found.name)
        if match is None:
            return Start(scope or self._free_scope(there, now), Place(), False)
        of, read = match
        if scope is None:
            scope = of if read.file not in there else self._free_scope(there, now)
        return Start(
            scope,
            Place(read.offset, read.line),
            read.done and read.length == found.size,
        )

    def note(self, scope: str, read: Read) -> str:
        """Keep what was read, and return the bookmark that says so."""
        if (before := self._read.get(scope)) and self._scopes.get(before.file) == scope:
            del self._scopes[before.file]
        self._read[scope] = read
        self._scopes[read.file] = scope
        return msgspec.json.encode(read).decode()

    def _free_scope(self, there: set[str], now: datetime) -> str:
        """The scope of a file that is long gone, or else the next one."""
        for scope, read in self._read.items():
            if read.file not in there and now - read.at > FORGET_AFTER:
                return scope
        number = len(self._read) + 1
        while f"{number:06d}" in self._read:
            number += 1
        return f"{number:06d}"
