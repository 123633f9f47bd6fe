import json
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pytest
from pydantic import ValidationError

from collectors.mapping.columns import NOT_KEPT, Columns
from collectors.mapping.options import Column, MappingOptions, parse_column, split_items
from outbox.errors import PermanentError
from outbox.record import MAX_RAW_BYTES, Page, Record, Rejected
from outbox.record.page import normalise_page

HELSINKI = ZoneInfo("Europe/Helsinki")
ORIGIN = {"file": "orders.csv", "line": 17}


def options(**changes):
    given = {
        "collector": "files",
        "entity": "OrderNo, LineNo",
        "time": "Changed",
        "time_format": "%d.%m.%Y %H:%M",
        "values": "quantity: Qty [pcs], price: Unit price [EUR]",
        "decimal": ",",
    }
    return MappingOptions(
        **{name: value for name, value in {**given, **changes}.items() if value is not None}
    )


def mapping(**changes):
    return Columns(options(**changes), zone=HELSINKI, source="orders", stream="rows")


COLUMNS = ["OrderNo", "LineNo", "Changed", "Qty", "Unit price", "Remark"]


def mapped(row, columns=COLUMNS, **changes):
    return mapping(**changes).bind(columns)(row, ORIGIN)


def cell(value, spec="v: V", **changes):
    """What one cell of one value becomes."""
    found = mapped(
        ["2026-01-01T00:00Z", value],
        ["T", "V"],
        entity="",
        time="T",
        time_format="iso",
        values=spec,
        **changes,
    )
    if found is None:
        return None
    return found.values["v"] if isinstance(found, Record) else found.reason


def moment(value, form="iso", zone=HELSINKI):
    found = Columns(
        options(entity="", time="T", time_format=form, values="v: V"), zone=zone, source="s"
    ).bind(["T", "V"])([value, 1], {})
    return found.observed_at if isinstance(found, Record) else found.reason


def test_a_row_becomes_the_record_that_the_section_describes():
    assert mapped(["A17", "2", "23.11.2026 05:06", "3", "12,50", "x"]) == Record(
        stream="rows",
        entity="A17 / 2",
        observed_at=datetime(2026, 11, 23, 3, 6, tzinfo=UTC),
        values={"quantity": 3, "price": Decimal("12.50")},
        units={"quantity": "pcs", "price": "EUR"},
        origin=ORIGIN,
    )


def test_a_row_may_be_an_object_and_a_missing_cell_is_empty():
    row = {"OrderNo": "A", "LineNo": 1, "Changed": "23.11.2026 05:06", "Qty": 3}
    found = mapped(row)
    assert (found.entity, found.values, found.units) == ("A / 1", {"quantity": 3}, {"quantity": "pcs"})


def test_the_source_is_the_entity_where_no_column_names_one():
    assert mapped(["1.1.2026 00:00", "1"], ["Changed", "Qty"], entity="", values="Qty").entity == "orders"


def test_the_section_names_the_stream_or_else_the_kind_does():
    assert mapping().stream == "rows"
    assert mapping(stream="orders").stream == "orders"


@pytest.mark.parametrize(
    ("parts", "entity"),
    [
        (["A", "B"], "A / B"),
        (["A / B", "C"], r"A \/ B / C"),
        (["A", "B / C"], r"A / B \/ C"),
        (["A\\", "B"], r"A\\ / B"),
        ([" 007 ", 12.0], "007 / 12"),
        ([Decimal("1.50"), True], "1.5 / true"),
        ([date(2026, 1, 2), UUID(int=1)], "2026-01-02 / 00000000-0000-0000-0000-000000000001"),
        ([0.0, Decimal("1e21")], "0 / 1000000000000000000000"),
    ],
)
def test_an_entity_of_several_columns_is_unambiguous(parts, entity):
    assert mapped([*parts, "1.1.2026 00:00", 1, 1, ""]).entity == entity


