"""The files of a folder that are ready to be read. Nothing is moved or deleted here.

Invariants: links are not followed, and only regular files are found; a file that is still being written
waits: it has not been unchanged for a while, or its marker is not there yet.
"""

import errno
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO, NamedTuple

from collectors.mapping.numbers import printable
from outbox.errors import ConfigError, OutboxError, PermanentError, TransientError

MAX_FILES = 100_000
MAX_DEPTH = 32
MAX_AHEAD_S = 86_400
"""A file dated further in the future than this will not settle while anybody waits: it is taken as it is."""
_UNFINISHED = (".tmp", ".temp", ".part", ".partial", ".filepart", ".crdownload", ".swp")
_HELD_OPEN = (32, 33)  # Windows: another process shares the file with nobody
_JUNCTION = 0xA0000003  # Windows: a folder that is a link


class Found(NamedTuple):
    """A file: its path, its name relative to the folder as it can be shown, and what it looked like.

    `identity` is device and inode; zeros where the scan does not tell them (Windows).
    """

    path: Path
    name: str
    size: int
    modified_ns: int
    identity: tuple[int, int] = (0, 0)

    @property
    def modified(self) -> datetime | None:
        """When it was last written, by the clock of whoever wrote it; None where that is no time."""
        try:
            return datetime.fromtimestamp(self.modified_ns // 1_000_000_000, UTC)
        except (OverflowError, ValueError, OSError):
            return None


class Folder:
    """What is found in a folder.

    After a look `problems` are those of its sub-folders that cannot be looked into, and `note` says what
    stands in the folder and waits, or that nothing has such a name; empty where there is nothing to say.
    """

    def __init__(
        self, path: Path, patterns: Sequence[str], *, recursive: bool, settle_s: float, marker: str
    ) -> None:
        self._path = path
        self._patterns = [pattern.lower() for pattern in patterns]
        self._recursive = recursive
        self._settle_s = settle_s
        self._marker = marker.lower()
        self.problems: list[tuple[str, OutboxError]] = []
        self.note = ""

    def files(self, now: datetime) -> list[Found]:
        """Return the files that are ready, oldest first; a typed error when the folder cannot be read."""
        if not self._path.is_absolute():
            raise ConfigError([f"{self._path} is not an absolute path: begin with / or a drive letter"])
        self.problems.clear()
        ready, waiting, ahead = [], 0, 0
        for names, found in self._entries(self._path, "", 0):
            if not self._is_wanted(found):
                continue
            if self._is_finished(found, names, now):
                ready.append(found)
            else:
                waiting += 1
                ahead += found.modified_ns / 1e9 > now.timestamp()
            if len(ready) > MAX_FILES:
                raise PermanentError(
                    f"{self._path} holds more than {MAX_FILES:,} files", hint="narrow the section's pattern"
                )
        self.note = self._noted(len(ready), waiting, ahead)
        return sorted(ready, key=lambda found: (found.modified_ns, found.name))

    def _noted(self, ready: int, waiting: int, ahead: int) -> str:
        if not waiting:
            return (
                ""
                if ready
                else f"no file in {self._path} has a name of the pattern {', '.join(self._patterns)}"
            )
        what = "1 file waits" if waiting == 1 else f"{waiting:,} files wait"
        if self._marker:
            return f"{what} for another of their name and {self._marker} (marker)"
        if ahead == waiting:
            whose = "its" if waiting == 1 else "their"
            return f"{what}: {whose} time is ahead of this machine's clock"
        be = "it was" if waiting == 1 else "they were"
        return f"{what}: {be} written less than {self._settle_s:g} s ago (settle)"

    def _entries(
        self, folder: Path, prefix: str, depth: int, found: os.stat_result | None = None
    ) -> Iterator[tuple[set[str], Found]]:
        try:
            entries = _looks_in(folder, found)
        except OSError as error:
            problem = refused(error, str(folder) if depth == 0 else "")
            if depth == 0 or not problem:
                raise problem or TransientError(f"{folder} is held open by another program") from error
            self.problems.append((prefix, problem))
            return
        names = {name.lower() for name, _ in entries}
        for name, looks in entries:
            shown = prefix + shown_name(name)
            if stat.S_ISREG(looks.st_mode):
                identity = (looks.st_dev, looks.st_ino)
                yield names, Found(folder / name, shown, looks.st_size, looks.st_mtime_ns, identity)
            elif self._recursive and depth < MAX_DEPTH and _is_folder(looks):
                yield from self._entries(folder / name, f"{shown}/", depth + 1, looks)

    def _is_wanted(self, found: Found) -> bool:
        name = found.path.name.lower()
        if name.startswith((".", "~$")) or name.endswith(_UNFINISHED):
            return False
        if self._marker and name.endswith(self._marker):
            return False
        return any(fnmatchcase(name, pattern) for pattern in self._patterns)

    def _is_finished(self, found: Found, names: set[str], now: datetime) -> bool:
        if self._marker:
            return found.path.name.lower() + self._marker in names
        age_s = now.timestamp() - found.modified_ns / 1e9
        return age_s >= self._settle_s or age_s < -MAX_AHEAD_S


def _is_folder(looks: os.stat_result) -> bool:
    return stat.S_ISDIR(looks.st_mode) and getattr(looks, "st_reparse_tag", 0) != _JUNCTION


class SwappedError(Exception):
    """Something else stands where a file was found: a link, a pipe, another file, or the same one changed."""


def _looks_in(folder: Path, found: os.stat_result | None) -> list[tuple[str, os.stat_result]]:
    """Return the names in a folder and what they look like, by name; nothing of one that is another by now.

    `found` is what a sub-folder looked like; None: the folder is the section's own, which may be a link.
    """
    if found is None or os.scandir not in os.supports_fd or not hasattr(os, "O_NOFOLLOW"):
        with os.scandir(folder) as scan:
            return _looks(scan)
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.ENOENT):
            return []
        raise
    try:
        if not os.path.samestat(os.fstat(descriptor), found):
            return []
        with os.scandir(descriptor) as scan:
            return _looks(scan)
    finally:
        os.close(descriptor)


