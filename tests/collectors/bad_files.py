"""Files as nobody should send them: for each, what is read of it, what is rejected and what is said.

Each is made when it is asked for, from a few bytes of code. `GOOD` stands in most of them, so that the rest
can be seen to go on.
"""

import bz2
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from collectors.tables.unpack import zstd
from tests.collectors.tables_support import HEADER, ROW, gz, workbook
from tests.fuzz.oracle import workbook_of

GOOD = HEADER + ROW


@dataclass(frozen=True)
class Bad:
    """A file and what comes of it: records, a piece of each reason in order, a piece of the error ("": none)."""

    name: str
    content: Callable[[], bytes | str] | bytes | str
    records: int = 0
    reasons: tuple[str, ...] = ()
    error: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    file: str = "t.csv"
    floods: bool = (
        False  # so many rows are rejected, each for the one reason, that the outbox stops the source
    )

    def bytes(self) -> bytes:
        """Return the file's content."""
        content = self.content() if callable(self.content) else self.content
        return content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content


def row(time: str = "2026-01-01T01:00", place: str = "Turku", temp: str = "2") -> str:
    """Return a second row, good unless it is told otherwise."""
    return f"{time},{place},{temp}\n"


def cell(name: str, text: str, reason: str, **options: Any) -> Bad:
    """Return a file whose second row has this value; "" for a reason says that it is read."""
    return Bad(name, GOOD + row(temp=text), 1 if reason else 2, (reason,) if reason else (), options=options)


def when(name: str, text: str, reason: str, **options: Any) -> Bad:
    """Return a file whose second row has this time."""
    return Bad(name, GOOD + row(time=text), 1 if reason else 2, (reason,) if reason else (), options=options)


ENCODINGS = [
    Bad("cp1252 read as utf-8", GOOD.encode() + row(place="Jyväskylä").encode("cp1252") + row("2026-01-01T02:00").encode(), 2, ("is not in utf-8: byte 0xe4",)),
    Bad("mixed encodings", GOOD.encode() + row(place="Jyväskylä").encode() + row(place="Jyväskylä").encode("latin-1"), 2, ("is not in utf-8",)),
    Bad("utf-16 without a mark", GOOD.encode("utf-16-le"), error="has no header in line 1, which holds a NUL"),
    Bad("utf-16 of odd length", b"\xff\xfe" + GOOD.encode("utf-16-le") + b"x", 1, error="is not in utf-16: 'utf-16-le' codec can't decode byte 0x78"),
    Bad("utf-16 with half a pair", b"\xff\xfe" + (GOOD + row(place="\ud800")).encode("utf-16-le", "surrogatepass"), error="is not in utf-16"),
    Bad("utf-32 beyond Unicode", b"\xff\xfe\x00\x00" + b"\xff\xff\xff\x7f", error="is not in utf-32"),
    Bad("nothing but a mark", "\ufeff", error="has no column Place, Time, Temp; its columns are none"),
    Bad("two marks", "\ufeff\ufeff" + GOOD, 1),
    Bad("a mark in the middle", GOOD + "\ufeff" + row(), 1, ("Time is not a time: '\\ufeff2026-01-01T01:00'",)),
    Bad("overlong utf-8", GOOD.encode() + b"2026-01-01,\xc0\xaf,1\n", 1, ("is not in utf-8: byte 0xc0",)),
    Bad("surrogates in utf-8", GOOD.encode() + b"2026-01-01,\xed\xa0\x80,1\n", 1, ("is not in utf-8: byte 0xed",)),
    Bad("utf-8 cut at the end", GOOD.encode() + b"2026-01-01,Jyv\xc3", 1, ("is not in utf-8",)),
    Bad("no such sign in cp1252", GOOD.encode() + b"2026-01-01,\x81,1\n", 1, ("is not in cp1252: byte 0x81",), options={"encoding": "cp1252"}),
    Bad("half a sign of shift_jis", GOOD.encode() + b"2026-01-01,\x82\n", 1, ("is not in shift_jis",), options={"encoding": "shift_jis"}),
    Bad("ebcdic", GOOD.encode("cp500"), error="has no header in line 1, which is not in utf-8"),
    Bad("a header in another encoding", "Time,Place,Temp,Höhe\n".encode("latin-1") + ROW.encode(), error="has no header in line 1, which is not in utf-8: byte 0xf6"),
]  # fmt: skip