def test_one_column_alone_is_the_entity_as_it_stands():
    assert mapped(["a/b\\c", "", "1.1.2026 00:00", "1", "", ""], entity="OrderNo").entity == "a/b\\c"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (["A", "", "1.1.2026 00:00", "1", "", ""], "LineNo is empty, and part of the entity"),
        (["A", "1", " ", "1", "", ""], "Changed is empty, and says when it was true"),
        (["A", "1", "2026-01-01", "1", "", ""], "Changed is not a time: '2026-01-01' is not %d.%m.%Y %H:%M"),
        (["A", "1", "30.2.2026 00:00", "1", "", ""], "Changed is not a time: '30.2.2026 00:00' is not"),
        (
            ["A", "1", "1.1.2026 00:00", "1.5", "", ""],
            "Qty is not a number: '1.5'; decimal and thousands say how numbers are written",
        ),
        (["A", "1", "1.1.2026 00:00", "x.5", "", ""], "Qty is not a number: 'x.5'; (text) keeps text"),
        (["A", "1", "1.1.2026 00:00"], "the row has 3 cells, and 6 columns"),
        (["A", "1", "1.1.2026 00:00", "1", "", "", "x"], "the row has 7 cells, and 6 columns"),
        (["A", "1", "29.03.2026 03:30", "1", "", ""], "clocks in Europe/Helsinki skip 2026-03-29 03:30"),
        ([["A"], "1", "1.1.2026 00:00", "1", "", ""], "OrderNo is not a text: a list"),
    ],
)
def test_a_bad_row_is_rejected_with_its_reason_and_place_and_stays_so(row, reason):
    found = mapped(row)
    assert isinstance(found, Rejected)
    assert found.reason.startswith(reason) or reason in found.reason
    assert found.reason.endswith("(file 'orders.csv', line 17)")
    assert isinstance(mapping().reread(found.raw), Rejected)


@pytest.mark.parametrize(
    "row", [[], ["", "", "", "", "", ""], [" ", "\t"], ["A", "1", "nonsense", "", "n/a", "x"]]
)
def test_a_row_without_any_value_says_nothing(row):
    assert mapped(row, empty="n/a, NULL") is None


def test_cells_too_many_are_fine_while_they_are_empty():
    assert mapped(["A", "1", "1.1.2026 00:00", "1", "", "", "", " "]).values == {"quantity": 1}


def test_an_empty_cell_is_no_value_and_has_no_unit():
    found = mapped(["A", "1", "1.1.2026 00:00", "1", "NULL", ""], empty="NULL")
    assert (found.values, found.units) == ({"quantity": 1}, {"quantity": "pcs"})


def test_attributes_stay_text_unless_they_are_said_to_be_numbers():
    columns = ["T", "V", "Zip", "Weight", "Typed"]
    found = mapped(
        ["2026-01-01", 1, "00123", "1,5", 7.0], columns, entity="", time="T", time_format="iso", values="V",
        attributes="zip: Zip, weight: Weight (number), typed: Typed",
    )  # fmt: skip
    assert found.attributes == {"zip": "00123", "weight": Decimal("1.5"), "typed": Decimal("7.0")}


