import io
import json
import re
import sys
import types
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
import python_calamine
from pydantic import ValidationError

from collectors.mapping.columns import Columns
from collectors.tables import json as tables_json
from collectors.tables import lines as tables_lines
from collectors.tables import workbook as tables_excel
from collectors.tables.json import MAX_NAME_CHARS, as_row
from collectors.tables.lines import Place
from collectors.tables.options import TableOptions
from collectors.tables.table import SAMPLE_ROWS, Table, kind_of
from collectors.tables.unpack import zstd
from outbox.errors import PermanentError
from tests.collectors.tables_support import GIVEN, HEADER, MIDNIGHT, ROW, gz, read, workbook
from tests.fuzz.oracle import in_this_process, workbook_of

JSON_ROW = {"Time": "2026-01-01T00:00", "Place": "Oulu", "Temp": 1.5}


def only(content, name="t.csv", **options):
    records, rejected, _ = read(content, name, **options)
    assert not rejected
    (record,) = records
    return record


@pytest.mark.parametrize(
    ("content", "name", "options"),
    [
        (HEADER + ROW, "t.csv", {}),
        (HEADER + ROW.rstrip(), "T.TXT", {}),
        ("\ufeff" + HEADER + ROW, "t.csv", {}),
        ((HEADER + ROW).replace("\n", "\r\n"), "t.csv", {}),
        ((HEADER + ROW).replace(",", "\t"), "t.tsv", {}),
        ((HEADER + ROW).replace(",", ";").replace(".", ","), "t.csv", {"delimiter": ";", "decimal": ","}),
        ((HEADER + ROW).replace(",", "\t"), "t.csv", {"delimiter": "tab"}),
        ("made by X\n\n" + HEADER + ROW, "t.csv", {"header": 3}),
        (ROW, "t.csv", {"header": 0, "time": "1", "entity": "2", "values": "t: 3 [°C]"}),
        ('Time,"Place","Temp"\n2026-01-01T00:00,"Oulu",1.5\n', "t.csv", {}),
        ("Time,Place,Temp\n2026-01-01T00:00,'Oulu',1.5\n", "t.csv", {"quote": "'"}),
        ((HEADER + ROW).encode("utf-16"), "t.csv", {}),
        ((HEADER + ROW).encode("utf-16-be"), "t.csv", {"encoding": "utf-16-be"}),
        ((HEADER + ROW).encode("utf-32"), "t.csv", {}),
        (gz(HEADER + ROW), "t.csv.gz", {}),
        (zstd.compress((HEADER + ROW).encode()), "t.csv.zst", {}),
        (gz(HEADER) + gz(ROW), "t.csv.gz", {}),
        (json.dumps([JSON_ROW]), "t.json", {}),
        (json.dumps(JSON_ROW), "t.json", {}),
        ("\ufeff" + json.dumps([JSON_ROW], indent=2), "t.json", {}),
        (json.dumps({"data": {"rows": [JSON_ROW]}}), "t.json", {"records": "data.rows"}),
        (json.dumps(JSON_ROW) + "\n\n", "t.ndjson", {}),
        (gz(json.dumps(JSON_ROW)), "t.jsonl.gz", {}),
        (json.dumps({"at": {"Time": "2026-01-01T00:00"}, "Place": "Oulu", "Temp": 1.5}), "t.json", {"time": "at.Time"}),
        (json.dumps(JSON_ROW), "export", {"format": "ndjson"}),
        (workbook(["Time", "Place", "Temp"], [datetime(2026, 1, 1), "Oulu", 1.5]), "t.xlsx", {}),  # noqa: DTZ001
        (workbook(["x"], [], ["Time", "Place", "Temp"], ["2026-01-01", "Oulu", "1.5"]), "t.xlsx", {"header": 3}),
        (workbook(["x"], sheet="A", more={"B": [["Time", "Place", "Temp"], [date(2026, 1, 1), "Oulu", 1.5]]}), "t.xlsm", {"sheet": "B"}),
        (workbook(["2026-01-01", "Oulu", 1.5]), "t.xlsx", {"header": 0, "time": "1", "entity": "2", "values": "t: 3 [°C]"}),
    ],
)  # fmt: skip
def test_the_same_row_is_read_from_every_form(content, name, options):
    found = only(content, name, **options)
    assert (found.entity, found.observed_at, found.values, found.units) == (
        "Oulu",
        MIDNIGHT,
        {"t": Decimal("1.5")},
        {"t": "°C"},
    )


