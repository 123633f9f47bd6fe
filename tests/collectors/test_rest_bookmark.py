"""The bookmark of a REST source: what moves it, what is asked for, and what must never move it."""

import json

import pytest

from collectors.overlap import behind, parse_overlap
from outbox.errors import DataError, PermanentError, TransientError
from outbox.record import MAX_PAGE_RECORDS
from tests.collectors.loopback import reply
from tests.collectors.rest_api import CURSOR, Cursors, Orders, entities, order, query_of, rest, since


@pytest.fixture
def read(serve, make_http, clock):
    """read(records, **options) is a source whose server has those records, and what it was asked."""

    def read(records, **options):
        asked = []

        def script(ask):
            asked.append(query_of(ask))
            return reply(200, records)

        options = {"query": "since = {bookmark}", "bookmark": "changed", **options}
        return rest(serve(script).url, make_http(), clock, **options), asked

    return read


def value_of(pages):
    return json.loads(list(pages)[-1].bookmark).get("value")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["2026-11-23T01:00:00Z", "2026-11-23T03:00:00Z", "2026-11-23T02:00:00Z"], "2026-11-23T03:00:00Z"),
        (["2026-11-23T01:00:00+02:00", "2026-11-23T00:30:00+00:00"], "2026-11-23T00:30:00+00:00"),
        (["2026-11-22", "2026-11-23"], "2026-11-23"),
        (["2026-11-22 23:59:59.9999999", "2026-11-22 23:59:59.1"], "2026-11-22 23:59:59.9999999"),
        ([9, 10, 8], "10"),
        (["9", "10", "8"], "10"),
        (["0999", "1000"], "1000"),
        ([1.5, 2, 1e3], "1000"),
        ([-5, -3], "-3"),
        (["b", "a", "B"], "b"),
        ([None, "", 7, None], "7"),
        (["01HZY0", "01HZX9"], "01HZY0"),
        ([12345678901234567890, 1], "12345678901234567890"),
    ],
)
def test_it_is_the_largest_value(read, values, expected):
    source, asked = read([order(n, mark=value) for n, value in enumerate(values)], bookmark="mark")
    bookmark = list(source.collect({}))[-1].bookmark
    assert json.loads(bookmark) == {"value": expected, "of": "mark"}
    list(source.collect({"": bookmark}))
    assert asked == [{}, {"since": expected}]


@pytest.mark.parametrize(
    ("text", "overlap", "expected"),
    [
        ("2026-11-23T01:00:00Z", "5m", "2026-11-23T00:55:00Z"),
        ("2026-11-23T01:00:00z", "5m", "2026-11-23T00:55:00z"),
        ("2026-11-23T01:00:00.250Z", "1s", "2026-11-23T00:59:59.250Z"),
        ("2026-11-23T01:00:00.1234567+02:00", "1s", "2026-11-23T00:59:59.123456+02:00"),
        ("2026-11-23 01:00", "2h", "2026-11-22 23:00"),
        ("2026-11-23T01:00Z", "2h", "2026-11-22T23:00Z"),
        ("2026-11-23", "5m", "2026-11-22"),
        ("0001-01-01", "5m", "0001-01-01"),
        ("100", "7", "93"),
        ("5", "7", "-2"),
        ("1.25", "0.5", "0.75"),
        ("-96140574.642066600447814711974", "0.000", "-96140574.642066600447814711974"),
        (
            "123456789012345678901234567890.5",
            "0.000000000000000001",
            "123456789012345678901234567890.499999999999999999",
        ),
        ("anything", "", "anything"),
    ],
)
def test_the_overlap_is_taken_off_in_the_form_that_the_server_writes(text, overlap, expected):
    assert behind(text, parse_overlap(overlap)) == expected


@pytest.mark.parametrize(
    ("text", "overlap"), [("abc", "5m"), ("abc", "5"), ("100", "5m"), ("2026-11-23", "5")]
)
def test_an_overlap_that_does_not_fit_is_an_error(text, overlap):
    with pytest.raises(PermanentError, match="overlap does not fit"):
        behind(text, parse_overlap(overlap))


