"""Objects as files below a local directory, written and read; S3's promises with a file system's means.

Invariants:
- A name appears with all its bytes or not at all: they are written and synced under `.partial/`, which no
  loader reads, and then given their name by an operation that refuses a name already taken.
- When `put` returns, power may fail: the file was synced before it had its name, and every folder between
  it and the destination after. A name already there is synced too: whoever made it may have died at once.
- The destination itself is never made: an absent one is a disk that is not mounted, or a typing error.
"""

import errno
import os
import re
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote

from outbox.errors import DiskFullError, ObjectError, OutboxError, PermanentError, TransientError
from uploader.objectstore import ObjectReader, Receipt, key_parts

PARTIAL = ".partial"
"""The folder of files that are being written, inside the destination, so that a rename crosses no disk."""

ABANDONED_AFTER_S = 86_400.0
WINDOWS = os.name == "nt"

_NO_ROOM = (DiskFullError, "make room on the disk of {root}")
_NO_FOLDER = (PermanentError, "make the folder {root}, or correct [upload] to")
_FORBIDDEN = (PermanentError, "let the account that runs the upload write to {root}")
_NO_LINKS = (
    PermanentError,
    "this file system cannot link files: name a local disk (ext4, xfs, NTFS) in [upload] to",
)
_ADVICE: dict[int, tuple[type[OutboxError], str]] = {
    errno.ENOSPC: _NO_ROOM,
    errno.EDQUOT: _NO_ROOM,
    errno.ENOENT: _NO_FOLDER,
    errno.ENOTDIR: _NO_FOLDER,
    errno.EACCES: _FORBIDDEN,
    errno.EPERM: _FORBIDDEN,
    errno.EROFS: _FORBIDDEN,
    errno.EOPNOTSUPP: _NO_LINKS,
    errno.EEXIST: (PermanentError, "something that is no object has an object's name: move it away"),
    errno.ENAMETOOLONG: (PermanentError, "choose a shorter folder in [upload] to"),
}
_WINDOWS_SHARING_VIOLATION = 32


class DirectoryStore:
    """Keeps each object as one file under the folder that a `file:///` address names."""

    def __init__(self, url: str, *, now_s: Callable[[], float] = time.time) -> None:
        self.url = url
        self._root = folder_of(url)
        self._remove_abandoned(now_s())

    def put(self, key: str, data: bytes) -> Receipt:
        """Store `data` as the file `key`, or say that the name is taken; see ObjectStore.put."""
        target = self._root.joinpath(*key_parts(key))
        try:
            if not self._root.is_dir():
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self._root))
            existed = self._publish(data, target)
            for folder in target.parents[: len(target.relative_to(self._root).parts)]:
                _sync_folder(folder)
        except OSError as error:
            raise self._explain(error) from error
        return Receipt(etag=None, existed=existed)

    def _publish(self, data: bytes, target: Path) -> bool:
        """Give `data` its name; return True when the name was taken, and leave what it holds alone."""
        partial = self._root / PARTIAL / uuid.uuid4().hex
        partial.parent.mkdir(exist_ok=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with partial.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            _name(partial, target)
        except FileExistsError:
            if not target.is_file():
                raise
            return True
        finally:
            partial.unlink(missing_ok=True)
        return False

    def _remove_abandoned(self, now_s: float) -> None:
        """Remove what killed processes left half-written; a file of today may still be in use."""
        try:
            for partial in (self._root / PARTIAL).iterdir():
                if now_s - partial.stat().st_mtime > ABANDONED_AFTER_S:
                    partial.unlink(missing_ok=True)
        except OSError:
            return  # only tidiness: put says what is wrong with the destination

    def _explain(self, error: OSError) -> OutboxError:
        what = f"cannot write below {self._root}: {error.strerror or type(error).__name__}. Nothing was lost"
        if getattr(error, "winerror", None) == _WINDOWS_SHARING_VIOLATION:
            return TransientError(f"{what}; another program, perhaps a virus scanner, holds the file")
        kind, hint = _ADVICE.get(error.errno or 0, (TransientError, None))
        return kind(what, hint=hint and hint.format(root=self._root))


class DirectoryReader(ObjectReader):
    """Reads the files below the folder that a `file:///` address names."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._root = folder_of(url)

    def list_objects(self, below: str = "") -> Iterator[tuple[str, int]]:
        """Yield the files in the order of their keys; see ObjectReader.list_objects."""
        folder = below.rpartition("/")[0]
        try:
            if not self._root.is_dir():
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self._root))
            start = self._root.joinpath(*key_parts(folder)) if folder else self._root
            if start.is_dir():
                found = _walk(start, f"{folder}/" if folder else "")
                yield from (item for item in found if item[0].startswith(below))
        except OSError as error:
            raise self._explain(error) from error

    def read_object(self, key: str) -> bytes:
        """Return a file's bytes; see ObjectReader.read_object."""
        try:
            return self._root.joinpath(*key_parts(key)).read_bytes()
        except FileNotFoundError as error:
            if self._root.is_dir():
                raise ObjectError(f"{self.url} has no object {key}") from error
            raise self._explain(error) from error
        except OSError as error:
            raise self._explain(error) from error

    def _explain(self, error: OSError) -> OutboxError:
        what = f"cannot read below {self._root}: {error.strerror or type(error).__name__}"
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return PermanentError(
                what, hint=f"is the disk of {self._root} mounted, and is the address right?"
            )
        if error.errno in (errno.EACCES, errno.EPERM):
            return PermanentError(what, hint=f"let the account that runs outbox read {self._root}")
        return TransientError(what)


def _name(partial: Path, target: Path) -> None:
    """Give the finished file its name; FileExistsError when the name is taken.

    POSIX rename would overwrite without a word and Windows has no such rename: so each has its own way.
    """
    if WINDOWS:
        partial.rename(target)
        return
    try:
        target.hardlink_to(partial)
    except OSError as error:
        if error.errno in (errno.EPERM, errno.ENOSYS):  # what FAT and some shares say
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP)) from error
        raise


def _walk(folder: Path, prefix: str) -> Iterator[tuple[str, int]]:
    """Yield the files below a folder; with its slash a folder's name sorts as S3 would sort its keys."""
    with os.scandir(folder) as entries:
        found = sorted((entry.name + "/" * entry.is_dir(), entry) for entry in entries)
    for name, entry in found:
        if name.endswith("/"):
            if prefix or entry.name != PARTIAL:
                yield from _walk(Path(entry.path), prefix + name)
        else:
            yield prefix + name, entry.stat().st_size


def _sync_folder(folder: Path) -> None:
    if WINDOWS:
        return  # NTFS journals its folders, and gives no handle to sync
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def folder_of(url: str, *, windows: bool = WINDOWS) -> Path:
    """Return the folder that a `file:///` address names; PermanentError when it names another machine.

    On Windows `file:///C:/Outbox` is a drive's folder and `file://server/share` a share.
    """
    host, _, path = url.removeprefix("file://").partition("/")
    path = unquote(path)
    on_a_drive = re.match(r"[A-Za-z]:/", path) is not None
    if windows and (host or on_a_drive):
        return Path(f"//{host}/{path}" if host else path)
    if not windows and host in ("", "localhost") and not on_a_drive:
        return Path("/", path)
    example = "file:///C:/folder" if windows else "file:///folder"
    raise PermanentError(f"{url} names no folder of this machine", hint=f"write {example} in [upload] to")