DAMAGE = [
    Bad("nothing", ""),
    Bad("a header alone", HEADER),
    Bad("blank lines alone", "\n\n \n", error="has no column"),
    Bad("blank lines between", HEADER + "\n\n" + ROW + "\n \n", 1),
    Bad("nothing but NUL", b"\0" * 5_000, error="which holds a NUL"),
    Bad("NUL in a cell", GOOD + row(place="a\0b"), 1, ("holds a NUL character",)),
    Bad("a tail of NUL, as after a crash", GOOD.encode() + b"\0" * 4_096, 1, ("holds a NUL character",)),
    Bad("random bytes", bytes(range(256)) * 20, error="has no column Place, Time, Temp"),
    Bad("an image", b"\x89PNG\r\n\x1a\n" + bytes(100), error="has no header in line 1, which is not in utf-8"),
    Bad("a web page", "<!DOCTYPE html>\n<html><body>Log in</body></html>", error="its columns are <!DOCTYPE html>"),
    Bad("old Macintosh line ends", GOOD.replace("\n", "\r"), 1),
    Bad("mixed line ends", HEADER + ROW.replace("\n", "\r\n") + row(), 2),
    Bad("a wrong delimiter", GOOD.replace(",", ";"), error="has no column Place, Time, Temp; its columns are Time;Place;Temp"),
    Bad("Excel's own first line", "sep=,\n" + GOOD, error="its columns are sep="),
    Bad("a title above the header", "Export\n" + GOOD, error="its columns are Export"),
    Bad("the header again", GOOD + HEADER + row(), 2),
    Bad("the header again with other columns", HEADER + row(place="Espoo") + "Time,Place,Rain,Temp\n" + row(), 1, error="has another header in line 3"),
    Bad("a total below", GOOD + "Total,,1.5\n", 1, ("Place is empty, and part of the entity",)),
    Bad("too few cells", GOOD + "2026-01-01,x\n" + row(), 2, ("the row has 2 cells, and 3 columns",)),
    Bad("too many cells", GOOD + "2026-01-01,x,1,2\n" + row(), 2, ("the row has 4 cells, and 3 columns",)),
    Bad("delimiters behind", HEADER + ROW.replace("\n", ",,,\n"), 1),
    Bad("a decimal comma that nobody declared", GOOD + "2026-01-01,x,1,5\n", 1, ("the row has 4 cells, and 3 columns",)),
    Bad("a column twice that is needed", "Time,Place,Temp,Temp\n2026-01-01,x,1,2\n", error="has the column Temp more than once"),
    Bad("a column twice that is not", "Time,Place,Temp,x,x\n2026-01-01,x,1,2,3\n", 1),
    Bad("columns twice but for what cannot be seen", "Time,Place,Temp,Te\u200bmp\n2026-01-01,x,1,2\n", error="has the column Temp more than once"),
    Bad("columns without a name", "Time,,Place,,Temp\n2026-01-01,,x,,1\n", 1),
    Bad("right-to-left marks in the header", "\u202eTime,Pl\u200face,Temp\u202c\n" + ROW, 1),
    Bad("line ends in the header", '"Ti\nme",Place,Temp\n' + ROW, error="its columns are Ti me, Place, Temp"),
    Bad("twenty thousand columns", lambda: "Time,Place,Temp" + "".join(f",c{n}" for n in range(19_997)) + "\n" + f"2026-01-01,x,1{',' * 19_997}\n" + f"never,x,1{',' * 19_997}\n" * 10, 1, ("Time is not a time",) * 10),
    Bad("a quote that never closes", GOOD + '2026-01-01,"x,1\n' + row(), 2, ("is no row of CSV: unexpected end of data",)),
    Bad("a quote that closes too late", GOOD + '2026-01-01,"x,1\n' + '2026-01-02,"y",1\n' + row(), 3, ("is no row of CSV: ',' expected after '\"'",)),
    Bad("a quote at the very end", GOOD + '"', 1, ("is no row of CSV",)),
    Bad("text behind a quote", GOOD + '2026-01-01,"x"y,1\n', 1, ("is no row of CSV: ',' expected after '\"'",)),
    Bad("a quote in a cell without", GOOD + '2026-01-01,5" pipe,1\n', 2),
    Bad("a thousand quotes", GOOD + '"' * 1_001 + "\n" + row(), 2, ("is no row of CSV",)),
    Bad("a cell of 200,000 characters", GOOD + row(place="x" * 200_000), 1, ("is no row of CSV: field larger than field limit",)),
    Bad("a million columns", lambda: ",".join(f"c{n}" for n in range(1_000_000)) + "\n", error="has no header in line 1, which is longer than 1,000,000 bytes"),
    Bad("half a million columns without names", lambda: "," * 500_000 + "\n", error="has 500,001 columns; the limit is 20,000"),
    Bad("a row of a million cells", lambda: GOOD + "," * 999_999 + "\n" + "1," * 400_000 + "\n" + row(), 2, ("the row has 400,001 cells, and 3 columns",)),
    Bad("a line of ten million bytes", lambda: GOOD + "x" * 10_000_000 + "\n" + row(), 2, ("is longer than 1,000,000 bytes",)),
    Bad("a line of ten million bytes without an end", lambda: GOOD + "x" * 10_000_000, 1, ("is longer than 1,000,000 bytes",)),
    Bad("a header of ten million bytes", lambda: "x" * 10_000_000 + "\n" + ROW, error="has no header in line 1, which is longer"),
    Bad("a hundred thousand bad rows", lambda: HEADER + "x\n" * 100_000, 0, ("the row has 1 cells, and 3 columns",), floods=True),
]  # fmt: skip

