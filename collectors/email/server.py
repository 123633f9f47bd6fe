"""Reads a mailbox on an IMAP server without changing it; the only file that uses imap-tools.

Invariants:
- Nothing changes on the server: folders are opened read-only (EXAMINE) and messages are fetched with PEEK, so
  that none is marked as read, moved or deleted.
- The server's certificate is verified; a connection without TLS is made to this machine only.
- The size of a message is known before it is fetched, and no more than a limit is requested.
- What the server says is data: its errors are quoted without the secret, and become a TransientError, or a
  PermanentError where waiting cannot help. A refused login is a LoginRefusedError.
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
    "is there a TLS-inspecting proxy, or does the server use a private CA? Add its certificate to the "
    "machine's store, or set ca_bundle in [network] to a PEM file"
)


class UnreadableError(Exception):
    """The server refuses to deliver one message; the text is the reason."""


class Summary(NamedTuple):
    """What is known of a message before it is fetched; `received` is the server's time, or None."""

    uid: int
    size: int
    received: datetime | None
    head: bytes


class Server:
    """An open, logged-in connection."""

    def __init__(self, box: BaseMailBox, where: str, secrets: Secrets) -> None:
        self._box = box
        self._secrets = secrets
        self._where = where

    def open_folder(self, name: str) -> int:
        """Open a folder read-only and return its UIDVALIDITY, which changes when UIDs are reassigned."""
        with _translated(self._where):
            try:
                self._box.folder.set(name, readonly=True)
            except MailboxFolderSelectError as error:
                raise PermanentError(
                    f"{self._where}: the folder {name} cannot be opened{_words(error)}",
                    hint="correct folders in the section; sub-folders need the server's separator: "
                    "INBOX/Orders or INBOX.Orders",
                ) from error
            _, answer = self._box.client.response("UIDVALIDITY")
            if not answer or not isinstance(answer[0], bytes) or not answer[0].isdigit():
                raise PermanentError(
                    f"{self._where}: the folder {name} has no UIDVALIDITY: messages cannot be told apart"
                )
            return int(answer[0])

    def uids(self, *, after: int, since: date | None = None, until: date | None = None) -> list[int]:
        """Return the UIDs above `after`, ascending, received on days from `since` and before `until`."""
        with _translated(self._where):
            wanted = AND(uid=U(str(after + 1), "*"), date_gte=since, date_lt=until)
            found = self._box.uids(wanted, charset=None)
        # A range up to * always matches the last message, even where its UID is below the range.
        return sorted({int(uid) for uid in found if uid.isdigit() and int(uid) > after})

    def summaries(self, uids: Sequence[int]) -> Iterator[Summary]:
        """Yield what is known of these messages, in this order; deleted ones are left out."""
        for start in range(0, len(uids), SUMMARIES_AT_ONCE):
            wanted = uids[start : start + SUMMARIES_AT_ONCE]
            with _translated(self._where):
                status, answer = self._box.client.uid("FETCH", ",".join(map(str, wanted)), _HEAD)
                _require(status, answer, self._where)
                found = {summary.uid: summary for summary in map(_summary, _items(answer)) if summary}
            yield from (found[uid] for uid in wanted if uid in found)

    def message(self, uid: int, max_bytes: int) -> bytes | None:
        """Return the first `max_bytes` of a message; None when it was deleted.

        UnreadableError when the server works, but refuses to deliver this message.
        """
        with _translated(self._where):
            status, answer = self._box.client.uid("FETCH", str(uid), f"(UID BODY.PEEK[]<0.{max_bytes}>)")
            if status != "OK" and not _BUSY.search(_quoted(answer)):
                words = _quoted(answer)  # they become the reason of a rejected message
                shown = f": {NOT_SHOWN}" if self._secrets.are_in(words) else words
                raise UnreadableError(f"the server refuses to deliver it{shown}")
            _require(status, answer, self._where)
            for text, content in _items(answer):
                found = _UID.search(text)
                if found and int(found[1]) == uid and content is not None:
                    return content
        return None


@contextmanager
def logged_in(options: EmailOptions, network: NetworkOptions, secret: str) -> Iterator[Server]:
    """Yield a connection to the section's server; `secret` is the password or the access token."""
    where = f"{options.host}:{options.number_of_port}"
    secrets = Secrets([secret, _login_blob(options.user, secret)])
    with _translated(where):
        box = _connected(options, network)
    try:
        box.client.sock.settimeout(network.timeout)
        with _translated(where):
            _log_in(box, options, secret)
        yield Server(box, where, secrets)
    except OutboxError as error:  # of any answer: a server may quote the login even later
        secrets.hide(error)
        raise
    finally:
        try:
            box.logout()
        except (imaplib.IMAP4.error, ImapToolsError, OSError, ValueError):
            with suppress(OSError, ValueError):
                box.client.shutdown()


