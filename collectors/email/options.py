"""The options of a mailbox: where it is, who reads it, which messages are meant and where their table is."""

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
"""Where messages are counted: read, claimed by this source, and not."""
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
        raise ValueError("is no name of a server: write imap.example.com, without a protocol")
    if ":" in text and not is_address(text):
        raise ValueError("is no name of a server: its port is an option of its own")
    return text


def _checked_lines(names: tuple[str, ...]) -> tuple[str, ...]:
    if not all(name.isprintable() for name in names):
        raise ValueError("holds a sign that cannot be seen")
    return names


def _checked_user(text: str) -> str:
    if not text or not text.isprintable():
        raise ValueError("is no name of a user")
    return text


def _checked_token_url(text: str) -> str:
    parts = urlsplit(text)
    if not text or (parts.scheme == "https" and parts.hostname and "@" not in parts.netloc):
        return text
    if parts.scheme == "http" and parts.hostname in _LOOPBACK:
        return text
    raise ValueError("is no address to send a secret to: write https://host/path")


Patterns = Annotated[Names, AfterValidator(_checked_lines)]


class EmailOptions(TableOptions):
    """A source with `collector = email`."""

    host: Annotated[str, AfterValidator(_checked_host)] = Field(description="The IMAP server's name.")
    port: int = Field(0, ge=0, le=65_535, description="0: 993 for tls, else 143.")
    security: Literal["tls", "starttls", "none"] = Field(
        "tls", description="tls, starttls, or none (for a server on this machine alone)."
    )
    user: Annotated[str, AfterValidator(_checked_user)] = Field(
        description="Whose mailbox; often an address."
    )
    auth: Literal["password", "token", "oauth"] = Field(
        "password", description="What secret is: a password, an access token, or oauth's client secret."
    )
    secret: Reference = Field(description="file:PATH or env:NAME, never the secret itself.")
    token_url: Annotated[str, AfterValidator(_checked_token_url)] = Field(
        "", description="Where oauth asks for a token."
    )
    client_id: str = Field("", description="Who asks for it.")
    scope: str = Field("", description="What it is asked for.")
    refresh_token: Reference | None = Field(
        None,
        description="A user's consent, kept as a secret; empty: the application's own (client credentials).",
    )
    folders: Patterns = Field(("INBOX",), description="Folders of the mailbox; their messages only are seen.")
    senders: Patterns = Field(
        description="Whose messages are meant: ann@acme.example, *@acme.example; * is everybody."
    )
    subjects: Annotated[Lines, AfterValidator(_checked_lines)] = Field(
        (), description="One per line, with * and ?; upper and lower case are one. Empty: any."
    )
    authserv_id: str = Field(
        "", description="Your receiving server's name in Authentication-Results: its dkim=pass is demanded."
    )
    attachments: Patterns = Field((), description="Names of attached tables: orders-*.csv, *.xlsx.")
    body: Literal["", "html", "text"] = Field(
        "", description="html or text: also a table in the message itself."
    )
    since: date | None = Field(
        None, description="Messages received before this day (2026-11-23) are left out."
    )
    max_message: Size = Field(
        25 * 10**6, ge=1_000, le=100 * 10**6, description="Larger ones are not fetched."
    )
    max_attachments: int = Field(100, ge=1, le=1_000, description="Tables in one message.")
    max_message_time: Duration = Field(600.0, ge=1, description="For one message.")
    max_time: Duration = Field(1_200.0, ge=1, description="A run fetches no further message after this long.")

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if not self.folders or not self.senders:
            raise ValueError("folders and senders must name something")
        if self.stream == STREAM:
            raise ValueError(f"stream = {STREAM} is where this kind of source counts messages")
        if not self.attachments and not self.body:
            raise ValueError("attachments or body must say where in a message the table is")
        if self.security == "none" and self.host not in _LOOPBACK:
            raise ValueError(
                "security = none is for a server on this machine: a password would be read on the way"
            )
        if (self.auth == "oauth") != bool(self.token_url and self.client_id):
            raise ValueError("token_url and client_id belong to auth = oauth, and it needs both")
        if self.refresh_token and self.auth != "oauth":
            raise ValueError("refresh_token belongs to auth = oauth")
        return self

    def meaning(self) -> str:
        """Return what decides which messages become which records: where it changes, all are read anew."""
        elsewhere = {*SourceOptions.model_fields, *_CONNECTION}
        return self.model_dump_json(exclude=elsewhere, exclude_defaults=True)

    @property
    def number_of_port(self) -> int:
        """The port, also where none was named."""
        return self.port or _PORTS[self.security]