def _looks(scan: "Iterable[os.DirEntry[str]]") -> list[tuple[str, os.stat_result]]:
    found = []
    for entry in scan:
        with suppress(OSError):  # gone since
            found.append((entry.name, entry.stat(follow_symlinks=False)))
    return sorted(found, key=lambda each: each[0])


def open_found(found: Found) -> IO[bytes]:
    """Open a file that was found, and no other; SwappedError when something else stands there by now.

    Links are not followed and pipes do not block: O_NOFOLLOW and O_NONBLOCK, and on Windows a look at the
    name before it is opened, which holds what the opened file is compared with.
    """
    looks = os.lstat(found.path)
    if not stat.S_ISREG(looks.st_mode):
        raise SwappedError
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        descriptor = os.open(found.path, flags)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise SwappedError from error
        raise
    opened = os.fstat(descriptor)
    expected = (looks.st_dev, looks.st_ino, looks.st_mtime_ns)
    if all(found.identity):
        expected = (*found.identity, found.modified_ns)
    if (
        not stat.S_ISREG(opened.st_mode)
        or (opened.st_dev, opened.st_ino, opened.st_mtime_ns) != expected
        or opened.st_size < found.size
    ):
        os.close(descriptor)
        raise SwappedError
    return os.fdopen(descriptor, "rb")


def shown_name(name: str) -> str:
    """Return a file's name as records and messages can hold it: undecodable bytes and marks escaped."""
    return printable(name.encode(errors="surrogateescape").decode(errors="backslashreplace"))


def refused(error: OSError, what: str = "") -> OutboxError | None:
    """Return what it means that a file or folder is refused; None for a file that its writer holds open."""
    if getattr(error, "winerror", None) in _HELD_OPEN:
        return None
    problem: OutboxError
    if isinstance(error, FileNotFoundError):
        problem = PermanentError(f"{what} does not exist", hint="correct the section's path")
    elif isinstance(error, NotADirectoryError):
        problem = PermanentError(
            f"{what} is no folder", hint="path is the folder, pattern says which of its files"
        )
    elif isinstance(error, PermissionError):
        problem = PermanentError(
            f"{what} may not be read", hint="let the account of the scheduled task read it"
        )
    else:
        problem = TransientError(f"{what} cannot be read: {error.strerror or type(error).__name__}")
    problem.message = problem.message.strip()
    return problem
