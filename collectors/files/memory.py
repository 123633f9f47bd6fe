"""The bookmarks of a folder: how far each file was read, remembered by content. No I/O but hashing.

Invariants:
- A file is recognised by a digest of as many of its first bytes as were read. A file that begins with the
  same bytes is read from behind them, whatever its name: it was renamed, copied or appended to. Any other
  file is read from its start.
- A scope belongs to one file. The scope of a file that was deleted long ago is given to a new one, so that
  there are never more scopes than present and recent files.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import IO, NamedTuple

import msgspec

from collectors.files.folder import FoundFile
from collectors.tables.lines import Place
from collectors.tables.unpack import unpacked_name
from outbox.errors import DataError

FORGET_AFTER = timedelta(days=90)
HEAD_BYTES = 1_024
_CHUNK_BYTES = 1024 * 1024


class Read(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was read of a file: `digest` is that of its first `length` bytes, and `key` says how it was read.

    `head` is the digest of the first HEAD_BYTES of them, by which the file is looked up. `offset` (0: not
    countable) and `line` are the place where reading stopped. `size` and `modified_ns` are those of the file;
    while they do not change, `done` says that there is nothing more to read. `at` is when it was read.
    `order` is `Order.text` of its rows so far (usually ""). `refused` is the digest of what is kept as
    rejected because the file cannot be read ("" where it can). `late` says that it was read again from its
    start after a newer file was read.
    """

    file: str
    key: str
    size: int
    modified_ns: int
    head: str
    length: int
    digest: str
    offset: int
    line: int
    done: bool
    at: datetime
    order: str = ""
    refused: str = ""
    late: bool = False


class Start(NamedTuple):
    """Where to start reading a file, and in which scope; `done` says that it has nothing new.

    `late` says that a file of this name was read before, and a newer file since. `begins_like` names another
    present file with whose content this one begins ("" for none): that part is not read again.
    """

    scope: str
    place: Place
    done: bool
    order: str = ""
    late: bool = False
    begins_like: str = ""


class Prefix:
    """The digests of a file's first bytes, for growing lengths; earlier ones are remembered."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()
        self._length = 0
        self._digests: dict[int, str] = {}

    def digest(self, length: int) -> str:
        """Return the digest of the first `length` bytes, or of the whole file where it is shorter."""
        if length not in self._digests:
            while self._length < length:
                chunk = self._stream.read(min(_CHUNK_BYTES, length - self._length))
                if not chunk:
                    break
                self._hash.update(chunk)
                self._length += len(chunk)
            self._digests[length] = self._hash.hexdigest()[:32]
        return self._digests[length]

    def head(self, length: int) -> str:
        """Return the digest by which to look up a file of which `length` bytes were read."""
        return self.digest(min(HEAD_BYTES, length))


class Memory:
    """The bookmarks of one source, looked up by scope, by file name and by a file's first bytes."""

    def __init__(self, bookmarks: Mapping[str, str], source: str) -> None:
        self._read: dict[str, Read] = {}
        self._scopes: dict[str, str] = {}
        self._heads: dict[int, dict[str, dict[int, dict[tuple[str, str], set[str]]]]] = {}
        self._names: set[tuple[str, str]] = set()
        self._newest_ns: dict[str, int] = {}
        self._free: list[str] | None = None
        try:
            for scope, text in bookmarks.items():
                self._keep(scope, msgspec.json.decode(text, type=Read))
        except msgspec.DecodeError as error:
            raise DataError(f"{source}: a stored bookmark is not one of a files source: {error}") from error

    def is_known(self, found: FoundFile, key: str) -> bool:
        """Return whether a file was read to its end and has the same size and time as then."""
        read = self._read.get(self._scopes.get(found.name, ""))
        return bool(
            read
            and read.done
            and (read.key, read.size, read.modified_ns) == (key, found.size, found.modified_ns)
        )

    def start(
        self, found: FoundFile, key: str, stream: IO[bytes], *, there: set[str], now: datetime
    ) -> Start:
        """Return where to start reading a file, by its content; `there` names all files in the folder."""
        prefix = Prefix(stream)
        match: Read | None = None
        for head_length in sorted(length for length in self._heads if 0 < length <= found.size):
            alike = self._heads[head_length].get(prefix.digest(head_length), {})
            for length in sorted(length for length in alike if length <= found.size):
                if scopes := alike[length].get((key, prefix.digest(length))):
                    match = self._read[max(scopes)]
        scope = self._scopes.get(found.name)
        if match is None:
            return Start(
                scope or self._free_scope(there, now), Place(), False, late=self._is_late(found, key)
            )
        if scope is None:
            scope = self._scopes[match.file] if match.file not in there else self._free_scope(there, now)
        done = match.done and match.length == found.size
        is_known = match.done or Place(match.offset, match.line) != Place()  # else none of it was read
        return Start(
            scope,
            Place(match.offset, match.line),
            done,
            match.order,
            match.late and self._is_late(found, key),
            match.file if is_known and match.file != found.name and match.file in there else "",
        )

    def _is_late(self, found: FoundFile, key: str) -> bool:
        """Return whether a file of this name, compressed or not, was read before, and a newer one as well."""
        newest_ns = self._newest_ns.get(key, 0)
        return (key, unpacked_name(found.name)) in self._names and found.modified_ns < newest_ns

    def refused(self, scope: str) -> str:
        """Return the digest of what is kept of an unreadable file in this scope; "" for none."""
        read = self._read.get(scope)
        return read.refused if read else ""

    def note(self, scope: str, read: Read) -> str:
        """Remember what was read, and return it as a bookmark."""
        if before := self._read.get(scope):
            if self._scopes.get(before.file) == scope:
                del self._scopes[before.file]
            self._alike(before).discard(scope)
        self._keep(scope, read)
        return msgspec.json.encode(read).decode()

    def _keep(self, scope: str, read: Read) -> None:
        self._read[scope] = read
        self._scopes[read.file] = scope
        if not read.refused:
            self._names.add((read.key, unpacked_name(read.file)))
            self._newest_ns[read.key] = max(read.modified_ns, self._newest_ns.get(read.key, 0))
        self._alike(read).add(scope)

    def _alike(self, read: Read) -> set[str]:
        """Return the scopes of files with equal content, found without searching the others."""
        heads = self._heads.setdefault(min(HEAD_BYTES, read.length), {})
        lengths = heads.setdefault(read.head, {})
        return lengths.setdefault(read.length, {}).setdefault((read.key, read.digest), set())

    def _free_scope(self, there: set[str], now: datetime) -> str:
        """Return the scope of a file that was deleted long ago, or else a new one."""
        if self._free is None:
            self._free = [
                scope
                for scope, read in self._read.items()
                if read.file not in there and now - read.at > FORGET_AFTER
            ]
        while self._free:
            scope = self._free.pop()
            if self._read[scope].file not in there:  # otherwise a renamed file took it in the meantime
                return scope
        number = len(self._read) + 1
        while f"{number:06d}" in self._read:
            number += 1
        return f"{number:06d}"
