"""Finds the files of a folder that are ready to be read. Nothing is moved or deleted.

Invariants: links are not followed, and only regular files are found. A file that may still be written is
left for a later run: it changed too recently, or its marker is missing.
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
"""A file dated further in the future than this would never settle in time, so it is read at once."""
_UNFINISHED = (".tmp", ".temp", ".part", ".partial", ".filepart", ".crdownload", ".swp")
_HELD_OPEN = (32, 33)  # Windows: another process has opened the file exclusively
_JUNCTION = 0xA0000003  # Windows: a folder that is a link


class FoundFile(NamedTuple):
    """A file: its path, its printable name relative to the folder, and its size and time when it was found.

    `identity` is device and inode; zeros where the scan does not report them (Windows).
    """

    path: Path
    name: str
    size: int
    modified_ns: int
    identity: tuple[int, int] = (0, 0)

    @property
    def modified(self) -> datetime | None:
        """The time of its last change, by the clock of the writer; None where it is not a valid time."""
        try:
            return datetime.fromtimestamp(self.modified_ns // 1_000_000_000, UTC)
        except (OverflowError, ValueError, OSError):
            return None


class Folder:
    """A folder and the rules by which its files are ready.

    After `files`, `problems` lists the sub-folders that cannot be read and why, and `note` says which files
    are not ready yet, or that no name matches the pattern ("" for neither).
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

    def files(self, now: datetime) -> list[FoundFile]:
        """Return the files that are ready, oldest first; a typed error when the folder cannot be read."""
        if not self._path.is_absolute():
            raise ConfigError([f"{self._path} is not an absolute path: start with / or a drive letter"])
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
                    f"{self._path} has more than {MAX_FILES:,} matching files",
                    hint="narrow pattern in the section, or move old files away",
                )
        self.note = self._noted(len(ready), waiting, ahead)
        return sorted(ready, key=lambda found: (found.modified_ns, found.name))

    def _noted(self, ready: int, waiting: int, ahead: int) -> str:
        if not waiting:
            return "" if ready else f"no file in {self._path} matches the pattern {', '.join(self._patterns)}"
        what = "1 file waits" if waiting == 1 else f"{waiting:,} files wait"
        if self._marker:
            return f"{what} for a marker, a file of the same name plus {self._marker}"
        if ahead == waiting:
            whose = "its" if waiting == 1 else "their"
            return f"{what}: {whose} time is ahead of this machine's clock"
        be = "it was" if waiting == 1 else "they were"
        return f"{what}: {be} written less than {self._settle_s:g} s ago (settle)"

    def _entries(
        self, folder: Path, prefix: str, depth: int, found: os.stat_result | None = None
    ) -> Iterator[tuple[set[str], FoundFile]]:
        try:
            entries = _looks_in(folder, found)
        except OSError as error:
            problem = access_error(error, str(folder) if depth == 0 else "")
            if depth == 0 or not problem:
                raise problem or TransientError(f"{folder} is locked by another program") from error
            self.problems.append((prefix, problem))
            return
        names = {name.lower() for name, _ in entries}
        for name, looks in entries:
            shown = prefix + shown_name(name)
            if stat.S_ISREG(looks.st_mode):
                identity = (looks.st_dev, looks.st_ino)
                yield names, FoundFile(folder / name, shown, looks.st_size, looks.st_mtime_ns, identity)
            elif self._recursive and depth < MAX_DEPTH and _is_folder(looks):
                yield from self._entries(folder / name, f"{shown}/", depth + 1, looks)

    def _is_wanted(self, found: FoundFile) -> bool:
        name = found.path.name.lower()
        if name.startswith((".", "~$")) or name.endswith(_UNFINISHED):
            return False
        if self._marker and name.endswith(self._marker):
            return False
        return any(fnmatchcase(name, pattern) for pattern in self._patterns)

    def _is_finished(self, found: FoundFile, names: set[str], now: datetime) -> bool:
        if self._marker:
            return found.path.name.lower() + self._marker in names
        age_s = now.timestamp() - found.modified_ns / 1e9
        return age_s >= self._settle_s or age_s < -MAX_AHEAD_S


def _is_folder(looks: os.stat_result) -> bool:
    return stat.S_ISDIR(looks.st_mode) and getattr(looks, "st_reparse_tag", 0) != _JUNCTION


class SwappedError(Exception):
    """A file was replaced since it was found, by a link, a pipe or another file, or it was changed."""


def _looks_in(folder: Path, found: os.stat_result | None) -> list[tuple[str, os.stat_result]]:
    """Return the names in a folder and their status, sorted; nothing for a sub-folder that was replaced.

    `found` is the status of a sub-folder when it was found; None: it is the section's folder, maybe a link.
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
        with suppress(OSError):  # deleted since
            found.append((entry.name, entry.stat(follow_symlinks=False)))
    return sorted(found, key=lambda each: each[0])


def open_found(found: FoundFile) -> IO[bytes]:
    """Open exactly the file that was found; SwappedError when it was replaced since.

    Links are not followed and pipes do not block, by O_NOFOLLOW and O_NONBLOCK. On Windows, which has
    neither, the status is read before the file is opened, and the opened file is compared with it.
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
    """Return a file's name in printable form: undecodable bytes and control characters are escaped."""
    return printable(name.encode(errors="surrogateescape").decode(errors="backslashreplace"))


def access_error(error: OSError, what: str = "") -> OutboxError | None:
    """Return the error for a file or folder that cannot be opened; None for one that a program has locked."""
    if getattr(error, "winerror", None) in _HELD_OPEN:
        return None
    problem: OutboxError
    if isinstance(error, FileNotFoundError):
        problem = PermanentError(f"{what} does not exist", hint="correct path in the section")
    elif isinstance(error, NotADirectoryError):
        problem = PermanentError(
            f"{what} is not a folder", hint="path names the folder, and pattern the files in it"
        )
    elif isinstance(error, PermissionError):
        problem = PermanentError(
            f"{what} cannot be read: permission denied",
            hint="give the account of the scheduled task read access",
        )
    else:
        problem = TransientError(f"{what} cannot be read: {error.strerror or type(error).__name__}")
    problem.message = problem.message.strip()
    return problem