@pytest.mark.parametrize(
    ("value", "spec", "expected"),
    [
        ("00123", "v: V", 123),
        ("00123", "v: V (text)", "00123"),
        ("1e5", "v: V", Decimal("1E+5")),
        ("1e5", "v: V (text)", "1e5"),
        (12.0, "v: V (text)", "12"),
        (" 12 ", "v: V", 12),
        ("-0,5", "v: V", Decimal("-0.5")),
        ("−7", "v: V", -7),
        ("12,50-", "v: V", Decimal("-12.50")),
        (",5", "v: V", Decimal("0.5")),
        ("5,", "v: V", Decimal(5)),
        ("1234567890123456789012", "v: V", 1234567890123456789012),
        ("1250", "v: V [kWh] * 0.001", Decimal("1.250")),
        (0.1, "v: V * 3", Decimal("0.3")),
        (True, "v: V (json)", True),
        (True, "v: V", "V is not a number: true or false; (json) keeps it as it is"),
        (date(2026, 5, 1), "v: V", "V is not a number: date; (json) keeps it as it is"),
        ([1], "v: V", "V is not a number: a list; (json) keeps it as it is"),
        ("true", "v: V", "V is not a number: 'true'"),
        (True, "v: V * 2", "V is not a number: true or false"),
        ("1.234,5", "v: V", "V is not a number: '1.234,5'"),
        ("12 kg", "v: V", "V is not a number: '12 kg'"),
        ("--1", "v: V", "V is not a number"),
        ("-1-", "v: V", "V is not a number"),
        ("١٢", "v: V", "V is not a number"),
        ("1_000", "v: V", "V is not a number"),
        ("0x10", "v: V", "V is not a number"),
        ("NaN", "v: V", "V is not a number: 'NaN'"),
        ("=1+1", "v: V", "V is not a number: '=1+1'"),
        ("1e999", "v: V", "V is beyond the range of numbers"),
        ("9" * 401, "v: V", "V is not a number: '999"),
        (Decimal("0." + "1" * 2_000), "v: V * 3", "V has too many digits to be multiplied exactly"),
        (float("nan"), "v: V", "V is not a number: NaN"),
        (float("inf"), "v: V", "V is not a number: Infinity"),
        (datetime(2026, 1, 1, 2, tzinfo=UTC), "v: V (json)", datetime(2026, 1, 1, 2, tzinfo=UTC)),
        (datetime(2026, 1, 1, 2), "v: V (json)", datetime(2026, 1, 1, 0, tzinfo=UTC)),  # noqa: DTZ001
        (date(2026, 1, 1), "v: V (json)", date(2026, 1, 1)),
        (timedelta(hours=30, microseconds=1), "v: V", Decimal("108000.000001")),
        (timedelta(minutes=90), "v: V * 2", Decimal(10800)),
        (timedelta(hours=100, seconds=0.5), "v: V (text)", "100:00:00.5"),
        (timedelta(hours=-7), "v: V (text)", "-07:00:00"),
        (timedelta(0), "v: V (text)", "00:00:00"),
        (float("inf"), "v: V (text)", "V is not a number: Infinity"),
        (b"\x01", "v: V (json)", b"\x01"),
        ({"a": 1}, "v: V (json)", {"a": 1}),
        (datetime(2026, 1, 1, tzinfo=UTC), "v: V * 2", "V is not a number: datetime"),
        (object(), "v: V (json)", "V is not a text: object"),
    ],
)  # fmt: skip
def test_what_a_cell_becomes(value, spec, expected):
    found = cell(value, spec)
    if isinstance(expected, str) and isinstance(found, str) and (" is " in expected or " has " in expected):
        assert expected in found
    else:
        assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("text", "changes", "expected"),
    [
        ("1.234.567,5", {"thousands": "."}, Decimal("1234567.5")),
        ("1234567,5", {"thousands": "."}, Decimal("1234567.5")),
        ("12.34,5", {"thousands": "."}, None),
        ("1.2345", {"thousands": "."}, None),
        ("1,234.5", {"decimal": ".", "thousands": ","}, Decimal("1234.5")),
        ("1 234\u00a0567\u202f890", {"thousands": "space"}, 1234567890),
        ("1'234", {"thousands": "'"}, 1234),
        ("1,234", {"decimal": "."}, None),  # nobody said that a comma parts thousands
    ],
)
def test_thousands_are_parted_by_what_the_section_says_and_nothing_else(text, changes, expected):
    found = cell(text, **changes)
    assert found == expected if expected is not None else "is not a number" in found


def test_values_are_exact_to_the_last_digit():
    page = Page(
        records=[mapped(["A", "1", "1.1.2026 00:00", "0,10000000000000000000000000001", "", ""])], bookmark=""
    )
    (entry,) = normalise_page(page, customer="c", site="s", source="x").entries
    assert b'"quantity":0.10000000000000000000000000001' in entry.body