CELLS = [
    cell("a formula", "=cmd|' /C calc'!A0", "Temp is not a number: '=cmd"),
    cell("a formula that adds", "=1+1", "Temp is not a number: '=1+1'"),
    cell("a formula by a plus", "+SUM(A1)", "Temp is not a number"),
    cell("a formula by an at", "@SUM(A1)", "Temp is not a number"),
    cell("a formula kept as the text that it is", "=1+1", "", values="t: Temp (text)"),
    cell("NaN", "NaN", "Temp is not a number: 'NaN'"),
    cell("infinity", "-inf", "Temp is not a number: '-inf'"),
    cell("1e999", "1e999", "Temp is beyond the range of numbers"),
    cell("1e-999", "1e-999", "Temp is beyond the range of numbers"),
    cell("1e99999", "1e99999", "Temp is not a number"),
    cell("the largest float", "1.7976931348623157e308", ""),
    cell("an integer of 300 digits", "9" * 300, ""),
    cell("an integer of 5,000 digits", "9" * 5_000, "Temp is not a number"),
    cell("hexadecimal", "0x1F", "Temp is not a number"),
    cell("an underscore", "1_000", "Temp is not a number"),
    cell("digits of another script", "٣", "Temp is not a number"),
    cell("full-width digits", "３", "Temp is not a number"),
    cell("a currency", "5 €", "Temp is not a number: '5 €'"),
    cell("a percentage", "5%", "Temp is not a number: '5%'"),
    cell("an error of a spreadsheet", "#DIV/0!", "Temp is not a number: '#DIV/0!'"),
    cell("true", "TRUE", "Temp is not a number: 'TRUE'"),
    cell("a date for a number", "2026-01-01", "Temp is not a number"),
    cell("two minus signs", "--5", "Temp is not a number"),
    cell("a point alone", ".", "Temp is not a number: '.'"),
    cell("thousands that nobody declared", '"1,234"', "Temp is not a number: '1,234'"),
    cell("a terminal's colours", "\x1b[31m5", "Temp is not a number: '\\x1b[31m5'"),
    Bad("a direction mark in the entity", GOOD + row(place="\u202eevil"), 2),
    Bad("an entity of 2,000 characters", GOOD + row(place="x" * 2_000), 1, ("entity",)),
    Bad("control characters in the entity", GOOD + row(place="a\x07b"), 2),
    when("the 31st of February", "2026-02-31", "Time is not a time: '2026-02-31'"),
    when("a leap day of no leap year", "2026-02-29", "Time is not a time"),
    when("the 60th second", "2026-01-01T00:00:60", "Time is not a time"),
    when("the 25th hour", "2026-01-01T25:00", "Time is not a time"),
    when("the year 0", "0000-01-01", "Time is not a time"),
    when("the year 10000", "10000-01-01", "Time is not a time"),
    when("the end of time", "9999-12-31T23:59:59-12:00", "Time is outside the years 1 to 9999"),
    when("an hour that clocks skip", "2026-03-29T03:30", "Time does not exist: clocks in Europe/Helsinki skip 2026-03-29 03:30"),
    when("an hour that comes twice", "2026-10-25T03:30", "Time occurs twice"),
    when("a date of another order", "01/02/2026", "Time is not a time: '01/02/2026'"),
    when("a time without a day", "12:00", "Time is not a time"),
    when("no time", "", "Time is empty"),
    when("words", "yesterday", "Time is not a time: 'yesterday'"),
    when("a huge number of seconds", "9" * 30, "Time is not a time", time_format="unix"),
]  # fmt: skip
CELLS = [bad for bad in CELLS if bad.name != "a huge number of seconds"] + [
    Bad("a huge number of seconds", HEADER + "1767225600,Oulu,1\n" + "9" * 30 + ",Oulu,1\n", 1, ("Time is not a time",), options={"time_format": "unix"}),
]  # fmt: skip

