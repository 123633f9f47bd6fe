"""Parses a message within limits: its sender, its attachments and the text of its body.

Invariants:
- What is wrong with a message is a BadMessageError with the reason; no other error leaves this module.
- Nothing is guessed from damage: a message cut off before its closing boundary, incomplete base64 and an
  unknown charset are reasons to reject it, never data.
- A name in a message is text to compare and display, never a path; no file is written here.
- Memory and time are limited whatever the message contains: MAX_LINES lines, MAX_PARTS parts nested MAX_DEPTH
  deep, MAX_HEADERS headers of MAX_HEADER_CHARS, messages nested MAX_NESTED deep, and a deadline.
"""

import codecs
import re
import unicodedata
from collections.abc import Callable, Iterator
from email import errors
from email.feedparser import BytesFeedParser
from email.header import decode_header
from email.message import Message
from email.policy import Compat32, Policy
from typing import Any, Literal, NamedTuple

MAX_LINES = 2_000_000
MAX_PARTS = 1_000
MAX_HEADERS = 10_000
MAX_HEADER_CHARS = 256 * 1024
MAX_CONTENT_HEADER_CHARS = 8 * 1024
MAX_DEPTH = 20
MAX_NESTED = 3
MAX_TEXT_CHARS = 1_000
_PIECE_BYTES = 64 * 1024
_ENCODINGS = ("", "7bit", "8bit", "binary", "base64", "quoted-printable")
_NO_CHARSETS = ("idna", "punycode", "raw_unicode_escape", "undefined", "unicode_escape")
"""Codecs that are not charsets of mail; one of them takes quadratic time."""
_C1 = re.compile(rb"[\x80-\x9f]")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_ADDRESS = re.compile(r'(?:[^<>]*<\s*)?([^@\s<>()",;:\\\[\]]{1,64}@[\w.-]{1,255})\s*>?', re.DOTALL)
_FAILURES = (errors.MessageError, ValueError, LookupError, TypeError, AttributeError, RecursionError)
"""What the library raises for malformed messages."""
CheckTime = Callable[[], None]
"""Called regularly; raises BadMessageError when a message has taken too long."""


class BadMessageError(Exception):
    """A message, or one part of it, cannot be read; the text is the reason."""


class MailPart(NamedTuple):
    """A part of a message that contains no further parts; `name` is "" where it has none.

    `nested` is the number of forwarded messages around it. `flow` is "flowed" where a space at the end of a
    line means that the next line continues it (RFC 3676), and "delsp" where that space is removed, too.
    """

    name: str
    kind: str
    charset: str
    is_attachment: bool
    content: Callable[[], bytes]
    nested: int = 0
    flow: Literal["", "flowed", "delsp"] = ""

    def text(self) -> str:
        """Return the content as text; BadMessageError when it is not in its declared charset."""
        content = self.content()
        codec = self.codec(content)
        try:
            text = content.decode(codec)
        except UnicodeError as error:
            raise BadMessageError(
                f"it is not in its declared charset {one_line(self.charset) or codec}"
            ) from error
        return _unfolded(text, delete=self.flow == "delsp") if self.flow else text

    def codec(self, content: bytes) -> str:
        """Return the name of the codec for the charset; BadMessageError for an unknown charset.

        ISO 8859-1 with control bytes in it is read as Windows' cp1252, as browsers do.
        """
        try:
            codec = codecs.lookup(self.charset or "utf-8").name
            if codec in _NO_CHARSETS:
                raise LookupError(codec)
            "1".encode(codec)
        except (LookupError, UnicodeError, ValueError) as error:
            raise BadMessageError(f"its charset {one_line(self.charset)[:60]} is unknown") from error
        if codec == "iso8859-1" and _C1.search(content):
            return "cp1252"
        return "utf-8" if codec == "ascii" else codec


def parse_headers(head: bytes) -> Message:
    """Return the headers of a message, however malformed; the caller limits their length."""
    return _fed(BytesFeedParser(policy=_Headers()), head, lambda: None)


