"""SQLite's view of the disk, watched and disturbed: one apsw VFS that records, one that fails.

Both are made SQLite's default for a while, so that the code under test opens its database as it always
does. What cannot be seen from here: the shared memory (-shm, which a power cut forgets anyway), folders
(a file's name counts as durable with its first sync, as SQLite syncs the folder then), and the locks that
live in shared memory.
"""

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import apsw


class Write(NamedTuple):
    """Bytes written to a file, not synced yet."""

    file: str
    offset: int
    data: bytes


class Truncate(NamedTuple):
    """A file cut to a size."""

    file: str
    size: int


class Sync(NamedTuple):
    """Everything written to a file before is durable."""

    file: str


class Delete(NamedTuple):
    """A file removed; durable at once where the folder was synced."""

    file: str
    synced: bool


class Rename(NamedTuple):
    """A finished file given its name, durably."""

    old: str
    new: str


class Fact(NamedTuple):
    """Something the program was told or told others: it cannot be taken back by a power cut."""

    kind: str
    what: Any


Operation = Write | Truncate | Sync | Delete | Rename | Fact


def _short(name: object) -> str:
    text = name.filename() if isinstance(name, apsw.URIFilename) else str(name or "a temporary file")
    return Path(text).name


class _RecordingFile(apsw.VFSFile):
    def __init__(self, vfs: "RecordingVFS", name: Any, flags: list[int]) -> None:
        super().__init__(vfs.base, name, flags)
        self._short, self._log = _short(name), vfs.log

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        super().xWrite(data, offset)
        self._log.append(Write(self._short, offset, bytes(data)))

    def xTruncate(self, size: int) -> None:  # noqa: N802
        super().xTruncate(size)
        self._log.append(Truncate(self._short, size))

    def xSync(self, flags: int) -> None:  # noqa: N802
        super().xSync(flags)
        self._log.append(Sync(self._short))


class RecordingVFS(apsw.VFS):
    """Appends everything that changes a file to `log`."""

    def __init__(self, log: list[Operation]) -> None:
        self.base, self.log = apsw.vfs_names()[0], log
        super().__init__("recording", self.base, makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        return _RecordingFile(self, name, flags)

    def xDelete(self, name: str, sync_folder: bool) -> None:  # noqa: N802
        super().xDelete(name, sync_folder)
        self.log.append(Delete(_short(name), bool(sync_folder)))


class Fault:
    """The n-th operation of a kind fails as an error, once or for ever; counts what it did."""

    def __init__(self, kind: str, n: int, error: type[apsw.Error], *, forever: bool) -> None:
        self.kind, self.n, self.error, self.forever = kind, n, error, forever
        self.seen: Counter[str] = Counter()
        self.fired = 0

    def pass_or_fail(self, kind: str) -> None:
        """Let an operation pass, or raise."""
        self.seen[kind] += 1
        count = self.seen[kind]
        if kind == self.kind and (count == self.n or (self.forever and count > self.n)):
            self.fired += 1
            raise self.error(f"{kind} {count} was made to fail")


class _FaultyFile(apsw.VFSFile):
    def __init__(self, vfs: "FaultyVFS", name: Any, flags: list[int]) -> None:
        self._fault = vfs.fault
        super().__init__(vfs.base, name, flags)

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        self._fault.pass_or_fail("read")
        return super().xRead(amount, offset)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        self._fault.pass_or_fail("write")
        super().xWrite(data, offset)

    def xTruncate(self, size: int) -> None:  # noqa: N802
        self._fault.pass_or_fail("truncate")
        super().xTruncate(size)

    def xSync(self, flags: int) -> None:  # noqa: N802
        self._fault.pass_or_fail("sync")
        super().xSync(flags)

    def xLock(self, level: int) -> None:  # noqa: N802
        self._fault.pass_or_fail("lock")
        super().xLock(level)


class FaultyVFS(apsw.VFS):
    """Lets a fault happen; waits for a lock take no time."""

    def __init__(self, fault: Fault) -> None:
        self.base, self.fault = apsw.vfs_names()[0], fault
        super().__init__("faulty", self.base, makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        self.fault.pass_or_fail("open")
        return _FaultyFile(self, name, flags)

    def xSleep(self, microseconds: int) -> int:  # noqa: N802
        return microseconds


@contextmanager
def default(vfs: apsw.VFS) -> Iterator[None]:
    """Leave `vfs` SQLite's default for the block."""
    try:
        yield
    finally:
        vfs.unregister()


@contextmanager
def hooked(hook: Callable[[apsw.Connection], None]) -> Iterator[None]:
    """Call `hook` with every connection that is made in the block."""
    apsw.connection_hooks.append(hook)
    try:
        yield
    finally:
        apsw.connection_hooks.remove(hook)


@contextmanager
def frequent_checkpoints(pages: int) -> Iterator[None]:
    """Let SQLite checkpoint every few pages instead of every thousand: a small workload sees many."""
    with hooked(lambda connection: connection.wal_autocheckpoint(pages)):
        yield


@contextmanager
def scratch() -> Iterator[Path]:
    """Lend a folder in memory where the system has one: what is durable is decided here, not by the disk."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(
        dir=memory if memory.is_dir() else None, ignore_cleanup_errors=True
    ) as folder:
        yield Path(folder)
