"""A mailbox on an IMAP server, only ever looked at; the one file that knows imap-tools.

Invariants:
- Nothing changes on the server: folders are opened read-only (EXAMINE) and messages peeked at, so that
  none is marked as read, moved or deleted.
- The server's certificate is verified; without TLS only this machine itself is spoken to.
- A size is known before a message is fetched, and no more than that is asked for.
- What the server says is data: its errors are quoted without the secret, and mean TransientError, or
  PermanentError where waiting cannot help; a login that it refuses is a LoginRefusedError.
"""

import base64
import imaplib
import re
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from imap_tools import AND, BaseMailBox, ImapToolsError, MailBox, MailBoxUnencrypted, U
from imap_tools.errors import MailboxFolderSelectError, UnexpectedCommandStatusError

from collectors.email.options import EmailOptions
from collectors.http.client import said
from outbox.config.sections import NetworkOptions
from outbox.errors import LoginRefusedError, OutboxError, PermanentError, TransientError
from outbox.machine.network import trusted
from outbox.redaction import NOT_SHOWN, Secrets

MAX_HEAD_BYTES = 64 * 1024
SUMMARIES_AT_ONCE = 50
_HEAD = f"(UID RFC822.SIZE INTERNALDATE BODY.PEEK[HEADER]<0.{MAX_HEAD_BYTES}>)"
_UID = re.compile(rb"\bUID (\d+)")
_SIZE = re.compile(rb"\bRFC822\.SIZE (\d+)")
_RECEIVED = re.compile(rb'\bINTERNALDATE "([^"]{1,40})"')
_BUSY = re.compile(r"\[(UNAVAILABLE|INUSE|LIMIT|SERVERBUG)\]", re.IGNORECASE)
_TLS_HINT = (
    "a proxy that inspects TLS, or the server's own authority? Put the certificate into the machine's store, "
    "or name a PEM file: [network] ca_bundle"
)


class UnreadableError(Exception):
    """One message that the server does not hand over; its text is the reason."""


class Summary(NamedTuple):
    """What is known of a message before it is fetched; `received` is the server's own time, or None."""

    uid: int
    size: int
    received: datetime | None
    head: bytes


class Server:
    """An open connection, logged in."""

    def __init__(self, box: BaseMailBox, where: str, secrets: Secrets) -> None:
        self._box = box
        self._secrets = secrets
        self._where = where

    def open_folder(self, name: str) -> int:
        """Open a folder for reading only; returns its UIDVALIDITY, which tells it from its predecessors."""
        with _translated(self._where):
            try:
                self._box.folder.set(name, readonly=True)
            except MailboxFolderSelectError as error:
                raise PermanentError(
                    f"{self._where}: the folder {name} cannot be opened{_words(error)}",
                    hint="folders below others are named with the server's own separator: INBOX/Orders, or "
                    "INBOX.Orders",
                ) from error
            _, answer = self._box.client.response("UIDVALIDITY")
            if not answer or not isinstance(answer[0], bytes) or not answer[0].isdigit():
                raise PermanentError(f"{self._where}: the folder {name} has no lasting numbers (UIDVALIDITY)")
            return int(answer[0])

    def uids(self, *, after: int, since: date | None = None, until: date | None = None) -> list[int]:
        """Return the UIDs above `after`, rising, of messages received on the days from `since` to `until`."""
        with _translated(self._where):
            wanted = AND(uid=U(str(after + 1), "*"), date_gte=since, date_lt=until)
            found = self._box.uids(wanted, charset=None)
        # The last message is found even where its UID is below the range.
        return sorted({int(uid) for uid in found if uid.isdigit() and int(uid) > after})

    def summaries(self, uids: Sequence[int]) -> Iterator[Summary]:
        """Yield what is known of these messages, in this order; those that are gone are left out."""
        for start in range(0, len(uids), SUMMARIES_AT_ONCE):
            wanted = uids[start : start + SUMMARIES_AT_ONCE]
            with _translated(self._where):
                status, answer = self._box.client.uid("FETCH", ",".join(map(str, wanted)), _HEAD)
                _require(status, answer, self._where)
                found = {summary.uid: summary for summary in map(_summary, _items(answer)) if summary}
            yield from (found[uid] for uid in wanted if uid in found)

    def message(self, uid: int, max_bytes: int) -> bytes | None:
        """Return a message, cut off behind so many bytes; None when it is gone.

        UnreadableError when the server is there and yet does not hand it over.
        """
        with _translated(self._where):
            status, answer = self._box.client.uid("FETCH", str(uid), f"(UID BODY.PEEK[]<0.{max_bytes}>)")
            if status != "OK" and not _BUSY.search(_quoted(answer)):
                words = _quoted(answer)  # they become the reason of a rejected message
                shown = f": {NOT_SHOWN}" if self._secrets.are_in(words) else words
                raise UnreadableError(f"the server does not hand it over{shown}")
            _require(status, answer, self._where)
            for text, content in _items(answer):
                found = _UID.search(text)
                if found and int(found[1]) == uid and content is not None:
                    return content
        return None


@contextmanager
def logged_in(options: EmailOptions, network: NetworkOptions, secret: str) -> Iterator[Server]:
    """Yield the server of a section; `secret` is the password or the access token."""
    where = f"{options.host}:{options.number_of_port}"
    secrets = Secrets([secret, _login_blob(options.user, secret)])
    with _translated(where):
        box = _connected(options, network)
    try:
        box.client.sock.settimeout(network.timeout)
        with _translated(where):
            _log_in(box, options, secret)
        yield Server(box, where, secrets)
    except OutboxError as error:  # of any answer: a server may quote the login after it, too
        secrets.hide(error)
        raise
    finally:
        try:
            box.logout()
        except (imaplib.IMAP4.error, ImapToolsError, OSError, ValueError):
            with suppress(OSError, ValueError):
                box.client.shutdown()