@pytest.mark.parametrize(
    ("value", "form", "expected"),
    [
        ("2026-11-23T05:06:07.5+01:00", "iso", datetime(2026, 11, 23, 4, 6, 7, 500_000, tzinfo=UTC)),
        ("2026-11-23 05:06", "iso", datetime(2026, 11, 23, 3, 6, tzinfo=UTC)),
        ("2026-11-23", "iso", datetime(2026, 11, 22, 22, tzinfo=UTC)),
        ("2026-07-01T00:00Z", "iso", datetime(2026, 7, 1, tzinfo=UTC)),
        ("23.11.26 5:06", "%d.%m.%y %H:%M", datetime(2026, 11, 23, 3, 6, tzinfo=UTC)),
        (20261123.0, "%Y%m%d", datetime(2026, 11, 22, 22, tzinfo=UTC)),
        ("2026-11-23 05:06 -0500", "%Y-%m-%d %H:%M %z", datetime(2026, 11, 23, 10, 6, tzinfo=UTC)),
        ("1795410000", "unix", datetime(2026, 11, 23, 5, 0, tzinfo=UTC)),
        (1795410000.25, "unix", datetime(2026, 11, 23, 5, 0, 0, 250_000, tzinfo=UTC)),
        ("-1.5", "unix", datetime(1969, 12, 31, 23, 59, 58, 500_000, tzinfo=UTC)),
        (1795410000123, "unix_ms", datetime(2026, 11, 23, 5, 0, 0, 123_000, tzinfo=UTC)),
        (datetime(2026, 11, 23, 5, 6), "%d.%m.%Y", datetime(2026, 11, 23, 3, 6, tzinfo=UTC)),  # noqa: DTZ001
        (date(2026, 11, 23), "iso", datetime(2026, 11, 22, 22, tzinfo=UTC)),
    ],
)  # fmt: skip
def test_times_are_read_in_the_zone_of_the_source(value, form, expected):
    assert moment(value, form) == expected


@pytest.mark.parametrize(
    ("value", "form"),
    [
        ("", "unix"), ("1e999", "unix"), ("99999999999999", "unix"), (True, "unix"), ("12:00", "iso"), ("2026-02-30", "iso"),
        ("2026-11-23T25:00", "iso"), ("9999-12-31T23:30-05:00", "iso"), ("0001-01-01", "iso"), (1.5, "iso"), ("2026", "%d.%m.%Y"),
        (["2026-01-01"], "iso"), ({"a": 1}, "iso"),
    ],
)  # fmt: skip
def test_what_is_no_time_is_a_reason(value, form):
    assert moment(value, form).startswith("T ")


def test_the_hour_that_comes_twice_is_refused_unless_it_has_an_offset():
    assert "occurs twice: clocks in Europe/Helsinki go back" in moment("2026-10-25T03:30")
    assert moment("2026-10-25T03:30+02:00") == datetime(2026, 10, 25, 1, 30, tzinfo=UTC)


def test_a_time_of_several_columns_is_put_together():
    maps = Columns(options(entity="", time="Day, Hour", time_format="%d.%m.%Y %H:%M", values="v: V"), zone=HELSINKI, source="s").bind(["Day", "Hour", "V"])  # fmt: skip
    expected = datetime(2026, 11, 23, 3, 6, tzinfo=UTC)
    for day, hour in [
        ("23.11.2026", "05:06"),
        (date(2026, 11, 23), time(5, 6)),
        (datetime(2026, 11, 23), datetime(1899, 12, 31, 5, 6)),  # noqa: DTZ001
        (date(2026, 11, 23), timedelta(hours=5, minutes=6)),
    ]:
        assert maps([day, hour, 1], {}).observed_at == expected
    midnight = datetime(2026, 11, 23, 22, tzinfo=UTC)
    for hour in (timedelta(days=1), date(1900, 1, 1)):  # 24:00, as databases and workbooks give it
        assert maps([date(2026, 11, 23), hour, 1], {}).observed_at == midnight
    for hour in (timedelta(days=1, hours=6), datetime(1900, 1, 1, 6)):  # noqa: DTZ001
        assert isinstance(maps([date(2026, 11, 23), hour, 1], {}), Rejected)


