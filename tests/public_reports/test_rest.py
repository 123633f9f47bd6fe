"""REST: lists that go on, bookmarks that must not move, and answers that other tools stumbled over."""

import gzip
import json
import time
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.collectors.loopback import Loopback, reply

SINCE = "bookmark = at\noverlap = 1s"


def row(name, second=0, **more):
    return {"id": name, "at": f"2026-11-23T05:00:{second:02}Z", "v": 1, **more}


class Api:
    """A server whose `answer` gets the query of each request, and a journey with a source of it."""

    def __init__(self, journey, server):
        self.journey = journey
        self.server = server
        self.asked = []
        self.answer = None

    def script(self, ask):
        query = dict(parse_qsl(urlsplit(ask.target).query))
        self.asked.append(query)
        found = self.answer(query)
        return found if isinstance(found, bytes) else reply(200, found)

    def configure(self, options, *query):
        lines = "".join(f"\n    {line}" for line in query)
        base = f"collector = rest\nurl = {self.server.url}/list\nquery = {lines}\nentity = id\nvalues = v\n"
        self.journey.configure(base + ("" if "time =" in options else "time = at\n") + options)

    def entities(self):
        return [entity for entity, _, _ in self.journey.values()]

    def bookmark(self):
        rows = self.journey.agent.query("SELECT bookmark FROM bookmarks WHERE source = 's'")
        return json.loads(rows[0][0]).get("value") if rows else None


@pytest.fixture
def api(journey):
    api = Api(journey, None)
    with Loopback(api.script) as server:
        api.server = server
        yield api


FURTHER = {
    "a Link header": ({"Link": '</list?page=2>; rel="next"'}, None),
    "has_more": ({}, {"has_more": True, "total": 10}),
    "a next link": ({}, {"next": "https://127.0.0.1/list?page=2"}),
    "HAL": ({}, {"_links": {"next": {"href": "/list?page=2"}}}),
    "OData": ({}, {"@odata.nextLink": "/list?$skiptoken=2"}),
    "HubSpot": ({}, {"paging": {"next": {"after": "NTI1"}}}),
    "GraphQL": ({}, {"pageInfo": {"hasNextPage": True, "endCursor": "x"}}),
    "Spring": ({}, {"last": False, "totalPages": 3, "number": 0}),
    "Jira": ({}, {"startAt": 0, "maxResults": 2, "total": 7}),
    "a count of pages": ({}, {"page": 1, "pages": 3}),
    "PostgREST": ({"Content-Range": "0-1/6"}, None),
}


@pytest.mark.parametrize(("headers", "around"), FURTHER.values(), ids=FURTHER.keys())
def test_further_pages_that_the_section_does_not_read(api, headers, around):
    """Reported as open-metadata/OpenMetadata#25263, airbytehq/airbyte#54713 and #27502: the first page alone."""
    rows = [row("r5", 5), row("r4", 4)]
    body = rows if around is None else {"data": rows, **around}
    api.answer = lambda _query: reply(200, body, headers)
    records = "" if around is None else "records = data\n"
    api.configure(f"{records}{SINCE}", "since = {bookmark}")
    done = api.journey.collect()
    assert done.code == 69
    assert "the server has further pages that are not read (pagination = none)" in done.err + done.out
    assert api.entities() == ["r5", "r4"]
    assert api.bookmark() is None
    # Without a bookmark, or with a word that this is all, it is no error.
    api.configure(f"{records}{SINCE}\nfurther = ignore", "since = {bookmark}")
    assert api.journey.collect().code == 0
    api.configure(records)
    preview = api.journey.preview()
    assert preview.code == 0
    assert api.journey.collect().code == 0


NOTHING_FOLLOWS = [
    {"next": None, "has_more": False},
    {"next": "", "next_page": None, "nextPageToken": ""},
    {"paging": {"next": None}, "links": {"next": None, "self": "/list"}},
    {"total": 2, "limit": 100, "offset": 0},
    {"total": 1234.5},
    {"total": 999},  # of what, nobody says
    {"pages": 1, "page": 1},
    {"last": True, "totalPages": 1},
    {"next_cursor": 0},
    {"meta": {"next": {}}},
]