def test_another_encoding_is_read_when_the_section_says_so():
    content = HEADER.encode() + "2026-01-01,Jyväskylä,1\n".encode("cp1252")
    assert only(content, encoding="cp1252").entity == "Jyväskylä"
    _, (rejected,), _ = read(content)
    assert rejected.reason == "is not in utf-8: byte 0xe4 at 14 (file 't.csv', line 2)"


def test_a_bad_row_is_rejected_with_its_line_and_the_rest_goes_on():
    content = (
        HEADER + ROW + "2026-01-01T01:00,Oulu\nnever,Oulu,2\n" + 'x,"a"b,2\n' + ROW.replace("00:00", "02:00")
    )
    records, rejected, _ = read(content)
    assert [record.origin for record in records] == [
        {"file": "t.csv", "line": 2},
        {"file": "t.csv", "line": 6},
    ]
    assert [found.reason.split(" (file")[0] for found in rejected] == [
        "the row has 2 cells, and 3 columns",
        "Time is not a time: 'never' is not an ISO time like 2026-11-23T02:00",
        "is no row of CSV: ',' expected after '\"'",
    ]
    assert [
        found.reason.endswith(f"line {line})") for found, line in zip(rejected, (3, 4, 5), strict=True)
    ] == [True] * 3


def test_a_cell_may_hold_line_ends_and_lines_are_counted_right():
    content = HEADER + '2026-01-01,"Ou\nlu",1\n' + ROW
    records, _, _ = read(content)
    assert [(record.entity, record.origin["line"]) for record in records] == [("Ou\nlu", 2), ("Oulu", 4)]


def test_a_quote_that_never_closes_costs_one_line():
    rows = "".join(f"2026-01-01T{hour:02}:00,Oulu,{hour}\n" for hour in range(24))
    records, (rejected,), _ = read(HEADER + '2026-01-01,"Oulu,1\n' + rows)
    assert len(records) == 24
    assert rejected.reason == "is no row of CSV: unexpected end of data (file 't.csv', line 2)"


def test_quotes_that_open_again_and_again_end_the_file_instead_of_the_day(monkeypatch):
    monkeypatch.setattr(tables_lines, "MAX_READ_AGAIN_CHARS", 100_000)
    monkeypatch.setattr(tables_lines, "MAX_ROW_CHARS", 10_000)
    with pytest.raises(PermanentError, match="has quotes that do not close"):
        read(HEADER + 'a","b\n' * 100_000)


def test_a_line_that_is_too_long_is_rejected_alone(monkeypatch):
    monkeypatch.setattr(tables_lines, "MAX_LINE_BYTES", 1_000)
    monkeypatch.setattr(tables_lines, "_SKIP_BYTES", 100)
    records, (rejected,), place = read(HEADER + "x" * 12_345 + "\n" + ROW)
    assert rejected.reason == "is longer than 1,000 bytes (file 't.csv', line 2)"
    assert [record.origin["line"] for record in records] == [3]
    assert place.offset == len(HEADER) + 12_346 + len(ROW)
    records, (rejected,), _ = read(json.dumps(JSON_ROW) + "\n" + "x" * 12_345, "t.ndjson")
    assert (len(records), rejected.reason) == (1, "is longer than 1,000 bytes (file 't.ndjson', line 2)")


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.ndjson", "t.json", "t.xlsx"])
def test_reading_goes_on_at_every_place(name):
    hours = [f"2026-01-01T{hour:02}:00" for hour in range(5)]
    objects = [{"Time": hour, "Place": "O\nulu", "Temp": number} for number, hour in enumerate(hours)]
    csv = HEADER + "".join(f'{hour},"O\nulu",{number}\n' for number, hour in enumerate(hours))
    content = {
        "t.csv": csv,
        "t.csv.gz": gz(csv),
        "t.ndjson": "\n".join(map(json.dumps, objects)),
        "t.json": json.dumps(objects),
        "t.xlsx": workbook(["Time", "Place", "Temp"], *[list(each.values()) for each in objects]),
    }[name]
    whole, _, _ = read(content, name)
    assert [record.values["t"] for record in whole] == list(range(5))
    places = _places(content, name)
    for number, place in enumerate(places):
        rest, _, _ = read(content, name, place=place)
        last_line_is_open = name == "t.ndjson" and number == 4
        assert rest == whole[number + (not last_line_is_open) :]