class _StartTls(MailBoxUnencrypted):
    """A connection that starts unencrypted and sends nothing secret before STARTTLS succeeded."""

    def __init__(self, host: str, port: int, timeout: float, trust: ssl.SSLContext) -> None:
        self._trust = trust
        super().__init__(host, port, timeout)

    def _get_mailbox_client(self) -> imaplib.IMAP4:
        client = super()._get_mailbox_client()
        try:
            if "STARTTLS" not in client.capabilities:
                raise PermanentError(
                    f"{self._host}:{self._port} does not offer STARTTLS, and no password is sent without it",
                    hint="set security = tls (port 993), or check whether a proxy removes STARTTLS",
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
    """Return the credentials as SASL PLAIN encodes them: a server may quote them in this form."""
    return base64.b64encode(f"\0{user}\0{secret}".encode()).decode()


def _log_in(box: BaseMailBox, options: EmailOptions, secret: str) -> None:
    """Log in; a response code (RFC 5530) tells a server that is merely busy from a refused login."""
    if not secret.isprintable():
        raise PermanentError(
            "the secret contains an invisible character, perhaps a line break: store it again"
        )
    try:
        if options.auth != "password":
            box.xoauth2(options.user, secret, initial_folder=None)
        elif "AUTH=PLAIN" in box.client.capabilities:
            box.login_utf8(options.user, secret, initial_folder=None)
        elif "LOGINDISABLED" in box.client.capabilities or not (options.user + secret).isascii():
            raise PermanentError(
                f"{options.host} does not offer a password login that can be used",
                hint="use auth = oauth, or ask the server's administrator to allow LOGIN or AUTH=PLAIN",
            )
        else:
            box.login(options.user, secret, initial_folder=None)
    except imaplib.IMAP4.abort:
        raise
    except (imaplib.IMAP4.error, UnexpectedCommandStatusError) as error:
        words = _words(error)
        if _BUSY.search(words):
            raise TransientError(f"{options.host} temporarily accepts no logins{words}") from error
        raise LoginRefusedError(
            f"{options.host} refuses the login of {options.user}{words}",
            hint="check user and secret; on many servers IMAP must first be enabled for the mailbox",
        ) from error


@contextmanager
def _translated(where: str) -> Iterator[None]:
    """Translate the library's errors into this program's."""
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        raise PermanentError(
            f"{where}: its certificate is not trusted{said(str(error).encode())}", hint=_TLS_HINT
        ) from error
    except ssl.SSLError as error:
        raise TransientError(
            f"{where}: the TLS handshake failed{said(str(error).encode())}",
            hint="use security = tls with port 993, and starttls with port 143",
        ) from error
    except (imaplib.IMAP4.abort, OSError) as error:
        raise TransientError(f"{where} cannot be read{said(str(error).encode())}") from error
    except UnexpectedCommandStatusError as error:
        raise TransientError(f"{where} rejected a command{_words(error)}") from error
    except (imaplib.IMAP4.error, ImapToolsError, ValueError, LookupError, AttributeError) as error:
        raise TransientError(f"{where} sent an invalid IMAP response{said(str(error).encode())}") from error


def _require(status: str, answer: Sequence[object], where: str) -> None:
    if status != "OK":
        raise TransientError(f"{where} rejected a command{_quoted(answer)}")


def _words(error: Exception) -> str:
    if isinstance(error, UnexpectedCommandStatusError):
        return _quoted(error.command_result[1])
    return said(str(error).encode())


def _quoted(answer: object) -> str:
    texts = answer if isinstance(answer, list) else []
    return said(b" ".join(text for text in texts if isinstance(text, bytes)))


def _items(answer: Sequence[object]) -> Iterator[tuple[bytes, bytes | None]]:
    """Yield the text about each message and its content; the library returns lines and (line, literal)."""
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
        return None  # an unsolicited response, caused by another client
    return Summary(int(uid[1]), int(size[1]), _moment(received[1]) if received else None, head or b"")


def _moment(text: bytes) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text.decode("ascii"))
        return moment.astimezone(UTC) if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None