_ONE = '{"Time":"2026-01-01","Place":"x","Temp":1}'
_NEXT = '{"Time":"2026-01-02","Place":"x","Temp":1}'


def _json(name: str, content: Any, *args: Any, file: str = "t.json", **kwargs: Any) -> Bad:
    return Bad(name, content, *args, file=file, **kwargs)


def _with(value: str) -> str:
    return f'[{_ONE},{{"Time":"2026-01-02","Place":"x","Temp":{value}}},{_NEXT.replace("02", "03")}]'


JSON = [
    _json("an array cut off", f"[{_ONE},{_NEXT}", 2, error="is not valid JSON"),
    _json("an element cut off", f"[{_ONE},{_NEXT[:20]}", 1, error="is not valid JSON"),
    _json("a comma too many", f"[{_ONE},]", 1, error="is not valid JSON"),
    _json("single quotes", "[{'Time': 1}]", error="is not valid JSON"),
    _json("a comment", f"/* x */ [{_ONE}]", error="is not valid JSON"),
    _json("JSON NaN", _with("NaN"), 2, ("Temp is not a number: NaN",)),
    _json("JSON Infinity", _with("-Infinity"), 2, ("Temp is not a number: -Infinity",)),
    _json("JSON 1e999", _with("1e999"), 2, ("Temp is beyond the range",)),
    _json("JSON 1e999999999999", _with("1e9999999999999999999999"), 2, ("Temp is not a number: Infinity",)),
    _json("JSON integer of 5,000 digits", _with("9" * 5_000), 2, ("Temp is beyond the range",)),
    _json("JSON integer of a million digits", lambda: _with("9" * 1_000_000), 2, ("Temp is beyond the range",)),
    _json("a key twice", _with('1,"Temp":2'), 2, ("has a key that stands twice",)),
    _json("a hundred thousand brackets", "[" * 100_000, error="has a row that is nested deeper than 64 levels"),
    _json("a hundred thousand braces", '{"a":' * 100_000, error="has a row that is nested deeper than 64 levels"),
    _json("a value nested 100 levels", _with("[" * 100 + "]" * 100), 2, ("nested deeper than 64 levels",)),
    _json("no objects", '[1, "a", null, [], true]', error="has no row that can be read: the first one is a number"),
    _json("some that are no objects", f'[{_ONE}, 1, "a", null, []]', 1, ("is a number", "is a text", "is null", "is a list")),
    _json("eighty thousand different keys", lambda: "[" + ",".join("{" + '"Time":"never","Temp":1,"Place":"x",' + ",".join(f'"k{n}-{m}":1' for m in range(400)) + "}" for n in range(200)) + "]", 0, ("Time is not a time",) * 200),
    _json("a number", "17", error="has no row that can be read"),
    _json("documents in a row", f"{_ONE}\n{_NEXT}", 1, error="has more text after its JSON document"),
    _json("an object of no use", "{}", error="has no column"),
    _json("half a pair in a value", f'[{_ONE},{{"Time":"2026-01-02","Place":"\\ud800","Temp":1}}]', 1, ("text that is not Unicode",)),
    _json("a bad escape", f'[{_ONE},{{"Place":"\\x41"}}]', 1, error="is not valid JSON"),
    _json("a control character in a text", f'[{_ONE},{{"Place":"a\nb"}}]', 1, error="is not valid JSON"),
    _json("a number with a leading zero", _with("01"), 1, error="is not valid JSON"),
    _json("an element of two million characters", lambda: f'[{_ONE},{{"Place":"{"x" * 2_000_000}"}}]', 1, error="is not valid JSON"),
    _json("a record of more than a megabyte", lambda: _with(f'["{"x" * 999_000}"]'), 2, ("bytes of JSON; the limit is",), options={"values": "Temp (json)"}),
    _json("a document beyond the limit", lambda: b'{"rows":[' + b" " * 17_000_000 + b"]}", error="is a JSON document of more than", options={"records": "rows"}),
    _json("a list that is not there", '{"rows": {}}', error="has no list at rows", options={"records": "rows"}),
    _json("JSON in latin-1", f'[{_ONE.replace("x", "ä")}]'.encode("latin-1"), error="is not in the section's encoding"),
    _json("lines that are no JSON", f"{_ONE}\nnonsense\n{{\n{_NEXT}\n", 2, ("is not JSON", "is not JSON"), file="t.ndjson"),
    _json("lines that are no objects", f"{_ONE}\n[1]\nnull\n17\n", 1, ("is a list", "is null", "is a number"), file="t.ndjson"),
    _json("a line nested too deeply", f"{_ONE}\n{'[' * 100_000}\n{_NEXT}\n", 2, ("is nested deeper than 64 levels",), file="t.ndjson"),
    _json("a line with NUL", f"{_ONE}\n\0\n{_NEXT}\n", 2, ("holds a NUL",), file="t.ndjson"),
    _json("a line of another encoding", _ONE.encode() + b"\n\xff\n" + _NEXT.encode(), 2, ("is not in utf-8",), file="t.ndjson"),
    _json("an array where lines should be", f"[\n{_ONE},\n{_NEXT}\n]", 1, ("is not JSON", "is not JSON", "is not JSON"), file="t.ndjson"),
    _json("a long line of JSON", lambda: f'{_ONE}\n{{"a":"{"x" * 2_000_000}"}}\n{_NEXT}', 2, ("is longer than 1,000,000 bytes",), file="t.ndjson"),
]  # fmt: skip


