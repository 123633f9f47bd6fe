"""What names a record, and in which order the names sort."""

import hashlib
import uuid
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from outbox.errors import RecordError
from outbox.record import Record, id_floor, normalise, observed_text, uuid_text

PLACE = {"customer": "acme", "site": "helsinki", "source": "weather"}
T = datetime(2026, 11, 23, 2, tzinfo=UTC)
CLAMPED_FROM = datetime(1, 1, 1, tzinfo=UTC) + timedelta(milliseconds=2**48 - 1)

moments = st.datetimes(timezones=st.just(UTC))
zones = st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(timezone)
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(str.strip)


def entry(**changes):
    facts = {"stream": "current", "entity": "Helsinki", "observed_at": T, "values": {"t": 1}, **changes}
    return normalise(Record(**facts), **PLACE)


@given(moments, zones)
def test_a_record_is_the_same_in_every_time_zone(moment, zone):
    try:
        elsewhere = moment.astimezone(zone)
    except OverflowError:
        assume(False)
    assert entry(observed_at=elsewhere) == entry(observed_at=moment)


@given(st.permutations(["a", "b", "ä", "Z", "𝄞", "\ue000"]), st.data())
def test_a_record_is_the_same_in_every_order_of_its_keys(keys, data):
    shuffled = data.draw(st.permutations(keys))

    def facts(order):
        nested = {key: {inner: len(inner) for inner in order} for key in order}
        return entry(values=nested, units=dict.fromkeys(order, "°C"), attributes=nested, origin=nested)

    assert facts(keys) == facts(shuffled)


@given(moments, moments)
@example(datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC))
@example(datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC))
@example(
    datetime(1969, 12, 31, 23, 59, 59, 998000, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
)
@example(CLAMPED_FROM - timedelta(milliseconds=1), CLAMPED_FROM)
def test_ids_sort_by_time_from_the_year_1_to_9999(one, other):
    earlier, later = sorted((one, other))
    assert entry(observed_at=earlier).record_id[:6] <= entry(observed_at=later).record_id[:6]
    if later < CLAMPED_FROM and later - earlier >= timedelta(milliseconds=1):
        assert entry(observed_at=earlier).record_id < entry(observed_at=later).record_id


def test_milliseconds_before_1970_are_floored_as_those_after_it():
    for moment, prefix in (
        (datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC), 62_135_596_799_999),
        (datetime(1970, 1, 1, tzinfo=UTC), 62_135_596_800_000),
        (datetime(1, 1, 1, 0, 0, 0, 999, tzinfo=UTC), 0),
    ):
        assert int.from_bytes(entry(observed_at=moment).record_id[:6], "big") == prefix


def test_ids_are_clamped_in_the_year_8920_and_still_differ():
    last, end = datetime(9999, 12, 31, tzinfo=UTC), datetime(8920, 1, 1, tzinfo=UTC)
    ids = {entry(observed_at=last).record_id, entry(observed_at=last + timedelta(hours=1)).record_id}
    assert {found[:6] for found in ids} == {b"\xff" * 6}
    assert len(ids) == 2
    assert entry(observed_at=end).record_id[:6] < b"\xff" * 6


@given(moments, names, names)
def test_an_id_is_a_uuid_of_version_8_and_of_the_rfc_variant(moment, stream, entity):
    found = uuid.UUID(bytes=entry(observed_at=moment, stream=stream, entity=entity).record_id)
    assert (found.version, found.variant) == (8, uuid.RFC_4122)
    assert str(found) == uuid_text(found.bytes)


@given(st.lists(st.tuples(names, names), min_size=2, max_size=5, unique=True))
def test_streams_and_entities_never_run_into_each_other(pairs):
    assert len({entry(stream=stream, entity=entity).record_id for stream, entity in pairs}) == len(pairs)


@pytest.mark.parametrize("part", PLACE)
def test_customer_site_and_source_are_part_of_the_identity(part):
    record = Record(stream="s", entity="e", observed_at=T, values={"t": 1})
    ids = {normalise(record, **PLACE | {part: name}).record_id for name in ("one", "two")}
    assert len(ids) == 2


def test_the_identity_knows_the_exact_time_and_nothing_of_the_content():
    assert entry(observed_at=T + timedelta(microseconds=1)).record_id != entry().record_id
    other = entry(values={"t": 2}, units={"t": "K"}, attributes={"x": 1}, origin={"url": "u"})
    assert other.record_id == entry().record_id
    assert entry(values={}, deleted=True).record_id == entry().record_id


def test_the_content_is_values_units_attributes_and_deleted_but_not_the_origin():
    contents = [
        entry(),
        entry(values={"t": 2}),
        entry(units={"t": "K"}),
        entry(attributes={"t": "K"}),
        entry(values={}, deleted=True),
    ]
    assert len({found.content_hash for found in contents}) == len(contents)
    assert entry(origin={"line": 1}).content_hash == entry(origin={"line": 2}).content_hash
    assert entry(origin={"line": 1}).content_hash == entry().content_hash
    assert (
        entry(values={"u": 1, "t": 1}).content_hash
        == entry(values={"t": Decimal("1.00"), "u": 1.0}).content_hash
    )


def test_an_id_and_a_content_hash_are_made_as_the_design_says_in_every_release():
    found = entry(units={"t": "°C"})
    identity = hashlib.sha256(
        b'["acme","helsinki","weather","current","Helsinki","2026-11-23T02:00:00Z"]'
    ).digest()
    milliseconds = (T - datetime(1, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    assert found.record_id[:6] == milliseconds.to_bytes(6, "big")
    assert found.record_id[6] & 0x0F == identity[0] & 0x0F
    assert found.record_id[7] == identity[1]
    assert found.record_id[8] & 0x3F == identity[2] & 0x3F
    assert found.record_id[9:] == identity[3:10]
    content = ',"units":{"t":"°C"},"values":{"t":1}'
    assert found.content_hash == hashlib.sha256(content.encode()).digest()[:16]
    found = entry(units={"t": "°C"}, attributes={"a": 2})
    content = '"attributes":{"a":2},' + content
    assert found.content_hash == hashlib.sha256(content.encode()).digest()[:16]


@given(moments.filter(lambda moment: moment < CLAMPED_FROM))
def test_an_id_tells_when_its_record_was_observed(moment):
    record_id = entry(observed_at=moment).record_id
    text = observed_text(record_id)
    assert datetime.fromisoformat(text) == moment - timedelta(microseconds=moment.microsecond % 1000)
    assert id_floor(text) == record_id[:6]


def test_the_floor_of_a_time_beyond_the_clamp_is_the_clamp():
    assert id_floor("9999-12-31T00:00:00Z") == b"\xff" * 6


@pytest.mark.parametrize(
    ("moment", "reason"),
    [
        (T.replace(tzinfo=None), "observed_at has no time zone: 2026-11-23T02:00:00"),
        (datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=2))), "observed_at is outside the years 1 to 9999"),
        (datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-2))), "observed_at is outside the years"),
        ("2026-11-23T02:00:00Z", "observed_at is not a time: '2026-11-23T02:00:00Z'"),
        (T.date(), "observed_at is not a time: a value of type date"),
        (None, "observed_at is not a time: None"),
    ],
)  # fmt: skip
def test_a_time_that_is_none_is_refused_with_its_reason(moment, reason):
    with pytest.raises(RecordError) as caught:
        entry(observed_at=moment)
    assert caught.value.message.startswith(reason)