def _places(content, name):
    given = TableOptions(**GIVEN)
    stream = io.BytesIO(content.encode() if isinstance(content, str) else content)
    return [
        outcome.place
        for outcome in Table(stream, name, given, Columns(given, zone=ZoneInfo("UTC"), source="s"))
    ]


def test_offsets_are_counted_only_where_the_file_has_them():
    assert read(HEADER + ROW)[2] == Place(len(HEADER + ROW), 2)
    assert read((HEADER + ROW).encode("utf-16"))[2] == Place(0, 2)
    assert read(gz(HEADER + ROW), "t.csv.gz")[2] == Place(0, 2)
    assert read(HEADER + ROW.rstrip())[2] == Place(len(HEADER), 1)  # a line without an end may still grow


@pytest.mark.parametrize("end", ["", "\n"])
def test_a_row_of_several_lines_is_read_again_whole_while_it_may_grow(end):
    content = HEADER + ROW + '2026-01-01,"Ou\nlu",1' + end
    assert read(content)[2] == (Place(len(content), 4) if end else Place(len(HEADER + ROW), 2))


def test_columns_without_a_header_are_those_of_the_first_row_wherever_reading_begins():
    content = "2026-01-01,1\n2026-01-02,2,3\n2026-01-03,4,5\n"
    options = {"header": 0, "time": "1", "entity": "", "values": "2"}
    places = read(content, **options)
    assert [found.reason for found in places[1]] == [
        found.reason for found in read(content, place=Place(13, 1), **options)[1]
    ]


def test_the_sample_of_objects_is_the_beginning_wherever_reading_begins():
    first = json.dumps(JSON_ROW) + "\n"
    _, (rejected,), _ = read(first + "null\n", "t.ndjson", place=Place(len(first), 1))
    assert rejected.reason == "is null, not an object (file 't.ndjson', line 2)"


def test_a_wide_table_has_its_entities_in_the_header():
    content = workbook(
        ["Time", "Oulu", "Turku", "Note", None],
        ["2026-01-01", 1, "", "n", None],
        ["2026-01-02", "x", 4.5, "", None],
    )
    options = {"entity": "@header", "values": "t: @value [°C]", "attributes": "Note", "wide": "*"}
    records, (rejected,), place = read(content, "t.xlsx", **options)
    assert [(record.entity, record.values["t"], record.attributes) for record in records] == [("Oulu", 1, {"Note": "n"}), ("Turku", Decimal("4.5"), {})]  # fmt: skip
    assert (
        rejected.reason
        == "@value is not a number: 'x'; (text) keeps text (file 't.xlsx', row 3, column 'Oulu')"
    )
    assert place == Place(0, 3)
    records, _, _ = read(content, "t.xlsx", **options | {"wide": "Turku"})
    assert [record.entity for record in records] == ["Turku"]
    with pytest.raises(PermanentError, match="has no column Kemi of those that are wide"):
        read(content, "t.xlsx", **options | {"wide": "Turku, Kemi"})


def test_a_short_row_of_a_wide_table_is_rejected_whole():
    _, (rejected,), _ = read("Time,A,B\n2026-01-01,1\n", entity="@header", values="t: @value", wide="*")
    assert "the row has 2 cells, and 3 columns" in rejected.reason


def test_the_reader_may_add_columns_of_its_own():
    found, _, _ = read("Time,Temp\n2026-01-01,1,\n\n2026-01-02,2\n", entity="@file", extra={"@file": "a.csv"})
    assert [record.entity for record in found] == ["a.csv", "a.csv"]
    found, _, _ = read(
        '{"Temp":1}', "t.json", entity="@file", time="@modified", extra={"@file": "a", "@modified": MIDNIGHT}
    )
    assert (found[0].entity, found[0].observed_at) == ("a", MIDNIGHT)


