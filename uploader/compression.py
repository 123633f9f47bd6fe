"""From NDJSON to the bytes of an object. Snowflake detects all three encodings by itself.

The bytes of one encoding may differ between versions of a compressor, which is why a batch's digest is
that of its lines and never that of its object.
"""

import gzip
import sys
import zlib

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MAX_LINES_BYTES = 1024 * 1024 * 1024
"""What an object unpacks to at most: whoever may put one shall not fill the memory of who reads it."""

_ZSTD_LEVEL = 1
_GZIP_LEVEL = 6
_GZIP_WINDOW = 16 + zlib.MAX_WBITS


def compress(lines: bytes, encoding: str) -> bytes:
    """Return `lines` in the encoding of their batch: zstd, gzip or none."""
    if encoding == "zstd":
        return zstd.compress(lines, _ZSTD_LEVEL)
    return gzip.compress(lines, _GZIP_LEVEL, mtime=0) if encoding == "gzip" else lines


def decompress(data: bytes, encoding: str) -> bytes:
    """Return the lines of an object; OverflowError where they are more than any batch has."""
    if encoding not in ("zstd", "gzip"):
        return data
    parts, left = [], MAX_LINES_BYTES
    while True:
        unpacker = zstd.ZstdDecompressor() if encoding == "zstd" else zlib.decompressobj(_GZIP_WINDOW)
        part = unpacker.decompress(data, left + 1)
        if len(part) > left:
            raise OverflowError(f"they unpack to more than {MAX_LINES_BYTES:,} bytes")
        if not unpacker.eof:
            raise EOFError("they end before their end was reached")
        parts.append(part)
        left, data = left - len(part), unpacker.unused_data
        if not data:
            return b"".join(parts)
