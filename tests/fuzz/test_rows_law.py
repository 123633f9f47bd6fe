"""The law of rows: each is a record with its values, or rejected, or says nothing; no other row comes out.

What a row means is decided before it is written, by rules of this file alone: an instant is turned into the
clock's time of Helsinki, a number into text. So nothing here agrees with a reader because it asked it.
A cell is what is written and the set of what it may mean: `Is`, `BAD` (its row is rejected) or `NOTHING`.
Where more than one is right, as with marks inside a number, more than one is in the set.
"""

import gzip
import io
import itertools
import json
import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.mapping.columns import Columns
from collectors.tables.options import TableOptions
from collectors.tables.table import Table
from outbox.record import Page, Record, Rejected
from outbox.record.page import normalise_page
from tests.fuzz.oracle import in_this_process
from tests.fuzz.rows_law_formats import EMPTY_CELL, Xml, csv_text, json_text, workbook

COLUMNS = ("Time", "Place", "Temp", "Note")
EMPTY_WORDS = ("n/a", "NULL", "-")
MARKS = ("\u200b", "\ufeff", "\u00ad", "\u200e")
UNSEEN = dict.fromkeys(map(ord, MARKS))
BLANKS = ("", " ", "\u00a0", "\u200b", "\t", "\u2003 ")
BAD, NOTHING = "bad", "nothing"
SILENT, REJECTED = "silent", "rejected"


class Is(NamedTuple):
    """A cell means this value."""

    value: Any


class Cell(NamedTuple):
    """What is written of a cell (text, or a fragment of the format) and what it may mean."""

    written: Any
    may: frozenset[Any]


class Row(NamedTuple):
    """What stands in a table: its cells as written, what may come of it, and how it stands there."""

    cells: tuple[Any, ...]
    may: frozenset[Any]
    shape: str = ""


class Setting(NamedTuple):
    """What the section says."""

    format: str
    decimal: str
    thousands: str
    time_format: str
    repeated_hour: str
    finer_times: str


def cell(written: Any, *may: Any) -> Cell:
    return Cell(written, frozenset(may))


# ---- times ------------------------------------------------------------------------------------------------

SUMMER = (datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC))
STARTS = [
    datetime(2026, 10, 24, 22, tzinfo=UTC),
    datetime(2026, 10, 25, 0, tzinfo=UTC),
    datetime(2026, 10, 25, 1, tzinfo=UTC),
    datetime(2026, 3, 28, 22, tzinfo=UTC),
    datetime(2026, 3, 29, 0, tzinfo=UTC),
    datetime(2026, 2, 28, 22, tzinfo=UTC),
    datetime(2026, 7, 1, 21, tzinfo=UTC),
]
PER_SECOND = {"unix": 1, "unix_ms": 10**3, "unix_us": 10**6, "unix_ns": 10**9}
PATTERN = "%d.%m.%Y %H:%M"
INSTANTS = st.builds(
    lambda start, minutes: start + timedelta(minutes=minutes),
    st.sampled_from(STARTS),
    st.sampled_from([0, 0, 1, 30, 59, 60, 90, 119, 150, 180]),
)
NO_TIMES = {
    "iso": ["05:00", "2026-13-01T00:00", "2026-02-30", "2026-01-01T25:00", "2026-01-01T24:01", "1770012812345",
            "20260101 0500Z5", "2026-01-01T05:00 EET", "2026-01-01T05:00:61", "yesterday", "2026-01-01T05:00Z+02"],
    PATTERN: ["31.02.2026 10:00", "01.05.2026", "01.05.2026 10:00 PM", "2026-05-01T10:00", "01.05.2026 24:30"],
    "unix": ["NaN", "1e400", "true", "1767225600000", "2026-01-01", "1,767,225,600"],
    "unix_ms": ["Infinity", "1767225600", "1767225600000000", "x"],
    "unix_us": ["1767225600", "1767225600000", "0x10"],
    "unix_ns": ["1767225600", "1767225600000000", "12:00"],
}  # fmt: skip


def local(moment: datetime) -> tuple[datetime, int]:
    """The time of a clock in Helsinki, and by how many hours it is ahead of UTC."""
    ahead = 3 if SUMMER[0] <= moment < SUMMER[1] else 2
    return (moment + timedelta(hours=ahead)).replace(tzinfo=None), ahead


