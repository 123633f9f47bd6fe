"""The options of an SQL source: which database, which table or query, and how to go on in it.

Invariants: no password stands in an address, and a name is used as it is written there: nothing that a
database answers ever becomes part of a statement, except the names of its own columns, quoted.
"""

import re
from typing import Annotated, Self
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, Field, model_validator

from collectors.mapping.options import MappingOptions
from collectors.overlap import Overlap
from outbox.config.options import Duration, Reference, Size

KINDS = ("postgresql", "mysql", "mariadb", "mssql", "sqlite")
_PART = r'(?:[^\W\d][\w$#]*|"[^"]+"|\[[^\]]+\]|`[^`]+`)'
_TABLE = re.compile(rf"{_PART}(?:\.{_PART}){{0,2}}")
_QUERY = re.compile(r"\s*(select|with|values|table)\b", re.IGNORECASE)


def _checked_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        wrong = parts.scheme not in KINDS or parts.port == 0 or not text.isprintable()
    except ValueError:
        wrong = True
    if wrong or not (parts.path.strip("/") if parts.scheme == "sqlite" else parts.hostname):
        raise ValueError(
            "is no address: write postgresql://user@host/database, mysql, mariadb or mssql likewise, "
            "or sqlite:///C:/folder/file.db"
        )
    secret = [name for name, _ in parse_qsl(parts.query) if re.search("pass|pwd", name, re.IGNORECASE)]
    if parts.password is not None or secret:
        raise ValueError("holds a password: write password = file:secrets/NAME instead")
    return text


def _checked_table(text: str) -> str:
    if text and not _TABLE.fullmatch(text):
        raise ValueError(f"{text[:60]} is no table: write table or schema.table, odd names in quotes")
    return text


def _checked_query(text: str) -> str:
    text = text.strip().rstrip(";").strip()
    if text and not _QUERY.match(text):
        raise ValueError(f"{text[:60]} is no query that reads: it begins with SELECT or WITH")
    return text


class SqlOptions(MappingOptions):
    """A source with `collector = sql`."""

    url: Annotated[str, AfterValidator(_checked_url)] = Field(
        description="postgresql://user@host/database, mysql, mariadb, mssql, sqlite:///file; no password."
    )
    password: Reference | None = Field(None, description="Of the user in url: file:PATH or env:NAME.")
    table: Annotated[str, AfterValidator(_checked_table)] = Field("", description="Table or view to read.")
    query: Annotated[str, AfterValidator(_checked_query)] = Field(
        "", description="A SELECT to read instead of a table; without ORDER BY."
    )
    bookmark: str = Field("", description="Column that only grows: a number, a time of change.")
    tie_breaker: str = Field("", description="Column that orders rows of one bookmark: the primary key.")
    start: str = Field("", description="Where to begin; empty: at the smallest bookmark.")
    overlap: Overlap = Field(None, description="How far behind the bookmark to read again: 5m, or 100.")
    statement_timeout: Duration = Field(300.0, ge=1, le=86_400, description="Of one statement.")
    max_time: Duration = Field(1_200.0, ge=1, description="A run reads no further page after this long.")
    max_cell: Size = Field(1_000_000, ge=1_000, le=10**7, description="A larger cell rejects its row.")

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if bool(self.table) == bool(self.query):
            raise ValueError("name either table or query")
        if not self.bookmark and (self.tie_breaker or self.start or self.overlap is not None):
            raise ValueError("tie_breaker, start and overlap belong to bookmark, which is missing")
        if self.tie_breaker and self.tie_breaker == self.bookmark:
            raise ValueError("tie_breaker is the bookmark itself: leave it out")
        if self.repeated_hour == "in_order" and (
            not self.bookmark or self.bookmark in self.time or self.overlap is not None
        ):
            raise ValueError(
                "repeated_hour = in_order needs rows in the order of their coming, each read once: "
                "a bookmark other than time, and no overlap"
            )
        if self.password and not urlsplit(self.url).username:
            raise ValueError("password is there, and no user in url")
        return self

    @property
    def kind(self) -> str:
        """Which kind of database this is, as the address says."""
        return urlsplit(self.url).scheme

    @property
    def what(self) -> str:
        """What is read, for messages."""
        return self.table or "the query"

    @property
    def followed(self) -> str:
        """What the bookmark is about: with another table or column it says nothing."""
        return " ".join((self.table or "query", self.bookmark, self.tie_breaker)).strip()


def shown_address(url: str) -> str:
    """Return an address as messages and lineage show it: without user and options."""
    parts = urlsplit(url)
    host = f"{parts.hostname}:{parts.port}" if parts.port else parts.hostname or ""
    return f"{parts.scheme}://{host}{parts.path}"