@pytest.mark.parametrize(
    ("item", "column"),
    [
        ("Qty", Column("Qty", "Qty")),
        ("quantity: Qty [pcs]", Column("quantity", "Qty", "pcs")),
        ("price: Unit price [EUR]", Column("price", "Unit price", "EUR")),
        ("energy: Energy Wh [kWh] * 0.001", Column("energy", "Energy Wh", "kWh", "", Decimal("0.001"))),
        ("note: Remark (text)", Column("note", "Remark", "", "text")),
        ("t: Temp (°C) [°C]", Column("t", "Temp (°C)", "°C")),
        ('t: "Temp: in, °C [x] * 2" [°C]', Column("t", "Temp: in, °C [x] * 2", "°C")),
        ("n: N * 1e3 [W] (number)", Column("n", "N", "W", "number", Decimal("1E+3"))),
        ("c: @value []", Column("c", "@value")),
        ("a: A\u00a0 \u200eB", Column("a", "A B")),
    ],
)
def test_the_little_language_of_columns(item, column):
    assert parse_column(item) == column


def test_a_comma_in_quotes_or_brackets_parts_nothing():
    assert split_items('a: "A, b" [x,y], c\n d: D ,') == ['a: "A, b" [x,y]', "c", "d: D"]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"values": "a: A, a: B"}, "a is named twice"),
        ({"values": "a: A * x"}, "has a factor that is not a number"),
        ({"values": "a: A * 0"}, "a factor that is zero or out of range"),
        ({"values": "a: A * nan"}, "a factor that is zero or out of range"),
        ({"values": "a: A (text) * 2"}, "only a number can be multiplied"),
        ({"values": "[kWh]"}, "does not name a column"),
        ({"values": None}, "Field required"),
        ({"time": None}, "Field required"),
        ({"time": ""}, "must name a column"),
        ({"values": ""}, "must name a column"),
        ({"entity": "A, A"}, "names a column twice"),
        ({"time_format": "%H:%M"}, "lacks a full date"),
        ({"time_format": "DD.MM.YYYY"}, "is not a time format"),
        ({"time_format": "%Y-%m-%d %Q"}, "is not a valid time pattern"),
        ({"thousands": ","}, "must be different characters"),
        ({"decimal": ";"}, "Input should be"),
        ({"values": ", ".join(f"c{n}" for n in range(1001))}, "the limit is 1,000"),
    ],
)
def test_a_section_that_cannot_be_meant_is_refused(changes, problem):
    with pytest.raises(ValidationError, match=problem):
        options(**changes)


def test_a_missing_column_is_an_error_of_the_table_that_names_what_is_there():
    with pytest.raises(
        PermanentError, match="has no column LineNo, Unit price; its columns are OrderNo, Changed, Qty\n"
    ):
        mapping().bind(["@file", "OrderNo", "Changed", "Qty"])
    with pytest.raises(PermanentError, match="and 70 more"):
        mapping().bind([f"c{n}" for n in range(100)])


def test_a_column_that_is_there_twice_is_an_error_where_it_is_needed():
    with pytest.raises(PermanentError, match="has the column Qty more than once"):
        mapping().bind([*COLUMNS, "Qty"])
    assert mapping().bind([*COLUMNS, "Remark"])(["A", "1", "1.1.2026 00:00", "1", "", "", ""], ORIGIN)


def test_columns_are_compared_without_what_cannot_be_seen():
    columns = ["\ufeffOrderNo", " LineNo", "Chan\u200eged", "Qty\n", "Unit \u00a0price"]
    assert mapping().bind(columns)(["A", "1", "1.1.2026 00:00", "1", "2"], {}).values == {
        "quantity": 1,
        "price": 2,
    }
    decomposed = Columns(options(values="Stückzahl"), zone=HELSINKI, source="s")
    assert decomposed.bind(["OrderNo", "LineNo", "Changed", "Stu\u0308ckzahl"])(
        ["A", "1", "1.1.2026 00:00", "1"], {}
    )