def placed(wall: datetime, repeated: str) -> Any:
    """What a clock's time in Helsinki means."""
    found = [(wall - timedelta(hours=ahead)).replace(tzinfo=UTC) for ahead in (3, 2)]
    true = [moment for moment in found if local(moment)[0] == wall]
    if len(true) == 2 and repeated in ("first", "second"):
        return Is(true[repeated == "second"])
    return Is(true[0]) if len(true) == 1 else BAD


def finer(moment: Any, beyond: str, setting: Setting) -> Any:
    """What a time means that has more digits behind its microseconds."""
    return BAD if beyond.strip("0") and setting.finer_times == "reject" else moment


@st.composite
def iso_times(draw: Any, setting: Setting) -> Cell:
    moment = draw(INSTANTS)
    fraction = draw(st.sampled_from(["", "", "", "5", "123456", "120000000", "1234567", "000000001"]))
    moment += timedelta(microseconds=int(f"{fraction:0<6}"[:6]))
    wall, ahead = local(moment)
    ends_day = draw(st.booleans()) and wall.time() == datetime.min.time() and not fraction.strip("0")
    day = wall - timedelta(days=1) if ends_day else wall
    clock = "24:00:00" if ends_day else f"{wall:%H:%M:%S}"
    clock += draw(st.sampled_from([".", ","])) + fraction if fraction else ""
    if draw(st.booleans()) and clock.endswith(":00"):
        clock = clock[:-3]
    sign = draw(st.sampled_from(["T", " ", "t"]))
    zone = draw(st.sampled_from(["", "", f"+0{ahead}:00", f"+0{ahead}00", f"+0{ahead}", "Z"]))
    if zone == "Z":
        day, clock = (
            (moment, f"{moment:%H:%M:%S}" + clock[8:] * bool(fraction)) if not ends_day else (day, clock)
        )
        zone = "" if ends_day else draw(st.sampled_from(["Z", "z", "+00:00"]))
    text = f"{day:%Y-%m-%d}{sign}{clock}{zone}"
    if draw(st.booleans()) and sign == "T":
        text = text.replace("-", "").replace(":", "")
    meant = finer(Is(moment) if zone else placed(wall, setting.repeated_hour), fraction[6:], setting)
    return cell(text, meant)


@st.composite
def pattern_times(draw: Any, setting: Setting) -> Cell:
    wall, _ = local(draw(INSTANTS))
    day, clock = wall, f"{wall:%H:%M}"
    if clock == "00:00" and draw(st.booleans()):
        day, clock = wall - timedelta(days=1), "24:00"
    return cell(f"{day:%d.%m.%Y} {clock}", placed(wall, setting.repeated_hour))


@st.composite
def epochs(draw: Any, setting: Setting) -> Cell:
    unit = PER_SECOND[setting.time_format]
    micros = draw(st.sampled_from([0, 0, 500_000, 123_456]))
    moment = draw(INSTANTS) + timedelta(microseconds=micros)
    exact = Decimal(int(moment.replace(microsecond=0).timestamp()) * 10**6 + micros) * unit / 10**6
    text = format(exact, "f")
    if setting.time_format == "unix_ns" and draw(st.booleans()):
        return cell(text[:-3] + "001", finer(Is(moment), "001", setting))
    if exact == exact.to_integral_value():
        text = draw(st.sampled_from([format(exact, ".0f"), f"{exact:.0f}.0", f"+{exact:.0f}"]))
    return cell(text, Is(moment))


EXCEL_DAY_0 = datetime.fromisoformat("1899-12-30")


def serial(wall: datetime) -> Xml:
    """A workbook's cell of a date."""
    return Xml(f's="1"><v>{(wall - EXCEL_DAY_0) / timedelta(days=1)!r}</v>')


