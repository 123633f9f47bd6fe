"""Answers of all kinds: each is records, rejected input, or a typed error. Nothing else, and nothing lost."""

import gzip
import json
import re
from datetime import date
from urllib.parse import parse_qs, urlsplit

import pytest

from collectors.collector import Window
from outbox.errors import OutboxError, PermanentError, TransientError
from outbox.record.page import normalise_page
from tests.collectors.loopback import reply
from tests.collectors.rest_api import entities, order, rest


@pytest.fixture
def read(serve, make_http, clock):
    def read(answer, **options):
        return rest(serve(lambda _ask: answer).url, make_http(), clock, **options)

    return read


def one(text):
    """An answer with one order, of which a part is `text`."""
    return b'[{"id": 1, "changed": "2026-11-23T01:00:00Z", ' + text.encode(errors="surrogatepass") + b"}]"


WRONG = {
    "nothing": (b"", TransientError),
    "blank": (b" \r\n", TransientError),
    "cut in a text": (b'[{"id": "a', TransientError),
    "cut in a list": (b"[1, 2,", TransientError),
    "two documents": (b"[] []", TransientError),
    "lines of JSON": (b'{"id": 1}\n{"id": 2}\n', PermanentError),
    "a login page": (b"<!DOCTYPE html><html><title>Log in</title></html>", TransientError),
    "XML": (b'<?xml version="1.0"?><orders/>', TransientError),
    "CSV": (b"id;total\n1;2\n", TransientError),
    "a word": (b"OK", TransientError),
    "a PDF": (b"%PDF-1.7\n\x00\xff", TransientError),
    "gzip without saying so": (gzip.compress(b"[]"), PermanentError),
    "UTF-16": ("[]".encode("utf-16"), TransientError),
    "Latin-1": ('[{"id": "ä"}]'.encode("latin-1"), TransientError),
    "NUL": (b"[\x00]", TransientError),
    "a comma too many": (b'[{"id": 1,}]', TransientError),
    "single quotes": (b"[{'id': 1}]", TransientError),
    "a comment": (b"[] // done", TransientError),
    "JSON with padding": (b"callback([])", TransientError),
    "brackets without end": (b"[" * 200_000, PermanentError),
    "objects without end": (b'{"a":' * 200_000, PermanentError),
    "null": (b"null", PermanentError),
    "true": (b"true", PermanentError),
    "a number": (b"17", PermanentError),
    "a text": (b'"none"', PermanentError),
}


@pytest.mark.parametrize(("body", "error"), WRONG.values(), ids=WRONG.keys())
def test_an_answer_that_is_no_list(read, body, error):
    with pytest.raises(OutboxError) as caught:
        list(read(reply(200, body)).collect({}))
    assert type(caught.value) is error
    assert len(str(caught.value)) < 2_500


@pytest.mark.parametrize(
    "body", [b'{"data": null}', b"{}", b'{"error": "no"}', b"[]", b'{"data": {"items": 5}}', b'{"data": "x"}']
)
def test_a_list_that_is_not_where_it_should_be_says_what_is_there(read, body):
    with pytest.raises(PermanentError, match=r"records = data\.items finds") as caught:
        list(read(reply(200, body), records="data.items").collect({}))
    assert "|| `[]`" in caught.value.hint
    assert entities(read(reply(200, body), records="data.items[] || `[]`").collect({})) == []


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ('{"data": [{"id": 1}], "data": []}', "the answer has a key that stands twice: 'data'"),
        ('{"data": [], "x": [{"a": 1, "\\u0061": 1}]}', "the answer has a key that stands twice: 'a'"),
        ('{"data": [], "x": %s}' % ("[" * 65 + "]" * 65), "the answer is nested deeper than 64 levels"),
    ],
)
def test_a_document_in_which_something_is_left_open_is_refused(read, document, problem):
    with pytest.raises(PermanentError, match=re.escape(problem)):
        list(read(reply(200, document.encode()), records="data").collect({}))


