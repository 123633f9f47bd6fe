"""From one message to its records: which messages are meant, and the tables in them."""

import codecs
import io
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from itertools import chain
from typing import Any, NamedTuple

from collectors.email.body import Found, Judge, Judgement, RequiredColumns, text_tables
from collectors.email.html import html_tables
from collectors.email.message import (
    MAX_TEXT_CHARS,
    BadMessageError,
    CheckTime,
    Part,
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
"""Charsets whose texts are valid UTF-8 that says something else."""
_CLOSED = {
    "application/ms-tnef": "its attachments are in a winmail.dat, which only Outlook opens",
    "application/pkcs7-mime": "it is encrypted or wrapped (S/MIME)",
    "application/x-pkcs7-mime": "it is encrypted or wrapped (S/MIME)",
    "application/pgp-encrypted": "it is encrypted (PGP)",
}


class Envelope(NamedTuple):
    """What the headers say: `text` is all of them, as far as they are kept."""

    sender: str
    subject: str
    message_id: str
    verdicts: list[str]
    text: str


def read_envelope(head: bytes) -> Envelope:
    """Return what the headers say; those of a message that nobody should have sent say nothing."""
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
    """Decides which messages a section means, and why one of them is not to be believed."""

    def __init__(self, options: EmailOptions) -> None:
        self._senders = [pattern.lower() for pattern in options.senders]
        self._subjects = [pattern.lower() for pattern in options.subjects] or ["*"]
        self._server = options.authserv_id
        self._max_bytes = options.max_message

    def means(self, envelope: Envelope) -> bool:
        """Return whether sender and subject are among those that the section names."""
        subject = envelope.subject.lower()
        return any(fnmatchcase(envelope.sender, pattern) for pattern in self._senders) and any(
            fnmatchcase(subject, pattern) for pattern in self._subjects
        )

    def objection(self, envelope: Envelope, size: int) -> Rejected | None:
        """Return why a message that is meant is not read; None where nothing speaks against it."""
        if self._server and not is_signed_by(
            envelope.sender, signed_domains(envelope.verdicts, self._server)
        ):
            domain = envelope.sender.rpartition("@")[2]
            # Without the message: a thousand forged ones are one line that counts them.
            return Rejected(f"{self._server} found no valid DKIM signature of the sender's domain", domain)
        if size > self._max_bytes:
            reason = f"the message has {size:,} bytes; max_message is {self._max_bytes:,}"
            return rejected(reason, envelope)
        return None


class Fetched(NamedTuple):
    """A message whole: its bytes, what its headers say, where it is and when the server received it."""

    data: bytes
    envelope: Envelope
    origin: dict[str, Any]
    received: datetime | None


class MessageTables:
    """Reads the tables of the messages of one source; `note` takes a sentence on what is passed over."""

    def __init__(self, options: EmailOptions, mapping: Columns, note: Callable[[str], None]) -> None:
        self._options = options
        self._in_body = options.model_copy(update={"format": "csv", "header": 1})
        self._mapping = mapping
        self._note = note
        self._patterns = [pattern.lower() for pattern in options.attachments]
        needed = frozenset(name for name in mapping.needed if not name.startswith("@"))
        self._columns = RequiredColumns(needed, frozenset(mapping.entity), bool(options.wide))

    def __call__(self, message: Fetched, check_time: CheckTime) -> Rows | None:
        """Return what the rows of a message's tables become; None where it has none that is meant.

        `check_time` is called at every row, and raises BadMessageError when it has taken too long.
        """
        try:
            parts = parse_parts(message.data, check_time)
            tables = [part for part in parts if self._is_named(part)]
            if len(tables) > self._options.max_attachments:
                raise BadMessageError(
                    f"it has {len(tables):,} tables; max_attachments is {self._options.max_attachments:,}"
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

    def _attachment(self, part: Part, message: Fetched, check_time: CheckTime) -> Rows:
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

    def _options_for(self, part: Part, content: bytes) -> EmailOptions:
        """The options with the encoding that the part names, where the section names none and it counts."""
        options = self._options
        try:
            kind = kind_of(part.name, options)
        except PermanentError:
            return options  # as the table itself will say
        if "encoding" in options.model_fields_set or kind.packing or kind.format == "xlsx":
            return options
        if not part.charset or (_speaks_for_itself(content) and part.charset.lower() not in _SEVEN_BIT):
            return options
        try:
            codec = part.codec(content)
        except BadMessageError as error:
            raise BadMessageError(f"is not in utf-8, and {error}; set the section's encoding") from error
        return options.model_copy(update={"encoding": codec})

    def _body(self, table: Found, number: int, message: Fetched, check_time: CheckTime) -> Rows:
        """The rows of a table in the message itself: the first one has no name, the others a number."""
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

    def _is_named(self, part: Part) -> bool:
        name = part.name.lower()
        return bool(name) and any(fnmatchcase(name, pattern) for pattern in self._patterns)

    def _bodies(self, parts: list[Part], message: Fetched, check_time: CheckTime) -> list[Found]:
        """The tables in the message itself that are its own; quoted ones only where it has no other."""
        wanted = {"html": "text/html", "text": "text/plain"}.get(self._options.body)
        found: list[Found] = []
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
                "1 line behind its table is not a row of it"
                if lines == 1
                else (f"{lines:,} lines behind its tables are not rows of them")
            )
            self._note(f"message {which}: {what}, and not read")

    def _judge(self, message: Fetched) -> Judge:
        """Lines behind an empty one are rows where one is a record that no text is by chance."""
        is_timed = any(not name.startswith("@") for name in self._mapping.time)

        def judge(header: Sequence[str], lines: list[list[str]]) -> Judgement:
            rows = [Row(cells, number, Place(0, number)) for number, cells in enumerate([header, *lines], 1)]
            tried = self._rows(rows, message, {}, self._mapping.unwatched())
            try:
                found = [outcome.found for outcome in tried]
            except PermanentError:
                return "unclear"  # as the table itself will say
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
    """Whether it is UTF-8, or says by a mark what it is."""
    try:
        content.decode()
    except UnicodeDecodeError:
        return content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return True


def _closed(part: Part) -> str:
    """Why nobody but the recipient's own mail program can look into a part; empty for any other part."""
    if part.name.lower() == "winmail.dat":
        return _CLOSED["application/ms-tnef"]
    return _CLOSED.get(part.kind, "")


def rejected(reason: str, envelope: Envelope) -> Rejected:
    """Return a message, or a table of it, as rejected: which one it is, and its headers."""
    which = f"message {envelope.message_id}" if envelope.message_id else "a message without Message-ID"
    return Rejected(shorten(f"{reason} ({which}, {envelope.subject[:100]!r})", MAX_TEXT_CHARS), envelope.text)
