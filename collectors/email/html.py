"""Finds the tables in a message's HTML, each cell with the text that a reader of the mail sees in it.

Invariants:
- Hidden content (by its style, a class of the mail's own style sheet, an attribute or its element) does not
  become part of a cell, and a hidden row is not a row.
- Each cell is assigned to its own column, whatever spans rows and columns.
- Where the plain text would differ from what a reader sees (struck-through text, a superscript at a digit, a
  selector that may hide it), the cell has a problem, and its row is rejected if its column is required.
"""

import re
from collections import Counter
from collections.abc import Sequence
from html.parser import HTMLParser
from typing import NamedTuple

from collectors.email.body import BodyTable, RequiredColumns, tells_a_quote
from collectors.email.message import BadMessageError, CheckTime
from collectors.email.style import Sheet, Style, declarations, is_doubtful, is_zero
from collectors.mapping.options import tidy
from collectors.tables.lines import Place, Row

MAX_HTML_CHARS = 2_000_000
MAX_TABLES = 1_000
MAX_ROW_CELLS = 1_000
MAX_OPEN = 500
MAX_SPANNED = 1_000_000
_PIECE_CHARS = 64 * 1024
_TAIL_CHARS = 700
_VOID = frozenset(
    [
        "area",
        "base",
        "br",
        "col",
        "embed",
        "hr",
        "img",
        "input",
        "link",
        "meta",
        "param",
        "source",
        "track",
        "wbr",
    ]
)
_BLOCKS = frozenset(
    [
        "address",
        "article",
        "aside",
        "blockquote",
        "center",
        "dd",
        "details",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figure",
        "footer",
        "form",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "header",
        "legend",
        "li",
        "main",
        "menu",
        "nav",
        "ol",
        "option",
        "p",
        "pre",
        "section",
        "summary",
        "table",
        "ul",
    ]
)
_UNSEEN = frozenset(["datalist", "iframe", "noembed", "noframes", "script", "style", "template", "title"])
_STRUCK = frozenset(("del", "s", "strike"))
_RAISED = frozenset(("rt", "sub", "sup"))
_GROUPS = ("thead", "tbody", "tfoot")
_CELLS = ("td", "th")
_INSIDE = {"tr": _GROUPS, "td": ("tr",), "th": ("tr",)}
_STRUCTURE = frozenset(("table", "caption", "colgroup", "tr", *_GROUPS, *_CELLS))
_BARRIERS = frozenset(("table", "caption", *_CELLS))
_TELLING_TAGS = frozenset((*_UNSEEN, *_STRUCK, *_RAISED, "blockquote"))
_TELLING = frozenset(("class", "hidden", "id", "size", "style"))
_CLOSED_BY_THEMSELVES = {"li": "li", "option": "option", "dd": "dt", "dt": "dd"}
_QUOTES = frozenset(("gmail_quote", "yahoo_quoted", "protonmail_quote"))
_QUOTED_BEHIND = frozenset(("divrplyfwdmsg", "outlookmessageheader", "appendonsend"))
_RELATIVE_SIZE = re.compile(r"[\d.]+(?:em|ex|ch|%)|smaller|larger|inherit|unset")
_SIZE_OF_FONT = re.compile(r"(?:^|\s)([\d.]+[a-z%]*)(?=[/\s])")
_NUMBER = re.compile(r"\s*(\d{1,6})")
_BREAKS = str.maketrans("", "", "\u00ad\u200b\u2060\ufeff")
"""Characters that only say where a line may or may not break."""
_MISPLACED = "has a hidden or struck-through element that is not closed in order"


def html_tables(html: str, columns: RequiredColumns, check_time: CheckTime) -> list[BodyTable]:
    """Return every table with a row that names all the required columns, from that row on."""
    if len(html) > MAX_HTML_CHARS:
        raise BadMessageError(f"its HTML has more than {MAX_HTML_CHARS:,} characters")
    parser = _Tables(_sheet(html, check_time))
    _feed(parser, html, check_time)
    found = (grid.found(columns) for grid in parser.grids)
    return [each for each in found if each is not None]


def _feed(parser: HTMLParser, html: str, check_time: CheckTime) -> None:
    try:
        for start in range(0, len(html), _PIECE_CHARS):
            check_time()
            parser.feed(html[start : start + _PIECE_CHARS])
        # Not closed: an unfinished tag at the end never holds a row, and parsing it may take very long.
    except AssertionError as error:
        raise BadMessageError("its HTML cannot be read") from error


def _sheet(html: str, check_time: CheckTime) -> Sheet:
    if "<style" not in html.lower():
        return Sheet("")
    parser = _Styles()
    _feed(parser, html, check_time)
    return Sheet("\n".join(parser.texts))


