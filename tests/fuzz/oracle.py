"""What must hold of any bytes at all that are read as a table, under any section.

- Nothing but PermanentError comes out, and it can be shown on a terminal.
- Every row is a record, rejected or silent; the outbox takes the page, and what it refuses it can show.
- What is rejected can be read again without an exception.
- Reading that goes on at a place gives what the whole reading gave behind it.
"""

import gzip
import io
import json
import zipfile
from contextlib import contextmanager
from zoneinfo import ZoneInfo

import msgspec

from collectors.mapping.cells import restored
from collectors.mapping.columns import Columns
from collectors.tables import workbook as tables_excel
from collectors.tables import workbook_process
from collectors.tables.options import TableOptions
from collectors.tables.table import Table
from collectors.tables.unpack import zstd
from outbox.errors import PermanentError
from outbox.record import MAX_RAW_BYTES, Page, Record, Rejected
from outbox.record.page import normalise_page

RAW = ("t.csv", "t.tsv", "t.ndjson", "t.json")
MADE = ("packed.csv.gz", "packed.json.zst", "sheet.xlsx", "texts.xlsx")  # of the bytes, by `check`
NAMES = (*RAW, *MADE, "raw.csv.gz", "raw.json.zst", "raw.xlsx")
GIVEN = {"collector": "files", "time": "Time", "values": "t: Temp [C]"}
SECTIONS = (
    {"entity": "Place"},
    {"entity": "Place", "decimal": ",", "thousands": ".", "delimiter": ";", "values": "t: Temp * 0.001, n: Note (text)"},
    {"entity": "Place, Note", "attributes": "Temp", "empty": "NULL", "time_format": "unix_ms", "quote": "'"},
    {"header": 0, "time": "1", "values": "2", "time_format": "%d.%m.%Y %H:%M", "encoding": "cp1252"},
    {"entity": "@header", "values": "t: @value", "wide": "*", "encoding": "utf-16"},
    {"records": "data.rows[*]", "entity": "a.b", "quote": "none", "header": 3, "encoding": "shift_jis"},
)  # fmt: skip
SEEDS = (
    b'Time,Place,Temp,Note\n2026-01-01T00:00,Oulu,1.5,x\n2026-02-30,"Ou\nlu",1e5,\n,,,\n"a,1\nx,y\n',
    b"Time;Place;Temp;Note\r\n2026-01-01;A;1.234,5;x\r\n2026-03-29 03:30;A;2;'\r\n",
    b'{"Time":"2026-01-01","Place":"x","Temp":1.50,"a":{"b":[1,2]}}\n{"Time":1e999}\nnull\n',
    b'[{"Time":"2026-01-01","Place":"x","Temp":NaN,"Temp":2},{"Time":"2026-10-25T03:30","Place":"\\ud800","Temp":-0}]',
    b'{"Time":"2026-01-01","Place":"x","Temp":1}\n{"Time":"2026-01-01","Place":[1],"Temp":{"a":true}}\n',
    b'{"data":{"rows":[{"Time":"2026-01-01","a":{"b":1.5},"Temp":"7"},{"Time":"2026-01-02","a":{"b":"y"}}]}}',
    b'{"data":{"rows":[{"Time":1795410000123,"Place":"x","Temp":"7"}]}}',
    b"01.02.2026 03:04\t5\n\xff\xfe\x00x\n",
    b'<row r="1"><c r="A1" t="s"><v>0</v></c><c r="B1" t="str"><v>Temp</v></c></row><row r="2"><c><v>45000.5</v></c></row>',
    b"<si><t>Time</t></si><si/><si><t>Temp</t></si>",
)
_RELS = "http://schemas.openxmlformats.org/package/2006/relationships"
_DOC = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_TEXTS = b"<si><t>Time</t></si><si><t>Place</t></si><si><t>Temp</t></si><si><t>2026-01-01</t></si>"
_HEADER = (
    b'<row r="1"><c r="A1" t="s"><v>0</v></c><c r="B1" t="s"><v>1</v></c><c r="C1" t="s"><v>2</v></c></row>'
)
_ROW = b'<row r="2"><c r="A2" t="s"><v>3</v></c><c r="B2" t="str"><v>x</v></c><c r="C2"><v>1.5</v></c></row>'


