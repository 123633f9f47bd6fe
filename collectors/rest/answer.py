"""Reads an answer of a REST source: its records, and what it says of the next page.

Invariants:
- What is not whole JSON (cut off, a login page behind a status of 200) is a TransientError; JSON in which
  the configured list is not found, or a key stands twice outside its records, is a PermanentError that says
  what is there. A record that `exact_json` refuses is `Refused`, and the others are read.
"""

import hashlib
import json
import re
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit

import jmespath
from jmespath.exceptions import JMESPathError

from collectors.exact_json import ExactReader, TooDeepError, rows_of
from collectors.http.client import Answer, check_status, said
from collectors.rest.further import Further, further_of
from collectors.rest.options import RestOptions
from outbox.errors import PermanentError, TransientError
from outbox.redaction import without_secrets

Json = Any

MAX_CURSOR_CHARS = 16_000
MAX_NAMED_KEYS = 20
MAX_LINES, MAX_LINES_BYTES = 3, 100_000
_PARAMETER = r'\s*;\s*([^\s=;,"]+)(?:\s*=\s*(?:"([^"]*)"|([^\s;,"]*)))?'
_TEMPLATE = re.compile(r"\{[?&/;#+.]?[A-Za-z_][\w,.*:%]*\}")
_LINK = re.compile(rf"<([^<>]*)>((?:{_PARAMETER})*)")


class Content(NamedTuple):
    """What an answer holds. `cursor` and `link` are of the next page, empty where it names none.

    `more` is False where the answer itself says that it is the last one; `digest` is the same for the same
    items only. `further` is what the answer says of pages that follow, whether the section reads them or not.
    """

    items: list[Json]
    cursor: str = ""
    link: str = ""
    more: bool = True
    digest: bytes = b""
    further: Further = Further()


def read_content(answer: Answer, options: RestOptions, asked: str) -> Content:
    """Return what the answer to a request of the address `asked` holds; the status is known to be good."""
    try:
        document = parse(answer.body)
    except TooDeepError as error:
        raise PermanentError(f"{answer.url}: the answer {error}{said(answer.body)}") from error
    except ValueError as error:
        _refuse_formats(answer)
        raise TransientError(
            f"{answer.url} sent no whole JSON ({error}){said(answer.body)}",
            hint="a login page or a proxy on the way? Look at what the address answers in a browser",
        ) from error
    header = linked(answer.headers.get("link", ""))
    cursor = _cursor(search(options.next, document), answer) if options.pagination == "cursor" else ""
    link = ""
    if options.pagination == "link":
        found = search(options.next, document) if options.next else header
        link = _same_server(found, asked, answer)
    more = bool(search(options.more, document)) if options.more else True
    try:
        found = _items(document, options, answer)
        items = rows_of(document, found)
    except ValueError as error:
        raise PermanentError(f"{answer.url}: the answer {error}") from error
    records = document if items and items[0] is document else found
    further = further_of(document, records, answer.headers, header)
    return Content(items, cursor, link, more, _digest(items), further)


def check_answer(answer: Answer, options: RestOptions, asked: str, now: datetime) -> Content:
    """`read_content` of an answer whose status is good; else the error that its status calls for."""
    check_status(answer, now)
    if answer.status == 204:
        return Content([], more=False)
    if answer.status not in (200, 206):  # 206: a page of a list that the server counts as a range
        raise PermanentError(f"{answer.url} answered {answer.status}, and no list{said(answer.body)}")
    return read_content(answer, options, asked)


def _refuse_formats(answer: Answer) -> None:
    """Raise PermanentError for a body that is whole, and of a format that this collector does not read."""
    if answer.body.startswith(b"\x1f\x8b"):
        raise PermanentError(
            f"{answer.url} sent gzip, and its header does not say so (Content-Encoding)",
            hint="ask for the list unpacked: headers = Accept-Encoding: identity. A file of it can be read "
            "with collector = files",
        )
    lines = [line for line in answer.body[:MAX_LINES_BYTES].split(b"\n")[:-1] if line.strip()]
    try:
        if lines and all(isinstance(parse(line), dict) for line in lines[:MAX_LINES]):
            raise PermanentError(
                f"{answer.url} sent JSON lines (an object a line), not one JSON document",
                hint="ask for one document, as the API's manual says (headers, query); a file of such lines "
                "can be read with collector = files, format = ndjson",
            )
    except ValueError:
        return


