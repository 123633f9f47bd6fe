"""Decompresses and decodes a table while it is read: gzip, zstd, UTF-16. Memory does not grow with its size.

Invariant: the unpacked size is limited, in bytes and relative to the compressed size, while it is unpacked:
the size that a file claims for itself is never trusted.
"""

import codecs
import gzip
import io
import sys
import zlib
from collections.abc import Callable
from typing import IO, Any, cast

from outbox.errors import PermanentError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MAX_UNPACKED_BYTES = 4_000_000_000
MAX_RATIO = 200
FREE_BYTES = 16_000_000
"""What may be unpacked whatever the ratio: a short file of one repeated line is harmless."""
SUFFIXES = {".gz": "gzip", ".gzip": "gzip", ".zst": "zstd", ".zstd": "zstd"}
ARCHIVES = (".zip", ".7z", ".rar", ".tar", ".tgz", ".bz2", ".xz", ".cab")
WORKBOOKS = (".xls", ".xlsb", ".ods")
_OLE = b"\xd0\xcf\x11\xe0"
_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_CHUNK_BYTES = 256 * 1024
_BOMS = ((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def unpacked_name(name: str) -> str:
    """Return a file's name without the extension of its compression."""
    stem, dot, ending = name.rpartition(".")
    return stem if stem and SUFFIXES.get(dot + ending.lower()) else name


class _Source(io.RawIOBase):
    """A raw stream whose bytes come from one function, which returns b"" at the end."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._next = read
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        if not self._rest:
            self._rest = self._next(len(view))
        taken, self._rest = self._rest[: len(view)], self._rest[len(view) :]
        view[: len(taken)] = taken
        return len(taken)


class _Counted:
    """Counts the bytes read from a compressed stream, to which the unpacked size is compared."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.count = 0

    def read(self, size: int = -1) -> bytes:
        found = self._stream.read(size)
        self.count += len(found)
        return found

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False


def unpacked(stream: IO[bytes], packing: str) -> io.BufferedReader:
    """Return the stream unpacked ("": it is not packed); reading a bomb raises PermanentError."""
    if not packing:
        return io.BufferedReader(_Source(stream.read), _CHUNK_BYTES)
    counted = _Counted(stream)
    packed = cast("IO[bytes]", counted)
    opened = gzip.GzipFile(fileobj=packed, mode="rb") if packing == "gzip" else zstd.ZstdFile(packed)
    inner = cast("io.BufferedReader", opened)
    done = 0

    def read(size: int) -> bytes:
        nonlocal done
        try:
            found = inner.read1(size)  # what precedes the damage is read, too
        except (OSError, EOFError, zlib.error, zstd.ZstdError) as error:
            raise PermanentError(
                f"is not a complete {packing} file: {error or 'it ends too early'}",
                hint="have it exported or copied again",
            ) from error
        done += len(found)
        if done > MAX_UNPACKED_BYTES or done > FREE_BYTES + MAX_RATIO * counted.count:
            raise PermanentError(
                f"unpacks to more than {done:,} bytes from {counted.count:,}: it may be a decompression bomb"
            )
        return found

    return io.BufferedReader(_Source(read), _CHUNK_BYTES)


def read_at_most(stream: IO[bytes], max_bytes: int) -> bytes:
    """Return the rest of a stream, or `max_bytes` + 1 bytes of it; memory is taken as it is needed."""
    found = bytearray()
    while len(found) <= max_bytes and (chunk := stream.read(min(_CHUNK_BYTES, max_bytes + 1 - len(found)))):
        found += chunk
    return bytes(found)


def require_unpacked(stream: io.BufferedReader, packing: str) -> None:
    """Raise PermanentError for content that is packed although its name does not say so, or packed twice."""
    start = stream.peek(4)[:4]
    for magic, kind in _MAGIC.items():
        if start.startswith(magic):
            what = "is packed twice" if packing else f"is a {kind} file whose extension does not say so"
            raise PermanentError(
                what, hint="pack it once only, with gzip or zstd, and let its name end in .gz or .zst"
            )
    if start.startswith(_OLE):
        raise PermanentError("is an old workbook (.xls) by its content", hint="save it as .xlsx")
    if start.startswith(b"PK\x03\x04"):
        raise PermanentError(
            "is a ZIP archive or a workbook by its content",
            hint="unpack it if it is an archive, or rename it to .xlsx if it is a workbook",
        )


def as_text(stream: io.BufferedReader, encoding: str) -> tuple[io.BufferedReader, str, bool]:
    """Return the stream, the encoding of its lines, and whether its offsets are still those of the file.

    An encoding whose line ends take more than one byte is converted to UTF-8 on the way; a UTF-16 or UTF-32
    byte-order mark overrides the configuration. Reading what is not in the encoding raises PermanentError.
    """
    start = stream.peek(4)[:4]
    marked = next((name for mark, name in _BOMS if start.startswith(mark)), "")
    if not marked and is_ascii_compatible(encoding):
        return stream, encoding, True
    decoder = codecs.getincrementaldecoder(marked or encoding)()
    ended = False

    def read(size: int) -> bytes:
        nonlocal ended
        while not ended:
            chunk = stream.read1(max(size, 4))
            ended = not chunk
            try:
                text = decoder.decode(chunk, final=ended)
                found = text.encode()
            except UnicodeError as error:
                raise PermanentError(
                    f"is not in {marked or encoding}: {error}", hint="correct encoding in the section"
                ) from error
            if found:
                return found
        return b""

    return io.BufferedReader(_Source(read), _CHUNK_BYTES), "utf-8", False


def with_newlines(stream: io.BufferedReader) -> io.BufferedReader:
    """Return the stream with each carriage return replaced by a newline, so that offsets stay the same."""
    return io.BufferedReader(_Source(lambda size: stream.read1(size).replace(b"\r", b"\n")), _CHUNK_BYTES)


def is_ascii_compatible(encoding: str) -> bool:
    """Return whether the encoding writes line ends and delimiters as the same single bytes as ASCII."""
    plain = "\n\r\t\",;|' 09azAZ"
    try:
        return plain.encode(encoding) == plain.encode("ascii")
    except UnicodeError:
        return False