class _Styles(HTMLParser):
    """Collects the style sheets in the HTML, except those in comments."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.texts: list[str] = []

    def handle_data(self, data: str) -> None:
        """Take the text of a style element."""
        if self.cdata_elem == "style":
            self.texts.append(data)


class _Look(NamedTuple):
    """How an element's text is displayed; inside it `invisible` and `tiny` can be undone, `gone` cannot."""

    gone: bool = False
    invisible: bool = False
    tiny: bool = False
    struck: bool = False
    raised: str = ""
    quoted: int = 0
    doubt: bool = False

    @property
    def hidden(self) -> bool:
        return self.gone or self.invisible or self.tiny


class _Open(NamedTuple):
    tag: str
    look: _Look
    names: tuple[str, ...] = ()
    parts: bool = False
    """Whether it is displayed on lines of its own, and so separates the texts before and after it."""


class _Row:
    def __init__(self, covered: set[int]) -> None:
        self.cells: list[str] = []
        self.problems: dict[int, str] = {}
        self.superscripts: set[int] = set()
        self.covered = covered

    def fill(self) -> None:
        """Leave room for cells of earlier rows that span into this row."""
        while len(self.cells) in self.covered:
            self.problems[len(self.cells)] = "is covered by a cell of a row above (rowspan)"
            self.cells.append("")


class _Cell:
    def __init__(self, columns: int, rows: int) -> None:
        self.columns = columns
        self.rows = rows
        self.parts: list[str] = []
        self.problem = ""
        self.superscript = False
        self._before = ""
        self._raised = ""

    def take(self, text: str, look: _Look) -> None:
        """Add a piece of text."""
        self.parts.append(text)
        stripped = text.strip()
        if not stripped:
            return
        if look.struck:
            self.problem = self.problem or "has struck-through text"
        if look.doubt:
            self.problem = self.problem or "may have text that a style hides"
        if look.raised != self._raised and self._before:
            base = self._before if look.raised else text[0]
            if base[-1].isdigit():
                self.problem = self.problem or "has a superscript or subscript next to a digit"
        self.superscript = self.superscript or look.raised == "sup"
        self._raised = look.raised
        # A space ends a superscript, but not the digits before one.
        self._before = text[-1].strip() if look.raised else stripped[-1]


class _Grid:
    """Collects the rows of one table."""

    def __init__(self, look: _Look, quoted: int) -> None:
        self.is_hidden = look.gone
        self.unseen: set[str] = set()
        """Invisible texts in it, mostly of font size 0, by which its header can still be recognised."""
        self.quoted = quoted
        self.rows: list[_Row] = []
        self.cell: _Cell | None = None
        self._row: _Row | None = None
        self._spans: dict[int, int] = {}
        self._spanned = 0

    def begin_row(self, *, hidden: bool) -> None:
        """Begin a row; the content of a hidden row is dropped."""
        if hidden and not self.is_hidden:
            self._row = _Row(set())
            return
        self._spanned += len(self._spans)
        if self._spanned > MAX_SPANNED:
            raise BadMessageError(f"a table in its HTML has more than {MAX_SPANNED:,} cells in spanned rows")
        self._row = _Row(set(self._spans))
        self._spans = {column: left - 1 for column, left in self._spans.items() if left > 1}
        self.rows.append(self._row)

    def end_row(self) -> None:
        """End the row."""
        if self._row:
            self._row.fill()
        self._row = None

    def end_cell(self) -> None:
        """Put the open cell into its column."""
        cell, row, self.cell = self.cell, self._row, None
        if cell is None or row is None:
            return
        row.fill()
        if len(row.cells) + cell.columns > MAX_ROW_CELLS:
            raise BadMessageError(f"a table in its HTML has more than {MAX_ROW_CELLS:,} columns")
        for number in range(cell.columns):
            column = len(row.cells)
            if problem := "spans several columns (colspan)" if cell.columns > 1 else cell.problem:
                row.problems[column] = problem
            if cell.superscript:
                row.superscripts.add(column)
            if cell.rows > 1:
                self._spans[column] = cell.rows - 1
            row.cells.append("" if number else " ".join("".join(cell.parts).translate(_BREAKS).split()))

    def found(self, columns: RequiredColumns) -> BodyTable | None:
        """Return the table from its header on; None where no row is a header."""
        for start, header in enumerate(self.rows):
            names = [tidy(cell) for cell in header.cells]
            if columns.needed <= set(names):
                rows = [
                    Row(row.cells, line, Place(0, line), _problem(row, names, columns, is_header=line == 1))
                    for line, row in enumerate(self.rows[start:], 1)
                ]
                return BodyTable(rows, self.quoted, is_passed=self.is_hidden)
        if self.unseen and columns.needed <= self.unseen:
            return BodyTable([], self.quoted, is_passed=True)
        return None


