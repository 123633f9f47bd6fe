"""From NDJSON to the bytes of an object. Snowflake detects all three encodings by itself.

The bytes of one encoding may differ between versions of a compressor, which is why a batch's digest is
that of its lines and never that of its object.
"""

import gzip
import sys

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_ZSTD_LEVEL = 1
_GZIP_LEVEL = 6


def compress(lines: bytes, encoding: str) -> bytes:
    """Return `lines` in the encoding of their batch: zstd, gzip or none."""
    if encoding == "zstd":
        return zstd.compress(lines, _ZSTD_LEVEL)
    return gzip.compress(lines, _GZIP_LEVEL, mtime=0) if encoding == "gzip" else lines


def decompress(data: bytes, encoding: str) -> bytes:
    """Return the lines of an object."""
    if encoding == "zstd":
        return zstd.decompress(data)
    return gzip.decompress(data) if encoding == "gzip" else data
