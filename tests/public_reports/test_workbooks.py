"""Workbooks: a cell is what a person sees in it, or is refused with a reason."""

import io
import zipfile
from datetime import date, datetime, time
from decimal import Decimal

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.collectors.tables_support import read
from tests.fuzz.oracle import in_this_process, workbook_of

AT = datetime(2026, 11, 23, 5)  # noqa: DTZ001 - workbooks know no zones
UTC_AT = "2026-11-23T03:00:00Z"
USUAL = "entity = id\ntime = at\nvalues = v"
HEAD = '<row r="1"><c r="A1" t="str"><v>id</v></c><c r="B1" t="str"><v>at</v></c><c r="C1" t="str"><v>v</v></c></row>'


def book(*rows, change=None):
    """A workbook as openpyxl writes it, its header first."""
    made = openpyxl.Workbook()
    made.active.title = "data"
    for row in rows:
        made.active.append(row)
    if change:
        change(made)
    content = io.BytesIO()
    made.save(content)
    return content.getvalue()


def by_hand(*cells, rows_from=2):
    """A workbook whose rows are XML written by hand: the id's cell and the value's, {n} their row."""
    rows = [
        f'<row r="{n}">{entity.format(n=n)}<c r="B{n}" t="str"><v>2026-11-23T{n:02}:00:00Z</v></c>{value.format(n=n)}</row>'
        for n, (entity, value) in enumerate(cells, rows_from)
    ]
    return workbook_of(rows=(HEAD + "".join(rows)).encode())


def with_part(content, name, change):
    """The workbook with one part changed."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(made, "w") as new:
        for part in old.namelist():
            xml = old.read(part)
            new.writestr(part, change(xml) if part == name else xml)
    return made.getvalue()


def test_a_formula_that_nobody_calculated(journey):
    """Reported as dimastbk/python-calamine#107: the cell is empty, and the row or the value is gone."""
    journey.files("entity = id\ntime = at\nvalues = a, total")
    journey.write("a.xlsx", book(["id", "at", "a", "total"], ["m", AT, 2, "=C2+D2"], ["n", AT, 2, 3]))
    journey.collect()
    assert journey.values() == [("n", UTC_AT, {"a": 2, "total": 3})]
    (reason,) = journey.rejected()
    assert reason == (
        "total contains a formula without a calculated result: open the workbook in Excel and save it"
        " (file 'a.xlsx', row 2)"
    )


def test_an_uncalculated_formula_costs_nothing_where_its_column_is_not_used(journey):
    """A column of remarks that a program wrote is nobody's trouble; the rows behind it are read."""
    journey.files(USUAL)
    journey.write("a.xlsx", book(["id", "at", "v", "x"], ["m", AT, 2, "=C2"], ["n", AT, 3, "=C3"]))
    assert journey.collect().code == 0
    assert journey.values() == [("m", UTC_AT, {"v": 2}), ("n", UTC_AT, {"v": 3})]


@pytest.mark.parametrize("column", ["id", "at", "v"])
def test_rows_at_the_end_whose_formulas_nobody_calculated(journey, column):
    """The library's range ends before them: the same fault as python-calamine#107, and no row at all."""
    journey.files(USUAL)
    row = {"id": "m", "at": "2026-11-23T05:00:00Z", "v": 1} | {column: "=1+1"}
    journey.write(
        "a.xlsx", book(["id", "at", "v"], ["=1", "=2", "=3"], list(row.values()), ["=1", "=2", "=3"])
    )
    journey.collect()
    assert journey.values() == []
    assert len(journey.rejected()) == 3
    assert all("without a calculated result" in reason for reason in journey.rejected())


@pytest.mark.parametrize("result", ["0", "7"])
def test_placeholders_of_a_workbook_that_is_to_be_calculated_when_it_is_opened(journey, result):
    """Reported as tidyverse/readxl#495 and jmcnamara/XlsxWriter#587: each result is 0 until Excel saw it."""
    journey.files(USUAL)
    value = f'<c r="C{{n}}"><f>1+1</f><v>{result}</v></c>'
    content = by_hand(('<c r="A{n}" t="str"><v>m</v></c>', value))
    journey.write("a.xlsx", content)
    journey.collect()
    assert journey.values() == [("m", "2026-11-23T02:00:00Z", {"v": int(result)})]
    says = b'</sheets><calcPr fullCalcOnLoad="1"/>'
    journey.write(
        "b.xlsx", with_part(content, "xl/workbook.xml", lambda xml: xml.replace(b"</sheets>", says))
    )
    journey.collect()
    assert len(journey.stored()) == 1
    (reason,) = journey.rejected()
    assert reason.startswith("v contains a formula whose result the workbook declares out of date")


