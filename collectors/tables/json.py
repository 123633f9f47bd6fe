"""Reads JSON as a table: an object is a row, and an array of objects is read element by element.

Invariants: what `exact_json` refuses becomes a row with a problem, or ends the document. The size of a
document is limited where it must be held in memory, and that of an element where the array is streamed.
"""

import codecs
import io
import json
import re
from collections.abc import Iterator
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError

from collectors.exact_json import ExactReader, Refused, TooDeepError, rows_of
from collectors.tables.unpack import read_at_most
from outbox.errors import PermanentError

MAX_DOCUMENT_BYTES = 16_000_000
MAX_ELEMENT_CHARS = 1_000_000
MAX_NAME_CHARS = 250
"""A nested key whose path would be longer gives no column: names would outgrow the data."""
_CHUNK_BYTES = 64 * 1024
_SPACE = re.compile(r"[ \t\r\n]*")
_TWO_WAYS = Refused("is ambiguous: it is a key of its own, and also the path of a nested key")
_KIND = {list: "a list", str: "a text", bool: "true or false", type(None): "null"}


def as_row(found: Any, problem: str = "") -> tuple[dict[str, Any] | None, str]:
    """Return an object with nested objects flattened to `outer.inner`, and "" or what is wrong with it."""
    if isinstance(found, Refused):
        found, problem = found.shown, found.problem
    if not isinstance(found, dict):
        return None, problem or f"is {_KIND.get(type(found), 'a number')}, not an object"
    return _spread(found), problem


def _spread(found: dict[str, Any]) -> dict[str, Any]:
    """Return the object with the keys of nested objects added; of two with the same name, neither counts."""
    if not any(isinstance(value, dict) for value in found.values()):
        return found
    spread = dict(found)
    level = list(found.items())
    while level:
        inner = [
            (f"{outer}.{name}", item)
            for outer, value in level
            if isinstance(value, dict)
            for name, item in value.items()
            if len(outer) + len(name) < MAX_NAME_CHARS
        ]
        for name, item in inner:
            spread[name] = _TWO_WAYS if name in spread else item
        level = inner
    return spread


def read_document(stream: io.BufferedReader, encoding: str, records: str) -> list[Any]:
    """Return the list that `records` finds in the whole document; PermanentError where there is none."""
    content = read_at_most(stream, MAX_DOCUMENT_BYTES)
    if len(content) > MAX_DOCUMENT_BYTES:
        raise PermanentError(
            f"is a JSON document of more than {MAX_DOCUMENT_BYTES:,} bytes",
            hint="export a plain list of objects, or one object per line (NDJSON): both may be of any size",
        )
    try:
        text = content.decode("utf-8-sig" if encoding == "utf-8" else encoding)
        document = ExactReader().read_document(text)
        found = jmespath.search(records, document)
        if isinstance(found, list):
            return rows_of(document, found)
    except (ValueError, RecursionError, JMESPathError) as error:
        raise PermanentError(f"is not a valid JSON document: {error}") from error
    raise PermanentError(f"has no list at {records}", hint="correct records in the section")


class ArrayElements:
    """The elements of a JSON array, or the single object of a document, decoded one at a time."""

    def __init__(self, stream: io.BufferedReader, encoding: str) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8-sig" if encoding == "utf-8" else encoding)()
        self._reader = ExactReader(floats=False)
        self._buffer = ""
        self._at = 0
        self._ended = False
        self._chunk_bytes = _CHUNK_BYTES

    def __iter__(self) -> Iterator[tuple[Any, int]]:
        """Yield each element and its length in characters; PermanentError where the JSON is invalid."""
        first = self._peek()
        if not first:
            return
        if first != "[":
            yield self._element()
            self._require_end()
            return
        self._at += 1
        if self._peek() == "]":
            self._at += 1
            self._require_end()
            return
        while True:
            yield self._element()
            sign = self._peek()
            self._at += 1
            if sign == "]":
                self._require_end()
                return
            if sign != ",":
                raise PermanentError(
                    f"is not valid JSON: {repr(sign) if sign else 'the end'} follows an element of its list"
                )

    def _element(self) -> tuple[Any, int]:
        self._peek()
        while True:
            try:
                found, end, problem = self._reader.read_at(self._buffer, self._at)
            except TooDeepError as error:
                raise PermanentError(f"has a row that {error}") from error
            except json.JSONDecodeError as error:
                if self._ended or self._too_long():
                    raise PermanentError(f"is not valid JSON: {error.msg}") from error
            else:
                # A number at the very end may continue in the next chunk.
                if self._ended or end < len(self._buffer):
                    size, self._at = end - self._at, end
                    return Refused(problem, found) if problem else found, size
            self._more()

    def _too_long(self) -> bool:
        return len(self._buffer) - self._at > MAX_ELEMENT_CHARS

    def _peek(self) -> str:
        """Return the next non-space character without consuming it; "" at the end."""
        while True:
            self._at = _SPACE.match(self._buffer, self._at).end()  # type: ignore[union-attr] # matches ""
            if self._at < len(self._buffer):
                self._chunk_bytes = _CHUNK_BYTES
                return self._buffer[self._at]
            if self._ended:
                return ""
            self._more()

    def _more(self) -> None:
        chunk = self._stream.read(self._chunk_bytes)
        self._chunk_bytes = min(2 * self._chunk_bytes, MAX_ELEMENT_CHARS)
        try:
            text = self._decoder.decode(chunk, final=not chunk)
        except UnicodeError as error:
            raise PermanentError(
                f"is not in the section's encoding: {error}", hint="correct encoding in the section"
            ) from error
        self._ended = not chunk
        self._buffer, self._at = self._buffer[self._at :] + text, 0

    def _require_end(self) -> None:
        if self._peek():
            raise PermanentError(
                "has more text after its JSON document",
                hint="if each line holds an object, set format = ndjson",
            )
