"""The reading side of S3, for audits: what is there, in which order, and what is in it.

Invariant: what S3 answers stays below the transport's 64 KiB. Listings come in small pages, objects in
pieces, and each request is tried as often as the one retry policy says.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from outbox.errors import PermanentError, TransientError
from outbox.retry import Retry
from uploader.objectstore import ObjectReader
from uploader.s3.store import S3Store

PIECE_BYTES = 60_000
PAGE_KEYS, FEWEST_KEYS = 80, 15  # 15 keys of 1,024 bytes fit, each of them escaped


class S3Reader(ObjectReader):
    """Reads one bucket, below one prefix."""

    def __init__(self, store: S3Store, retry: Retry) -> None:
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