def test_objects_may_leave_out_values_and_context_but_not_the_entity():
    rows = [JSON_ROW, {"Time": "2026-01-01T01:00", "Place": "Oulu", "Other": 2}]
    content = "\n".join(map(json.dumps, rows))
    records, _, _ = read(content, "t.ndjson", values="t: Temp, o: Other, never: Never", attributes="Note")
    assert [record.values for record in records] == [{"t": Decimal("1.5")}, {"o": 2}]
    with pytest.raises(PermanentError, match="has no column Temperature"):
        read(content, "t.ndjson", values="Temperature")
    with pytest.raises(PermanentError, match="has no column Site"):
        read(content, "t.ndjson", entity="Site")


def test_columns_that_come_after_the_sample_are_read():
    rows = [json.dumps(JSON_ROW)] * SAMPLE_ROWS + [json.dumps({**JSON_ROW, "Late": 7})]
    records, _, _ = read("\n".join(rows), "t.ndjson", values="t: Temp, late: Late")
    assert records[-1].values == {"t": Decimal("1.5"), "late": 7}


def test_numbers_of_json_are_exact():
    content = '{"Time":"2026-01-01","Place":"x","Temp":0.1000000000000000055511151231257827}'
    assert only(content, "t.json").values["t"] == Decimal("0.1000000000000000055511151231257827")


@pytest.mark.parametrize(
    ("content", "reasons"),
    [
        ('[{"Time":"2026-01-01","Place":"x","Temp":1,"Temp":2}]', ["has a key that stands twice"]),
        ('[{"Time":"2026-01-01","Place":"x","Temp":NaN}]', ["Temp is not a number: NaN"]),
        ('[{"Time":"2026-01-01","Place":"x","Temp":1e999999999999999999999}]', ["Temp is not a number: Infinity"]),
        ('[{"Time":"2026-01-01","Place":"x","Temp":%s}]' % ("9" * 5000), ["Temp is beyond the range"]),
        ('[{"Time":"2026-01-01","Place":"x","Temp":"warm"}]', ["Temp is not a number: 'warm'"]),
        ('[{"Time":"2026-01-01","Place":"x","Temp":0}, 1, "a", null, [], true]', ["is a number", "is a text", "is null", "is a list", "is true or false"]),
    ],
)  # fmt: skip
def test_what_is_wrong_with_one_object_is_rejected_alone(content, reasons):
    _, rejected, _ = read(content, "t.json")
    assert len(rejected) == len(reasons)
    assert all(reason in found.reason for found, reason in zip(rejected, reasons, strict=True))


@pytest.mark.parametrize("size", [1, 7, 64])
def test_an_array_is_read_in_pieces_of_any_size(monkeypatch, size):
    monkeypatch.setattr(tables_json, "_CHUNK_BYTES", size)
    content = json.dumps(
        [{**JSON_ROW, "Temp": number, "Ä€": "\U0001f321"} for number in (1, -2.5, 1234567, 0)],
        ensure_ascii=False,
        indent=1,
    )
    records, rejected, _ = read(content, "t.json")
    assert ([record.values["t"] for record in records], rejected) == ([1, Decimal("-2.5"), 1234567, 0], [])
    with pytest.raises(PermanentError, match="has no row that can be read: the first one is a number"):
        read("[12 , 3]", "t.json")


