"""Pages of records, and anything at all in the place of a record."""

import json
import math
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outbox.errors import MAX_MESSAGE_CHARS, RecordError
from outbox.record import MAX_RAW_BYTES, Entry, Page, Record, Rejected, normalise
from outbox.record.page import normalise_page, raw
from tests.unit.strict_json import strict

T = datetime(2026, 11, 23, 2, tzinfo=UTC)
PLACE = {"customer": "acme", "site": "helsinki", "source": "weather"}


class Hostile:
    """An object whose every method raises."""

    def _raise(self, *_):
        raise RuntimeError("not to be called")

    __repr__ = __str__ = __bool__ = __eq__ = __iter__ = __len__ = __float__ = __int__ = __index__ = _raise
    __hash__ = None


class HostileZone(tzinfo):
    def utcoffset(self, moment):
        raise ValueError("no such zone")


class HostileText(str):
    def __str__(self):
        raise RuntimeError("not to be called")

    __format__ = __str__


class HostileList(list):
    def __iter__(self):
        raise RuntimeError("not to be called")


anything = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.decimals(), st.complex_numbers(),
        st.text(st.characters(categories=["Cs"]), max_size=3), st.datetimes(), st.datetimes(timezones=st.timezones()),
        st.dates(), st.times(), st.timedeltas(), st.uuids(), st.fractions(), st.just(T), st.just(object()),
        st.builds(Hostile), st.just(HostileText("x")), st.builds(HostileZone).map(lambda zone: T.replace(tzinfo=zone)), st.integers(4990, 5010).map(lambda digits: 10**digits),
        st.just(Decimal("1E+999999")), st.just(memoryview(b"abcd")[::2]), st.sampled_from([int, len, Ellipsis, range(3)]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.lists(inner, max_size=3).map(tuple), st.lists(inner, max_size=2).map(HostileList),
        st.dictionaries(st.one_of(st.text(max_size=3), st.integers(), st.none(), st.tuples(st.text())), inner, max_size=3),
    ),
    max_leaves=8,
)  # fmt: skip
likely = {
    "stream": st.one_of(st.just("s"), anything),
    "entity": st.one_of(st.just("e"), anything),
    "observed_at": st.one_of(st.just(T), anything),
    "values": st.one_of(
        st.just({"a": 1}), st.dictionaries(st.text(max_size=3), anything, max_size=3), anything
    ),
    "units": st.one_of(st.just({}), anything),
    "attributes": st.one_of(st.just({}), anything),
    "origin": st.one_of(st.just({}), anything),
    "deleted": st.one_of(st.just(False), anything),
}


def written_or_refused(record):
    try:
        return normalise(record, **PLACE)
    except RecordError as error:
        return error.message


@settings(max_examples=600)
@given(st.fixed_dictionaries(likely))
def test_whatever_a_record_holds_it_is_written_or_refused_with_a_reason_and_can_be_shown(facts):
    record = Record(**facts)
    found = written_or_refused(record)
    if isinstance(found, Entry):
        assert strict(found.body)["source"] == "weather"
    else:
        assert 0 < len(found.encode()) <= 4 * MAX_MESSAGE_CHARS
    shown = raw(record)
    assert len(shown.encode()) <= MAX_RAW_BYTES


def record(entity="Helsinki", hour=0, **changes):
    facts = {
        "stream": "hourly",
        "entity": entity,
        "observed_at": T + timedelta(hours=hour),
        "values": {"t": 1},
    }
    return Record(**facts | changes)


def page(*records, rejected=()):
    return normalise_page(Page(records=list(records), bookmark="b", rejected=list(rejected)), **PLACE)


def test_what_is_wrong_with_one_record_leaves_the_others_of_its_page_alone():
    found = page(
        record(hour=1), record(values={"t": math.nan}), record(hour=2), rejected=[Rejected("no line", "x;y")]
    )
    assert [strict(entry.body)["observed_at"] for entry in found.entries] == [
        "2026-11-23T03:00:00Z",
        "2026-11-23T04:00:00Z",
    ]
    assert [item.reason for item in found.rejected] == ["no line", "nan is not a number that JSON can hold"]
    assert found.repeated == 0