def _gz_streamed(count: int, block: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join([*(packer.compress(block) for _ in range(count)), packer.flush()])


def _tar() -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("../../etc/passwd"))
    return content.getvalue()


def _zip(*names: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in names:
            archive.writestr(name, GOOD)
    return content.getvalue()


def _gz_with_name(name: bytes) -> bytes:
    packed = gz(GOOD)
    return packed[:3] + b"\x08" + packed[4:10] + name + b"\0" + packed[10:]


PACKED = [
    Bad("a gzip bomb of NUL", lambda: _gz_streamed(60, bytes(1_000_000)), error="unpacks to more than", file="t.csv.gz"),
    Bad("a gzip bomb of rows", lambda: gz(HEADER) + _gz_streamed(3, b"x\n" * 500_000), 0, ("the row has 1 cells, and 3 columns",), file="t.csv.gz", floods=True),
    Bad("a zstd bomb", lambda: zstd.compress(bytes(60_000_000)), error="unpacks to more than", file="t.csv.zst"),
    Bad("a bomb behind good rows", lambda: gz(GOOD) + _gz_streamed(60, bytes(1_000_000)), 1, error="unpacks to more than", file="t.csv.gz"),
    Bad("gzip in gzip by name", gz(gz(GOOD)), error="packed twice", file="t.csv.gz.gz"),
    Bad("gzip in gzip in secret", gz(gz(GOOD)), error="is packed twice", file="t.csv.gz"),
    Bad("zstd in gzip in secret", gz(zstd.compress(GOOD.encode())), error="is packed twice", file="t.csv.gz"),
    Bad("a zip in gzip", gz(_zip("a.csv")), error="is a ZIP archive or a workbook", file="t.csv.gz"),
    Bad("gzip that calls itself CSV", gz(GOOD), error="is a gzip file whose extension does not say so"),
    Bad("zstd that calls itself CSV", zstd.compress(GOOD.encode()), error="is a zstd file whose extension"),
    Bad("a zip that calls itself CSV", _zip("a.csv"), error="is a ZIP archive or a workbook"),
    Bad("a workbook that calls itself CSV", lambda: workbook(["a"]), error="is a ZIP archive or a workbook"),
    Bad("a zip of traversal names", _zip("../../evil.csv", "C:\\evil.csv", "/etc/passwd", "a:b.csv"), error="is an archive", file="t.zip"),
    Bad("a tar", _tar, error="is an archive", file="t.tar.gz"),
    Bad("bzip2", bz2.compress(GOOD.encode()), error="is an archive", file="t.csv.bz2"),
    Bad("CSV that calls itself gzip", GOOD, error="is not a complete gzip file", file="t.csv.gz"),
    Bad("CSV that calls itself zstd", GOOD, error="is not a complete zstd file", file="t.csv.zst"),
    Bad("gzip cut off", lambda: gz(GOOD)[:-9], 1, error="is not a complete gzip file", file="t.csv.gz"),
    Bad("gzip with a wrong sum", lambda: gz(GOOD)[:-8] + bytes(8), 1, error="is not a complete gzip file: CRC check failed", file="t.csv.gz"),
    Bad("gzip with a tail", lambda: gz(GOOD) + b"tail", 1, error="is not a complete gzip file", file="t.csv.gz"),
    Bad("gzip with a tail of NUL", lambda: gz(GOOD) + bytes(512), 1, file="t.csv.gz"),
    Bad("gzip with a traversal name", lambda: _gz_with_name(b"../../etc/passwd"), 1, file="t.csv.gz"),
    Bad("empty gzip", b"", error="", file="t.csv.gz"),
    Bad("zstd cut off", lambda: zstd.compress(GOOD.encode())[:-3], error="is not a complete zstd file", file="t.csv.zst"),
    Bad("zstd with a window of two gigabytes", b"\x28\xb5\x2f\xfd\x00\xa8" + bytes(10), error="is not a complete zstd file", file="t.csv.zst"),
    Bad("zstd frames in a row", lambda: zstd.compress(HEADER.encode()) + zstd.compress(ROW.encode()), 1, file="t.csv.zst"),
    Bad("zstd frames to be skipped", lambda: struct.pack("<II", 0x184D2A50, 4) + b"skip" + zstd.compress(GOOD.encode()), 1, file="t.csv.zst"),
]  # fmt: skip


def _parts(**changes: bytes | None) -> bytes:
    """A good workbook with parts changed, or left out."""
    content = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(workbook(["a"]))) as good,
        zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as made,
    ):
        for name in good.namelist():
            if (part := changes.pop(name, good.read(name))) is not None:
                made.writestr(name, part)
        for name, part in changes.items():
            made.writestr(name, part or b"")
    return content.getvalue()


