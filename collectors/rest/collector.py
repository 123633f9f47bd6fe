"""Any JSON API, by configuration: what to ask, how pages follow, and which parts of a record are what.

Invariants:
- The bookmark moves when a list was read to its end, and only then: a crash, an error or a moved list
  between two pages has the whole list read again, and nothing is skipped. Where the server sorts by it
  (`sorted = yes`), or the cursor is kept, it moves with each page; a list that turns out not to be sorted
  puts it back to where the run began.
- Only the server that the section names is asked, and only at an address that is public or named: no
  redirect, no link to another host.
- Every answer, the number of answers and the time have a limit.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import ClassVar
from urllib.parse import parse_qsl, urlencode

import msgspec

from collectors.collector import Context, SourceOptions, Window
from collectors.http.client import Answer, Request
from collectors.portion import Portion
from collectors.rest.answer import Content, check_answer
from collectors.rest.bookmark import Mark, Progress
from collectors.rest.login import Login, header_lines
from collectors.rest.options import RestOptions, filled, filled_json, pairs
from collectors.rest.pages import Pages, Part, Place
from collectors.rest.rows import Rows
from outbox.errors import LoginRefusedError, PermanentError
from outbox.record import Page, Record, Rejected


class Rest:
    """A list of JSON objects that an API hands out page by page."""

    Options: ClassVar[type[SourceOptions]] = RestOptions

    def __init__(self, options: RestOptions, context: Context) -> None:
        self._options = options
        self._context = context

    def collect(self, bookmarks: Mapping[str, str], window: Window | None = None) -> Iterator[Page]:
        """Yield what the list holds since the bookmark; a back-fill is a PermanentError."""
        if window:
            raise PermanentError(
                "a rest source cannot back-fill days",
                hint="make a second source with another start, and disable it when it is done",
            )
        rows = Rows(self._options, self._context)
        return _Round(self._options, self._context, rows, bookmarks.get("", "")).pages()

    def reread(self, raw: str) -> Record | Rejected | None:
        """Return what a rejected record is under this configuration; see Columns.reread."""
        return Rows(self._options, self._context).reread(raw)


class _Round:
    """One reading of the list."""

    def __init__(self, options: RestOptions, context: Context, rows: Rows, bookmark: str) -> None:
        self._options = options
        self._context = context
        self._rows = rows
        self._stored = bookmark
        self._progress = Progress(options, Mark.decode(bookmark, context.source), context, rows.read_time)
        self._login = Login(options, context)
        self._asked = 0
        self._until = context.now() + timedelta(seconds=options.max_time)

    def pages(self) -> Iterator[Page]:
        """Yield the list, answer by answer."""
        first = self._progress.began.encode()
        parts = Pages(
            self._options, self._ask, where=self._context.source, cursor=self._progress.began.cursor
        )
        for part in parts:
            content, last = part.content, part.last
            orderly = self._progress.see(content.items)
            hides = self._hides(part)
            done = first if not orderly or hides else self._progress.after(content, last)
            yield from self._pages_of(content, done)
            if not orderly:
                raise PermanentError(
                    f"{self._options.bookmark} goes back in the list; sorted = yes",
                    hint="say in query how to sort, smallest first, or set sorted = no",
                )
            if last:
                self._require_read(part, hides)
                self._progress.require_found()
                for remark in self._progress.remarks():
                    self._context.note(f"{self._context.source}: {remark}")
            elif self._is_over(first):
                return

    def _hides(self, part: Part) -> bool:
        """Return whether the bookmark would move past pages that the server has and nobody reads."""
        ignored = self._options.further == "ignore"
        return bool(self._options.bookmark) and bool(part.unread) and part.is_sure and not ignored

    def _require_read(self, part: Part, hides: bool) -> None:
        """Note that further pages are not read; PermanentError where that would hide them for ever."""
        if not part.unread or self._options.further == "ignore":
            return
        section = f"pagination = {self._options.pagination}"
        message = f"{self._context.source}: the server has further pages that are not read ({section}): "
        message += f"{part.unread} in the last answer"
        hint = "set pagination, next or more as the API's manual says; further = ignore if this is all"
        if hides:
            raise PermanentError(f"{message}; the bookmark stays", hint=hint)
        self._context.note(f"{message}; {hint}")

    def _pages_of(self, content: Content, done: str) -> Iterator[Page]:
        """Yield the records of an answer; only the last page moves the bookmark to `done`."""
        portion = Portion()
        for found in self._rows(content.items):
            if portion.is_full():
                yield portion.page(self._stored)
            portion.add(found)
        if portion or done != self._stored:
            self._stored = done
            yield portion.page(done)

    def _is_over(self, first: str) -> bool:
        """Return whether the run has read enough for now; PermanentError where it would never get further."""
        if self._asked < self._options.max_pages and self._context.now() < self._until:
            return False
        if self._stored == first:
            raise PermanentError(
                f"no end of the list after {self._asked:,} answers, and the bookmark cannot move before it",
                hint="raise max_pages or max_time, ask for less with query, or have the server sort by the "
                "bookmark and set sorted = yes",
            )
        return True

    def _ask(self, place: Place) -> Content:
        self._asked += 1
        try:
            return self._ask_once(place)
        except LoginRefusedError:
            if not self._login.renew():
                raise
        return self._ask_once(place)

    def _ask_once(self, place: Place) -> Content:
        request = self._request(place)

        def read(answer: Answer) -> Content:
            return check_answer(answer, self._options, request.url, self._context.now())

        return self._context.http.send(request, read=read, max_bytes=self._options.max_bytes)

    def _request(self, place: Place) -> Request:
        options, secret = self._options, self._login.secret()
        values = {"page": str(place.page), "offset": str(place.offset), "secret": secret}
        values |= {"cursor": place.cursor} if place.cursor else {}
        if bookmark := self._progress.asked_from():
            values["bookmark"] = bookmark
        headers = {"accept": "application/json"}
        body = b""
        if options.method == "POST":
            headers["content-type"] = "application/json"
            body = msgspec.json.encode(filled_json(json.loads(options.body), values)) if options.body else b""
        for name, value in (*header_lines(options, values).items(), *self._login.headers().items()):
            headers[name.lower()] = value
        return Request(
            url=_address(options, values, place.link),
            params={},
            method=options.method,
            headers=headers,
            body=body,
            secrets=self._login.secrets(),
            reach=options.reach(),
        )


def _address(options: RestOptions, values: dict[str, str], link: str) -> str:
    """The address with its query; a link brings its own, and lacks at most the secret."""
    there = {name for name, _ in parse_qsl(link.partition("?")[2], keep_blank_values=True)}
    lines = [
        (name, filled(value, values))
        for name, value in pairs(options.query, "=")
        if not link or ("{secret}" in value and name not in there)
    ]
    query = urlencode([(name, value) for name, value in lines if value is not None], safe=",")
    address = link or options.url
    return f"{address}{'&' if '?' in address else '?'}{query}" if query else address