def parse_parts(data: bytes, check_time: CheckTime) -> list[MailPart]:
    """Return every part of a message that contains no further parts, including those of nested messages."""
    if data.count(b"\n") + data.count(b"\r") - data.count(b"\r\n") > MAX_LINES:
        raise BadMessageError(f"the message has more than {MAX_LINES:,} lines")
    limited = _Headers(message_factory=_Count().message)
    message = _fed(BytesFeedParser(policy=limited), data, check_time)
    try:
        return list(_walked(message, check_time))
    except _FAILURES as error:
        raise BadMessageError(f"the message cannot be parsed ({type(error).__name__})") from error


def header(message: Message, name: str) -> str:
    """Return a header decoded, its first 1,000 characters; "" where there is none."""
    value = message.get(name)
    return "" if value is None else readable(value)


def sender(message: Message) -> str:
    """Return the address of From in lower case; "" where there is none, or more than one."""
    values = message.get_all("From", [])
    if len(values) != 1:
        return ""
    unfolded = " ".join(_unescaped(values[0])[:MAX_TEXT_CHARS].split())
    match = _ADDRESS.fullmatch(_QUOTED.sub("", unfolded).strip())
    return match[1].lower() if match else ""


def readable(value: str) -> str:
    """Return a header's value decoded, on one line, without control and directional characters."""
    text = _unescaped(value[: 4 * MAX_TEXT_CHARS])
    try:
        pieces = decode_header(text)
    except _FAILURES:
        pieces = [(text, None)]
    return one_line("".join(_decoded(piece, charset) for piece, charset in pieces))


def one_line(text: str) -> str:
    """Return the first 1,000 characters of a text on one line, without invisible characters."""
    line = " ".join(text[: 4 * MAX_TEXT_CHARS].split())
    return "".join(char for char in line if unicodedata.category(char)[0] != "C")[:MAX_TEXT_CHARS]


class _Headers(Compat32):
    """Returns headers as they were sent, non-ASCII bytes as surrogates: this module decodes them itself."""

    def header_fetch_parse(self, name: str, value: str) -> str:  # noqa: ARG002
        """Return the value as it is."""
        return value


class _Count:
    """Counts the parts and headers of one message against their limits."""

    def __init__(self) -> None:
        self.parts = 0
        self.headers = 0

    def message(self, policy: "Policy[Message]") -> Message:
        """Return a new part; BadMessageError when there are too many."""
        self.parts += 1
        if self.parts > MAX_PARTS:
            raise BadMessageError(f"the message has more than {MAX_PARTS:,} parts")
        return _CountedMessage(self, policy)


class _CountedMessage(Message):
    def __init__(self, count: _Count, policy: "Policy[Message]") -> None:
        super().__init__(policy)
        self._count = count
        self.depth = 0

    def attach(self, payload: Any) -> None:
        """Add a part, unless it is nested too deep: every level inspects every line again."""
        payload.depth = self.depth + 1
        if payload.depth > MAX_DEPTH:
            raise BadMessageError(f"the message has parts nested more than {MAX_DEPTH} deep")
        super().attach(payload)

    def set_raw(self, name: str, value: str) -> None:
        """Add a header, unless there are too many or it is too long."""
        self._count.headers += 1
        if self._count.headers > MAX_HEADERS:
            raise BadMessageError(f"the message has more than {MAX_HEADERS:,} headers")
        limit = MAX_CONTENT_HEADER_CHARS if name.lower().startswith("content-") else MAX_HEADER_CHARS
        if len(value) > limit:
            raise BadMessageError(f"the header {one_line(name)[:60]} has more than {limit:,} characters")
        super().set_raw(name, value)


def _fed(parser: BytesFeedParser, data: bytes, check_time: CheckTime) -> Message:
    try:
        for start in range(0, len(data), _PIECE_BYTES):
            check_time()
            parser.feed(data[start : start + _PIECE_BYTES])
        return parser.close()
    except _FAILURES as error:
        raise BadMessageError(f"the message cannot be parsed ({type(error).__name__})") from error