@pytest.mark.parametrize("around", NOTHING_FOLLOWS, ids=json.dumps)
def test_ordinary_fields_are_no_further_pages(api, around):
    api.answer = lambda _query: {"data": [row("a"), row("b", next="x", has_more=True)], **around}
    api.configure(f"records = data\n{SINCE}", "since = {bookmark}")
    assert api.journey.collect().code == 0
    assert api.bookmark() == "2026-11-23T05:00:00Z"


@pytest.mark.parametrize(
    ("form", "unit"), [("unix", 1), ("unix_ms", 1_000), ("iso", 0), ("%d.%m.%Y %H:%M:%S", None)]
)
def test_one_time_of_the_future_hides_nothing(api, form, unit):
    """Reported as singer-io/tap-salesforce#10: the bookmark of a record in the year 2100 hides what follows."""

    def at(seconds):
        moment = time.gmtime(seconds)
        if unit:
            return seconds * unit
        return time.strftime("%Y-%m-%dT%H:%M:%SZ" if unit == 0 else form, moment)

    rows = [{"id": "a", "at": at(1767225600), "v": 1}, {"id": "bad", "at": at(4102444800), "v": 2}]
    late = {"id": "late", "at": at(1767229200), "v": 3}
    api.answer = lambda query: [
        each for each in rows if "since" not in query or str(each["at"]) >= query["since"]
    ]
    api.configure(f"bookmark = at\ntime_format = {form}\ntimezone = UTC", "since = {bookmark}")
    api.journey.collect()
    assert api.bookmark() == str(at(1767225600))
    rows.append(late)
    api.journey.collect()
    assert api.entities() == ["a", "bad", "late"]


def numbered(rows, around):
    def answer(query):
        number = int(query.get("page", 1))
        return {"data": rows[min(number, len(rows)) - 1], **around}

    return answer


PAGE = "records = data\npagination = page\n" + SINCE
CURSOR = "records = data\npagination = cursor\nnext = next\n" + SINCE


@pytest.mark.parametrize(
    ("pages", "around"),
    [
        ([[row("a")], [row("b", 1)], [row("c", 2)]], {"pages": 3}),
        ([[row("a")], [row("b", 1)], [row("c", 2)]], {}),
        ([[row("a")]], {"total_pages": 1}),
    ],
)
def test_the_page_behind_the_last_is_the_last_again(api, pages, around):
    """Reported as aces/cbrain#1446, KSP-SpaceDock/KerbalStuff#64 and airbytehq/airbyte#28226."""
    api.answer = numbered(pages, around)
    api.configure(PAGE, "page = {page}", "since = {bookmark}")
    done = api.journey.collect()
    assert done.code == 0
    assert sorted(api.entities()) == ["a", "b", "c"][: len(pages)]
    assert api.bookmark() == pages[-1][0]["at"]


def test_a_server_that_turns_no_page_is_no_last_page(api):
    """Reported as significa/storyblok-assets-cleanup#12: the parameter is ignored, and page 1 comes for ever."""
    api.answer = lambda _query: {"data": [row("a")]}
    api.configure(PAGE, "page = {page}", "since = {bookmark}")
    assert api.journey.collect().code == 69
    assert api.bookmark() is None


def test_a_cursor_that_is_never_null(api):
    """Reported as CrossRef/rest-api-doc#303: the empty last page has the cursor that it was asked with."""
    pages = {"": [row("a")], "2": [row("b", 1)], "3": [row("c", 2)], "4": []}
    api.answer = lambda query: {
        "data": pages[query.get("cursor", "")],
        "next": str(min(4, int(query.get("cursor", 1)) + 1)),
    }
    api.configure(CURSOR, "cursor = {cursor}", "since = {bookmark}")
    assert api.journey.collect().code == 0
    assert api.entities() == ["a", "b", "c"]
    assert api.bookmark() == "2026-11-23T05:00:02Z"


def test_a_next_page_that_is_the_last_page_itself(api):
    """Reported as PostHog/posthog#75813 and Glitchedpixel-io/media-api#66: next leads back to this page."""
    pages = {"": [row("a")], "2": [row("b", 1)], "3": [row("c", 2)]}
    api.answer = lambda query: {
        "data": pages[query.get("cursor", "")],
        "next": str(min(3, int(query.get("cursor", 1)) + 1)),
    }
    api.configure(CURSOR, "cursor = {cursor}", "since = {bookmark}")
    assert api.journey.collect().code == 0
    assert api.entities() == ["a", "b", "c"]
    assert api.bookmark() == "2026-11-23T05:00:02Z"