def _rows(inner: str, texts: str = "<si/>") -> Callable[[], bytes]:
    head = '<row r="1"><c r="A1" t="str"><v>Time</v></c><c r="B1" t="str"><v>Place</v></c><c r="C1" t="str"><v>Temp</v></c></row>'
    good = '<row r="2"><c r="A2" t="str"><v>2026-01-01</v></c><c r="B2" t="str"><v>x</v></c><c r="C2"><v>1</v></c></row>'
    return lambda: workbook_of((head + good + inner).encode(), texts.encode())


def _lying() -> bytes:
    """A workbook whose sheet unfolds into far more than its directory says."""
    content = bytearray(
        _parts(**{"xl/worksheets/sheet1.xml": b"<worksheet>" + b" " * 50_000_000 + b"</worksheet>"})
    )
    real, said = struct.pack("<I", 50_000_023), struct.pack("<I", 1_000)
    return bytes(content).replace(real, said)


def _encrypted() -> bytes:
    content = bytearray(_parts())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = content.find(mark)
        while at >= 0:
            content[at + offset] |= 1
            at = content.find(mark, at + 4)
    return bytes(content)


def _sheet(xml: str) -> Callable[[], bytes]:
    return lambda: _parts(**{"xl/worksheets/sheet1.xml": xml.encode()})