def workbook_of(rows: bytes = _HEADER + _ROW, texts: bytes = _TEXTS, start: bytes = b"<sst") -> bytes:
    """Return a workbook whose sheet's rows, or whose shared texts, are these bytes."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as book:
        book.writestr(
            "[Content_Types].xml",
            '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="xml" ContentType="application/xml"/></Types>',
        )
        book.writestr(
            "_rels/.rels",
            f'<Relationships xmlns="{_RELS}"><Relationship Id="r1" Type="{_DOC}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        )
        book.writestr(
            "xl/workbook.xml",
            f'<workbook xmlns="{_MAIN}" xmlns:r="{_DOC}"><sheets><sheet name="S" sheetId="1" r:id="r1"/></sheets></workbook>',
        )
        book.writestr(
            "xl/_rels/workbook.xml.rels",
            f'<Relationships xmlns="{_RELS}"><Relationship Id="r1" Type="{_DOC}/worksheet" Target="worksheets/sheet1.xml"/>'
            f'<Relationship Id="r2" Type="{_DOC}/sharedStrings" Target="sharedStrings.xml"/></Relationships>',
        )
        book.writestr(
            "xl/worksheets/sheet1.xml",
            b'<worksheet xmlns="%s"><sheetData>%s</sheetData></worksheet>' % (_MAIN.encode(), rows),
        )
        book.writestr("xl/sharedStrings.xml", b'%s xmlns="%s">%s</sst>' % (start, _MAIN.encode(), texts))
    return content.getvalue()


@contextmanager
def in_this_process():
    """Read workbooks here instead of in a process of their own: fuzzing sees what happens in it, and is fast."""
    usual = tables_excel.process_lines

    def process_lines(content, sheet):
        for line in workbook_process.lines(content, sheet):
            yield json.loads(msgspec.json.encode(line), object_hook=restored)

    tables_excel.process_lines = process_lines
    try:
        yield
    finally:
        tables_excel.process_lines = usual


def check(name: str, section: dict[str, object], content: bytes, cut: int) -> int:
    """Read the bytes as that table and see that all holds; return how many rows there were."""
    if name == "sheet.xlsx":
        content = workbook_of(rows=_HEADER + content)
    elif name == "texts.xlsx":
        content = workbook_of(texts=_TEXTS + content)
    elif name == "packed.csv.gz":
        content = gzip.compress(content, mtime=0)
    elif name == "packed.json.zst":
        content = zstd.compress(content)
    options = TableOptions(**{**GIVEN, **section})
    mapping = Columns(options, zone=ZoneInfo("Europe/Helsinki"), source="s")

    def read(**more):
        outcomes, messages = [], []
        table = Table(io.BytesIO(content), name, options, mapping, origin={"file": name}, **more)
        try:
            outcomes.extend(table)
        except PermanentError as error:
            messages.append(error.message)
        assert all(message.isprintable() for message in messages)
        return outcomes

    outcomes = read()
    _see(mapping, [outcome.found for outcome in outcomes])
    if outcomes:
        cut %= len(outcomes)
        found = [outcome.found for outcome in outcomes if outcome.found is not None]
        behind = [outcome.found for outcome in outcomes[cut + 1 :] if outcome.found is not None]
        rest = [outcome.found for outcome in read(place=outcomes[cut].place) if outcome.found is not None]
        assert len(rest) >= len(behind), "a gap"
        assert not rest or repr(rest) == repr(found[-len(rest) :]), "other rows"
    return len(outcomes)


def _see(mapping: Columns, found: list[object]) -> None:
    assert {type(each) for each in found} <= {Record, Rejected, type(None)}
    records = [each for each in found if isinstance(each, Record)]
    rejected = [each for each in found if isinstance(each, Rejected)]
    for each in rejected:
        assert len(each.raw) <= MAX_RAW_BYTES
        assert each.reason.isprintable()
        assert isinstance(mapping.reread(each.raw), Record | Rejected | None)
    page = Page(records=records[:10_000], rejected=rejected, bookmark="")
    judged = normalise_page(page, customer="c", site="s", source="s")
    assert len(judged.entries) + len(judged.rejected) + judged.repeated == len(page.records) + len(rejected)