@pytest.mark.parametrize(
    ("content", "name", "options", "problem"),
    [
        ("", "t.csv", {}, None),
        ("\n", "t.csv", {}, "has no column"),
        ("[]", "t.json", {}, None),
        ("", "t.json", {}, None),
        ("", "t.ndjson", {}, None),
        (workbook(), "t.xlsx", {}, None),
        (workbook(["a"]), "t.xlsx", {"sheet": "Data"}, "has no sheet Data; its sheets are Sheet1"),
        ('{"a": 1}', "t.json", {"records": "a"}, "has no list at a"),
        ('{"a": ', "t.json", {"records": "a"}, "is not a valid JSON document"),
        ('[{"a": 1}', "t.json", {}, "is not valid JSON"),
        ('[{"a": 1};]', "t.json", {}, "is not valid JSON: ';' follows"),
        ("[1] 2", "t.json", {}, "has more text after its JSON document"),
        ("{}\n{}", "t.json", {}, "format = ndjson"),
        ("x", "t.zip", {}, "is an archive"),
        ("x", "t.csv.gz.gz", {}, "packed twice"),
        ("x", "t.pdf", {}, "has no ending that is known: '.pdf'"),
        ("x", "t", {}, "has no ending that is known"),
        ("x", "t.csv.gz", {}, "is not a complete gzip file"),
        ("x", "t.csv.zst", {}, "is not a complete zstd file"),
        (b"\xff\xfe\x00\xd8a", "t.csv", {}, "is not in utf-16"),
        (",".join(map(str, range(20_001))), "t.csv", {}, "has 20,001 columns"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_the_whole_table_is_one_error(content, name, options, problem):
    if problem is None:
        assert read(content, name, **options) == ([], [], None)
    else:
        with pytest.raises(PermanentError, match=problem):
            read(content, name, **options)


def test_a_workbook_keeps_its_types():
    row = [
        datetime(2026, 1, 1, 5, 30),  # noqa: DTZ001
        "Oulu",
        12,
        2.5,
        True,
        date(2026, 1, 2),
        time(4, 5),
        timedelta(hours=30),
        "00123",
    ]
    names = ["Time", "Place", *"abcdefg"]
    found = only(workbook(names, row), "t.xlsx", values="a, b, c (json), d (json), e (json), f, g: g (text)")
    assert found.observed_at == datetime(2026, 1, 1, 3, 30, tzinfo=UTC)
    assert found.values == {"a": 12, "b": Decimal("2.5"), "c": True, "d": date(2026, 1, 2), "e": time(4, 5), "f": 108_000, "g": "00123"}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"delimiter": ",,"}, "is not a valid delimiter"),
        ({"delimiter": '"'}, "is not a valid delimiter"),
        ({"encoding": "klingon"}, "is not a known encoding"),
        ({"encoding": "hex"}, "is not a known encoding"),
        ({"records": "a["}, "is not a JMESPath"),
        ({"wide": "*"}, "wide requires @value"),
        ({"values": "t: @value"}, "exist in wide tables only"),
        ({"header": -1}, "greater than or equal to 0"),
    ],
)
def test_a_section_that_cannot_be_meant_is_refused(changes, problem):
    with pytest.raises(ValidationError, match=problem):
        TableOptions(**{**GIVEN, **changes})


def test_a_name_says_the_kind_of_table():
    given = TableOptions(**GIVEN)
    assert kind_of(r"C:\exports\Orders.CSV.GZ", given) == ("csv", "gzip", ",")
    assert kind_of("../../x.tab", given) == ("csv", "", "\t")
    assert kind_of("t.csv", given).grows
    assert not kind_of("t.csv.zst", given).grows


@pytest.mark.parametrize(("sign", "word"), [(";", ";"), ("\t", "tab"), (" ", "space")])
def test_a_delimiter_that_was_not_said_is_suspected(sign, word):
    with pytest.raises(PermanentError, match=f"Hint: it has one column only: is delimiter = {word} meant"):
        read((HEADER + ROW).replace(",", sign))
    with pytest.raises(PermanentError, match="Hint: was the export changed"):
        read("a;b,c\n")


def test_a_broken_first_row_without_a_header_is_called_that():
    with pytest.raises(PermanentError, match="has no first row in line 1, which holds a NUL"):
        read("\0,1\n", header=0, time="1", entity="", values="2")


def test_without_the_extra_a_workbook_is_an_error_that_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "python_calamine", None)
    with pytest.raises(
        PermanentError,
        match=r"the library that reads workbooks is not installed\nHint: install the extra excel",
    ):
        read(workbook(["a"]), "t.xlsx")


@pytest.mark.parametrize(
    ("limit", "value", "problem"),
    [
        ("MAX_FILE_BYTES", 100, "a workbook of more than 100 bytes"),
        ("MAX_XML_BYTES", 500, "unpacks to more than"),
        ("MAX_CELLS", 5, "more than 5 cells"),
        ("MAX_PARTS", 3, "parts; the limit is"),
    ],
)
def test_a_workbook_beyond_a_limit_is_refused(monkeypatch, limit, value, problem):
    monkeypatch.setattr(tables_excel, limit, value)
    with pytest.raises(PermanentError, match=problem):
        read(workbook(["Time", "Place", "Temp"], ["2026-01-01", "x", 1]), "t.xlsx")