def test_a_refused_cell_is_shown_and_read_again_as_refused(journey):
    """`preview` shows the row's reason, and `rejected retry` decides as `collect` did."""
    journey.files(USUAL)
    journey.write("a.xlsx", book(["id", "at", "v"], ["m", AT, "=C2+D2"]))
    done = journey.preview()
    assert "without a calculated result" in " ".join((done.out + done.err).split())
    assert "Refused(" not in done.out + done.err
    journey.collect()
    assert "1 still rejected" in journey.outbox("rejected", "retry", "1").err
    assert journey.stored() == []
    assert len(journey.rejected()) == 1


def test_a_formula_whose_result_is_an_empty_text_says_nothing(journey):
    """`=IF(A2="","",1)` is calculated: its result is an empty text."""
    journey.files(USUAL)
    empty = '<c r="C{n}" t="str"><f>IF(1,"",1)</f><v></v></c>'
    journey.write("a.xlsx", by_hand(('<c r="A{n}" t="str"><v>m</v></c>', empty)))
    journey.collect()
    assert journey.stored() == []
    assert journey.rejected() == []


@pytest.mark.parametrize("error", ["#DIV/0!", "#N/A", "#REF!", "#VALUE!", "#NAME?"])
def test_an_error_is_its_text(journey, error):
    """Reported as dimastbk/python-calamine#105 and pandas-dev/pandas#29668: an error becomes an empty cell."""
    journey.files(USUAL)
    content = by_hand(
        ('<c r="A{n}" t="str"><v>m</v></c>', f'<c r="C{{n}}" t="e"><f>1/0</f><v>{error}</v></c>')
    )
    journey.write("a.xlsx", content)
    journey.collect()
    assert journey.stored() == []
    (reason,) = journey.rejected()
    assert reason.startswith(f"v is not a number: '{error}'")


def test_an_error_without_a_name(journey):
    """A sibling of the above: such a cell says that there is an error, and not which."""
    journey.files(USUAL)
    journey.write("a.xlsx", by_hand(('<c r="A{n}" t="str"><v>m</v></c>', '<c r="C{n}" t="e"/>')))
    journey.collect()
    assert journey.stored() == []
    (reason,) = journey.rejected()
    assert reason.startswith("v contains an error without a name (")


def test_an_error_that_the_configuration_calls_empty(journey):
    """`empty` lists it: then it says nothing, as it does in a CSV."""
    journey.files(f"{USUAL}\nempty = #N/A")
    content = by_hand(('<c r="A{n}" t="str"><v>m</v></c>', '<c r="C{n}" t="e"><v>#N/A</v></c>'))
    journey.write("a.xlsx", content)
    journey.collect()
    assert journey.stored() == journey.rejected() == []


@pytest.mark.parametrize("state", ["hidden", "veryHidden"])
def test_a_hidden_sheet_that_is_the_first(journey, state):
    """Reported as tidyverse/readxl#533 and #513: the hidden sheet's rows are read instead."""

    def change(made):
        old = made.create_sheet("old", 0)
        old.sheet_state = state
        for row in (["id", "at", "v"], ["hiddenrow", AT, 99]):
            old.append(row)
        made.create_chartsheet("chart", 0)

    journey.files(USUAL)
    journey.write("a.xlsx", book(["id", "at", "v"], ["m", AT, 1], change=change))
    done = journey.collect()
    assert journey.values() == [("m", UTC_AT, {"v": 1})]
    assert "other sheets" not in done.out + done.err


@pytest.mark.parametrize(
    ("options", "problem"), [("", "no visible worksheet"), ("\nsheet = chart", "sheet is not a worksheet")]
)
def test_a_workbook_of_charts_and_hidden_sheets(journey, options, problem):
    """A sibling of the above: nothing is to be read, and that is said."""

    def change(made):
        made.create_chartsheet("chart")
        made["data"].sheet_state = "hidden"

    journey.files(USUAL + options)
    journey.write("a.xlsx", book(["id", "at", "v"], ["m", AT, 1], change=change))
    done = journey.collect()
    assert done.code != 0
    assert problem in " ".join((done.out + done.err).split())
    journey.files(f"{USUAL}\nsheet = data")
    assert journey.collect().code == 0
    assert journey.values() == [("m", UTC_AT, {"v": 1})]