def test_the_overlap_is_asked_for_and_never_stored(read):
    source, asked = read([order(60)], overlap="10m")
    pages = list(source.collect({"": '{"value":"2026-11-23T01:00:00Z"}'}))
    assert asked == [{"since": "2026-11-23T00:50:00Z"}]
    assert value_of(pages) == "2026-11-23T01:00:00Z"


def test_a_bookmark_of_another_field_is_none_of_this_one(read):
    source, asked = read([order(1)], start="2020-01-01")
    list(source.collect({"": '{"value":"17","of":"id"}'}))
    assert asked == [{"since": "2020-01-01"}]


def test_the_first_run_asks_from_the_start(read):
    source, asked = read([], start="2020-01-01", overlap="10m")
    list(source.collect({}))
    assert asked == [{"since": "2020-01-01"}]


def test_nothing_new_leaves_it_alone(read):
    source, _ = read([])
    assert list(source.collect({"": '{"value":"7","of":"changed"}'})) == []


def test_it_never_goes_back(read):
    source, _ = read([order(1)])
    before = '{"value":"2026-11-23T05:00:00Z","of":"changed"}'
    assert [page.bookmark for page in source.collect({"": before})] == [before]


def test_a_time_that_cannot_have_come_yet_does_not_move_it(read):
    """One record of the year 9999 would hide everything that follows."""
    source, _ = read(
        [order(1), order(2, changed="9999-12-31T00:00:00Z"), order(3, changed="2026-11-25T00:00:00Z")]
    )
    pages = list(source.collect({}))
    assert len(entities(pages)) == 3
    assert value_of(pages) == order(1)["changed"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["nope", "2026-11-22", "zzz", "2026-11-21"], "2026-11-22"),
        (["2026-11-22", 5, None, {"a": 1}, [1], True, "x" * 1_001], "2026-11-22"),
        ([7, "n/a", 8], "8"),
    ],
)
def test_a_wrong_value_moves_nothing_and_stops_nothing(read, values, expected):
    source, _ = read([order(n, mark=value) for n, value in enumerate(values)], bookmark="mark")
    pages = list(source.collect({}))
    assert len(entities(pages)) == len(values)
    assert value_of(pages) == expected


@pytest.mark.parametrize("value", [True, [1], {"a": 1}, "x" * 1_001, None, ""])
def test_a_bookmark_that_no_record_has_is_an_error_once_all_are_read(read, value):
    source, _ = read([order(1, mark=value), order(2, mark=value)], bookmark="mark")
    pages = []
    with pytest.raises(
        PermanentError, match="bookmark = mark finds no number and no text in any of 2 records"
    ):
        pages.extend(page for page in source.collect({}))
    assert entities(pages) == ["1", "2"]


@pytest.mark.parametrize("text", ["{", "[]", '{"value": 5}', "null"])
def test_a_bookmark_of_another_kind_of_source_is_told(read, text):
    source, _ = read([])
    with pytest.raises(DataError, match="bookmark"):
        list(source.collect({"": text}))


def test_without_one_the_whole_list_is_read_each_time(read):
    source, asked = read([order(1)], query="", bookmark="")
    first = list(source.collect({}))
    assert entities(source.collect({"": first[-1].bookmark})) == ["1"]
    assert asked == [{}, {}]


# Sorted lists, kept cursors, large answers.


def test_a_sorted_list_moves_it_with_each_page(serve, make_http, clock):
    orders = Cursors(order(n) for n in range(9))
    source = rest(serve(orders.script).url, make_http(), clock, sorted="yes", **since(CURSOR))
    orders.faults[3] = reply(500)
    pages = []
    with pytest.raises(TransientError):
        pages.extend(page for page in source.collect({}))
    assert value_of(pages) == order(5)["changed"]
    found = entities(pages) + entities(source.collect({"": pages[-1].bookmark}))
    assert set(found) == {str(n) for n in range(9)}


