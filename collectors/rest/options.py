"""The options of a REST source: what to ask, how its pages follow each other, and who asks.

Invariants:
- A secret stands in no option: `{secret}` stands for it, and it is never sent over http, except to this
  machine itself.
- What a placeholder needs is there, and what an option needs has its placeholder: a paging that could
  only ask for the same page again is refused before the first request.
"""

import json
import re
from collections.abc import Mapping
from ipaddress import ip_network
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from collectors.http.reach import Reach
from collectors.mapping.options import MappingOptions, checked_path
from collectors.overlap import Overlap
from outbox.config.options import Duration, Flag, Lines, Names, Reference, Size

PLACEHOLDER = re.compile(r"\{(bookmark|cursor|page|offset|secret)\}")
Pagination = Literal["none", "link", "cursor", "page", "offset"]
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_SECRET_HEADERS = ("authorization", "proxy-authorization", "cookie", "x-api-key", "api-key", "apikey")
_SECRET_PARAMETERS = ("apikey", "api_key", "api-key", "access_token", "token", "password", "client_secret")
_BY_OURSELVES = ("host", "content-length", "transfer-encoding", "connection", "expect")


def pairs(lines: tuple[str, ...], separator: str) -> list[tuple[str, str]]:
    """Return what lines of `name separator value` say; ValueError numbers one of another form.

    What stands in it is not shown: it may be a key.
    """
    found: list[tuple[str, str]] = []
    for number, line in enumerate(lines, 1):
        name, there, value = (part.strip() for part in line.partition(separator))
        if not there or not name:
            raise ValueError(f"line {number} is not of the form: name {separator} value")
        found.append((name, value))
    return found


def _checked_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        wrong = parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0
    except ValueError:
        wrong = True
    if wrong or "@" in parts.netloc or parts.query or parts.fragment or not text.isprintable():
        raise ValueError("is no address: write https://host/path, without login; what follows ? is query")
    return text


def _checked_query(lines: tuple[str, ...]) -> tuple[str, ...]:
    for name, value in pairs(lines, "="):
        if name.lower() in _SECRET_PARAMETERS and value and not PLACEHOLDER.search(value):
            raise ValueError(f"{name} would be written down here: write {{secret}}, and secret = file:PATH")
    return lines