def test_other_sheets_that_hold_rows_are_named(journey):
    """Reported as pandas-dev/pandas#30276: one sheet of several is read, and nobody hears of it."""

    def change(made):
        made.create_sheet("empty")
        for title in ("March", "April"):
            made.create_sheet(title).append(["id", "at", "v"])

    journey.files(USUAL)
    journey.write("a.xlsx", book(["id", "at", "v"], ["m", AT, 1], change=change))
    done = journey.collect()
    assert "a.xlsx: other sheets are not read: March, April (sheet = …)" in " ".join(
        (done.out + done.err).split()
    )
    journey.files(f"{USUAL}\nsheet = data")
    done = journey.collect()
    assert "other sheets" not in done.out + done.err


def test_whole_numbers_beyond_what_a_float_holds(journey):
    """Reported as python-excel/xlrd#309 and jazzband/tablib#650: two numbers become one."""
    journey.files(USUAL)
    number = '<c r="{place}{{n}}"><v>{digits}</v></c>'
    cells = [
        (number.format(place="A", digits=digits), number.format(place="C", digits=digits))
        for digits in (
            "1234567890123456781",
            "1234567890123456782",
            "9007199254740993",
            "-9007199254740993",
            "9" * 40,
        )
    ]
    journey.write("a.xlsx", by_hand(*cells))
    journey.collect()
    assert journey.rejected() == []
    found = journey.agent.query("SELECT body FROM bodies ORDER BY sequence")
    for (_, digits), (body,) in zip(
        enumerate(
            ["1234567890123456781", "1234567890123456782", "9007199254740993", "-9007199254740993", "9" * 40]
        ),
        found,
        strict=True,
    ):
        assert f'"entity":"{digits}"' in body
        assert f'"v":{digits}' in body or float(digits) == 1e40


def test_a_whole_number_that_excel_rounded(journey):
    """Excel keeps 15 digits: such a number is no identifier, and as a value it is what the workbook says."""
    journey.files(USUAL)
    rounded = "1.23456789012345E+18"
    journey.write(
        "a.xlsx",
        by_hand(
            (f'<c r="A{{n}}"><v>{rounded}</v></c>', '<c r="C{n}"><v>1</v></c>'),
            ('<c r="A{n}" t="str"><v>m</v></c>', f'<c r="C{{n}}"><v>{rounded}</v></c>'),
        ),
    )
    journey.collect()
    assert journey.values() == [("m", "2026-11-23T03:00:00Z", {"v": 1234567890123450000})]
    (reason,) = journey.rejected()
    assert reason.startswith("id may have been rounded")


def test_dates_and_times_in_a_column_of_numbers(journey):
    """Reported as tidyverse/readxl#263: Excel makes 1 May of 1.5, and the column's type goes over to it."""
    journey.files("entity = id\ntime = at\nvalues = v [bar]")
    rows = [[name, AT, v] for name, v in (("a", 1.5), ("b", date(2026, 5, 1)), ("c", time(5, 30)))]
    journey.write("a.xlsx", book(["id", "at", "v"], *rows))
    journey.collect()
    assert journey.values() == [("a", UTC_AT, {"v": 1.5})]
    assert [reason.split(":")[0] for reason in journey.rejected()] == ["v is not a number"] * 2


def test_a_number_that_is_shown_with_leading_zeros(journey):
    """Reported as tidyverse/readxl#389: 00123 is seen, 123 is read, and the CSV of the same says 00123."""

    def change(made):
        for row in made.active.iter_rows(min_row=2):
            row[0].number_format = row[2].number_format = "00000"

    journey.files(USUAL)
    rows = [[n, AT, n] for n in (123, 1234567, 1.5, -7)]
    journey.write("a.xlsx", book(["id", "at", "v"], *rows, change=change))
    journey.collect()
    assert [(entity, values["v"]) for entity, _, values in journey.values()] == [
        ("00123", 123),
        ("1234567", 1234567),
        ("1.5", 1.5),
        ("-7", -7),
    ]


@pytest.mark.parametrize(("column", "name"), [("A", "id"), ("B", "at"), ("C", "v")])
def test_the_blank_rest_of_a_merged_cell(journey, column, name):
    """Reported as tidyverse/readxl#220 and wireservice/csvkit#293: the rows below the first one lack the cell."""
    journey.files(USUAL)
    rows = [["m", AT, 1], ["n", AT, 2], ["o", AT, 3], ["p", AT, 4]]
    journey.write(
        "a.xlsx",
        book(["id", "at", "v"], *rows, change=lambda made: made.active.merge_cells(f"{column}3:{column}4")),
    )
    journey.collect()
    assert [entity for entity, _, _ in journey.values()] == ["m", "n", "p"]
    (reason,) = journey.rejected()
    assert reason.startswith(f"{name} belongs to a merged cell")


