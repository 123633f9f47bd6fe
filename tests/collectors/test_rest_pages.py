"""Pages of a REST source follow each other to the end of the list, and never for ever."""

import itertools
from contextlib import suppress

import pytest

from outbox.errors import PermanentError, TransientError
from tests.collectors.loopback import RESET, reply
from tests.collectors.rest_api import (
    CURSOR,
    LINK,
    OFFSET,
    PAGE,
    PAGINGS,
    Cursors,
    Linked,
    Numbered,
    Offsets,
    Orders,
    entities,
    order,
    query_of,
    rest,
    since,
)


@pytest.fixture
def read(serve, make_http, clock):
    """read(api, **options) is a source on that API."""

    def read(api, *, attempts=1, **options):
        api.url = serve(api.script).url
        return rest(api.url + "/orders", make_http(attempts=attempts), clock, **options)

    return read


def test_one_answer_without_paging(read):
    (page,) = read(Orders([order(1), order(2)])).collect({})
    first = page.records[0]
    assert (first.stream, first.entity, first.observed_at.isoformat()) == (
        "records",
        "1",
        "2026-11-23T00:01:00+00:00",
    )
    assert (first.values, first.units) == ({"total": 1.5, "who": "c1"}, {"total": "EUR"})
    assert first.origin["url"].endswith("/orders")


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 6, 7])
@pytest.mark.parametrize(("api", "options"), PAGINGS)
def test_every_record_is_read_once_in_every_paging(read, api, options, count):
    found = entities(read(api(order(n) for n in range(count)), **options).collect({}))
    assert list(dict.fromkeys(found)) == [str(n) for n in range(count)]


@pytest.mark.parametrize(("api", "options"), PAGINGS)
def test_only_what_is_new_is_asked_for_in_every_paging(read, api, options):
    orders = api(order(n) for n in range(7))
    source = read(orders, **since(options))
    bookmark = list(source.collect({}))[-1].bookmark
    orders.orders += [order(n) for n in range(7, 12)]
    found = entities(source.collect({"": bookmark}))
    assert list(dict.fromkeys(found)) == ["6", "7", "8", "9", "10", "11"]
    assert orders.asked[0].get("since") is None


@pytest.mark.parametrize(("api", "options"), PAGINGS)
def test_a_list_that_breaks_off_moves_no_bookmark(read, api, options):
    orders = api(order(n) for n in range(9))
    source = read(orders, **since(options))
    orders.faults[3] = reply(500)
    seen = []
    with pytest.raises(TransientError):
        seen.extend(page for page in source.collect({"": '{"value":"2026-01-01"}'}))
    assert seen
    assert {page.bookmark for page in seen} == {'{"value":"2026-01-01"}'}
    orders.faults.clear()
    found = entities(source.collect({"": seen[-1].bookmark}))
    assert set(found) == {str(n) for n in range(9)}