def parse(body: bytes) -> Json:
    """Return the JSON of a body; ValueError says why it is not JSON."""
    return ExactReader().read_document(body.decode("utf-8-sig"))


def search(expression: str, document: Json) -> Json:
    """Return what a JMESPath expression finds, None where it finds nothing; PermanentError where it fails."""
    try:
        return jmespath.search(expression, document) if expression else None
    except (JMESPathError, RecursionError, TypeError, ValueError, ArithmeticError) as error:
        raise PermanentError(
            f"{expression[:100]} cannot be applied to the answer: {str(error).splitlines()[0][:200]}"
        ) from error


def linked(header: str) -> str | None:
    """Return the address that a Link header (RFC 8288) names as the next one, None where it names none."""
    for link in _LINK.finditer(header[:MAX_CURSOR_CHARS]):
        for name, quoted, plain in re.findall(_PARAMETER, link[2]):
            if name.lower() == "rel" and "next" in (quoted or plain).lower().split():
                return link[1]
    return None


def keys_of(value: Json) -> str:
    """Return what is there, for a message: the keys of an object, or the kind of anything else."""
    if isinstance(value, dict):
        names = [str(name)[:60] for name in list(value)[:MAX_NAMED_KEYS]]
        return f"an object with {', '.join(names)}" if names else "an empty object"
    kinds = {list: "a list", str: "a text", bool: "true or false", type(None): "nothing"}
    return kinds.get(type(value), "a number")


def _items(document: Json, options: RestOptions, answer: Answer) -> list[Json]:
    found = search(options.records, document)
    if isinstance(found, list):
        return found
    if isinstance(found, dict):
        return [found]
    raise PermanentError(
        f"{answer.url} answers in another shape: records = {options.records} finds {keys_of(found)} in "
        f"{keys_of(document)}",
        hint="correct records; where an empty list may be left out or null, write: ... || `[]`",
    )


def _digest(items: list[Json]) -> bytes:
    written = json.dumps(items, sort_keys=True, default=str)
    return hashlib.sha256(written.encode(errors="surrogatepass")).digest()


def _cursor(found: Json, answer: Answer) -> str:
    if found is None or found is False or found == "":
        return ""
    if isinstance(found, str) or (isinstance(found, int) and found is not True):
        if len(str(found)) <= MAX_CURSOR_CHARS:
            return str(found)
        raise PermanentError(f"{answer.url} sent a cursor of more than {MAX_CURSOR_CHARS:,} characters")
    raise PermanentError(f"{answer.url} has {keys_of(found)} where next says that the cursor stands")


def _same_server(found: Json, asked: str, answer: Answer) -> str:
    """Return the whole address of a link; PermanentError where it leaves the server of the source."""
    if found is None or found is False or found == "":
        return ""
    if not isinstance(found, str) or len(found) > MAX_CURSOR_CHARS or not found.isprintable():
        raise PermanentError(
            f"{answer.url} has {keys_of(found)} that is no link where the next page's stands"
        )
    if template := _TEMPLATE.search(found):
        raise PermanentError(
            f"{answer.url} names a template ({template[0][:99]}, RFC 6570) where the next page's link stands",
            hint="what it wants filled in can be said: pagination = page, query = page = {page}; or offset",
        )
    try:
        link = urljoin(asked, found.strip()).partition("#")[0]
        if _server(link) == _server(asked) and "@" not in urlsplit(link).netloc:
            return link
    except ValueError:
        link = "no address"
    raise PermanentError(
        f"{answer.url} says that the next page is at {without_secrets(link)[:200]}: links to another server "
        "are not followed",
        hint="set url to that server if it is the right one",
    )


def _server(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