def test_hidden_rows_and_columns_are_read(journey):
    """What is hidden within a sheet is data all the same: filters hide rows, and nobody clears them."""

    def change(made):
        made.active.row_dimensions[2].hidden = True
        made.active.column_dimensions["C"].hidden = True

    journey.files(USUAL)
    journey.write("a.xlsx", book(["id", "at", "v"], ["m", AT, 1], change=change))
    journey.collect()
    assert journey.values() == [("m", UTC_AT, {"v": 1})]


@pytest.mark.parametrize(
    ("epoch", "day", "clock", "style", "expected"),
    [
        ("", 46349, 1, "h:mm", "2026-11-23T22:00:00Z"),  # 24:00 is the next day's midnight in Helsinki
        ("", 46349, 1.25, "[h]:mm", None),
        ("", 46349, 0.25, "[h]:mm", "2026-11-23T04:00:00Z"),
        ("1", 46349 - 1462, 0.25, "h:mm", "2026-11-23T04:00:00Z"),
        ("", 61, 0.25, "h:mm", "1900-03-01T04:20:11Z"),  # Helsinki's mean time; Excel has a 29 February 1900
    ],
)
def test_clocks_beside_a_day(journey, epoch, day, clock, style, expected):
    """Reported as exceljs/exceljs#219 and tidyverse/readxl#597: 24:00, more than a day, and 1904's dates."""

    def change(made):
        made.active["B2"].number_format = "yyyy-mm-dd"
        made.active["D2"].number_format = style

    journey.files("entity = id\ntime = day, clock\nvalues = v")
    content = book(["id", "day", "v", "clock"], ["m", day, 1, clock], change=change)
    if epoch:
        says = b'<workbookPr date1904="1"/>'
        content = with_part(content, "xl/workbook.xml", lambda xml: xml.replace(b"<workbookPr/>", says))
    journey.write("a.xlsx", content)
    journey.collect()
    assert [at for _, at, _ in journey.values()] == ([expected] if expected else [])
    assert len(journey.rejected()) == (not expected)


KINDS = {
    "number": ("<c {r}><v>2.5</v></c>", "2.5"),
    "empty": ("<c {r}/>", None),
    "result": ("<c {r}><f>1+1</f><v>7</v></c>", "7"),
    "no result": ("<c {r}><f>1+1</f></c>", "refused"),
    "an empty result": ("<c {r}><f>1+1</f><v></v></c>", "refused"),
    "an empty text": ('<c {r} t="str"><f>""</f><v></v></c>', None),
    "error": ('<c {r} t="e"><v>#REF!</v></c>', "refused"),
    "digits": ("<c {r}><v>12345678901234567891</v></c>", "12345678901234567891"),
}


@given(
    rows=st.lists(st.tuples(*[st.sampled_from(list(KINDS))] * 2), min_size=1, max_size=8),
    has_places=st.booleans(),
)
@settings(deadline=None, max_examples=60)
def test_every_row_is_a_record_is_rejected_or_says_nothing(rows, has_places):
    """The law for sheets: with or without places, wherever the library's range ends."""
    xml = '<row r="1"><c r="A1" t="str"><v>id</v></c><c r="B1" t="str"><v>a</v></c><c r="C1" t="str"><v>b</v></c></row>'
    for n, kinds in enumerate(rows, 2):
        places = [f'r="{column}{n}"' if has_places else "" for column in "ABC"]
        cells = "".join(KINDS[kind][0].format(r=place) for kind, place in zip(kinds, places[1:], strict=True))
        xml += f'<row><c {places[0]} t="str"><v>{n}</v></c>{cells}</row>'
    with in_this_process():
        records, rejected, _ = read(
            workbook_of(rows=xml.encode()),
            "t.xlsx",
            entity="id",
            time="@at",
            values="a, b",
            extra={"@at": "2026-11-23"},
        )
    expected, refused = [], 0
    for n, kinds in enumerate(rows, 2):
        said = {name: KINDS[kind][1] for name, kind in zip("ab", kinds, strict=True) if KINDS[kind][1]}
        refused += "refused" in said.values()
        if said and "refused" not in said.values():
            expected.append((str(n), {name: Decimal(text) for name, text in said.items()}))
    assert [(record.entity, record.values) for record in records] == expected
    assert len(rejected) == refused
