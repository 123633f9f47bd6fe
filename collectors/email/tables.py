"""Turns one message into records: whether the source claims it, and the tables in it."""

import codecs
import io
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from itertools import chain
from typing import Any, NamedTuple

from collectors.email.body import BodyTable, Judge, Judgement, RequiredColumns, text_tables
from collectors.email.html import html_tables
from collectors.email.message import (
    MAX_TEXT_CHARS,
    BadMessageError,
    CheckTime,
    MailPart,
    header,
    parse_headers,
    parse_parts,
    sender,
)
from collectors.email.options import EmailOptions
from collectors.email.verdict import is_signed_by, signed_domains
from collectors.mapping.columns import Columns
from collectors.tables.lines import Place, Row
from collectors.tables.table import Table, kind_of
from outbox.errors import PermanentError, shorten
from outbox.record import MAX_RAW_BYTES, Record, Rejected

MAX_ID_CHARS = 250
Rows = Iterator[Record | Rejected | None]
_SEVEN_BIT = frozenset(
    [
        "hz",
        "hz-gb-2312",
        "iso-2022-jp",
        "iso-2022-jp-1",
        "iso-2022-jp-2",
        "iso-2022-kr",
        "utf-7",
        "utf-16",
        "utf-16be",
        "utf-16le",
        "utf-32",
    ]
)
"""Charsets whose texts are also valid UTF-8, but with another meaning."""
_CLOSED = {
    "application/ms-tnef": "its attachments are inside a winmail.dat, which only Outlook can open",
    "application/pkcs7-mime": "it is encrypted or opaque-signed (S/MIME)",
    "application/x-pkcs7-mime": "it is encrypted or opaque-signed (S/MIME)",
    "application/pgp-encrypted": "it is encrypted (PGP)",
}


class Envelope(NamedTuple):
    """What the headers of a message say; `text` is all of them, up to the size that is kept."""

    sender: str
    subject: str
    message_id: str
    verdicts: list[str]
    text: str


def read_envelope(head: bytes) -> Envelope:
    """Return what the headers say; its fields are empty where they cannot be parsed."""
    text = head[:MAX_RAW_BYTES].decode("utf-8", "replace").replace("\0", "\ufffd")
    try:
        found = parse_headers(head)
    except BadMessageError:
        return Envelope("", "", "", [], text)
    return Envelope(
        sender(found),
        header(found, "Subject"),
        header(found, "Message-ID")[:MAX_ID_CHARS],
        [str(value) for value in found.get_all("Authentication-Results", [])],
        text,
    )


class Claim:
    """Decides which messages a section selects, and why one of them is not trusted."""

    def __init__(self, options: EmailOptions) -> None:
        self._senders = [pattern.lower() for pattern in options.senders]
        self._subjects = [pattern.lower() for pattern in options.subjects] or ["*"]
        self._server = options.authserv_id
        self._max_bytes = options.max_message

    def means(self, envelope: Envelope) -> bool:
        """Return whether the section accepts the sender and the subject."""
        subject = envelope.subject.lower()
        return any(fnmatchcase(envelope.sender, pattern) for pattern in self._senders) and any(
            fnmatchcase(subject, pattern) for pattern in self._subjects
        )

    def objection(self, envelope: Envelope, size: int) -> Rejected | None:
        """Return why a selected message is rejected; None where it may be read."""
        if self._server and not is_signed_by(
            envelope.sender, signed_domains(envelope.verdicts, self._server)
        ):
            domain = envelope.sender.rpartition("@")[2]
            # Without the message: a thousand forged ones become one rejected input with a count.
            return Rejected(f"{self._server} found no valid DKIM signature of the sender's domain", domain)
        if size > self._max_bytes:
            reason = f"the message has {size:,} bytes; max_message is {self._max_bytes:,}"
            return rejected(reason, envelope)
        return None


class Fetched(NamedTuple):
    """A complete message: its bytes, its headers, where it is and when the server received it."""

    data: bytes
    envelope: Envelope
    origin: dict[str, Any]
    received: datetime | None