def _problem(row: _Row, names: Sequence[str], columns: RequiredColumns, *, is_header: bool) -> str:
    """Return why a row is rejected; "" where the required columns have no problem."""
    if not any(row.cells):
        return ""
    for column, name in enumerate(names):
        if columns.are_all_needed or name in columns.needed:
            if problem := row.problems.get(column):
                return f"{problem}, in {name[:100]}"
            if not is_header and name in columns.entity and column in row.superscripts:
                return f"has a superscript, in {name[:100]}"
    return ""


class _Tables(HTMLParser):
    """Collects the cells of every table; a nested table is a table of its own."""

    def __init__(self, sheet: Sheet) -> None:
        super().__init__(convert_charrefs=True)
        self.grids: list[_Grid] = []
        self._sheet = sheet
        self._stack: list[_Open] = []
        self._open: Counter[str] = Counter()
        self._names: Counter[str] = Counter()
        self._grids: list[_Grid] = []
        self._behind = self._templates = 0
        self._tail = ""

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin an element: in HTML a trailing slash has no meaning."""
        self.handle_starttag(tag, attrs)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin an element, and end those that it closes implicitly."""
        if tag == "template" or self._templates:
            self._templates += tag == "template"
            return
        if tag in _VOID:
            if tag in ("br", "hr", "img", "input"):
                self._part()
            return
        if tag in _STRUCTURE:
            if not self._make_room(tag):
                return
        else:
            if tag in _BLOCKS:
                self._close("p")
            for closed in (tag, _CLOSED_BY_THEMSELVES.get(tag, "")):
                if tag in _CLOSED_BY_THEMSELVES:
                    self._close(closed)
        self._push(tag, {name: value or "" for name, value in reversed(attrs)})

    def handle_endtag(self, tag: str) -> None:
        """End an element, and those that are still open in it."""
        if tag == "template" or self._templates:
            self._templates -= tag == "template" and self._templates > 0
        elif tag in ("br", "p") and not self._open[tag]:
            self._part()
        elif tag not in ("html", "body"):
            self._close(tag)

    def handle_data(self, data: str) -> None:
        """Add text to the open cell."""
        look = self._look
        if self._templates:
            return
        if not look.hidden:
            self._watch(data)
        grid = self._grids[-1] if self._grids else None
        if grid and grid.cell is not None:
            if grid.is_hidden or not look.hidden:
                grid.cell.take(data, look)
            elif not look.gone:
                grid.unseen.add(tidy(data))

    @property
    def _look(self) -> _Look:
        return self._stack[-1].look if self._stack else _Look()

    def _watch(self, data: str) -> None:
        """Recognise the lines that a mail program writes above a quoted message."""
        self._tail = f"{self._tail} {data}"[-_TAIL_CHARS:]
        if (":" in data or "--" in data) and tells_a_quote(self._tail):
            self._behind += 1
            self._tail = ""

    def _part(self) -> None:
        if self._grids and self._grids[-1].cell is not None:
            self._grids[-1].cell.parts.append(" ")

    def _make_room(self, tag: str) -> bool:
        """End what a table element closes implicitly; False where it is misplaced and ignored."""
        if tag == "table":
            around = next((each.tag for each in reversed(self._stack) if each.tag in _STRUCTURE), "td")
            if around not in ("td", "th", "caption"):
                self._close("table")
            return True
        if not self._open["table"]:
            return False
        wanted = ("table", *_INSIDE.get(tag, ()))
        while self._stack[-1].tag not in wanted:
            self._pop()
        if tag in _CELLS and self._stack[-1].tag != "tr":
            self._push("tr", {})
        return True

    def _push(self, tag: str, attrs: dict[str, str]) -> None:
        if len(self._stack) >= MAX_OPEN:
            raise BadMessageError(f"its HTML has elements nested more than {MAX_OPEN:,} deep")
        around = self._look
        look, names, style = self._seen(tag, attrs)
        display = style.get("display", "inline")
        parts = tag in _BLOCKS or display not in ("inline", "none", "contents")
        if parts and tag not in _STRUCTURE:
            self._part()
        self._stack.append(_Open(tag, look, names, parts))
        self._open[tag] += 1
        self._names.update(names)
        if tag == "table":
            self._begin_table(look)
        elif tag == "tr":
            self._grids[-1].begin_row(hidden=look.gone)
        elif tag in _CELLS and (not look.gone or around.gone or self._grids[-1].is_hidden):
            self._grids[-1].cell = _Cell(_span(attrs, "colspan"), _span(attrs, "rowspan"))

    def _begin_table(self, look: _Look) -> None:
        if len(self.grids) >= MAX_TABLES:
            raise BadMessageError(f"its HTML has more than {MAX_TABLES:,} tables")
        outer = self._grids[-1].cell if self._grids else None
        if outer is not None and not look.hidden:
            outer.problem = outer.problem or "contains another table"
        self.grids.append(_Grid(look, look.quoted + self._behind))
        self._grids.append(self.grids[-1])

    def _close(self, tag: str) -> None:
        """End the innermost element with this tag and all that is open in it, unless it is out of scope."""
        if not self._open[tag]:
            return
        barriers = ("table",) if tag in _STRUCTURE else _BARRIERS
        inside: list[_Open] = []
        for each in reversed(self._stack):
            if each.tag == tag:
                break
            if each.tag in barriers:
                return
            inside.append(each)
        around = self._stack[-len(inside) - 1].look
        if tag not in _STRUCTURE and any(each.look != around for each in inside):
            self._doubt()
        for _ in range(len(inside) + 1):
            self._pop()

    def _doubt(self) -> None:
        """Mark the open cell: browsers differ on elements that are not closed in reverse order."""
        if self._grids and (cell := self._grids[-1].cell) is not None:
            cell.problem = cell.problem or _MISPLACED

    def _pop(self) -> None:
        ended = self._stack.pop()
        self._open[ended.tag] -= 1
        self._names.subtract(ended.names)
        if ended.tag in _CELLS:
            self._grids[-1].end_cell()
        elif ended.tag == "tr":
            self._grids[-1].end_row()
        elif ended.tag == "table":
            self._grids.pop()
        elif ended.parts:
            self._part()

    def _seen(self, tag: str, attrs: dict[str, str]) -> tuple[_Look, tuple[str, ...], Style]:
        """Return how an element is displayed, its classes and id, and its style."""
        if self._sheet.is_empty and tag not in _TELLING_TAGS and _TELLING.isdisjoint(attrs):
            return self._look, (), {}
        classes = attrs.get("class", "").split()[:50]
        name = attrs.get("id", "")
        names = tuple(f".{each}" for each in classes) + ((f"#{name}",) if name else ())
        own = declarations(attrs["style"]) if "style" in attrs else {}
        style, doubt = self._sheet.style(tag, names, self._names, own)
        look = self._look
        in_cell = bool(self._grids) and self._grids[-1].cell is not None
        plain = {each.lower().removeprefix("x_").removeprefix("x_") for each in (*classes, name)}
        if plain & _QUOTED_BEHIND:
            self._behind += 1
        quoted = look.quoted + (tag == "blockquote" or not plain.isdisjoint(_QUOTES))
        raised = look.raised or (tag if tag in _RAISED else "")
        found = look._replace(
            gone=look.gone or tag in _UNSEEN or _is_gone(tag, attrs, style),
            struck=look.struck or tag in _STRUCK,
            raised=raised,
            quoted=quoted,
            doubt=look.doubt or doubt or (in_cell and is_doubtful(style)),
            tiny=look.tiny and not (tag == "font" and "size" in attrs),
        )
        return _styled(found, style) if style else found, names, style