def test_one_cursor_for_all_pages(api):
    """Reported as php-gds#137 and elastic scrolls: the cursor is the same, and the records go on."""
    pages = [[row("a"), row("b", 1)], [row("c", 2)], [row("d", 3)], []]

    def answer(query):
        return {"data": pages[len(api.asked) - 1], "next": "scroll"}

    api.answer = answer
    api.configure(CURSOR, "cursor = {cursor}", "since = {bookmark}")
    assert api.journey.collect().code == 0
    assert api.entities() == ["a", "b", "c", "d"]


def test_a_cursor_of_zero_is_a_cursor(api):
    pages = {None: ([row("a")], 0), "0": ([row("b", 1)], 1), "1": ([row("c", 2)], None)}
    api.answer = lambda query: dict(zip(("data", "next"), pages[query.get("cursor")], strict=True))
    api.configure(CURSOR, "cursor = {cursor}", "since = {bookmark}")
    assert api.journey.collect().code == 0
    assert api.entities() == ["a", "b", "c"]


@pytest.mark.parametrize("empty", [1, 2])
def test_an_empty_page_does_not_end_a_list_that_goes_on(api, empty):
    """Reported as openai/openai-node#2561: pages behind an empty one are never asked for."""
    pages = [[row("a")], [row("b", 1)], [row("c", 2)]]
    pages[empty - 1 : empty - 1] = [[]]
    api.answer = lambda query: (
        {"data": pages[int(query["page"]) - 1], "has_more": int(query["page"]) < 4}
        if int(query["page"]) <= 4
        else {"data": [], "has_more": False}
    )
    api.configure(PAGE, "page = {page}", "since = {bookmark}")
    assert api.journey.collect().code == 0
    assert sorted(set(api.entities())) == ["a", "b", "c"]


def test_a_list_that_never_ends_its_empty_pages(api):
    """The server says for ever that more follow: it is told, and the bookmark stays."""
    api.answer = lambda query: {"data": [row("a")] if query["page"] == "1" else [], "has_more": True}
    api.configure(PAGE, "page = {page}", "since = {bookmark}")
    done = api.journey.collect()
    assert done.code == 69
    assert "has_more says that more follow" in done.err + done.out
    assert len(api.asked) < 30
    assert api.bookmark() is None


def test_206_is_a_page(api):
    """Reported as BRGM/hubeau#261 and PostgREST/postgrest#4931: 206 says that the list goes on."""
    api.answer = lambda query: (
        reply(206, [row("a")], {"Content-Range": "0-0/2"})
        if query["offset"] == "0"
        else reply(200, [row("b", 1)] if query["offset"] == "1" else [], {"Content-Range": "1-1/2"})
    )
    api.configure(f"pagination = offset\nstable = yes\n{SINCE}", "offset = {offset}", "since = {bookmark}")
    assert api.journey.collect().code == 0
    assert api.entities() == ["a", "b"]


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(time.time()) + 3_000)}, {}),
        ({"RateLimit-Remaining": "0", "RateLimit-Reset": "3000"}, {}),
        ({"Retry-After": "3000"}, {}),
        ({"X-RateLimit-Remaining": "12", "Retry-After": "3000"}, {"message": "secondary rate limit"}),
    ],
)
def test_a_403_that_is_a_limit_waits(api, headers, body):
    """Reported as airbytehq/airbyte#18597: a limit of requests is told as a refused login."""
    api.answer = lambda _query: reply(403, body, headers)
    api.configure("")
    done = api.journey.collect()
    assert done.code == 75
    assert "limits how often" in done.err + done.out
    api.answer = lambda _query: reply(403, {"message": "no rights"}, {"X-RateLimit-Remaining": "12"})
    assert api.journey.collect().code == 69


def test_a_templated_next_link(api):
    """Reported as spring-projects/spring-data-rest#628: a template is asked as it stands."""
    api.answer = lambda _query: {"data": [row("a")], "_links": {"next": {"href": "/list{?page,size}"}}}
    api.configure(
        f"records = data\npagination = link\nnext = _links.next.href\n{SINCE}", "since = {bookmark}"
    )
    done = api.journey.collect()
    assert done.code == 69
    assert (
        "names a template ({?page,size}, RFC 6570) where the next page's link stands" in done.err + done.out
    )