@st.composite
def times(draw: Any, setting: Setting) -> Cell:  # noqa: PLR0911 - a kind a line
    kind = draw(st.integers(0, 9))
    if kind == 0:
        return cell(draw(st.sampled_from(NO_TIMES[setting.time_format])), BAD)
    if kind == 1:
        return cell(draw(st.sampled_from(BLANKS + EMPTY_WORDS)), BAD)
    if kind <= 3 and setting.format == "xlsx":
        wall, _ = local(draw(INSTANTS))
        return cell(serial(wall), placed(wall, setting.repeated_hour))
    if kind == 2 and setting.format == "json":
        return cell(draw(st.sampled_from([Xml("true"), Xml("[]"), Xml("{}"), Xml("null"), Xml("NaN")])), BAD)
    if setting.time_format in PER_SECOND:
        found = draw(epochs(setting))
        if kind <= 5 and setting.format == "json" and not found.written.startswith("+"):
            return found._replace(written=Xml(found.written))
    else:
        found = draw(iso_times(setting) if setting.time_format == "iso" else pattern_times(setting))
    if kind == 4:
        return draw(marked(found))
    return found


@st.composite
def marked(draw: Any, found: Cell) -> Cell:
    """A mark that nobody sees, or a space, stands somewhere in the text: it may spoil it, and changes it never."""
    text = found.written
    if not isinstance(text, str):
        return found
    at = draw(st.sampled_from([0, len(text) // 2, len(text)]))
    text = (
        text[:at]
        + draw(st.sampled_from(MARKS if 0 < at < len(text) else (*MARKS, " ", "\u00a0")))
        + text[at:]
    )
    return Cell(text, found.may | {BAD})


# ---- entities, numbers, texts -----------------------------------------------------------------------------

PLACES = [
    "Oulu",
    "oulu",
    "m 1",
    "00123",
    "123",
    "A/B",
    "A\\B",
    "Åbo",
    "Jyväskylä",
    "می\u200cخواهم",
    "1E5",
    "=1+1",
]


@st.composite
def entities(draw: Any, setting: Setting) -> Cell:  # noqa: PLR0911 - a kind a line
    name = draw(st.sampled_from(PLACES))
    kind = draw(st.integers(0, 11))
    if kind == 0:
        return cell(draw(st.sampled_from(BLANKS + EMPTY_WORDS)), BAD)
    if kind == 1:
        decomposed = name.replace("Å", "A\u030a").replace("ä", "a\u0308")
        return cell(decomposed, Is(name))
    if kind == 2:
        mark, at = draw(st.sampled_from(MARKS)), draw(st.sampled_from([0, 1, len(name)]))
        return cell(name[:at] + mark + name[at:], Is(name), *([BAD] if mark == "\ufeff" else []))
    if kind == 3:
        return cell(draw(st.sampled_from([" ", "\u00a0", "\u2003"])) + name.replace(" ", "\u00a0"), Is(name))
    if kind == 4 and setting.format == "csv":
        return cell('="00123"', Is("00123"), Is('="00123"'))
    if kind <= 5 and setting.format == "json":
        number = draw(st.sampled_from(["123", "9007199254740993", "12345678901234567890", "-7"]))
        others = ["true", "[1]", '{"a":1}', "null", '"\\ud800"', '"x\\udc00"']
        return draw(
            st.sampled_from(
                [cell(Xml(number), Is(number)), *(cell(Xml(o), BAD) for o in others if o != "true")]
            )
        )
    if kind <= 5 and setting.format == "xlsx":
        beyond = cell(Xml("><v>1234567890123456781</v>"), BAD, Is("1234567890123456781"))
        odd = cell(Xml("><v>9007199254740993</v>"), BAD, Is("9007199254740993"))
        return draw(
            st.sampled_from([cell(Xml("><v>123</v>"), Is("123")), beyond, odd, cell(EMPTY_CELL, BAD)])
        )
    return cell(name, Is(name))


NO_NUMBERS = ["x", "12 %", "€ 5", "1..2", "--1", "1-2", "NaN", "inf", "-Infinity", "1e400", "0x10", "1_000", "true",
              "2026-05-01", "05:30", "(5)", "1 2", "#DIV/0!", "'5", "1e", "e5", ".", "+", "N/A"]  # fmt: skip
WHOLE = st.one_of(
    st.integers(-20, 2_000_000),
    st.sampled_from([2**53, 2**53 + 1, -(2**63) - 1, 10**30 + 7, 0, 1_000, 999]),
)


def numbers_text(number: Decimal, setting: Setting, style: int) -> str:
    """A number as people write it, by the section's signs."""
    whole, _, fraction = format(number.copy_abs(), "f").partition(".")
    if setting.thousands and style % 2:
        groups = [whole[max(0, end - 3) : end] for end in range(len(whole), 0, -3)][::-1]
        whole = {"space": " ", "'": "'"}.get(setting.thousands, setting.thousands).join(groups)
    text = whole + (setting.decimal + fraction if fraction else "")
    if style % 7 == 3 and not fraction:
        text += setting.decimal
    if style % 5 == 2 and not setting.thousands:
        text += f"E{style % 3}"
    if number.is_signed():
        return (
            {0: f"-{text}", 1: f"\u2212{text}", 2: f"{text}-"}[style % 3] if "E" not in text else f"-{text}"
        )
    return f"+{text}" if style % 11 == 5 else text


def shifted(number: Decimal, places: int) -> Decimal:
    """The number times ten to the power of `places`, whatever the context's precision."""
    sign, digits, exponent = number.as_tuple()
    return Decimal((sign, digits, int(exponent) + places))


@st.composite
def numbers(draw: Any, setting: Setting) -> Cell:
    kind = draw(st.integers(0, 12))
    if kind == 0:
        wrong = [f"1{setting.decimal}2{setting.decimal}3", "1.234,5" if setting.decimal == "." else "1,234.5"]
        wrong += [
            "12.34" if setting.thousands == "." else "1,23,4",
            "1\u2009000\u2009" if setting.thousands != "space" else "1 00",
        ]
        return cell(draw(st.sampled_from(NO_NUMBERS + wrong)), BAD)
    if kind == 1:
        return cell(draw(st.sampled_from(BLANKS + EMPTY_WORDS)), NOTHING)
    if kind == 2:
        return cell(draw(st.sampled_from(["n\u200b/a", "\u200bNULL", " -\u00a0"])), NOTHING, BAD)
    if kind <= 5 and setting.format == "json":
        return draw(json_numbers())
    if kind <= 6 and setting.format == "xlsx":
        return draw(workbook_numbers())
    number = shifted(Decimal(draw(WHOLE)), -draw(st.sampled_from([0, 0, 1, 3, 18])))
    style = draw(st.integers(0, 30))
    text = numbers_text(number, setting, style)
    if "E" in text:
        number = shifted(number, int(text[-1]))
    found = cell(text, Is(number))
    return draw(marked(found)) if kind == 7 else found


@st.composite
def json_numbers(draw: Any) -> Cell:
    good = ["0", "-0", "1.50", "1e5", "-1E-3", "9007199254740993", "123456789012345678901234567890",
            "0.1000000000000000055511151231257827", "0.30000000000000004", "1.7976931348623157e308"]  # fmt: skip
    bad = ["NaN", "Infinity", "-Infinity", "1e999", "true", "false", "[]", "[1]", '{"v":1}', '"\\ud800"']
    if draw(st.booleans()):
        text = draw(st.sampled_from(good))
        return cell(Xml(text), Is(Decimal(text)))
    return (
        cell(Xml(text), BAD)
        if (text := draw(st.sampled_from([*bad, "null"]))) != "null"
        else cell(Xml(text), NOTHING)
    )


@st.composite
def workbook_numbers(draw: Any) -> Cell:
    good = [
        "0",
        "1.5",
        "-0.001",
        "9007199254740993",
        "-1234567890123456781",
        "1E+20",
        "0.30000000000000004",
        "2251799813685249.5",
        "9007199254740991",
    ]
    text = draw(st.sampled_from(good))
    return draw(
        st.sampled_from(
            [
                cell(Xml(f"><v>{text}</v>"), Is(Decimal(text))),
                cell(Xml('t="b"><v>1</v>'), BAD),
                cell(serial(EXCEL_DAY_0 + timedelta(days=46_143)), BAD),
                cell(Xml('s="2"><v>0.25</v>'), BAD, Is(Decimal(21_600))),
                cell(EMPTY_CELL, NOTHING),
                cell(Xml('t="e"><v>#DIV/0!</v>'), BAD),
                cell(Xml("><f>A1+1</f>"), BAD),
                cell(Xml("><f>A1+1</f><v>7</v>"), Is(Decimal(7))),
            ]
        )
    )


PIECES = [
    "a",
    "B",
    ",",
    ";",
    '"',
    "'",
    "\n",
    "\r\n",
    "\t",
    " ",
    "\\",
    "=",
    "Å",
    "a\u0308",
    "\u200b",
    "0",
    "<&>",
    "\u2028",
]


@st.composite
def notes(draw: Any, setting: Setting) -> Cell:
    if setting.format == "json" and draw(st.integers(0, 9)) == 0:
        return draw(
            st.sampled_from([cell(Xml('"\\ud800"'), BAD), cell(Xml("[]"), BAD), cell(Xml("null"), NOTHING)])
        )
    text = "".join(draw(st.lists(st.sampled_from(PIECES), max_size=6)))
    if not text.replace("\u200b", "").strip() or text.replace("\u200b", "").strip() in EMPTY_WORDS:
        return cell(text, NOTHING)
    if setting.format == "xlsx":
        text = text.replace("\r\n", "\n")  # what XML makes of it
    return cell(text, Is(text.strip()))


# ---- tables -----------------------------------------------------------------------------------------------


def outcomes_of(time: Cell, place: Cell, number: Cell, note: Cell) -> frozenset[Any]:
    """What may come of a row with these cells."""
    found: set[Any] = set()
    for at, who, t, n in itertools.product(time.may, place.may, number.may, note.may):
        if BAD in (t, n):
            found.add(REJECTED)
        elif t == n == NOTHING:
            found |= {SILENT, REJECTED}
        elif BAD in (at, who):
            found.add(REJECTED)
        else:
            values = [(name, each.value) for name, each in (("t", t), ("n", n)) if each != NOTHING]
            found.add((at.value, who.value, *values))
    return frozenset(found)


SHAPES = {
    "csv": ["blank", "spaces", "delimiters", "short", "long", "extra", "header", "nul"],
    "json": ["doubled", "doubled_within", "two_ways", "deep", "deepest", "broken", "list", "text"],
    "xlsx": ["blank", "header"],
}


@st.composite
def rows(draw: Any, setting: Setting) -> Row:
    cells = (draw(times(setting)), draw(entities(setting)), draw(numbers(setting)), draw(notes(setting)))
    may = outcomes_of(*cells)
    written = tuple(each.written for each in cells)
    shape = draw(st.sampled_from(SHAPES[setting.format])) if draw(st.integers(0, 4)) == 0 else ""
    if shape in ("blank", "spaces", "delimiters"):
        return Row((), frozenset([SILENT]), shape)
    if shape == "header":
        return Row(COLUMNS, frozenset([SILENT, REJECTED]), shape)
    if shape == "short":
        left = written[: draw(st.integers(1, 3))]
        blank = all(text.translate(UNSEEN).strip() in ("", *EMPTY_WORDS) for text in left)
        return Row(left, frozenset([SILENT, REJECTED] if blank else [REJECTED]), shape)
    if shape == "nul":
        return Row((*plain(setting)[:3], "\0"), frozenset([REJECTED]), shape)
    if shape in ("long", "doubled", "doubled_within", "two_ways", "deep", "broken", "list", "text"):
        return Row(written, frozenset([REJECTED]), shape)
    return Row(written, may, shape)


@st.composite
def tables(draw: Any, kind: str) -> tuple[Setting, list[Row], dict[str, Any]]:
    signs = [(".", ""), (",", ""), (",", "."), (".", ","), (",", "space"), (".", "'")]
    setting = Setting(
        kind,
        *draw(st.sampled_from(signs)),
        draw(st.sampled_from(["iso", "iso", PATTERN, *PER_SECOND])),
        draw(st.sampled_from(["reject", "first", "second"])),
        draw(st.sampled_from(["reject", "cut"])),
    )
    good = Row(tuple(draw(st.just(plain(setting)))), frozenset([("first",)]))
    found = [good._replace(may=first_of(setting)), *draw(st.lists(rows(setting), min_size=1, max_size=6))]
    look = {
        "delimiter": draw(st.sampled_from([",", ";", "\t"])),
        "end": draw(st.sampled_from(["\n", "\r\n"])),
        "quotes": draw(st.integers(0, 2)),
        "mark": draw(st.booleans()),
        "trailing": draw(st.sampled_from(["", "all", "header"])),
        "last_end": draw(st.booleans()),
        "order": draw(st.permutations(range(4))),
        "header": draw(st.sampled_from(["", "\u200b", "\u00a0", " "])),
        "packed": draw(st.integers(0, 4)) == 0,
        "array": draw(st.booleans()),
        "nested": draw(st.booleans()),
        "escaped": draw(st.booleans()),
    }
    return setting, found, look


FIRST = datetime(2026, 6, 1, 9, tzinfo=UTC)


def plain(setting: Setting) -> tuple[str, str, str, str]:
    """The cells of a row that nothing is wrong with."""
    form = setting.time_format
    if form in PER_SECOND:
        at = str(int(FIRST.timestamp()) * PER_SECOND[form])
    else:
        at = "2026-06-01T12:00" if form == "iso" else "01.06.2026 12:00"
    return at, "first", "1", "one"


def first_of(setting: Setting) -> frozenset[Any]:
    return frozenset([(FIRST, "first", ("t", Decimal(1)), ("n", "one"))])


def section(setting: Setting, look: dict[str, Any], **more: str) -> TableOptions:
    """The section that reads such a table."""
    nested = setting.format == "json" and look["nested"]
    return TableOptions(
        collector="files", entity="Place", time="Time", values=f"t: {'m.' * nested}Temp, n: Note (text)",
        empty=", ".join(EMPTY_WORDS), decimal=setting.decimal, thousands=setting.thousands,
        time_format=setting.time_format, repeated_hour=setting.repeated_hour, finer_times=setting.finer_times,
        delimiter={"\t": "tab"}.get(look["delimiter"], look["delimiter"]), **more,
    )  # fmt: skip


def written(kind: str, found: list[Row], look: dict[str, Any]) -> tuple[str, bytes, list[int]]:
    """The table's name, its bytes, and of each row where it stands."""
    if kind == "xlsx":
        return "t.xlsx", workbook(COLUMNS, found, look), list(range(2, len(found) + 2))
    if kind == "csv":
        text, places = csv_text(COLUMNS, found, look)
        name = "t.csv"
    else:
        text, places = json_text(COLUMNS, found, look)
        name = "t.json" if look["array"] else "t.ndjson"
    content = ("\ufeff" if look["mark"] else "").encode() + text.encode()
    return (
        (f"{name}.gz", gzip.compress(content, mtime=0), places) if look["packed"] else (name, content, places)
    )


def read(options: TableOptions, name: str, content: bytes, cut: int = 10**9) -> tuple[list[Any], int]:
    """What a table's rows became, read in two goes that part behind the row `cut`; and how many said nothing."""
    mapping = Columns(options, zone=ZoneInfo("Europe/Helsinki"), source="s")
    outcomes: list[Any] = []
    place, order = {}, mapping.order()
    for _ in range(2):
        table = Table(
            io.BytesIO(content), name, options, mapping, origin={"file": name}, order=order, **place
        )
        for outcome in table:
            outcomes.append(outcome)
            if len(outcomes) == cut:
                place, order = {"place": outcome.place}, mapping.order(order.text() if order else "")
                break
        else:
            break
    return [each.found for each in outcomes if each.found], sum(each.found is None for each in outcomes)


def stored(record: Record) -> Any:
    """The record as the outbox would keep it; REJECTED where it refuses it."""
    page = normalise_page(Page(records=[record], bookmark=""), customer="c", site="s", source="s")
    if not page.entries:
        assert page.rejected
        return REJECTED
    body = json.loads(page.entries[0].body, parse_float=Decimal, parse_int=Decimal)
    values = [(name, body["values"][name]) for name in ("t", "n") if name in body["values"]]
    if values and values[0][0] == "t":  # a whole number beyond 2^53 is written as text
        values[0] = ("t", Decimal(values[0][1]) if type(values[0][1]) in (str, Decimal) else values[0][1])
    return (datetime.fromisoformat(body["observed_at"]), body["entity"], *values)


def hold(found: list[Row], places: list[int], outcomes: list[Any], silent: int) -> None:
    """See that each row became what it may, that each has one outcome, and that there is no other."""
    became: dict[int, Any] = {}
    for outcome in outcomes:
        is_record = isinstance(outcome, Record)
        origin = outcome.origin if is_record else json.loads(outcome.raw)["origin"]
        place = origin.get("line") or origin["row"]
        assert place not in became, f"two outcomes of row {place}"
        assert is_record or isinstance(outcome, Rejected)
        became[place] = stored(outcome) if is_record else REJECTED
    for row, place in zip(found, places, strict=True):
        what = became.pop(place, SILENT)
        assert what in row.may, f"{row.cells} ({row.shape}) became {what}, not {set(row.may)}"
    assert not became, f"rows that nobody wrote: {became}"
    # A blank line is a row of a text that says nothing, or none at all.
    blank = sum(row.shape in ("blank", "spaces") or row.cells == ("",) for row in found)
    assert len(found) - blank <= len(outcomes) + silent <= len(found)


@pytest.mark.parametrize("kind", ["csv", "json", "xlsx"])
@settings(max_examples=120, derandomize=True, deadline=None, database=None)
@given(data=st.data())
def test_each_row_is_a_record_with_its_values_or_rejected_or_says_nothing(kind, data):
    setting, found, look = data.draw(tables(kind))
    with in_this_process():
        name, content, places = written(kind, found, look)
        hold(found, places, *read(section(setting, look), name, content))


# ---- rows that ascend through the hour that comes twice ---------------------------------------------------


BETWEEN = {
    6: Row(COLUMNS, frozenset([SILENT, REJECTED]), "header"),
    7: Row((), frozenset([SILENT]), "blank"),
}


def series(seed: int) -> tuple[list[Row], int, bool]:
    """A log of a few things over the night, each at every step, some of whose rows have troubles."""
    chance = random.Random(seed)
    step = chance.choice([20, 30, 60, 60])
    start = datetime(2026, 10, 24, 22, tzinfo=UTC)
    names = chance.sample(["a", "b", "c"], chance.randint(1, 3))
    late = {name: chance.choice([0, 0, 60, 150, 200]) for name in names}
    trouble = chance.random() < 0.8
    found: list[Row] = []
    for minutes in range(0, 300, step):
        moment = start + timedelta(minutes=minutes)
        wall, ahead = local(moment)
        for name in names:
            if minutes < late[name]:
                continue
            kind = chance.randint(0, 20) if trouble else 20
            number = str(len(found))
            right = (moment, name, ("t", Decimal(number)))
            zone = f"+0{ahead}:00" if kind == 0 else ""
            time = {1: "soon", 2: ""}.get(kind, f"{wall:%Y-%m-%d %H:%M}{zone}")
            value = {3: "x", 4: ""}.get(kind, number)
            cells = (time, "" if kind == 5 else name, value, "")
            may = {1: {REJECTED}, 2: {REJECTED}, 3: {REJECTED}, 4: {SILENT}, 5: {REJECTED}}.get(
                kind, {right} if kind == 0 or (not trouble and not late[name]) else {right, REJECTED}
            )
            if kind in (6, 7):  # such a line stands between two rows, and in place of none
                found.append(BETWEEN[kind])
            found.append(
                Row(cells, frozenset(may)) if kind != 8 else Row(cells, frozenset([REJECTED]), "long")
            )
    return found, chance.randint(1, len(found)), chance.random() < 0.3


@settings(max_examples=200, derandomize=True, deadline=None, database=None)
@given(st.integers(0, 2**32).map(series))
def test_rows_that_ascend_tell_the_two_hours_apart_or_are_rejected(log):
    """Also where reading stops between two rows and goes on there; a row in its place is never in the other."""
    found, cut, packed = log
    look = {"delimiter": ",", "end": "\n", "quotes": 0, "mark": False, "trailing": "", "last_end": True,
            "order": range(4), "header": "", "packed": packed}  # fmt: skip
    setting = Setting("csv", ".", "", "iso", "in_order", "reject")
    name, content, places = written("csv", found, look)
    hold(found, places, *read(section(setting, look), name, content, cut))


# ---- cells of workbooks without a value -------------------------------------------------------------------

_WORKBOOK_LOOK = {"order": range(4), "header": "", "delimiter": ","}


@pytest.mark.parametrize(
    "cell",
    [
        pytest.param('t="e"><v>#DIV/0!</v>', id="an error"),
        pytest.param("><f>A1+1</f>", id="a formula that nobody calculated"),
    ],
)
def test_a_cell_of_a_workbook_that_has_no_value_to_read_is_rejected(cell):
    setting = Setting("xlsx", ".", "", "iso", "reject", "reject")
    row = Row((*plain(setting)[:2], Xml(cell), ""), frozenset([REJECTED]))
    with in_this_process():
        name, content, places = written("xlsx", [row], _WORKBOOK_LOOK)
        hold([row], places, *read(section(setting, _WORKBOOK_LOOK), name, content))