class MessageTables:
    """Reads the tables in the messages of one source; `note` is told what is skipped."""

    def __init__(self, options: EmailOptions, mapping: Columns, note: Callable[[str], None]) -> None:
        self._options = options
        self._in_body = options.model_copy(update={"format": "csv", "header": 1})
        self._mapping = mapping
        self._note = note
        self._patterns = [pattern.lower() for pattern in options.attachments]
        needed = frozenset(name for name in mapping.needed if not name.startswith("@"))
        self._columns = RequiredColumns(needed, frozenset(mapping.entity), bool(options.wide))

    def __call__(self, message: Fetched, check_time: CheckTime) -> Rows | None:
        """Return what the rows of a message's tables become; None where it has no selected table.

        `check_time` is called for every row, and raises BadMessageError when reading takes too long.
        """
        try:
            parts = parse_parts(message.data, check_time)
            tables = [part for part in parts if self._is_named(part)]
            if len(tables) > self._options.max_attachments:
                raise BadMessageError(
                    f"it has {len(tables):,} attached tables; max_attachments is "
                    f"{self._options.max_attachments:,}"
                )
        except BadMessageError as error:
            return iter([rejected(str(error), message.envelope)])
        found: list[Rows] = [self._attachment(part, message, check_time) for part in tables]
        try:
            for number, table in enumerate(self._bodies(parts, message, check_time), 1):
                found.append(self._body(table, number, message, check_time))
        except BadMessageError as error:
            found.append(iter([rejected(f"the table in the message: {error}", message.envelope)]))
        closed = next(filter(None, map(_closed, parts)), "")
        if not found and closed:
            found.append(iter([rejected(closed, message.envelope)]))
        return chain.from_iterable(found) if found else None

    def _attachment(self, part: MailPart, message: Fetched, check_time: CheckTime) -> Rows:
        try:
            content = part.content()
            if not content:
                raise BadMessageError("is empty")
            options = self._options_for(part, content)
        except BadMessageError as error:
            reason = str(error)
            yield rejected(
                f"{part.name} {reason}" if reason.startswith("is ") else f"{part.name}: {reason}",
                message.envelope,
            )
            return
        table = Table(
            stream=io.BytesIO(content),
            name=part.name,
            options=options,
            mapping=self._mapping,
            origin={**message.origin, "file": part.name},
            extra=_extra(message, part.name),
            order=self._mapping.order(),
            note=lambda text: self._note(f"{part.name}: {text}"),
        )
        yield from _outcomes(table, part.name, message, check_time)

    def _options_for(self, part: MailPart, content: bytes) -> EmailOptions:
        """Return the options, with the part's charset as encoding where the section sets none."""
        options = self._options
        try:
            kind = kind_of(part.name, options)
        except PermanentError:
            return options  # the table reports this itself
        if "encoding" in options.model_fields_set or kind.packing or kind.format == "xlsx":
            return options
        if not part.charset or (_speaks_for_itself(content) and part.charset.lower() not in _SEVEN_BIT):
            return options
        try:
            codec = part.codec(content)
        except BadMessageError as error:
            raise BadMessageError(f"is not in utf-8, and {error}; set encoding in the section") from error
        return options.model_copy(update={"encoding": codec})

    def _body(self, table: BodyTable, number: int, message: Fetched, check_time: CheckTime) -> Rows:
        """Return the rows of a table in the message itself; later tables have a number in `origin`."""
        origin = message.origin if number == 1 else {**message.origin, "table": number}
        return _outcomes(self._rows(table.rows, message, origin, self._mapping), "", message, check_time)

    def _rows(self, rows: Sequence[Row], message: Fetched, origin: dict[str, Any], mapping: Columns) -> Table:
        return Table(
            stream=io.BytesIO(),
            name="body.csv",
            options=self._in_body,
            mapping=mapping,
            origin=origin,
            extra=_extra(message, ""),
            order=mapping.order(),
            rows=rows,
        )

    def _is_named(self, part: MailPart) -> bool:
        name = part.name.lower()
        return bool(name) and any(fnmatchcase(name, pattern) for pattern in self._patterns)

    def _bodies(self, parts: list[MailPart], message: Fetched, check_time: CheckTime) -> list[BodyTable]:
        """Return the tables in the message itself; quoted ones only where it has no other."""
        wanted = {"html": "text/html", "text": "text/plain"}.get(self._options.body)
        found: list[BodyTable] = []
        for part in parts:
            if part.kind != wanted or part.is_attachment:
                continue
            text = part.text()
            tables = (
                html_tables(text, self._columns, check_time)
                if self._options.body == "html"
                else text_tables(
                    text, self._columns, self._options.delimiter, self._judge(message), check_time
                )
            )
            found += [table._replace(quoted=table.quoted + part.nested) for table in tables]
        own = min((table.quoted for table in found if not table.is_passed), default=0)
        read = [table for table in found if not table.is_passed and table.quoted == own]
        self._note_unread(len(found) - len(read), sum(table.unread for table in read), message)
        return read

    def _note_unread(self, tables: int, lines: int, message: Fetched) -> None:
        which = message.envelope.message_id or f"of {message.envelope.sender}"
        if tables:
            what = (
                "1 table with these columns is"
                if tables == 1
                else f"{tables:,} tables with these columns are"
            )
            self._note(f"message {which}: {what} quoted or hidden, and not read")
        if lines:
            what = (
                "1 line after its table was not read: it does not look like a row"
                if lines == 1
                else f"{lines:,} lines after its tables were not read: they do not look like rows"
            )
            self._note(f"message {which}: {what}")

    def _judge(self, message: Fetched) -> Judge:
        """Return a judge: lines after an empty line are rows if one makes a record, not by coincidence."""
        is_timed = any(not name.startswith("@") for name in self._mapping.time)

        def judge(header: Sequence[str], lines: list[list[str]]) -> Judgement:
            rows = [Row(cells, number, Place(0, number)) for number, cells in enumerate([header, *lines], 1)]
            tried = self._rows(rows, message, {}, self._mapping.unwatched())
            try:
                found = [outcome.found for outcome in tried]
            except PermanentError:
                return "unclear"  # the table reports this itself
            records = [each for each in found if isinstance(each, Record)]
            if not records:
                return "text"
            are_numbers = any(
                not isinstance(value, str) for each in records for value in each.values.values()
            )
            return "rows" if is_timed or are_numbers else "unclear"

        return judge