_LAUGHS = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><worksheet>&b;</worksheet>'
WORKBOOKS = [
    Bad("no workbook at all", GOOD, error="is not a readable workbook"),
    Bad("an empty workbook file", b"", error="is not a readable workbook"),
    Bad("a workbook cut off", lambda: workbook(["a"])[:-40], error="is not a readable workbook"),
    Bad("a workbook with a password", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(2_000), error="is password-protected, or an old .xls"),
    Bad("a workbook of encrypted parts", _encrypted, error="is not a readable workbook"),
    Bad("two cells that span the whole sheet", _rows('<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'), error="spans 1,048,576 rows and 16,384 columns"),
    Bad("a row far below without a cell's place", _rows('<row r="1048576"><c><v>1</v></c><c><v>1</v></c><c><v>1</v></c><c><v>1</v></c><c><v>1</v></c></row>'), error="more than 5,000,000 cells"),
    Bad("a place of very many letters", _rows(f'<row r="3"><c r="{"M" * 40}B1"><v>1</v></c></row>'), error="is not a valid cell reference"),
    Bad("a place beyond the last column", _rows('<row r="3"><c r="XFE3"><v>1</v></c></row>'), error="is not a valid column"),
    Bad("a place beyond the last row", _rows('<row r="1048577"/>'), error="is not a valid row number"),
    Bad("a place in a character's clothes", _rows('<row r="3"><c r="&#88;FD3"><v>1</v></c></row>'), error="is not a valid cell reference"),
    Bad("a place behind a sign in another", _rows('<row r="3"><c s=">" r="XFD1048576"><v>1</v></c></row>'), error="more than 5,000,000 cells"),
    Bad("two places of one cell", _rows('<row r="3"><c r="A3" r="XFD1048576"><v>1</v></c></row>'), error="a cell is not plain XML"),
    Bad("four billion texts by its own word", lambda: workbook_of(start=b'<sst count="4294967295" uniqueCount="4294967295"'), 1),
    Bad("a sheet of 70 MB of blanks", lambda: _parts(**{"xl/worksheets/sheet1.xml": b"<worksheet>" + b" " * 70_000_000 + b"</worksheet>"}), error="unpacks to more than"),
    Bad("a sheet that lies about its size", _lying, error="is not a readable workbook"),
    Bad("one long text in a million cells", lambda: workbook_of(b'<row r="1">' + b'<c t="s"><v>0</v></c>' * 20_000 + b"</row>", b"<si><t>" + b"x" * 30_000 + b"</t></si>"), error="holds more than 256,000,000 bytes of text"),
    Bad("three thousand parts", lambda: _parts(**{f"x/{n}.xml": b"<a/>" for n in range(3_000)}), error="is a workbook of 3,0"),
    Bad("entities that multiply", _sheet(_LAUGHS), error="is not plain XML"),
    Bad("a sheet in UTF-16", lambda: _parts(**{"xl/worksheets/sheet1.xml": "<worksheet/>".encode("utf-16")}), error="is not plain XML"),
    Bad("parts with traversal names", lambda: _parts(**{"../../evil.xml": b"<a/>", "C:\\evil.xml": b"<a/>", "/etc/x.xml": b"<a/>"}), error="has no column"),
    Bad("an archive inside", lambda: _parts(**{"xl/embeddings/a.zip": _zip("x.csv")}), error="has no column"),
    Bad("no such sheet", lambda: workbook(["a"]), error="has no sheet Data; its sheets are Sheet1", options={"sheet": "Data"}),
    Bad("no sheet at all", lambda: _parts(**{"xl/workbook.xml": b"<workbook/>"}), error="it has no sheet"),
    Bad("no list of sheets", lambda: _parts(**{"xl/workbook.xml": None}), error="is not a readable workbook"),
    Bad("a sheet that is not there", lambda: _parts(**{"xl/worksheets/sheet1.xml": None}), error="is not a readable workbook"),
    Bad("a sheet that is no XML", _sheet("<worksheet><sheetData><row"), error="is not a readable workbook: syntax error"),
    Bad("a workbook without a cell", workbook),
    Bad("a place that is none", _rows('<row r="3"><c r="%%"><v>1</v></c></row>'), error="is not a readable workbook"),
    Bad("a shared text that is not there", _rows('<row r="3"><c r="C3" t="s"><v>99</v></c></row>'), error="is not a readable workbook"),
    Bad("a cell of an error", _rows('<row r="3"><c r="A3" t="str"><v>2026-01-02</v></c><c r="B3" t="str"><v>x</v></c><c r="C3" t="e"><v>#DIV/0!</v></c></row>'), 1, ("Temp is not a number: '#DIV/0!'",)),
    Bad("a formula with its result", _rows('<row r="3"><c r="A3" t="str"><v>2026-01-02</v></c><c r="B3" t="str"><v>x</v></c><c r="C3"><f>A1*2</f><v>7</v></c></row>'), 2),
    Bad("a formula without a result", _rows('<row r="3"><c r="A3" t="str"><v>2026-01-02</v></c><c r="B3" t="str"><v>x</v></c><c r="C3"><f>A1*2</f></c></row>'), 1, ("Temp contains a formula without a calculated result",)),
    Bad("a text where a number should be", _rows('<row r="3"><c r="A3" t="str"><v>2026-01-02</v></c><c r="B3" t="str"><v>x</v></c><c r="C3" t="str"><v>=1+1</v></c></row>'), 1, ("Temp is not a number: '=1+1'",)),
    Bad("a number beyond all", _rows('<row r="3"><c r="A3" t="str"><v>2026-01-02</v></c><c r="B3" t="str"><v>x</v></c><c r="C3"><v>1e999</v></c></row>'), 1, ("Temp is not a number: Infinity",)),
    Bad("NaN in a workbook", _rows('<row r="3"><c r="A3" t="str"><v>2026-01-02</v></c><c r="B3" t="str"><v>x</v></c><c r="C3"><v>NaN</v></c></row>'), 1, ("Temp is not a number: NaN",)),
    Bad("a number where a time should be", _rows('<row r="3"><c r="A3"><v>45000.5</v></c><c r="B3" t="str"><v>x</v></c><c r="C3"><v>1</v></c></row>'), 1, ("Time is not a time: '45000.5'",)),
]  # fmt: skip
WORKBOOKS = [
    Bad(bad.name, bad.content, bad.records, bad.reasons, bad.error, bad.options, "t.xlsx")
    for bad in WORKBOOKS
]

NAMES = [
    Bad(f"the name {name!a}", GOOD, 0 if name.startswith(".") else 1, file=name)
    for name in (
        "..csv.csv", "..%2f..%2fevil.csv", "-rf.csv", "C:evil.csv", "name:stream.csv", "a\u202evsc.csv", "a\nb.csv", "a\x1b[31m.csv", "CON.csv",
        "nul.txt", "trailing .csv", "a|b?.csv", '"quoted".csv', "..\\..\\evil.csv", "n" * 200 + ".csv", "\U0001f4a3.csv", "Jyva\u0308skyla\u0308.csv", "\udcff\udcfe.csv",
    )
]  # fmt: skip
BAD = [*ENCODINGS, *DAMAGE, *CELLS, *JSON, *PACKED, *WORKBOOKS, *NAMES]