def test_the_needed_columns_are_named_once():
    assert mapping(attributes="OrderNo, Remark").needed == (
        "OrderNo",
        "LineNo",
        "Changed",
        "Qty",
        "Unit price",
        "Remark",
    )


def test_a_rejected_row_is_read_again_with_the_mended_mapping():
    rejected = mapped(["A", "1", "1.1.2026 00:00", "1.5", "2", "hi"])
    found = mapping(decimal=".", attributes="remark: Remark").reread(rejected.raw)
    assert (found.values, found.attributes, found.origin) == (
        {"quantity": Decimal("1.5"), "price": 2}, {"remark": "hi"}, ORIGIN,
    )  # fmt: skip
    assert mapping(values="quantity: Pieces").reread(rejected.raw).reason.startswith("has no column Pieces")
    assert mapping(empty="1.5", values="quantity: Qty").reread(rejected.raw) is None


def test_typed_cells_survive_being_rejected():
    cells = [1, 2.5, Decimal("0.10"), True, None, datetime(2026, 1, 1, tzinfo=UTC), date(2026, 1, 1), time(1, 2), timedelta(seconds=1.5), b"\x00", {"a": [Decimal("1.0")]}]  # fmt: skip
    columns = [f"c{number}" for number in range(len(cells))]
    given = options(entity="", time="T", time_format="iso", values="X", attributes=", ".join(columns))
    maps = Columns(given, zone=HELSINKI, source="s")
    row = dict(zip(columns, cells, strict=True)) | {"X": "bad", "T": "2026-01-01"}
    rejected = maps.bind(list(row))(row, {})
    mended = Columns(given.model_copy(update={"values": ("X (text)",)}), zone=HELSINKI, source="s")
    expected = maps.bind(list(row))(row | {"X": 1}, {})
    assert mended.reread(rejected.raw) == msgspec.structs.replace(expected, values={"X": "bad"})


def test_a_long_row_keeps_at_least_what_is_needed():
    rejected = mapped(["A", "1", "never", "1", "2", "x" * 70_000])
    assert len(rejected.raw) <= MAX_RAW_BYTES
    assert (
        mapping(values="quantity: Qty [pcs]").reread(rejected.raw.replace("never", "1.1.2026 00:00")).entity
        == "A / 1"
    )
    assert mapping().reread(mapped(["A", "1", "x" * 70_000, "1", "2", ""]).raw).reason == NOT_KEPT


@pytest.mark.parametrize("raw", ["", "{", "[]", "null", '{"row":[],"origin":{}}', '{"row":{"a":{"$number":"x"}},"origin":{}}', '{"cells":["a"],"origin":{}}', "[" * 100_000])  # fmt: skip
def test_what_is_no_row_stays_rejected(raw):
    assert mapping().reread(raw) == Rejected(NOT_KEPT, raw)


def test_reasons_and_raw_text_are_fit_for_a_terminal_and_for_json():
    found = mapped(["A", "1", "\u202e1.1\x1b[31m", "1", "\ud800", ""])
    assert found.reason.isprintable()
    assert json.loads(found.raw)["row"]["Unit price"] == "\ud800"


def test_equal_units_are_one_object():
    maps = mapping().bind(COLUMNS)
    first, second = (maps(["A", str(n), "1.1.2026 00:00", "1", "2", ""], {}) for n in range(2))
    assert first.units is second.units


def test_the_fingerprint_changes_with_what_a_row_may_become_and_with_nothing_else():
    assert mapping().fingerprint == mapping(every="1h").fingerprint
    prints = [mapping().fingerprint, *(mapping(**change).fingerprint for change in ({"values": "Qty"}, {"stream": "s"}, {"decimal": "."}, {"empty": "-"}, {"entity": "OrderNo"}))]  # fmt: skip
    assert len(set(prints)) == 6