def _extra(message: Fetched, name: str) -> dict[str, Any]:
    return {
        "@received": message.received,
        "@from": message.envelope.sender,
        "@subject": message.envelope.subject,
        "@file": name,
    }


def _outcomes(table: Table, name: str, message: Fetched, check_time: CheckTime) -> Rows:
    try:
        for outcome in table:
            check_time()
            yield outcome.found
    except (PermanentError, BadMessageError) as error:
        reason = error.message if isinstance(error, PermanentError) else str(error)
        yield rejected(f"{name or 'the table in the message'} {reason}", message.envelope)


def _speaks_for_itself(content: bytes) -> bool:
    """Return whether it is UTF-8, or has a UTF-16 byte-order mark."""
    try:
        content.decode()
    except UnicodeDecodeError:
        return content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return True


def _closed(part: MailPart) -> str:
    """Return why only the recipient's mail program can open a part; "" for any other part."""
    if part.name.lower() == "winmail.dat":
        return _CLOSED["application/ms-tnef"]
    return _CLOSED.get(part.kind, "")


def rejected(reason: str, envelope: Envelope) -> Rejected:
    """Return the rejection of a message or one of its tables, with the message's headers."""
    which = f"message {envelope.message_id}" if envelope.message_id else "a message without Message-ID"
    return Rejected(shorten(f"{reason} ({which}, {envelope.subject[:100]!r})", MAX_TEXT_CHARS), envelope.text)
