"""Where objects go, and where audits read them: what S3 and a local directory both keep.

Invariants (one contract suite runs on every store):
- `put` returns only when the store has confirmed exactly these bytes under this key, or has said that
  the key exists. The key holds the hash of the content, so "exists" means "stored before".
- An object is never overwritten with other bytes and never seen half-written.
- What it raises says what to do: TransientError (wait), ObjectError (this object), PermanentError (a person);
  OtherBytesError is the one to remember.
- A reader writes nothing and lists keys in the order of their bytes; a store that lists otherwise is
  refused.
"""

import re
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple, Protocol
from zlib import error as ZlibError  # noqa: N812 - it is a class

from outbox.errors import DataError, PermanentError
from uploader.compression import decompress

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MAX_KEY_BYTES = 1_024
_PART = re.compile(r"[^/\\:\x00-\x1f\x7f]+")


class OtherBytesError(PermanentError):
    """The store says that it keeps other bytes under this key than it was sent.

    Whoever puts the key again must not believe it when it says that the key exists.
    """


class Receipt(NamedTuple):
    """What the store said: its etag (None where it has none), and whether the key was there already."""

    etag: str | None
    existed: bool
    server_time: datetime | None = None
    """What the store's clock said as it answered; None where the store has no clock of its own."""


class ObjectStore(Protocol):
    """A place for objects. Methods may be called from several threads at once."""

    url: str
    """The destination as configured, without secrets: `s3://bucket/prefix` or `file:///path`."""

    def put(self, key: str, data: bytes) -> Receipt:
        """Store `data` under `key` (relative to the destination, parts separated by /) once and for all.

        Tries once; retrying is the caller's business. Raises TransientError, ObjectError, PermanentError
        or DiskFullError, each with a hint where a person can do something.
        """
        ...


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


def key_parts(key: str) -> list[str]:
    """Return the key's parts; ValueError for a key that could leave the destination: a bug, not a mishap."""
    parts = key.split("/")
    if len(key.encode()) > MAX_KEY_BYTES or not all(
        _PART.fullmatch(part) and part not in (".", "..") for part in parts
    ):
        raise ValueError(f"{key!r} is no object key")
    return parts