class _StartTls(MailBoxUnencrypted):
    """Begins in the clear, and says nothing before TLS is there."""

    def __init__(self, host: str, port: int, timeout: float, trust: ssl.SSLContext) -> None:
        self._trust = trust
        super().__init__(host, port, timeout)

    def _get_mailbox_client(self) -> imaplib.IMAP4:
        client = super()._get_mailbox_client()
        try:
            if "STARTTLS" not in client.capabilities:
                raise PermanentError(
                    f"{self._host}:{self._port} offers no STARTTLS, and no password is sent without",
                    hint="security = tls, for a port of its own; or somebody on the way takes the offer out",
                )
            client.starttls(self._trust)
        except BaseException:
            with suppress(OSError):
                client.shutdown()
            raise
        return client


def _connected(options: EmailOptions, network: NetworkOptions) -> BaseMailBox:
    host, port, timeout = options.host, options.number_of_port, network.connect_timeout
    if options.security == "none":
        return MailBoxUnencrypted(host, port, timeout)
    trust = trusted(network.ca_bundle)
    if options.security == "starttls":
        return _StartTls(host, port, timeout, trust)
    return MailBox(host, port, timeout, ssl_context=trust)


def _login_blob(user: str, secret: str) -> str:
    """Return the blob of SASL PLAIN, which a server may quote even where the password is short."""
    return base64.b64encode(f"\0{user}\0{secret}".encode()).decode()


def _log_in(box: BaseMailBox, options: EmailOptions, secret: str) -> None:
    """A refusal is told from a server that is merely busy by the code that it gives (RFC 5530)."""
    if not secret.isprintable():
        raise PermanentError("the secret holds a sign that no password or token has, perhaps a line break")
    try:
        if options.auth != "password":
            box.xoauth2(options.user, secret, initial_folder=None)
        elif "AUTH=PLAIN" in box.client.capabilities:
            box.login_utf8(options.user, secret, initial_folder=None)
        elif "LOGINDISABLED" in box.client.capabilities or not (options.user + secret).isascii():
            raise PermanentError(f"{options.host} offers no login with a password that could be used here")
        else:
            box.login(options.user, secret, initial_folder=None)
    except imaplib.IMAP4.abort:
        raise
    except (imaplib.IMAP4.error, UnexpectedCommandStatusError) as error:
        words = _words(error)
        if _BUSY.search(words):
            raise TransientError(f"{options.host} cannot let anyone in now{words}") from error
        raise LoginRefusedError(
            f"{options.host} refuses the login of {options.user}{words}",
            hint="look at user and secret; many servers want IMAP to be allowed for a mailbox first",
        ) from error


@contextmanager
def _translated(where: str) -> Iterator[None]:
    """Say what the library's errors mean here."""
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        raise PermanentError(
            f"{where}: its certificate is not trusted{said(str(error).encode())}", hint=_TLS_HINT
        ) from error
    except ssl.SSLError as error:
        raise TransientError(
            f"{where}: no TLS could be agreed on{said(str(error).encode())}",
            hint="security = tls is for port 993, starttls for port 143",
        ) from error
    except (imaplib.IMAP4.abort, OSError) as error:
        raise TransientError(f"{where} cannot be read{said(str(error).encode())}") from error
    except UnexpectedCommandStatusError as error:
        raise TransientError(f"{where} does not answer what it was asked{_words(error)}") from error
    except (imaplib.IMAP4.error, ImapToolsError, ValueError, LookupError, AttributeError) as error:
        raise TransientError(
            f"{where} speaks no IMAP that is understood here{said(str(error).encode())}"
        ) from error


def _require(status: str, answer: Sequence[object], where: str) -> None:
    if status != "OK":
        raise TransientError(f"{where} does not answer what it was asked{_quoted(answer)}")


def _words(error: Exception) -> str:
    if isinstance(error, UnexpectedCommandStatusError):
        return _quoted(error.command_result[1])
    return said(str(error).encode())


def _quoted(answer: object) -> str:
    texts = answer if isinstance(answer, list) else []
    return said(b" ".join(text for text in texts if isinstance(text, bytes)))


def _items(answer: Sequence[object]) -> Iterator[tuple[bytes, bytes | None]]:
    """The text about each message, and its content: the library hands out lines and (line, literal) pairs."""
    text, content = b"", None
    for piece in answer:
        line = piece[0] if isinstance(piece, tuple) else piece
        if not isinstance(line, bytes):
            continue
        if re.match(rb"\d+ \(", line):
            if text:
                yield text, content
            text, content = b"", None
        text += line
        if isinstance(piece, tuple):
            content = piece[1]
        elif content is None and (quoted := re.search(rb'BODY\[\S*\](?:<0>)? ("[^"]*"|NIL)', line)):
            content = b"" if quoted[1] == b"NIL" else quoted[1][1:-1]
    if text:
        yield text, content


def _summary(item: tuple[bytes, bytes | None]) -> Summary | None:
    text, head = item
    uid, size, received = (pattern.search(text) for pattern in (_UID, _SIZE, _RECEIVED))
    if not uid or not size:
        return None  # a word about another client's doing
    return Summary(int(uid[1]), int(size[1]), _moment(received[1]) if received else None, head or b"")


def _moment(text: bytes) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text.decode("ascii"))
        return moment.astimezone(UTC) if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None
