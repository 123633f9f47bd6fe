"""How content is written: canonically, exactly, or not at all."""

import base64
import enum
import math
from collections import OrderedDict, namedtuple
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from outbox.agents import Agent
from outbox.errors import RecordError
from outbox.line import line_builder
from outbox.record import MAX_BODY_BYTES, MAX_LINE_BYTES, MAX_NAME_CHARS, Normaliser, Record, normalise
from outbox.record.canonical import MAX_DEPTH, canonical, encode
from tests.unit.strict_json import strict

T = datetime(2026, 11, 23, 2, tzinfo=UTC)
NAIVE = T.replace(tzinfo=None)

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
integers = st.integers(-(2**70), 2**70)
floats = st.floats(allow_nan=False, allow_infinity=False)
decimals = st.decimals(allow_nan=False, allow_infinity=False)
aware = st.datetimes(
    NAIVE.replace(year=2), NAIVE.replace(year=9998), timezones=st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(timezone)
)  # fmt: skip
scalars = st.one_of(
    st.none(), st.booleans(), integers, floats, words, aware, st.dates(), st.times(), st.binary(max_size=9)
)
documents = st.recursive(
    scalars, lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(words, inner, max_size=4)), max_leaves=12
)  # fmt: skip
objects = st.dictionaries(words, documents, min_size=1, max_size=5)


def entry(values, **changes):
    record = Record(stream="s", entity="e", observed_at=T, values=values, **changes)
    return normalise(record, customer="acme", site="helsinki", source="weather")


def written(value):
    """The text that stands in the body for one value."""
    body = entry({"v": value}).body.decode()
    return body[body.index('"values":{"v":') + len('"values":{"v":') : -2]


def reason(values, **changes):
    with pytest.raises(RecordError) as caught:
        entry(values, **changes)
    return caught.value.message


def expected(value):  # noqa: PLR0911 - one for each kind
    """What a strict reader must find for a value."""
    match value:
        case bool() | str() | None:
            return value
        case int():
            return Decimal(value) if -(2**63) <= value < 2**64 else str(value)
        case float():
            return Decimal(repr(value))
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case date() | time():
            return value.isoformat()
        case bytes():
            return base64.b64encode(value).decode()
        case list():
            return [expected(item) for item in value]
    return {key: expected(item) for key, item in value.items()}


@given(objects, objects, st.dictionaries(words, words), objects, words.filter(str.strip))
def test_every_body_is_strict_json_with_sorted_keys_and_gives_back_what_went_in(
    values, attributes, units, origin, entity
):
    record = Record(
        stream="s",
        entity=entity,
        observed_at=T,
        values=values,
        units=units,
        attributes=attributes,
        origin=origin,
    )
    found = normalise(record, customer="acme", site="helsinki", source="weather")
    body = strict(found.body)
    assert body["values"] == expected(values)
    assert body["attributes"] == expected(attributes)
    assert body["origin"] == expected(origin)
    assert body.get("units", {}) == units
    assert (body["stream"], body["entity"], body["source"]) == ("s", entity, "weather")


@given(objects)
def test_a_line_is_strict_json_and_sorted_in_its_envelope_and_in_its_body(values):
    agent = Agent("3f9c3f9c3f9c3f9c-000000000001", "acme", "helsinki", "", 1, "2026-01-01T00:00:00.000Z")
    found = entry(values)
    line = line_builder(1, agent)(7, b"2026-11-23T02:00:00.000Z", found.body)
    head, body = line.decode().split(',"entity":', 1)
    envelope = strict(head + "}")
    assert envelope["sequence"] == 7
    assert strict('{"entity":' + body.removesuffix("\n")) == strict(found.body)
    assert not envelope.keys() & strict(found.body).keys()


@pytest.mark.parametrize(
    ("same", "text"),
    [
        ([1, 1.0, Decimal(1), Decimal("1.00"), Decimal("1E0"), Decimal("10E-1")], "1"),
        ([0, -0.0, 0.0, Decimal("-0"), Decimal("-0.00"), Decimal("0E+5"), Decimal("0E-5")], "0"),
        ([100, 1e2, Decimal("1E+2")], "100"),
        ([0.1, Decimal("0.1"), Decimal("0.10")], "0.1"),
        ([0.00001, Decimal("1E-5")], "0.00001"),
        ([10**20, Decimal("1E20")], '"100000000000000000000"'),
        ([1e20], "1e+20"),
        ([-1e300], "-1e+300"),
        ([2**64 - 1, Decimal(2**64 - 1)], "18446744073709551615"),
        ([2**64, Decimal(2**64)], '"18446744073709551616"'),
        ([-(2**63), Decimal(-(2**63))], "-9223372036854775808"),
        ([-(2**63) - 1, Decimal(-(2**63) - 1)], '"-9223372036854775809"'),
        ([1.2345678901234567e19, Decimal("12345678901234567E+3")], "12345678901234567000"),
        ([1e-40, Decimal("1E-40")], "1e-40"),
        ([Decimal("0." + "1" * 38)], "0." + "1" * 38),
        ([Decimal("0." + "1" * 39)], '"0.' + "1" * 39 + '"'),
        ([Decimal("1." + "1" * 38)], '"1.' + "1" * 38 + '"'),
        ([Decimal("1E+5000"), 10**5000], '"1E+5000"'),
    ],
)
def test_numbers_of_one_value_are_one_content_whatever_carried_them(same, text):
    assert {written(number) for number in same} == {text}
    assert len({entry({"v": number}).content_hash for number in same}) == 1