def test_a_list_that_is_not_sorted_puts_it_back_and_says_so(serve, make_http, clock):
    orders = Cursors(order(n) for n in range(9))
    orders.chosen = lambda _query: [order(n) for n in (3, 4, 5, 6, 1, 2)]
    source = rest(serve(orders.script).url, make_http(), clock, sorted="yes", **since(CURSOR))
    before, pages = '{"value":"2026-01-01"}', []
    with pytest.raises(PermanentError, match="goes back"):
        pages.extend(page for page in source.collect({"": before}))
    assert entities(pages) == ["3", "4", "5", "6", "1", "2"]
    assert [page.bookmark for page in pages] == ['{"value":"2026-11-23T00:05:00Z","of":"changed"}', before]


def feed(serve, make_http, clock, count):
    orders = Cursors(order(n) for n in range(count))
    orders.feed = True
    return orders, rest(serve(orders.script).url, make_http(), clock, keep_cursor="yes", **CURSOR)


def test_a_feed_goes_on_at_its_cursor(serve, make_http, clock):
    orders, source = feed(serve, make_http, clock, 7)
    pages = list(source.collect({}))
    assert entities(pages) == [str(n) for n in range(7)]
    assert pages[-1].bookmark == '{"cursor":"c7"}'
    assert list(source.collect({"": pages[-1].bookmark})) == []
    orders.orders += [order(n) for n in range(7, 9)]
    assert entities(source.collect({"": pages[-1].bookmark})) == ["7", "8"]


def test_a_feed_that_breaks_off_goes_on_where_it_was(serve, make_http, clock):
    orders, source = feed(serve, make_http, clock, 7)
    orders.faults[2] = reply(500)
    pages = []
    with pytest.raises(TransientError):
        pages.extend(page for page in source.collect({}))
    assert [page.bookmark for page in pages] == ['{"cursor":"c3"}']
    assert entities(source.collect({"": pages[-1].bookmark})) == ["3", "4", "5", "6"]


def test_a_feed_that_ends_without_a_cursor_keeps_the_last_one(serve, make_http, clock):
    orders = Cursors(order(n) for n in range(7))
    source = rest(serve(orders.script).url, make_http(), clock, keep_cursor="yes", **CURSOR)
    pages = list(source.collect({}))
    assert pages[-1].bookmark == '{"cursor":"c6"}'
    orders.orders.append(order(7))
    assert entities(source.collect({"": pages[-1].bookmark})) == ["6", "7"]


def test_an_answer_larger_than_a_page_is_several_pages(serve, make_http, clock):
    orders = Orders(order(n % 1_440, id=n) for n in range(2 * MAX_PAGE_RECORDS + 1))
    source = rest(serve(orders.script).url, make_http(), clock, **since({}))
    pages = list(source.collect({}))
    assert [len(page.records) for page in pages] == [MAX_PAGE_RECORDS, MAX_PAGE_RECORDS, 1]
    assert [page.bookmark for page in pages[:-1]] == ["", ""]
    assert value_of(pages) == order(1_439)["changed"]


def test_pages_are_bounded_in_bytes_too(serve, make_http, clock):
    orders = Orders(order(n, note="x" * 500_000) for n in range(60))
    source = rest(serve(orders.script).url, make_http(), clock, attributes="note", max_bytes="40MB")
    sizes = [sum(len(record.attributes["note"]) for record in page.records) for page in source.collect({})]
    assert sum(sizes) == 30_000_000
    assert max(sizes) < 16 * 1024 * 1024
    assert len(sizes) == 3


def test_pages_come_one_at_a_time(serve, make_http, clock):
    orders = Cursors(order(n) for n in range(9))
    pages = rest(serve(orders.script).url, make_http(), clock, **CURSOR).collect({})
    assert orders.asked == []
    next(pages)
    assert len(orders.asked) == 1
    next(pages)
    assert len(orders.asked) == 2
    pages.close()