def test_a_bug_of_the_workbook_library_is_an_error_of_the_file(monkeypatch):
    class PanicException(BaseException):
        """What its language's panics become; no Exception."""

    def panic(*_):
        raise PanicException("index out of bounds")

    of_workbook = type("CalamineWorkbook", (), {"from_filelike": staticmethod(panic)})
    fake = types.SimpleNamespace(CalamineWorkbook=of_workbook, __spec__=python_calamine.__spec__)
    monkeypatch.setitem(sys.modules, "python_calamine", fake)
    with (
        in_this_process(),
        pytest.raises(PermanentError, match="is not a readable workbook: index out of bounds"),
    ):
        read(workbook(["a"]), "t.xlsx")


def test_a_workbook_that_kills_its_reader_is_an_error_of_the_file(monkeypatch):
    """The library reserves the memory that this workbook claims, and ends its process for want of it."""
    monkeypatch.setattr(tables_excel, "_COUNTS", re.compile(rb"never"))
    content = workbook_of(start=b'<sst count="4294967295" uniqueCount="4294967295"')
    with pytest.raises(PermanentError, match="the process that read it was terminated"):
        read(content, "t.xlsx")
    monkeypatch.undo()
    assert len(read(content, "t.xlsx")[0]) == 1


def test_a_workbook_that_takes_for_ever_is_an_error_of_the_file(monkeypatch):
    monkeypatch.setattr(tables_excel, "MAX_READING_S", 0.0)
    with pytest.raises(PermanentError, match="the process that read it was terminated"):
        read(workbook(["a"]), "t.xlsx")


def test_a_workbook_may_be_let_go_before_its_end():
    rows = tables_excel.sheet_rows(io.BytesIO(workbook(*[[number] for number in range(1_000)])), "")
    assert next(rows) == [0]
    rows.close()


@pytest.mark.parametrize("mark", ["\ufeff", "\u200b", "\u00a0", " "])
def test_keys_with_marks_that_nobody_sees_are_the_columns(mark):
    """They were known as columns, and each row was asked for the key without its mark: all said nothing."""
    found = {f"{mark}{name}": value for name, value in JSON_ROW.items()}
    for name, content in (
        ("t.ndjson", json.dumps(found)),
        ("t.json", json.dumps([found], ensure_ascii=False)),
    ):
        assert only(content, name).values == {"t": Decimal("1.5")}
    records, rejected, _ = read(json.dumps(found | {f"{mark}Temp": "x"}), "t.ndjson")
    assert not records
    assert json.loads(rejected[0].raw)["row"] == {**JSON_ROW, "Temp": "x"}


@pytest.mark.parametrize("before", [1, SAMPLE_ROWS + 1])
def test_a_key_in_two_spellings_is_not_decided(before):
    rows = json.dumps(JSON_ROW) + "\n"
    twice = json.dumps(JSON_ROW | {"Temp\u200b": 2}) + "\n"
    records, rejected, _ = read(rows * before + twice, "t.ndjson")
    assert len(records) == before
    assert "has the column Temp more than once" in rejected[0].reason


def test_a_key_that_is_spelt_otherwise_behind_the_sample_is_the_column():
    """Its value was passed over, and the rest of its row became a record."""
    first = json.dumps(JSON_ROW | {"Wind": 1}) + "\n"
    later = json.dumps(JSON_ROW | {"Wind\u200b": 2}) + "\n"
    records, _, _ = read(first * (SAMPLE_ROWS + 1) + later, "t.ndjson", values="t: Temp, w: Wind")
    assert records[-1].values == {"t": Decimal("1.5"), "w": 2}


@pytest.mark.parametrize("members", ['"m.Temp":1,"m":{"Temp":2}', '"m":{"Temp":2},"m.Temp":1'])
def test_a_value_that_is_there_as_one_key_and_within_another_is_not_decided(members):
    text = f'{{"Time":"2026-01-01","Place":"x",{members}}}'
    records, rejected, _ = read(text, "t.ndjson", values="t: m.Temp")
    assert not records
    assert (
        "m.Temp is ambiguous: it is a key of its own, and also the path of a nested key" in rejected[0].reason
    )


