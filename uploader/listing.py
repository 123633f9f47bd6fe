"""The reading side of the stores, for audits: what is there, in which order, and what is in it.

Invariants:
- Keys come in the order of their bytes, whatever the store; one that lists otherwise is refused.
- Nothing is written. Each request is tried as often as the one retry policy says.
- What S3 answers stays below the transport's 64 KiB: listings come in small pages and objects in pieces.
"""

import errno
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zlib import error as ZlibError  # noqa: N812 - it is a class

from outbox.config.sections import NetworkOptions, UploadOptions
from outbox.errors import DataError, ObjectError, OutboxError, PermanentError, TransientError
from outbox.retry import Retry
from uploader.compression import decompress
from uploader.directory import PARTIAL, folder_of
from uploader.objectstore import key_parts

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from uploader.s3.store import S3Store

PIECE_BYTES = 60_000
PAGE_KEYS, FEWEST_KEYS = 80, 15  # 15 keys of 1,024 bytes fit, each of them escaped


class ObjectReader(ABC):
    """Reads one destination; keys are relative to it."""

    url: str

    @abstractmethod
    def list_objects(self, below: str = "") -> Iterator[tuple[str, int]]:
        """Yield key and size of each object whose key begins with `below`: nothing, a folder/, or a key.

        In the order of keys. PermanentError where the destination is not there, or may not be looked into.
        """

    @abstractmethod
    def read_object(self, key: str) -> bytes:
        """Return an object's bytes; ObjectError where there is none."""

    def read_lines(self, key: str, encoding: str) -> bytes:
        """Return the lines of an object; DataError where its bytes cannot be unpacked."""
        data = self.read_object(key)
        try:
            return decompress(data, encoding)
        except OverflowError as error:
            raise DataError(f"its {len(data):,} bytes are too many: {error}") from error
        except (zstd.ZstdError, OSError, EOFError, ZlibError) as error:
            raise DataError(f"its {len(data):,} bytes are no {encoding}: {error}") from error


def open_reader(
    upload: UploadOptions,
    network: NetworkOptions,
    *,
    folder: Path,
    retry: Retry,
    environ: Mapping[str, str] = os.environ,
) -> ObjectReader:
    """Return the reading side of the store that `[upload] to` names; nothing is contacted yet."""
    if upload.to.startswith("file:"):
        return DirectoryReader(upload.to)
    from uploader.s3.store import S3Store  # noqa: PLC0415 - boto3 costs a second and 30 MB

    return S3Reader(S3Store(upload, network, folder=folder, environ=environ), retry)


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


class S3Reader(ObjectReader):
    """Reads one bucket, below one prefix."""

    def __init__(self, store: "S3Store", retry: Retry) -> None:
        self.url = store.url
        self._store, self._retry = store, retry
        prefix = store.url.removeprefix("s3://").partition("/")[2]
        self._prefix = f"{prefix}/" if prefix else ""

    def list_objects(self, below: str = "") -> Iterator[tuple[str, int]]:
        """Yield the objects in the order of their keys; see ObjectReader.list_objects."""
        before, token = "", ""
        while True:
            page = self._page(below, token)
            for item in page.get("Contents", []):
                key = str(item["Key"]).removeprefix(self._prefix)
                if key <= before and key:
                    raise PermanentError(f"{self.url} lists {key} after {before}: it cannot be audited")
                if key:  # the prefix itself, as a console makes it, is no object
                    before = key
                    yield key, int(item["Size"])
            token = page.get("NextContinuationToken", "")
            if not page["IsTruncated"] or not token:
                return

    def _page(self, below: str, token: str) -> Mapping[str, Any]:
        more = {"ContinuationToken": token} if token else {}
        asked = {"Prefix": self._prefix + below, "MaxKeys": PAGE_KEYS, **more}
        try:
            page = self._store.read("list_objects_v2", **asked)
        except TransientError:  # most likely names so long that the page was cut off
            asked["MaxKeys"] = FEWEST_KEYS
            page = self._retry(lambda: self._store.read("list_objects_v2", **asked))
        if page is None or "IsTruncated" not in page:
            raise PermanentError(f"{self.url}: what answers there does not list objects as S3 does")
        return page

    def read_object(self, key: str) -> bytes:
        """Return an object's bytes, read piece by piece; see ObjectReader.read_object."""
        data = bytearray()
        while True:
            span = f"bytes={len(data)}-{len(data) + PIECE_BYTES - 1}"
            piece, total = self._retry(lambda span=span: self._piece(key, span))  # type: ignore[misc]
            data += piece
            if not piece or len(data) >= total:
                break
        if len(data) != total:
            raise TransientError(f"{self.url}: {key} has {total:,} bytes, but {len(data):,} came")
        return bytes(data)

    def _piece(self, key: str, span: str) -> tuple[bytes, int]:
        """Return a piece of an object and the length of the whole; nothing and 0 for an empty object."""
        answer = self._store.read("get_object", Key=self._prefix + key, Range=span)
        if answer is None:
            return b"", 0
        piece = answer["Body"].read()
        total = str(answer.get("ContentRange", "")).rpartition("/")[2]
        return piece, int(total) if total.isdecimal() else int(answer["ContentLength"])