@given(floats.filter(lambda number: abs(number) < 2**63))
@example(5e-324)
@example(9007199254740993.0)
@example(1.2345678901234567e-25)
def test_a_float_and_the_decimal_of_its_shortest_digits_are_one_content(number):
    assert written(number) == written(Decimal(repr(number)))


@given(st.one_of(decimals, floats, integers))
def test_a_number_comes_back_exactly_as_number_or_as_text(number):
    found = strict(written(number))
    assert Decimal(found) == (Decimal(repr(number)) if isinstance(number, float) else number)


@given(decimals, st.integers(0, 30))
def test_zeros_at_the_end_of_a_decimal_mean_nothing(number, zeros):
    sign, digits, exponent = number.as_tuple()
    longer = Decimal((sign, digits + (0,) * zeros, exponent - zeros))
    assert written(longer) == written(number)


@given(st.floats(1e-4, 1e16, exclude_max=True), st.sampled_from([1, -1]))
@example(1e-4, 1)
@example(9999999999999998.0, 1)
def test_the_encoder_writes_floats_of_usual_size_as_python_does_so_that_an_upgrade_changes_no_byte(
    number, sign
):
    assert msgspec.json.encode(sign * number).decode() == repr(sign * number)


def test_canonical_says_the_same_inside_an_object_as_outside():
    for number in (0.5, 1e-4, 0.00009, 1e16, 1e15 + 0.5, -0.5, 3.0):
        assert encode(canonical({"v": number})) == b'{"v":%b}' % encode(canonical(number))


class Colour(str, enum.Enum):  # noqa: UP042 - its str() is not its value
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Itself(str):
    __slots__ = ()

    def __str__(self):
        return self


class Loud(dict):
    def keys(self):
        raise AssertionError

    __iter__ = items = values = keys


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Colour.RED, '"red"'),
        (Level.HIGH, "3"),
        (Itself("x"), '"x"'),
        (Loud(a=1), '{"a":1}'),
        (OrderedDict(b=1, a=2), '{"a":2,"b":1}'),
        (namedtuple("Point", "x y")(1, 2.0), "[1,2]"),  # noqa: PYI024 - as a driver returns it
        ({Itself("k"): (True, None)}, '{"k":[true,null]}'),
        (memoryview(b"abcd")[::2], '"YWM="'),
        (bytearray(b"ab"), '"YWI="'),
        (
            datetime(2026, 1, 1, 2, 0, 0, 500, tzinfo=timezone(timedelta(hours=2))),
            '"2026-01-01T00:00:00.000500Z"',
        ),
        (date(2026, 1, 1), '"2026-01-01"'),
        (time(5, 6), '"05:06:00"'),
    ],
)
def test_what_drivers_return_is_written_as_its_plain_kind(value, text):
    assert written(value) == text


@pytest.mark.parametrize(
    "infinite", [math.nan, math.inf, -math.inf, Decimal("NaN"), Decimal("sNaN"), Decimal("-Infinity")]
)
@pytest.mark.parametrize("wrap", [lambda v: {"a": v}, lambda v: {"a": [{"b": v}]}], ids=["flat", "nested"])
def test_what_is_no_finite_number_is_refused_wherever_it_stands(infinite, wrap):
    assert "is not a number that JSON can hold" in reason(wrap(infinite))
    assert "is not a number that JSON can hold" in reason({"a": 1}, attributes=wrap(infinite))


