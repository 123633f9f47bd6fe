"""The options of an e-mail source: the server, the login, which messages to read and where their table is."""

from datetime import date
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from collectors.collector import SourceOptions
from collectors.tables.options import TableOptions
from outbox.config.options import Duration, Lines, Names, Reference, Size
from outbox.machine.network import is_address

_PORTS = {"tls": 993, "starttls": 143, "none": 143}
STREAM = "mailbox"
"""The stream that counts messages: those seen, and those claimed by this source or not."""
_LOOPBACK = ("127.0.0.1", "::1", "localhost")

_CONNECTION = (
    "host",
    "port",
    "security",
    "user",
    "auth",
    "secret",
    "token_url",
    "client_id",
    "scope",
    "refresh_token",
    "folders",
    "max_time",
    "max_message_time",
)


def _checked_host(text: str) -> str:
    if not text or not text.isascii() or any(sign in text for sign in "/@ ") or not text.isprintable():
        raise ValueError("is not a valid server name: write e.g. imap.example.com, without a protocol")
    if ":" in text and not is_address(text):
        raise ValueError("is not a valid server name: write the port as an option of its own, port = 993")
    return text


def _checked_lines(names: tuple[str, ...]) -> tuple[str, ...]:
    if not all(name.isprintable() for name in names):
        raise ValueError("contains an invisible character: type it again")
    return names


def _checked_user(text: str) -> str:
    if not text or not text.isprintable():
        raise ValueError("is not a valid user name: it is empty or contains an invisible character")
    return text


def _checked_token_url(text: str) -> str:
    parts = urlsplit(text)
    if not text or (parts.scheme == "https" and parts.hostname and "@" not in parts.netloc):
        return text
    if parts.scheme == "http" and parts.hostname in _LOOPBACK:
        return text
    raise ValueError("is not a safe address for a secret: write https://host/path, without a login in it")


Patterns = Annotated[Names, AfterValidator(_checked_lines)]


class EmailOptions(TableOptions):
    """A source with `collector = email`."""

    host: Annotated[str, AfterValidator(_checked_host)] = Field(description="Host name of the IMAP server.")
    port: int = Field(0, ge=0, le=65_535, description="Port of the server; 0: 993 for tls, otherwise 143.")
    security: Literal["tls", "starttls", "none"] = Field(
        "tls", description="Encryption: tls, starttls, or none (for a server on this machine only)."
    )
    user: Annotated[str, AfterValidator(_checked_user)] = Field(
        description="User name of the mailbox, often its address."
    )
    auth: Literal["password", "token", "oauth"] = Field(
        "password", description="Type of secret: a password, an access token, or the client secret of oauth."
    )
    secret: Reference = Field(description="Where the secret is: file:PATH or env:NAME, never itself.")
    token_url: Annotated[str, AfterValidator(_checked_token_url)] = Field(
        "", description="OAuth: address of the token endpoint."
    )
    client_id: str = Field("", description="OAuth: client ID of the application.")
    scope: str = Field("", description="OAuth: scope of the token.")
    refresh_token: Reference | None = Field(
        None,
        description="OAuth: refresh token of a user, as a secret; empty: client credentials.",
    )
    folders: Patterns = Field(
        ("INBOX",), description="Folders of the mailbox to read, by the server's own names."
    )
    senders: Patterns = Field(
        description="Senders to accept: ann@acme.example, *@acme.example; * is everybody."
    )
    subjects: Annotated[Lines, AfterValidator(_checked_lines)] = Field(
        (), description="Subjects to accept, one per line, with * and ?, ignoring case; empty: any."
    )
    authserv_id: str = Field(
        "", description="Require dkim=pass by this server, as Authentication-Results names it; empty: no."
    )
    attachments: Patterns = Field((), description="Names of the attachments to read: orders-*.csv, *.xlsx.")
    body: Literal["", "html", "text"] = Field(
        "", description="html or text: also read tables in the message itself; empty: no."
    )
    since: date | None = Field(None, description="Ignore messages received before this day, e.g. 2026-11-23.")
    max_message: Size = Field(
        25 * 10**6,
        ge=1_000,
        le=100 * 10**6,
        description="Largest message that is fetched; a larger one is rejected.",
    )
    max_attachments: int = Field(100, ge=1, le=1_000, description="Most attached tables in one message.")
    max_message_time: Duration = Field(600.0, ge=1, description="Time limit for reading one message.")
    max_time: Duration = Field(1_200.0, ge=1, description="After this long, a run fetches no more messages.")

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if not self.folders or not self.senders:
            raise ValueError("folders and senders must not be empty")
        if self.stream == STREAM:
            raise ValueError(f"stream = {STREAM} is reserved for counting messages: choose another name")
        if not self.attachments and not self.body:
            raise ValueError("set attachments or body: one must say where in a message the table is")
        if self.security == "none" and self.host not in _LOOPBACK:
            raise ValueError(
                "security = none is allowed for a server on this machine only: "
                "elsewhere the password would be sent unencrypted"
            )
        if (self.auth == "oauth") != bool(self.token_url and self.client_id):
            raise ValueError("auth = oauth requires token_url and client_id, which are for oauth only")
        if self.refresh_token and self.auth != "oauth":
            raise ValueError("refresh_token requires auth = oauth")
        return self

    def meaning(self) -> str:
        """Return the options that decide which records are made: when one changes, all is read again."""
        elsewhere = {*SourceOptions.model_fields, *_CONNECTION}
        return self.model_dump_json(exclude=elsewhere, exclude_defaults=True)

    @property
    def number_of_port(self) -> int:
        """The configured port, or the default port of the encryption."""
        return self.port or _PORTS[self.security]