def _walked(message: Message, check_time: CheckTime) -> Iterator[MailPart]:
    """Yield every leaf in the order of the message; with a stack, as recursion might go too deep."""
    stack = [(message, 0)]
    while stack:
        check_time()
        part, nested = stack.pop()
        _require_whole(part)
        inside = part.get_payload()
        if isinstance(inside, list) and part.get_content_maintype() in ("multipart", "message"):
            if part.get_content_type() == "message/rfc822":
                nested += 1
                if _encoding(part) in ("base64", "quoted-printable"):
                    raise BadMessageError("a forwarded message in it is encoded, which RFC 2046 forbids")
            if nested > MAX_NESTED:
                raise BadMessageError(f"the message has messages nested more than {MAX_NESTED} deep")
            stack += [(each, nested) for each in reversed(inside) if isinstance(each, Message)]
        else:
            yield _leaf(part, nested)


def _require_whole(part: Message) -> None:
    for defect in part.defects:
        match defect:
            case errors.CloseBoundaryNotFoundDefect():
                raise BadMessageError("the message ends before its closing boundary: it was truncated")
            case errors.StartBoundaryNotFoundDefect() | errors.NoBoundaryInMultipartDefect():
                raise BadMessageError("the message declares several parts, but their boundary is missing")


def _leaf(part: Message, nested: int) -> MailPart:
    name = readable(part.get_filename() or "")
    return MailPart(
        # The last component of a path is what the sender saw; it is compared and shown, and never opened.
        name=re.split(r"[/\\]", name)[-1].strip(),
        kind=part.get_content_type(),
        charset=one_line(str(part.get_content_charset() or "")),
        is_attachment=bool(name) or part.get_content_disposition() == "attachment",
        content=lambda: _content(part),
        nested=nested,
        flow=_flow(part),
    )


def _flow(part: Message) -> Literal["", "flowed", "delsp"]:
    if part.get_content_type() != "text/plain" or _parameter(part, "format") != "flowed":
        return ""
    return "delsp" if _parameter(part, "delsp") == "yes" else "flowed"


def _parameter(part: Message, name: str) -> str:
    return str(part.get_param(name, "")).strip().lower()


def _unfolded(text: str, *, delete: bool) -> str:
    """Join the lines of a flowed text: a space at the end continues a line of the same quote depth."""
    lines: list[str] = []
    flows, depth = False, 0
    for line in text.splitlines():
        rest = line.lstrip(">")
        quoted = len(line) - len(rest)
        rest = rest.removeprefix(" ")
        is_signature = rest == "-- "
        if flows and quoted == depth and not is_signature:
            lines[-1] += rest
        else:
            lines.append(f"{'>' * quoted} {rest}" if quoted else rest)
        flows, depth = rest.endswith(" ") and not is_signature, quoted
        if flows and delete:
            lines[-1] = lines[-1][:-1]
    return "\n".join(lines)


def _content(part: Message) -> bytes:
    encoding = _encoding(part)
    if encoding not in _ENCODINGS:
        raise BadMessageError(f"its transfer encoding {one_line(encoding)[:60]} is not supported")
    known = len(part.defects)
    try:
        content = part.get_payload(decode=True)
    except _FAILURES as error:
        raise BadMessageError(f"it cannot be decoded ({type(error).__name__})") from error
    if len(part.defects) > known:
        raise BadMessageError(f"its {encoding} encoding is damaged")
    if not isinstance(content, bytes):
        raise BadMessageError("it has no content of its own")
    return content


def _encoding(part: Message) -> str:
    return str(part.get("Content-Transfer-Encoding", "")).strip().lower()


def _unescaped(value: str) -> str:
    """Decode non-ASCII bytes as UTF-8 (RFC 6532), or else as Windows-1252."""
    try:
        data = value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return value.encode("utf-8", "replace").decode()
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def _decoded(piece: str | bytes, charset: str | None) -> str:
    if isinstance(piece, str):
        return piece
    try:
        return piece.decode(charset or "latin-1", "replace")
    except (LookupError, ValueError):
        return piece.decode("latin-1")