def nest(depth, inner=1):
    for _ in range(depth):
        inner = [inner]
    return {"a": inner}


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"values": {}}, "no values"),
        ({"values": {"a": 1}, "deleted": True}, "deleted, yet it has values"),
        ({"values": {}, "deleted": "yes"}, "deleted is neither true nor false: 'yes'"),
        ({"values": [1]}, "values has no names: it is a value of type list"),
        ({"values": "text"}, "values has no names: it is 'text'"),
        ({"attributes": None}, "attributes has no names: it is None"),
        ({"origin": "file.csv"}, "origin has no names: it is 'file.csv'"),
        ({"units": {"a": 1}}, "the unit of 'a' is not a text: a value of type int"),
        ({"entity": ""}, "entity is empty"),
        ({"entity": " \n"}, "entity is empty"),
        ({"stream": None}, "stream is empty"),
        ({"stream": 5}, "stream is not a text: a value of type int"),
        ({"entity": ["x"]}, "entity is not a text: a value of type list"),
        ({"entity": "x" * (MAX_NAME_CHARS + 1)}, "entity has 1,001 characters; the limit is 1,000"),
        ({"entity": "a\ud800"}, "text that is not Unicode: 'a\\ud800'"),
        ({"stream": "\udfff"}, "text that is not Unicode: '\\udfff'"),
        ({"values": {"a": "\ud800"}}, "text that is not Unicode: '\\ud800'"),
        ({"values": {"\ud800": 1}}, "text that is not Unicode: '\\ud800'"),
        ({"units": {"a": "\ud800"}}, "text that is not Unicode: '\\ud800'"),
        ({"attributes": {"a": [{"\ud800": 1}]}}, "text that is not Unicode: '\\ud800'"),
        ({"values": {1: 1, "1": 2}}, "cannot be written as JSON: Only dicts with str keys are supported"),
        ({"values": {"a": {None: 1}}}, "cannot be written as JSON: Only dicts with str keys are supported"),
        ({"values": {"a": NAIVE}}, "a time among the values has no time zone: 2026-11-23T02:00:00"),
        ({"values": {"a": datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1)))}}, "a time among the values is outside"),
        ({"values": {"a": 1j}}, "a value of type complex cannot be written as JSON"),
        ({"values": {"a": {1, 2}}}, "a value of type set cannot be written as JSON"),
        ({"values": {"a": msgspec.Raw(b"NaN")}}, "a value of type Raw cannot be written as JSON"),
        ({"values": {"a": 7 * 10**1000 + 1}}, "a number of more than 1,000 digits"),
        ({"values": {"a": Decimal("1E+99999999")}}, "a number of more than 1,000 digits"),
        ({"values": nest(MAX_DEPTH)}, "nested deeper than 64 levels"),
        ({"values": nest(100_000)}, "nested deeper than 64 levels"),
        ({"values": {"a": "x" * MAX_LINE_BYTES}}, "bytes of JSON; the limit is 998,976"),
    ],
)  # fmt: skip
def test_what_cannot_be_written_is_refused_with_a_reason_that_helps(facts, why):
    facts = {"values": {"a": 1}, **facts}
    values = facts.pop("values")
    if "stream" in facts or "entity" in facts:
        with pytest.raises(RecordError) as caught:
            normalise(
                Record(**{"stream": "s", "entity": "e", "observed_at": T, "values": values, **facts}),
                customer="acme", site="helsinki", source="weather",
            )  # fmt: skip
        message = caught.value.message
    else:
        message = reason(values, **facts)
    assert why in message
    assert len(message) < 200
    message.encode()


def test_the_deepest_nesting_that_is_allowed_is_written():
    assert strict(entry(nest(MAX_DEPTH - 1)).body)["values"] == expected(nest(MAX_DEPTH - 1))


def test_an_object_that_holds_itself_is_refused():
    values = {}
    values["a"] = values
    assert reason(values) == "nested deeper than 64 levels"


def test_the_longest_body_makes_a_line_within_the_limit():
    room = MAX_BODY_BYTES - len(entry({"a": ""}).body)
    longest = entry({"a": "x" * room}).body
    assert len(longest) == MAX_BODY_BYTES
    agent = Agent("f" * 16 + "-" + "9" * 12, "c" * 63, "s" * 63, "", 1, "2026-01-01T00:00:00.000Z")
    line = line_builder(1, agent)(2**63 - 1, b"2026-11-23T02:00:00.000Z", longest)
    assert len(line) <= MAX_LINE_BYTES
    assert "limit" in reason({"a": "x" * (room + 1)})


def test_objects_that_records_share_are_written_as_separate_copies_are():
    shared = {"attributes": {"lat": 60.0}, "units": {"t": "°C"}, "origin": {"file": "a.csv"}}
    normaliser = Normaliser("acme", "helsinki", "weather")
    for hour in range(3):
        facts = {
            "stream": "s",
            "entity": "e",
            "observed_at": T + timedelta(hours=hour),
            "values": {"t": hour},
        }
        together = normaliser(Record(**facts, **shared))
        copies = {name: dict(value) for name, value in shared.items()}
        assert together == normalise(
            Record(**facts, **copies), customer="acme", site="helsinki", source="weather"
        )


def test_a_shared_object_that_cannot_be_written_is_refused_in_every_record():
    normaliser = Normaliser("acme", "helsinki", "weather")
    units = {"t": 5}
    for _ in range(3):
        with pytest.raises(RecordError, match="the unit of 't' is not a text"):
            normaliser(Record(stream="s", entity="e", observed_at=T, values={"t": 1}, units=units))
