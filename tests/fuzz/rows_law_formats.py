"""Tables written by hand, so that nothing is written as the readers' own libraries would write it."""

import io
import json
import zipfile
from collections.abc import Sequence
from typing import Any
from xml.sax.saxutils import escape

from tests.fuzz.oracle import workbook_of


class Xml(str):
    """A fragment of the format itself, that is written as it stands."""

    __slots__ = ()


EMPTY_CELL = Xml(">")
_STYLES = (
    '<styleSheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><cellXfs count="3">'
    '<xf numFmtId="0"/><xf numFmtId="22" applyNumberFormat="1"/><xf numFmtId="46" applyNumberFormat="1"/>'
    "</cellXfs></styleSheet>"
)


def csv_text(columns: Sequence[str], rows: Sequence[Any], look: dict[str, Any]) -> tuple[str, list[int]]:
    """Return the text of a CSV table, and the line of each row."""
    sign, end = look["delimiter"], look["end"]
    trailing = sign if look["trailing"] == "all" else ""

    def cell(text: str, number: int) -> str:
        must = any(each in text for each in (sign, '"', "\n", "\r"))
        may = look["quotes"] == 1 or (look["quotes"] == 2 and number % 2)
        doubled = text.replace('"', '""')
        return f'"{doubled}"' if must or may else text

    def ordered(cells: Sequence[str]) -> list[str]:
        return [cells[number] for number in look["order"]] if len(cells) == len(columns) else list(cells)

    header = ordered([f"{look['header']}{name}" for name in columns])
    text, places = sign.join(header) + (sign if look["trailing"] else "") + end, []
    for row in rows:
        places.append(text.count("\n") + 1)
        cells = [cell(each, number) for number, each in enumerate(ordered(row.cells))]
        match row.shape:
            case "blank" | "spaces" | "delimiters":
                line = {"blank": "", "spaces": "  ", "delimiters": sign * 3}[row.shape]
            case "short":
                line = sign.join(cells)
            case "long":
                line = sign.join([*cells, "", "x"])
            case "extra":
                line = sign.join([*cells, "", " "])
            case _:
                line = sign.join(cells) + trailing
        text += line + end
    return text if look["last_end"] else text.removesuffix(end), places


def json_text(columns: Sequence[str], rows: Sequence[Any], look: dict[str, Any]) -> tuple[str, list[int]]:
    """Return the text of a JSON array, or of JSON lines, and the place of each row."""
    ascii_only = look["escaped"]

    def member(number: int, written: str) -> str:
        value = written if isinstance(written, Xml) else json.dumps(written, ensure_ascii=ascii_only)
        name = json.dumps(look["header"] + columns[number], ensure_ascii=ascii_only)
        if number == 2 and look["nested"]:
            return f'"m":{{"Temp":{value}}}'
        return f"{name}:{value}"

    texts = []
    for row in rows:
        members = [member(number, row.cells[number]) for number in look["order"]]
        match row.shape:
            case "doubled":
                members.append(members[0])
            case "doubled_within":
                members.append('"x":[{"a":{"b":1,"\\u0062":1}}]')
            case "two_ways":
                members.append('"m.Temp":1' if look["nested"] else '"Temp\\u200b":1')
            case "deep" | "deepest":
                levels = 64 if row.shape == "deep" else 63
                members.append(f'"x":{"[" * levels}{"]" * levels}')
        text = "{" + ",".join(members) + "}"
        if row.shape == "broken" and not look["array"]:
            text = text[:-1]
        texts.append(
            {"list": "[1]", "text": '"x"', "broken": "7" if look["array"] else text}.get(row.shape, text)
        )
    if look["array"]:
        return "[" + f",{look['end']}".join(texts) + "]", list(range(1, len(texts) + 1))
    text = look["end"].join(texts)
    return text + (look["end"] if look["last_end"] else ""), list(range(1, len(texts) + 1))


def workbook(columns: Sequence[str], rows: Sequence[Any], look: dict[str, Any]) -> bytes:
    """Return a workbook whose sheet has these rows below its header."""
    texts = [[f"{look['header']}{name}" for name in columns], *(list(row.cells) for row in rows)]
    lines = []
    for number, cells in enumerate(texts, 1):
        ordered = [cells[at] for at in look["order"]] if cells else []
        xml = "".join(_cell(each, f"{letter}{number}") for letter, each in zip("ABCD", ordered, strict=False))
        lines.append(f'<row r="{number}">{xml}</row>')
    if not rows[-1].cells:  # a sheet ends with its last cell
        lines.append(f'<row r="{len(texts)}"><c r="A{len(texts)}" t="str"><v> </v></c></row>')
        del lines[-2]
    made = io.BytesIO(workbook_of(rows="".join(lines).encode()))
    with zipfile.ZipFile(made, "a") as book:
        relations = book.read("xl/_rels/workbook.xml.rels")
        book.writestr("xl/styles.xml", _STYLES)
    return _with_styles(made.getvalue(), relations)


def _cell(written: str, place: str) -> str:
    if isinstance(written, Xml):
        return f'<c r="{place}" {written}</c>'
    return f'<c r="{place}" t="inlineStr"><is><t xml:space="preserve">{escape(written)}</t></is></c>'


def _with_styles(content: bytes, relations: bytes) -> bytes:
    """Return the workbook with a relation to its styles."""
    relation = (
        b'<Relationship Id="r3" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/styles"'
        b' Target="styles.xml"/></Relationships>'
    )
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as book, zipfile.ZipFile(made, "w") as copy:
        for part in book.infolist():
            whole = book.read(part)
            if part.filename == "xl/_rels/workbook.xml.rels":
                whole = relations.replace(b"</Relationships>", relation)
            copy.writestr(part.filename, whole)
    return made.getvalue()
