"""An API of orders on loopback, with each kind of paging, and a REST source that reads it."""

import json
from urllib.parse import parse_qsl, urlsplit
from zoneinfo import ZoneInfo

import pytest

from collectors.collector import Context
from collectors.rest.collector import Rest
from tests.collectors.loopback import reply

SECRET = "CANARY-51d0e7-rest"


def order(number, **more):
    return {
        "id": number,
        "changed": f"2026-11-23T{number // 60:02}:{number % 60:02}:00Z",
        "total": number * 1.5,
        "customer": {"name": f"c{number % 3}"},
        **more,
    }


def query_of(ask):
    return dict(parse_qsl(urlsplit(ask.target).query, keep_blank_values=True))


class Orders:
    """The list, and how it is asked for; `script` answers, `faults` by number of request go first."""

    def __init__(self, orders, size=3):
        self.orders = list(orders)
        self.size = size
        self.faults = {}
        self.url = ""
        self.asked = []

    def chosen(self, query):
        since = query.get("since", "")
        return sorted(
            (each for each in self.orders if each["changed"] >= since), key=lambda each: each["changed"]
        )

    def script(self, ask):
        query = query_of(ask)
        if ask.method == "POST" and ask.body:
            query |= {name: str(value) for name, value in json.loads(ask.body).items()}
        self.asked.append(query)
        fault = self.faults.get(len(self.asked))
        if callable(fault):
            fault = fault(self)
        return fault if fault is not None else self.page(query)

    def page(self, query):
        return reply(200, self.chosen(query))


class Linked(Orders):
    """Pages by a Link header, or in the body where `in_body`."""

    in_body = False

    def page(self, query):
        found, at = self.chosen(query), int(query.get("at", 0))
        part, after = found[at : at + self.size], at + self.size
        since = f"&since={query['since']}" if "since" in query else ""
        link = f"/orders?at={after}{since}" if after < len(found) else ""
        if self.in_body:
            return reply(200, {"data": part, "links": {"next": link or None}})
        others = '</orders?at=0>; rel="first"; title="a, b; rel=next"'
        return reply(200, part, {"Link": f'{others}, <{link}>; rel="next"' if link else others})


class Cursors(Orders):
    """Pages by a cursor; the last one has none, a feed's always one."""

    feed = False

    def page(self, query):
        found = self.chosen(query)
        at = int(query.get("cursor", "c0")[1:])
        part, after = found[at : at + self.size], min(at + self.size, len(found))
        more = self.feed or after < len(found)
        return reply(200, {"data": part, "next": f"c{after}" if more else None, "more": after < len(found)})


class Numbered(Orders):
    def page(self, query):
        at = (int(query["page"]) - 1) * self.size
        found = self.chosen(query)
        return reply(200, {"data": found[at : at + self.size], "last": at + self.size >= len(found)})


class Offsets(Orders):
    def page(self, query):
        at = int(query["offset"])
        return reply(200, {"data": self.chosen(query)[at : at + self.size]})


LINK = {"pagination": "link"}
BODY_LINK = {"pagination": "link", "next": "links.next", "records": "data"}
CURSOR = {"pagination": "cursor", "next": "next", "records": "data", "query": "cursor = {cursor}"}
PAGE = {"pagination": "page", "records": "data", "query": "page = {page}"}
OFFSET = {"pagination": "offset", "records": "data", "query": "offset = {offset}"}


def linked_in_body(orders, size=3):
    api = Linked(orders, size)
    api.in_body = True
    return api


PAGINGS = [
    pytest.param(Linked, LINK, id="link"),
    pytest.param(linked_in_body, BODY_LINK, id="link in the body"),
    pytest.param(Cursors, CURSOR, id="cursor"),
    pytest.param(Numbered, PAGE, id="page"),
    pytest.param(Offsets, OFFSET, id="offset"),
]


def since(options):
    """Add a bookmark to options of a paging."""
    query = "\n".join(filter(None, [options.get("query", ""), "since = {bookmark}"]))
    return {**options, "query": query, "bookmark": "changed"}


def rest(url, http, clock, *, known=SECRET, **options):
    """A REST source, with options as an INI file has them: as text."""
    options = {
        "entity": "id",
        "time": "changed",
        "values": "total [EUR], who: customer.name (text)",
        **options,
    }
    model = Rest.Options(collector="rest", url=url, **options)
    return Rest(model, Context("orders", ZoneInfo("UTC"), http, lambda _reference: known, clock))


def entities(pages):
    return [record.entity for page in pages for record in page.records]