def _is_gone(tag: str, attrs: dict[str, str], style: Style) -> bool:
    display = style.get("display", "")
    if display == "none" or ("hidden" in attrs and not display) or style.get("mso-hide") == "all":
        return True
    if is_zero(style.get("opacity", "")):
        return True
    sizes = ("height", "max-height", "width", "max-width")
    cut = tag not in _STRUCTURE and style.get("overflow", "").startswith("hidden")
    return cut and any(is_zero(style.get(size, "")) for size in sizes)


def _styled(look: _Look, style: Style) -> _Look:
    if visibility := style.get("visibility"):
        look = look._replace(invisible=visibility in ("hidden", "collapse"))
    size = style.get("font-size", "")
    if not size and (match := _SIZE_OF_FONT.search(style.get("font", ""))):
        size = match[1]
    if is_zero(size):
        look = look._replace(tiny=True)
    elif size and not _RELATIVE_SIZE.fullmatch(size):
        look = look._replace(tiny=False)
    if any("line-through" in style.get(name, "") for name in ("text-decoration", "text-decoration-line")):
        look = look._replace(struck=True)
    if (align := style.get("vertical-align", "")) in ("super", "sub"):
        look = look._replace(raised="sup" if align == "super" else "sub")
    return look


def _span(attrs: dict[str, str], name: str) -> int:
    match = _NUMBER.match(attrs.get(name, ""))
    if not match:
        return 1
    # rowspan = 0 means all rows to the end of the table.
    return int(match[1]) or (1 if name == "colspan" else 65_534)