REJECTED = {
    "null among the records": (b"[null]", "is nothing, not an object"),
    "a list among the records": (b"[[1, 2]]", "is a list"),
    "a number among the records": (b"[5]", "is a number"),
    "an empty object": (b"[{}]", "none of total, customer.name is there, but an empty object"),
    "other names": (b'[{"identity": 1, "when": "x"}]', "an object with identity, when"),
    "an error with a status of 200": (b'{"error": "quota", "code": 7}', "an object with error, code"),
    "no time": (b'[{"id": 1, "total": 5}]', "changed is empty"),
    "a time that is none": (b'[{"id": 1, "total": 5, "changed": "yesterday"}]', "is not a time"),
    "a day that does not exist": (
        b'[{"id": 1, "total": 5, "changed": "2026-02-30T00:00:00Z"}]',
        "is not a time",
    ),
    "a time that is an object": (b'[{"id": 1, "total": 5, "changed": {"$date": 5}}]', "changed"),
    "a time that is true": (b'[{"id": 1, "total": 5, "changed": true}]', "changed"),
    "no entity": (b'[{"changed": "2026-11-23", "total": 5}]', "id is empty"),
    "an entity that is a list": (b'[{"id": [1], "changed": "2026-11-23", "total": 5}]', "id is not a text"),
    "NaN": (one('"total": NaN'), "total is not a number: NaN"),
    "Infinity": (one('"total": -Infinity'), "total is not a number: -Infinity"),
    "a key twice": (one('"total": 1, "total": 2'), "has a key that stands twice: 'total'"),
    "a key twice, once with an escape": (one('"total": 1, "t\\u006ftal": 2'), "stands twice: 'total'"),
    "a key twice, far inside": (one('"total": 1, "x": [{"y": {"z": 1, "z": 1}}]'), "stands twice: 'z'"),
    "an exponent that no number has": (one('"total": 1e99999999999999999999'), "total is not a number"),
    "a key twice but for a space": (one('"total": 1, "total ": 2'), "has the key total more than once"),
    "text for a number": (one('"total": "much"'), "total is not a number"),
    "a huge exponent": (one('"total": 1e999'), "beyond the range"),
    "digits without end": (one(f'"total": {"7" * 100_000}'), "total"),
    "nested deeply": (one(f'"total": {"[" * 400}1{"]" * 400}'), "is nested deeper than 64 levels"),
    "a lone surrogate": (one('"total": 1, "customer": {"name": "\\ud800"}'), "not Unicode"),
    "a name of a megabyte": (one(f'"total": 1, "customer": {{"name": "{"x" * 1_100_000}"}}'), "the limit is"),
}


@pytest.mark.parametrize(("body", "reason"), REJECTED.values(), ids=REJECTED.keys())
def test_a_record_that_is_none_is_rejected_with_its_reason_and_the_rest_goes_on(read, body, reason):
    if body.startswith(b"["):
        body = body[:-1] + b"," + json.dumps(order(7)).encode() + b"]"
    pages = list(read(reply(200, body)).collect({}))
    done = normalise_page(pages[0], customer="c", site="s", source="orders")
    (rejected,) = done.rejected
    assert reason in rejected.reason
    assert rejected.raw
    assert len(rejected.raw) <= 64 * 1024
    assert len(done.entries) == body.startswith(b"[")


FINE = {
    "a byte order mark": (b"\xef\xbb\xbf" + one('"total": 1'), {"total": 1}),
    "a number kept exactly": (
        one('"total": 12345678901234567890.123456789'),
        {"total": "12345678901234567890.123456789"},
    ),
    "a negative zero": (one('"total": -0.0'), {"total": 0}),
    "an empty text": (one('"total": 1, "customer": {"name": ""}'), {"total": 1}),
    "null": (one('"total": 1, "customer": null'), {"total": 1}),
    "null again": (one('"total": null, "customer": {"name": "x"}'), {"who": "x"}),
    "numbers as text": (one('"total": "1.50"'), {"total": "1.50"}),
    "names from right to left": (
        one('"total": 1, "customer": {"name": "\u202eevil"}'),
        {"total": 1, "who": "\u202eevil"},
    ),
    "NUL in a text": (one('"total": 1, "customer": {"name": "a\\u0000b"}'), {"total": 1, "who": "a\x00b"}),
    "a surrogate pair": (
        one('"total": 1, "customer": {"name": "\\ud83d\\ude00"}'),
        {"total": 1, "who": "😀"},
    ),
}


@pytest.mark.parametrize("text", ["true", '{"net": 1, "tax": [2]}', "[1, 2]"])
def test_what_is_typed_and_not_a_number_is_rejected_unless_it_may_stay(read, text):
    (page,) = read(reply(200, one(f'"total": {text}'))).collect({})
    assert "(json) keeps it as it is" in page.rejected[0].reason
    (page,) = read(reply(200, one(f'"total": {text}')), values="total (json)").collect({})
    assert page.records[0].values == {"total": json.loads(text)}


@pytest.mark.parametrize(("body", "values"), FINE.values(), ids=FINE.keys())
def test_what_is_odd_and_right_is_read(read, body, values):
    (page,) = read(reply(200, body)).collect({})
    (record,) = page.records
    found = {
        name: str(value) if isinstance(values[name], str) else value for name, value in record.values.items()
    }
    assert found == values
    assert normalise_page(page, customer="c", site="s", source="orders").rejected == []