@pytest.mark.parametrize(("api", "options"), PAGINGS)
@pytest.mark.parametrize(
    "fault",
    [
        reply(500),
        reply(503, b"<html>busy</html>"),
        RESET,
        b"",
        reply(200, b'{"data": [{"id": 1'),
        reply(200, b"<!doctype html><title>Log in</title>"),
        reply(200, b""),
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[",
    ],
)
def test_a_fault_between_two_pages_is_tried_again(read, api, options, fault):
    orders = api(order(n) for n in range(8))
    orders.faults[2] = fault
    assert set(entities(read(orders, attempts=2, **options).collect({}))) == {str(n) for n in range(8)}


def test_too_many_requests_waits_as_the_server_says(read, clock):
    orders = Cursors(order(n) for n in range(8))
    orders.faults[2] = reply(429, b"slow down", {"Retry-After": "17"})
    assert len(entities(read(orders, attempts=2, **CURSOR).collect({}))) == 8
    assert clock.sleeps == [17]


@pytest.mark.parametrize("status", [400, 403, 404, 405, 422, 304, 202])
def test_a_refusal_ends_the_run(read, status):
    orders = Cursors(order(n) for n in range(8))
    orders.faults[2] = reply(status, {"error": "no such cursor"})
    pages = []
    with pytest.raises(PermanentError, match=str(status)):
        pages.extend(read(orders, attempts=3, **CURSOR).collect({}))
    assert len(orders.asked) == 2


# Lists without an end.


def test_a_cursor_that_comes_again_is_an_error(read):
    orders = Cursors([order(1)])
    answers = itertools.cycle(["a", "b"])
    numbers = itertools.count()
    orders.page = lambda _query: reply(200, {"data": [order(next(numbers))], "next": next(answers)})
    with pytest.raises(PermanentError, match="leads back"):
        list(read(orders, **CURSOR).collect({}))
    assert len(orders.asked) == 3


def test_a_link_back_to_a_page_before_is_an_error(read):
    orders = Linked([order(1)])
    turn = {"5": "6", "6": "7", "7": "6"}
    orders.page = lambda query: reply(
        200,
        [order(int(query.get("at", 0)))],
        {"Link": f"</orders?at={turn.get(query.get('at'), '5')}>; rel=next"},
    )
    with pytest.raises(PermanentError, match="leads back"):
        list(read(orders, **LINK).collect({}))


@pytest.mark.parametrize(
    ("api", "options", "page"),
    [
        (Numbered, PAGE, {"data": [order(1), order(2)]}),
        (Offsets, OFFSET, {"data": [order(1), order(2)]}),
        (Offsets, OFFSET, {"data": [order(1)]}),
    ],
)
def test_a_server_that_does_not_know_the_parameter_is_an_error(read, api, options, page):
    orders = api([])
    orders.page = lambda _query: reply(200, page)
    with pytest.raises(PermanentError, match="came again") as caught:
        list(read(orders, **options).collect({}))
    assert "next page" in caught.value.hint
    assert len(orders.asked) <= 3


def test_ever_new_cursors_end_at_the_limit(read):
    orders = Cursors([])
    orders.page = lambda query: reply(200, {"data": [], "next": f"c{int(query.get('cursor', 'c0')[1:]) + 1}"})
    with pytest.raises(PermanentError, match="no end of the list after 20 answers"):
        list(read(orders, max_pages="20", **CURSOR).collect({}))
    assert len(orders.asked) == 20


def test_time_is_a_limit_too(read, clock):
    orders = Cursors([])

    def page(query):
        clock.sleep(100)
        number = int(query.get("cursor", "c0")[1:]) + 1
        return reply(200, {"data": [order(number)], "next": f"c{number}"})

    orders.page = page
    with pytest.raises(PermanentError, match="max_time") as caught:
        list(read(orders, max_time="10m", **CURSOR).collect({}))
    assert "max_time" in caught.value.hint or "max_time" in caught.value.message
    assert len(orders.asked) == 6


def test_a_sorted_list_goes_on_with_the_next_run_where_the_limit_stopped_it(read):
    orders = Cursors(order(n) for n in range(20))
    source = read(orders, max_pages="2", sorted="yes", **since(CURSOR))
    bookmark, found = "", []
    for _ in range(10):
        for page in source.collect({"": bookmark} if bookmark else {}):
            found += [record.entity for record in page.records]
            bookmark = page.bookmark
    assert set(found) == {str(n) for n in range(20)}


def test_a_sorted_list_of_equal_bookmarks_does_not_stand_still_in_silence(read):
    orders = Cursors(order(n, changed="2026-11-23T00:00:00Z") for n in range(20))
    source = read(orders, max_pages="2", sorted="yes", **since(CURSOR))
    bookmark = list(source.collect({}))[-1].bookmark
    with pytest.raises(PermanentError, match="cannot move"):
        list(source.collect({"": bookmark}))


def test_the_answer_may_say_itself_that_it_is_the_last(read):
    orders = Numbered(order(n) for n in range(3))
    assert len(entities(read(orders, more="!last", stable="yes", **PAGE).collect({}))) == 3
    assert len(orders.asked) == 1


def test_pages_may_count_from_zero(read):
    orders = Numbered(order(n) for n in range(7))
    orders.page = lambda query: Numbered.page(orders, {"page": int(query["page"]) + 1})
    assert len(entities(read(orders, first_page="0", **PAGE).collect({}))) == 7


def test_a_post_has_its_placeholders_in_its_body(read):
    orders = Offsets(order(n) for n in range(7))
    body = '{"offset": "{offset}", "since": "{bookmark}", "deep": [{"a": "{"}]}'
    options = {**OFFSET, "query": "", "method": "POST", "body": body, "bookmark": "changed"}
    source = read(orders, **options)
    pages = list(source.collect({}))
    assert set(entities(pages)) == {str(n) for n in range(7)}
    assert orders.asked[1] == {"offset": "2", "deep": "[{'a': '{'}]"}
    list(source.collect({"": pages[-1].bookmark}))
    assert orders.asked[-1]["since"] == order(6)["changed"]


# Lists that move while they are read.


@pytest.mark.parametrize(
    ("api", "options"), [pytest.param(Numbered, PAGE, id="page"), pytest.param(Offsets, OFFSET, id="offset")]
)
@pytest.mark.parametrize("when", [2, 3, 4])
def test_a_record_that_left_the_list_lets_no_other_slip_away(read, api, options, when):
    """Order 0 is changed, and moves to the end, between two requests; every other one shifts."""
    orders = api((order(n) for n in range(9)), size=4)
    source = read(orders, **since(options))

    def move(api):
        api.orders = [each for each in api.orders if each["id"]] + [order(0, changed="2026-11-23T09:00:00Z")]

    orders.faults[when] = move
    found, bookmark = set(), ""
    for _ in range(2):
        with suppress(TransientError):
            for page in source.collect({"": bookmark} if bookmark else {}):
                found |= {record.entity for record in page.records}
                bookmark = page.bookmark
    assert found == {str(n) for n in range(9)}


@pytest.mark.parametrize(
    ("api", "options"), [pytest.param(Numbered, PAGE, id="page"), pytest.param(Offsets, OFFSET, id="offset")]
)
def test_a_record_that_comes_in_front_is_no_reason_to_begin_anew(read, api, options):
    orders = api((order(n) for n in range(10, 19)), size=4)
    orders.faults[2] = lambda api: api.orders.insert(0, order(1))
    found = entities(read(orders, **options).collect({}))
    assert set(found) == {str(n) for n in range(10, 19)}


def test_with_stable_nothing_is_read_twice(read):
    for api, options in ((Numbered, PAGE), (Offsets, OFFSET)):
        orders = api(order(n) for n in range(9))
        found = entities(read(orders, stable="yes", **options).collect({}))
        assert found == [str(n) for n in range(9)]
        assert len(orders.asked) == 4


# Links.


@pytest.mark.parametrize(
    "link",
    [
        "https://other.example/orders?at=3",
        "//other.example/orders",
        "http://user:word@127.0.0.1:{port}/orders?at=3",
        "https://127.0.0.1:{port}/orders?at=3",
        "http://127.0.0.1:1/orders",
        "http://127.0.0.1.other.example:{port}/",
        "ftp://127.0.0.1:{port}/",
        "file:///etc/passwd",
        "http://[::1/x",
        "\\\\other.example\\x",
    ],
)
def test_a_link_to_another_server_is_not_followed(read, link):
    orders = Linked([])
    port = lambda: orders.url.rpartition(":")[2]  # noqa: E731
    orders.page = lambda _query: reply(
        200, [order(1)], {"Link": f"<{link.replace('{port}', port())}>; rel=next"}
    )
    if link.startswith("\\"):
        orders.page = lambda _query: reply(200, {"d": [order(1)], "n": "http://127.0.0.1\\@other.example/"})
    options = {"pagination": "link", "next": "n", "records": "d"} if link.startswith("\\") else LINK
    with pytest.raises(PermanentError, match="next page"):
        list(read(orders, **options).collect({}))
    assert len(orders.asked) == 1


def test_a_link_keeps_its_query_to_the_letter_and_gets_back_the_secret(read, serve):
    orders = Linked([])
    targets = []

    def script(ask):
        targets.append(ask.target)
        more = {"Link": "</orders?at=3&sig=a%2Cb%20c#part>; rel=next"} if "at" not in query_of(ask) else {}
        return reply(200, [order(len(targets))], more)

    orders.script = script
    source = read(orders, query="apikey = {secret}\nlimit = 5", known="a secret", secret="file:api", **LINK)
    list(source.collect({}))
    assert targets[1] == "/orders?at=3&sig=a%2Cb%20c&apikey=a+secret"


def test_a_redirect_is_not_followed(read):
    orders = Orders([])
    orders.page = lambda _query: reply(302, b"", {"Location": "https://other.example/"})
    with pytest.raises(PermanentError, match=r"other\.example"):
        list(read(orders).collect({}))
