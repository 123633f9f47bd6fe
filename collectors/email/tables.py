"""From one message to its records: which messages are meant, and the tables in them."""

import io
from collections.abc import Iterator
from datetime import datetime
from fnmatch import fnmatchcase
from itertools import chain
from typing import Any, NamedTuple

from collectors.email.body import html_table, text_table
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
from collectors.mapping.columns import Mapping
from collectors.tables.table import Table
from outbox.errors import PermanentError, shorten
from outbox.record import MAX_RAW_BYTES, Record, Rejected

MAX_ID_CHARS = 250
Rows = Iterator[Record | Rejected | None]
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
    """Reads the tables of the messages of one source."""

    def __init__(self, options: EmailOptions, mapping: Mapping) -> None:
        self._options = options
        self._as_csv = options.model_copy(
            update={"format": "csv", "encoding": "utf-8", "header": 1, "quote": '"', "delimiter": ","}
        )
        self._mapping = mapping
        self._patterns = [pattern.lower() for pattern in options.attachments]
        self._needed = {name for name in mapping.needed if not name.startswith("@")}

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
            body = self._body(parts, check_time)
            if body is not None:
                found.append(self._rows(body.encode(), "", self._as_csv, message, check_time))
        except BadMessageError as error:
            found.append(iter([rejected(f"the table in the message: {error}", message.envelope)]))
        closed = next(filter(None, map(_closed, parts)), "")
        if not found and closed:
            found.append(iter([rejected(closed, message.envelope)]))
        return chain.from_iterable(found) if found else None

    def _attachment(self, part: Part, message: Fetched, check_time: CheckTime) -> Rows:
        try:
            content = part.content()
        except BadMessageError as error:
            yield rejected(f"{part.name}: {error}", message.envelope)
            return
        if content:
            yield from self._rows(content, part.name, self._options, message, check_time)
        else:
            yield rejected(f"{part.name} is empty", message.envelope)

    def _rows(
        self, content: bytes, name: str, options: EmailOptions, message: Fetched, check_time: CheckTime
    ) -> Rows:
        """A table's rows; the one in the body has no name."""
        envelope = message.envelope
        columns = {"@received": message.received, "@from": envelope.sender, "@subject": envelope.subject}
        table = Table(
            stream=io.BytesIO(content),
            name=name or "body.csv",
            options=options,
            mapping=self._mapping,
            origin={**message.origin, "file": name} if name else message.origin,
            extra={**columns, "@file": name},
            order=self._mapping.order(),
        )
        try:
            for outcome in table:
                check_time()
                yield outcome.found
        except (PermanentError, BadMessageError) as error:
            reason = error.message if isinstance(error, PermanentError) else str(error)
            yield rejected(f"{name or 'the table in the message'} {reason}", envelope)

    def _is_named(self, part: Part) -> bool:
        name = part.name.lower()
        return bool(name) and any(fnmatchcase(name, pattern) for pattern in self._patterns)

    def _body(self, parts: list[Part], check_time: CheckTime) -> str | None:
        """The table in the message itself, as CSV; None where there is none."""
        wanted = {"html": "text/html", "text": "text/plain"}.get(self._options.body)
        for part in parts:
            if part.kind == wanted and not part.is_attachment:
                text = part.text()
                found = (
                    html_table(text, self._needed, check_time)
                    if self._options.body == "html"
                    else text_table(text, self._needed, self._options.delimiter)
                )
                if found is not None:
                    return found
        return None


def _closed(part: Part) -> str:
    """Why nobody but the recipient's own mail program can look into a part; empty for any other part."""
    if part.name.lower() == "winmail.dat":
        return _CLOSED["application/ms-tnef"]
    return _CLOSED.get(part.kind, "")


def rejected(reason: str, envelope: Envelope) -> Rejected:
    """Return a message, or a table of it, as rejected: which one it is, and its headers."""
    which = f"message {envelope.message_id}" if envelope.message_id else "a message without Message-ID"
    return Rejected(shorten(f"{reason} ({which}, {envelope.subject[:100]!r})", MAX_TEXT_CHARS), envelope.text)
