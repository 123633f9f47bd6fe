"""Where objects go: the protocol that S3 and a local directory both keep.

Invariants (one contract suite runs on every store):
- `put` returns only when the store has confirmed exactly these bytes under this key, or has said that
  the key exists. The key holds the hash of the content, so "exists" means "stored before".
- An object is never overwritten with other bytes and never seen half-written.
- What it raises says what to do: TransientError (wait), ObjectError (this object), PermanentError (a person);
  OtherBytesError is the one to remember.
"""

import re
from datetime import datetime
from typing import NamedTuple, Protocol

from outbox.errors import PermanentError

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


def key_parts(key: str) -> list[str]:
    """Return the key's parts; ValueError for a key that could leave the destination: a bug, not a mishap."""
    parts = key.split("/")
    if len(key.encode()) > MAX_KEY_BYTES or not all(
        _PART.fullmatch(part) and part not in (".", "..") for part in parts
    ):
        raise ValueError(f"{key!r} is no object key")
    return parts