def _checked_headers(lines: tuple[str, ...]) -> tuple[str, ...]:
    found = pairs(lines, ":")
    names = [name.lower() for name, _ in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{twice[0][:60]} is there twice")
    for number, (name, value) in enumerate(found, 1):
        if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", name) or not value.isprintable():
            raise ValueError(f"line {number} is not a header that can be sent")
        if name.lower() in _SECRET_HEADERS and "{secret}" not in value:
            raise ValueError(f"{name} would be written down here: write {{secret}}, and secret = file:PATH")
        if name.lower() in _BY_OURSELVES:
            raise ValueError(f"{name} is set by the program itself")
    return lines


def _checked_body(text: str) -> str:
    try:
        if text:
            json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is no JSON: {error}") from error
    return text


def _checked_networks(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        try:
            ip_network(name, strict=False)
        except ValueError as error:
            raise ValueError(f"{name[:60]} is no network: write 10.0.0.0/8 or 192.168.1.20") from error
    return names


Url = Annotated[str, AfterValidator(_checked_url)]
Expression = Annotated[str, AfterValidator(checked_path)]


class RestOptions(MappingOptions):
    """A source with `collector = rest`."""

    url: Url = Field(description="Address of the list, without what follows the question mark.")
    method: Literal["GET", "POST"] = Field("GET", description="POST for searches that want a body.")
    query: Annotated[Lines, AfterValidator(_checked_query)] = Field(
        (), description="One per line: name = value, with {bookmark}, {cursor}, {page}, {offset}, {secret}."
    )
    headers: Annotated[Lines, AfterValidator(_checked_headers)] = Field(
        (), description="One per line: Name: value; {secret} stands for the secret."
    )
    body: Annotated[str, AfterValidator(_checked_body)] = Field(
        "", description="JSON to send with POST; its texts may hold the placeholders of query."
    )
    records: Expression = Field("@", description="JMESPath of the list of records in an answer.")
    bookmark: Expression = Field(
        "", description="JMESPath, in a record, of what only grows: a time of change, a number."
    )
    start: str = Field("", description="What {bookmark} is at first; empty: its parameter is left out.")
    overlap: Overlap = Field(None, description="How far behind the bookmark to read again: 5m, or 100.")
    sorted: Flag = Field(False, description="yes: the server sorts by the bookmark, smallest first.")
    pagination: Pagination = Field("none", description="none, link, cursor, page or offset.")
    next: Expression = Field(
        "", description="JMESPath, in an answer, of the next cursor or link; empty: the Link header."
    )
    more: Expression = Field("", description="JMESPath, in an answer, of whether more pages follow.")
    further: Literal["refuse", "ignore"] = Field(
        "refuse", description="Pages that the server has and the section does not read; ignore: this is all."
    )
    first_page: int = Field(1, ge=0, le=1, description="Number of the first page, 0 or 1.")
    stable: Flag = Field(False, description="yes: nothing in the list ever moves; pages join unchecked.")
    keep_cursor: Flag = Field(False, description="yes: the next run goes on at the last cursor.")
    auth: Literal["none", "header", "basic", "oauth"] = Field(
        "none", description="How to log in: none, header, basic, or oauth (client credentials)."
    )
    secret: Reference | None = Field(
        None, description="The token, password or client secret: file:PATH or env:NAME."
    )
    login: str = Field("", description="The user of basic, the client id of oauth.")
    auth_header: Annotated[str, AfterValidator(lambda line: _checked_headers((line,))[0])] = Field(
        "Authorization: Bearer {secret}", description="What auth = header sends."
    )
    token_url: Annotated[str, AfterValidator(lambda text: _checked_url(text) if text else "")] = Field(
        "", description="Where oauth asks for a token."
    )
    token_login: Literal["header", "body"] = Field("header", description="Where oauth puts id and secret.")
    scope: str = Field("", description="What oauth asks for; empty: what the server gives.")
    private_networks: Annotated[Names, AfterValidator(_checked_networks)] = Field(
        (), description="Networks, besides the public ones, that the names in url may stand for."
    )
    max_bytes: Size = Field(16 * 10**6, ge=1_000, le=64 * 10**6, description="Of one answer.")
    max_pages: int = Field(1_000, ge=1, le=1_000_000, description="Answers that are read in one run.")
    max_time: Duration = Field(1_200.0, ge=1, description="A run reads no further answer after this long.")

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        self._check_paging()
        self._check_bookmark()
        self._check_login()
        if self.repeated_hour == "in_order":
            raise ValueError("repeated_hour = in_order is for files and queries: an API has its own order")
        if self.body and self.method != "POST":
            raise ValueError("body: only POST has one")
        return self

    def _check_paging(self) -> None:
        place = {"cursor": "cursor", "page": "page", "offset": "offset"}.get(self.pagination)
        for name in ("cursor", "page", "offset"):
            if name == place and not self.uses(name):
                raise ValueError(f"pagination = {place}: {{{place}}} is missing in query or body")
            if name != place and self.uses(name):
                raise ValueError(f"{{{name}}} is there, and pagination is {self.pagination}")
        if self.pagination == "cursor" and not self.next:
            raise ValueError("pagination = cursor: next says where the next cursor stands in an answer")
        if self.next and self.pagination not in ("cursor", "link"):
            raise ValueError(f"next is for cursor and link, and pagination is {self.pagination}")
        if self.pagination == "link" and self.method == "POST":
            raise ValueError("pagination = link: a link is asked for with GET")

    def _check_bookmark(self) -> None:
        if self.keep_cursor and (self.pagination != "cursor" or self.bookmark):
            raise ValueError("keep_cursor is for pagination = cursor, without bookmark")
        if self.uses("bookmark") and not self.bookmark:
            raise ValueError("{bookmark} is there: bookmark says where it stands in a record")
        if self.bookmark and not self.uses("bookmark"):
            raise ValueError("bookmark is there: {bookmark} says where to send it, in query or body")
        if (self.sorted or self.start or self.overlap is not None) and not self.bookmark:
            raise ValueError("start, overlap and sorted belong to bookmark, which is missing")

    def _check_login(self) -> None:
        needs = self.auth != "none" or self.uses("secret")
        if needs and not self.secret:
            raise ValueError("secret is missing: write secret = file:secrets/NAME")
        if self.secret and not needs:
            raise ValueError("secret is there and used nowhere: set auth, or write {secret} where it goes")
        if self.auth in ("basic", "oauth") and not self.login:
            raise ValueError(f"login is missing: auth = {self.auth} needs it")
        if self.auth == "basic" and ":" in self.login:
            raise ValueError("login: a user of basic holds no colon")
        if (self.auth == "oauth") != bool(self.token_url):
            raise ValueError("token_url and auth = oauth need each other")
        for name, url in (("url", self.url), ("token_url", self.token_url)):
            parts = urlsplit(url)
            if needs and parts.scheme == "http" and parts.hostname not in _LOOPBACK:
                raise ValueError(f"{name}: a secret is never sent over http: write https")

    def uses(self, placeholder: str) -> bool:
        """Return whether the request holds this placeholder."""
        return f"{{{placeholder}}}" in "\n".join((*self.query, *self.headers, self.body))

    def reach(self) -> Reach:
        """Return which addresses may be reached."""
        return Reach.named(self.private_networks, (self.url, self.token_url))


def filled(text: str, values: Mapping[str, str]) -> str | None:
    """Return the text with its placeholders filled in; None where one of them has no value."""
    if any(name not in values for name in PLACEHOLDER.findall(text)):
        return None
    return PLACEHOLDER.sub(lambda match: values[match[1]], text)


def filled_json(value: Any, values: Mapping[str, str]) -> Any:
    """Return JSON with its texts filled in; a member whose placeholder has no value is left out.

    A text that is nothing but {page} or {offset} becomes a number.
    """
    match value:
        case dict():
            members = {name: filled_json(item, values) for name, item in value.items()}
            return {name: item for name, item in members.items() if item is not None or value[name] is None}
        case list():
            return [filled_json(item, values) for item in value]
        case "{page}" | "{offset}":
            return int(values[value.strip("{}")])
        case str():
            return filled(value, values)
    return value