def test_a_record_whose_values_are_null_says_nothing(read):
    pages = list(read(reply(200, [order(1, total=None, customer=None), order(2)])).collect({}))
    assert entities(pages) == ["2"]
    assert pages[0].rejected == []


def test_a_key_comes_before_an_expression(read):
    (page,) = read(reply(200, [order(1, **{"customer.name": "by key"})])).collect({})
    assert page.records[0].values["who"] == "by key"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ('"Total (EUR)"', {"Total (EUR)": 7}),
        ("n: length(lines)", {"n": 2}),
        ('last: "lines[-1].qty" [pcs]', {"last": 4}),
        ('sum: "sum(lines[].qty)"', {"sum": 7}),
        ("first: \"lines[?sku=='b'] | [0].qty\"", {"first": 4}),
        ("missing || total", {"missing || total": 1.5}),
    ],
)
def test_a_column_may_be_any_expression(read, values, expected):
    found = order(1, lines=[{"sku": "a", "qty": 3}, {"sku": "b", "qty": 4}], **{"Total (EUR)": 7})
    (page,) = read(reply(200, [found]), values=values).collect({})
    assert page.rejected == []
    assert {name: float(value) for name, value in page.records[0].values.items()} == expected


def test_an_expression_that_fails_on_one_record_rejects_that_one(read):
    records = [order(1, lines="none"), order(2, lines=[{"qty": 2}])]
    (page,) = read(reply(200, records), values='sum: "sum(lines[*].qty)"').collect({})
    assert entities([page]) == ["2"]
    assert "sum" in page.rejected[0].reason


def test_an_expression_that_fails_on_the_whole_answer_is_an_error(read):
    with pytest.raises(PermanentError, match="cannot be applied"):
        list(read(reply(200, {"a": 5}), records="keys(a)").collect({}))


def test_a_rejected_record_can_be_read_again_with_another_mapping(read):
    records = [{"id": 1, "when": {"at": "2026-11-23T01:00:00Z"}, "total": 5}]
    (page,) = read(reply(200, records)).collect({})
    mended = read(reply(200, b"[]"), time="when.at", values="total")
    found = mended.reread(page.rejected[0].raw)
    assert (found.entity, found.values) == ("1", {"total": 5})


def test_an_answer_beyond_its_size_is_refused(read):
    body = json.dumps([order(n) for n in range(100)]).encode()
    assert len(entities(read(reply(200, body), max_bytes="100kB").collect({}))) == 100
    with pytest.raises(PermanentError, match="larger than 5,000 bytes"):
        list(read(reply(200, body), max_bytes="5kB").collect({}))
    bomb = reply(200, gzip.compress(b" " * 50_000_000), {"Content-Encoding": "gzip"})
    with pytest.raises(PermanentError, match="larger than"):
        list(read(bomb).collect({}))


def test_no_content_is_an_empty_list(read):
    (page,) = read(b"HTTP/1.1 204 No Content\r\n\r\n").collect({})
    assert page.records == []


@pytest.mark.parametrize(
    "cursor",
    [5, "x", -1, "c" * 16_000, "ä/%?&=", "{page}", "a\nb", 10**30],
)
def test_a_cursor_is_sent_back_to_the_letter(serve, make_http, clock, cursor):
    asked = []

    def script(ask):
        asked.append(ask.target)
        return reply(200, {"data": [order(len(asked))], "next": cursor if len(asked) == 1 else None})

    options = {"pagination": "cursor", "next": "next", "records": "data", "query": "cursor = {cursor}"}
    source = rest(serve(script).url, make_http(), clock, **options)
    assert entities(source.collect({})) == ["1", "2"]
    assert parse_qs(urlsplit(asked[1]).query) == {"cursor": [str(cursor)]}


@pytest.mark.parametrize("cursor", [True, 1.5, ["a"], {"a": 1}, "c" * 16_001])
def test_a_cursor_that_is_none_is_an_error(read, cursor):
    options = {"pagination": "cursor", "next": "next", "records": "data", "query": "cursor = {cursor}"}
    with pytest.raises(PermanentError, match="cursor"):
        list(read(reply(200, {"data": [order(1)], "next": cursor}), **options).collect({}))


def test_days_cannot_be_back_filled(read):
    with pytest.raises(PermanentError, match="back-fill"):
        list(read(reply(200, b"[]")).collect({}, Window(date(2026, 1, 1), date(2026, 1, 2))))