@pytest.mark.parametrize("again", ["Time,Place,Pressure", "Place,Time,Pressure", "Time,Place"])
def test_a_header_of_other_columns_ends_the_table(again):
    """Its rows would be read under the names of the first one."""
    with pytest.raises(PermanentError, match="has another header in line 3"):
        read(f"{HEADER}{ROW}{again}\n2026-01-02,x,1013\n")


def test_a_time_that_looks_like_a_name_is_no_header():
    content = "Year,Month,Day,1,2\n2026,01,01,7,8\n"
    records, rejected, _ = read(
        content,
        entity="",
        time="Year, Month, Day, @header",
        time_format="%Y %m %d %H",
        wide="1, 2",
        values="t: @value",
    )
    assert [record.values["t"] for record in records] == [7, 8]
    assert not rejected


GROWN = {
    "t.csv": HEADER + '2026-01-01T00:00,"Ou""lu\r\n,x",1.5\r\n2026-01-01T01:00,Åbo,12\n\n' + HEADER + ROW,
    "lone.csv": (HEADER + '2026-01-01T00:00,"Ou,lu",1.5\n2026-01-01T01:00,Åbo,12\n').replace("\n", "\r"),
    "twice.csv": (HEADER + ROW + "2026-01-01T01:00,Åbo,12\n").replace("\n", "\r\r\n"),
    "t.ndjson": f"{json.dumps(JSON_ROW)}\n{json.dumps(JSON_ROW | {'Place': 'Å', 'Temp': 12}, ensure_ascii=False)}\n",
}


@pytest.mark.parametrize("name", GROWN)
def test_wherever_a_growing_file_is_cut_its_rows_are_those_of_the_whole_file(name):
    content = GROWN[name].encode()
    whole, rejected, _ = read(content, name)
    assert len(whole) >= 2
    assert not rejected
    for cut in range(1, len(content)):
        first, rejected, place = read(content[:cut], name, waits=True)
        assert not rejected
        rest, rejected, _ = read(content, name, place=place)
        assert not rejected
        again = 1 if first and rest and first[-1] == rest[0] else 0  # a whole object without its end
        assert first + rest[again:] == whole, content[:cut]
        assert not again or name == "t.ndjson"


def test_columns_within_objects_have_names_of_bounded_length():
    """A long key with many in it took memory without end."""
    row, _ = as_row(
        {"x" * MAX_NAME_CHARS: {str(number): number for number in range(100_000)}, "a": {"b": {"c": 1}}}
    )
    assert len(row) == 4
    assert row["a.b.c"] == 1


@pytest.mark.parametrize(
    "members",
    ['"a":{"b":{"c":1}},"a.b.c":2', '"a":{"b":{"c":1}},"a.b":{"c":2}', '"a":{"b":{"c":1},"b.c":2}'],
)
def test_a_value_that_is_there_at_two_depths_is_not_decided(members):
    text = f'{{"Time":"2026-01-01","Place":"x",{members}}}'
    records, rejected, _ = read(text, "t.ndjson", values="t: a.b.c")
    assert not records
    assert "a.b.c is ambiguous" in rejected[0].reason


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("cell", "meant"),
    [
        ("x\\{end}y", "x{end}y"),
        ('"x\\{end}y"', "x{end}y"),
        ('"x{end}y"', "x{end}y"),
        ('"C:\\\\"', "C:\\"),
        ("C:\\\\", "C:\\"),
        ("\\N", "\\N"),
        ('"\\\\{end}"', "\\"),
        ("a\\,b", "a,b"),
        ('"a\\",b"', 'a",b'),
    ],
)
def test_what_a_backslash_means_where_it_escapes(end, cell, meant):
    content = f"Time,Place,Temp,M,N\n2026-01-01,x,1,m,{cell}\n2026-01-02,y,2,m,z\n".replace("\n", end)
    content = content.replace("{end}", end)
    records, rejected, _ = read(content, attributes="N", escape="\\")
    assert not rejected
    assert records[0].attributes["N"] == meant.replace("{end}", end)
    assert records[-1].attributes["N"] == "z"