def test_an_exact_repetition_counts_once_however_it_is_spelt():
    elsewhere = T.astimezone(datetime.strptime("+0200", "%z").tzinfo)
    found = page(
        record(), record(values={"t": 1.0}), record(values={"t": Decimal("1.00")}, observed_at=elsewhere)
    )
    assert (len(found.entries), len(found.rejected), found.repeated) == (1, 0, 2)


def test_a_repetition_read_from_another_place_is_still_one():
    found = page(record(origin={"line": 1}), record(origin={"line": 2}))
    assert (len(found.entries), found.repeated) == (1, 1)
    assert strict(found.entries[0].body)["origin"] == {"line": 1}


@pytest.mark.parametrize(
    ("one", "other", "differing"),
    [
        ({"values": {"qty": 1, "price": 5}}, {"values": {"qty": 1.0, "price": 6}}, "price"),
        ({"values": {"qty": 1, "price": 5}}, {"values": {"qty": 2, "price": 6}}, "price, qty"),
        ({"values": {"qty": 1}}, {"values": {"qty": 1, "price": None}}, "price"),
        ({"units": {"t": "°C"}}, {"units": {"t": "K"}}, "unit of t"),
        ({"attributes": {"line": 1}}, {"attributes": {"line": 2}}, "attribute line"),
        ({}, {"values": {}, "deleted": True}, "t"),
    ],
)
def test_two_truths_of_one_identity_are_both_rejected_and_what_differs_is_named(one, other, differing):
    found = page(record(hour=5), record(**one), record(**other))
    assert [strict(entry.body)["observed_at"] for entry in found.entries] == ["2026-11-23T07:00:00Z"]
    assert found.repeated == 0
    expected = (
        "ambiguous identity: 2 records of stream 'hourly', entity 'Helsinki', 2026-11-23T02:00:00Z "
        f"differ in {differing}"
    )
    assert [item.reason for item in found.rejected] == [expected, expected]
    assert found.rejected[0].raw != found.rejected[1].raw


def test_all_records_of_an_ambiguous_identity_are_rejected_the_repeated_ones_too():
    found = page(record(), record(), record(values={"t": 2}), record(values={"t": 1}))
    assert (found.entries, len(found.rejected), found.repeated) == ([], 4, 0)


def test_a_reason_stays_short_however_long_the_names_are():
    long = {f"{'x' * 300}{number}": number for number in range(50)}
    found = page(record("e" * 900, values=long), record("e" * 900, values=dict.fromkeys(long, 0)))
    assert {len(item.reason) <= 500 for item in found.rejected} == {True}


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=12))
def test_everything_of_a_page_is_kept_rejected_or_repeated(facts):
    found = page(*(record(hour=hour, values={"t": value}) for hour, value in facts))
    assert len(found.entries) + len(found.rejected) + found.repeated == len(facts)
    contents = {}
    for hour, value in facts:
        contents.setdefault(hour, set()).add(value)
    assert len(found.entries) == sum(len(values) == 1 for values in contents.values())
    assert len(found.rejected) == sum(len(contents[hour]) > 1 for hour, _ in facts)


def test_a_rejected_record_can_be_read_in_full_with_its_unreadable_parts_named():
    values = {
        "ok": 1.5,
        7: "number",
        ("a", 1): 2,
        "at": T,
        "price": Decimal("1.10"),
        "bad": Hostile(),
        "text": "\ud800",
    }
    shown = json.loads(raw(record(values=values, attributes={"n": math.nan, "huge": 10**5000})))
    assert shown["entity"] == "Helsinki"
    assert shown["observed_at"] == "2026-11-23 02:00:00+00:00"
    assert shown["values"] == {
        "ok": 1.5, "<7>": "number", "<('a', 1)>": 2, "at": "2026-11-23 02:00:00+00:00", "price": "1.10",
        "bad": "a value of type Hostile, which cannot be shown: RuntimeError", "text": "\ud800",
    }  # fmt: skip
    assert math.isnan(shown["attributes"]["n"])


@pytest.mark.parametrize("values", [{"a": "ä\ud800" * MAX_RAW_BYTES}, {str(n): n for n in range(100_000)}])
def test_a_rejected_record_is_cut_at_64_kib(values):
    shown = raw(record(values=values))
    assert len(shown.encode()) == MAX_RAW_BYTES


def test_a_rejected_record_that_holds_itself_can_be_shown():
    values = {"first": "kept"}
    values["itself"] = values
    assert '"first": "kept"' in raw(record(values=values))