def test_json_lines_and_unsaid_gzip_say_what_they_are(api):
    """Reported for many: what is no JSON document is tried again for ever."""
    api.configure("")
    api.answer = lambda _query: reply(200, b'{"id":"a"}\n{"id":"b"}\n')
    done = api.journey.collect()
    assert done.code == 69
    assert "sent JSON lines" in done.err + done.out
    api.answer = lambda _query: reply(200, gzip.compress(b"[]"))
    done = api.journey.collect()
    assert done.code == 69
    assert "Accept-Encoding: identity" in done.err + done.out


def test_an_exclusive_filter_is_told_of(api):
    """Reported as estuary/connectors#5205 and singer-io/tap-harvest#34: the second record of one second."""
    api.answer = lambda _query: [row("a")]
    api.configure("bookmark = at", "since = {bookmark}")
    done = api.journey.preview()
    assert "overlap = 5m" in done.err + done.out


def test_an_offset_behind_the_end_is_an_empty_page(api):
    """Reported as slothflowlabs/duckle#41: behind the last record there is 200 and an empty list."""
    rows = [row("a"), row("b", 1), row("c", 2)]
    api.answer = lambda query: {
        "data": rows[int(query["offset"]) :][:2],
        "total_count": 3,
        "limit": 2,
        "offset": int(query["offset"]),
    }
    api.configure(f"records = data\npagination = offset\n{SINCE}", "offset = {offset}", "since = {bookmark}")
    assert api.journey.collect().code == 0
    assert sorted(api.entities()) == ["a", "b", "c"]
    assert api.bookmark() == "2026-11-23T05:00:02Z"


def test_an_end_that_the_server_says_itself_is_believed_of_a_page_that_comes_again(api):
    """Reported as PostHog/posthog#75813: the only page names itself as the next one, and has_more is false."""
    api.answer = lambda _query: {
        "data": [row("a")],
        "meta": {"pagination": {"next": f"{api.server.url}/list?after=a", "has_more": False}},
    }
    api.configure(
        f"records = data\npagination = link\nnext = meta.pagination.next\n{SINCE}", "since = {bookmark}"
    )
    assert api.journey.collect().code == 0
    assert api.entities() == ["a"]
    assert api.bookmark() == "2026-11-23T05:00:00Z"


def test_a_list_deep_in_the_answer_has_its_pages_beside_it(api):
    """Reported as withcoral/coral#576: hasNextPage of GraphQL stands beside the nodes."""
    api.answer = lambda _query: {
        "data": {"orders": {"nodes": [row("a")], "pageInfo": {"hasNextPage": True, "endCursor": "x"}}}
    }
    api.configure(f"records = data.orders.nodes\n{SINCE}", "since = {bookmark}")
    done = api.journey.collect()
    assert done.code == 69
    assert "data.orders.pageInfo.hasNextPage says that more follow" in done.err + done.out


@pytest.mark.parametrize("total", [5, 500])
def test_a_total_that_is_not_reached_reads_on_and_ends(api, total):
    """Reported as dlt-hub/dlt#1637: pages without records are asked for until somebody's limit."""
    pages = {1: [row("a"), row("b", 1)], 2: [], 3: [row("c", 2)]}
    api.answer = lambda query: {
        "data": pages.get(int(query["page"]), []),
        "total": total,
        "per_page": 2,
        "page": int(query["page"]),
    }
    api.configure(PAGE, "page = {page}", "since = {bookmark}")
    assert api.journey.collect().code == 0
    assert sorted(set(api.entities())) == ["a", "b", "c"]
    assert len(api.asked) < 40


def test_a_scroll_that_never_empties_is_bounded(api):
    """The same cursor and ever new records: the limit of answers ends it, with what to do."""
    api.answer = lambda _query: {"data": [row(f"r{len(api.asked)}")], "next": "scroll"}
    api.configure(f"{CURSOR}\nmax_pages = 30", "cursor = {cursor}", "since = {bookmark}")
    done = api.journey.collect()
    assert done.code == 69
    assert "no end of the list after 30 answers" in done.err + done.out
    assert api.bookmark() is None
