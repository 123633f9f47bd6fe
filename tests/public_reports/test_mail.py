"""Tables in mails: what is seen is what is read, once, and whole."""

import base64
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from collectors.email.options import EmailOptions
from collectors.email.tables import Fetched, MessageTables, read_envelope
from collectors.mapping.columns import Columns
from outbox.record import Record, Rejected
from tests.support.mail import mail, mixed

SECTION = {"host": "localhost", "user": "u", "secret": "env:MAIL", "senders": "*", "collector": "email"}
TIME = "2026-11-23T05:00:00Z"
HEAD = "<tr><th>id</th><th>at</th><th>v</th></tr>"


class Read:
    """What a message became: entities with their values, reasons, and notes."""

    def __init__(self, message, **options):
        options = EmailOptions(**SECTION, **{"entity": "id", "time": "at", "values": "v", **options})
        self.notes = []
        mapping = Columns(options, zone=ZoneInfo("Europe/Helsinki"), source="s")
        fetched = Fetched(
            message, read_envelope(message.partition(b"\r\n\r\n")[0]), {}, datetime(2026, 11, 23, tzinfo=UTC)
        )
        found = MessageTables(options, mapping, self.notes.append)(fetched, lambda: None)
        self.is_claimed = found is not None
        found = list(found or ())
        self.records = [each for each in found if isinstance(each, Record)]
        self.rows = [(each.entity, each.values["v"]) for each in self.records]
        self.reasons = [each.reason for each in found if isinstance(each, Rejected)]


def html(text, **options):
    return Read(mail(html=text), body="html", **options)


def text(lines, **options):
    return Read(mail(text=lines), body="text", delimiter=";", **options)


def row(value, entity="a", time=TIME):
    return f"<tr><td>{entity}</td><td>{time}</td><td>{value}</td></tr>"


def table(*rows, head=HEAD):
    return f"<table>{head}{''.join(rows)}</table>"


@pytest.mark.parametrize(
    "cell",
    [
        '12<span style="display:none">34</span>',
        '12<span style="DISPLAY : None !important; color:red">34</span>',
        '<span style="visibility:hidden">34</span>12',
        '<div style="font-size:0"><b>34</b><span style="font-size: 13px">12</span></div>',
        '12<span style="font:0/0 a">34</span>',
        '12<i style="opacity:0.0">34</i>',
        '12<span style="mso-hide:all">34</span>',
        '12<span style="max-height:0;overflow:hidden">34</span>',
        "12<span hidden>34</span>",
        '12<span style="display:none">34<b>56</span>',
        "12<template>34<td>56</td></template>",
        "12<script>34</script><style>.a{}</style>",
        "12<title>34</title>",
        "12<!-- 34 -->",
        '<p style="text-indent:-18pt"><span style="color:rgb(0,0,0)">12</span></p>',
        '<b style="color:rgba(0,0,0,.5)">12</b>',
        "12<!--[if mso]>34<![endif]-->",
        '12<span class="x sortkey">34</span>',
        '12<span id="key">34</span>',
        '<a title="34" href="34">12</a>',
        "1<wbr>2&shy;",
        "&nbsp;1&#8203;2&#65279; ",
        '<span style="display:none"/>34</span>12',
        '12<p style="display:none">34<p>',
    ],
)
def test_hidden_text_is_part_of_no_cell(cell):
    """Reported as usc-isi-i2/etk#353, pandas-dev/pandas#20027 and #52197: 12 becomes 1234."""
    sheet = "<head><style>p{margin:0} .sortkey, span#key { display:none }</style></head>"
    found = html(sheet + table(row(cell), row(7, "b")))
    assert (found.rows, found.reasons) == ([("a", 12), ("b", 7)], [])


@pytest.mark.parametrize(
    "hidden",
    [
        '<tr style="display:none"><td>x</td><td>TIME</td><td>9</td></tr>',
        "<tr hidden><td>x</td><td>TIME</td><td>9</td></tr>",
        '<tr class="mobile"><td>x</td><td>TIME</td><td>9</td></tr>',
        '<tbody style="display:none"><tr><td>x</td><td>TIME</td><td>9</td></tr></tbody>',
        '<tr style="visibility:hidden"><td>x</td><td>TIME</td><td>9</td></tr>',
        '<tr><td style="display:none">y</td><td>x</td><td>TIME</td><td hidden>8</td><td>9</td></tr>',
    ],
)
def test_a_hidden_row_is_not_a_row(hidden):
    """Reported as pandas-dev/pandas#20027: rows that nobody sees are read."""
    found = html(
        "<style>.mobile{display:none}</style>" + table(row(1), hidden.replace("TIME", TIME), row(2, "b"))
    )
    expected = [("a", 1), ("x", 9), ("b", 2)] if hidden.startswith("<tr><td") else [("a", 1), ("b", 2)]
    assert (found.rows, found.reasons) == (expected, [])


def test_a_hidden_table_is_passed_over_and_noted():
    """Reported as pandas-dev/pandas#20027; a mail often has a hidden form of its table for telephones."""
    found = html(f'<div style="display:none">{table(row(9, "x"))}</div>' + table(row(1)))
    assert (found.rows, found.reasons) == ([("a", 1)], [])
    assert found.notes == [
        "message <1@acme.example>: 1 table with these columns is quoted or hidden, and not read"
    ]
    assert not html(f"<div hidden>{table(row(9))}</div>").is_claimed


def test_a_table_within_a_font_size_of_0_is_what_its_cells_say():
    """MJML and its like set a font size of 0 around everything, and another one within."""
    for tag in ("div", "table><tr><td"):
        found = html(f'<{tag} style="font-size:0px"><table style="font-size:13px">{HEAD}{row(1)}</table>')
        assert (found.rows, found.reasons, found.notes) == ([("a", 1)], [], [])
    found = html(
        '<div style="font-size:0">'
        + table(row(1))
        .replace("<th>", '<th style="font-size:9pt">')
        .replace("<td>", '<td style="font-size:9pt">')
    )
    assert (found.rows, found.notes) == ([("a", 1)], [])
    found = html(f'<div style="font-size:0">{table(row(1))}')
    assert not found.is_claimed
    assert len(found.notes) == 1


def test_style_sheets_for_other_devices_hide_nothing():
    """Reported as pandas-dev/pandas#51629: a part that seems hidden takes away what is seen."""
    sheet = """<style><!-- /* a */ @media only screen and (max-width:480px) { .v{display:none!important} .w{font-size:0} }
    [data-ogsc] .v{display:none} a:hover{opacity:0} .v{display:none} td.v{display:table-cell} .w{display:none}
    @media screen { .key{display:none} } --></style>"""
    cell = f'<tr><td>a</td><td>{TIME}</td><td class="v">1<span class=key>5</span><b class="w" style="display:inline">2</b></td></tr>'
    found = html(sheet + table(cell))
    assert (found.rows, found.reasons) == ([("a", 12)], [])


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("<s>10</s> 8", "has struck-through text, in v"),
        ("<s>10</s>8", "has struck-through text, in v"),
        ('<span style="text-decoration: line-through">10</span>', "has struck-through text, in v"),
        ('<u class="old">1</u>0', "has struck-through text, in v"),
        ("<del>10</del><ins>8</ins>", "has struck-through text, in v"),
        ("12<sup>1</sup>", "has a superscript or subscript next to a digit, in v"),
        ("12 <sup>a</sup>", "next to a digit, in v"),
        ("<sub>1</sub>2", "next to a digit, in v"),
        ('12<span style="vertical-align:super;font-size:8px">99</span>', "next to a digit, in v"),
        ('12<span class="may">34</span>', "may have text that a style hides, in v"),
        (
            '12<span style="position:absolute;left:-9999px">34</span>',
            "may have text that a style hides, in v",
        ),
        ('12<span style="color:transparent">34</span>', "may have text that a style hides, in v"),
        ('12<span style="color:rgba(0, 0, 0, 0)">34</span>', "may have text that a style hides, in v"),
        ('12<div style="text-indent:-9999px">34</div>', "may have text that a style hides, in v"),
        (
            '<p><font style="display:none">12</p>34',
            "has a hidden or struck-through element that is not closed in order, in v",
        ),
        ("12<table><tr><td>3</td></tr></table>", "contains another table, in v"),
    ],
)
def test_a_cell_whose_text_says_something_else_than_it_shows_is_rejected(cell, reason):
    """Reported as mtibben/html2text#89 (struck text is read as if it counted); superscripts make 12 a 121."""
    sheet = "<style>.old{text-decoration:line-through} .box .may{display:none}</style>"
    found = html(f'{sheet}<div class="box">{table(row(cell), row(7, "b"))}</div>')
    assert found.rows == [("b", 7)]
    assert [reason in each for each in found.reasons] == [True]


def test_what_is_struck_or_raised_elsewhere_harms_nothing():
    """Columns that the section does not need may hold anything; a unit may have its exponent."""
    head = "<tr><th>id</th><th>at</th><th>v m<sup>2</sup></th><th>unit</th><th>note</th></tr>"
    found = html(
        table(
            f"<tr><td>a</td><td>{TIME}</td><td>1</td><td>m<sup>2</sup></td><td><s>9</s>12<sup>1</sup></td></tr>",
            head=head,
        ),
        values="v: v m2",
        attributes="unit",
    )
    assert (found.rows, found.reasons) == ([("a", 1)], [])
    assert found.records[0].attributes == {"unit": "m2"}


def test_a_footnote_at_an_entity_is_not_part_of_its_name():
    """Reported as pd3f/pd3f#26: a footnote's number becomes part of the text."""
    found = html(table(row(1, "Pump<sup>1</sup>"), row(2, "Pump1")))
    assert found.rows == [("Pump1", 2)]
    assert ["has a superscript, in id" in each for each in found.reasons] == [True]


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("<div>a</div>b", "a b"),
        ("<p>a</p><p>b</p>", "a b"),
        ('<span style="display:block">a</span>b', "a b"),
        ("a<br/>b", "a b"),
        ("<b>a</b>b", "ab"),
        ("<select><option>a<option>b</select>", "a b"),
    ],
)
def test_lines_of_a_cell_do_not_run_into_each_other(cell, value):
    """Reported as docling-project/docling#1927: two paragraphs of a cell become one word."""
    assert html(table(row(cell)), values="v (text)").rows == [("a", value)]


def test_cells_that_span_shift_no_other():
    """Reported as lmaurits/prettytable#65 and #34, onizet/html2openxml#59: cells stand under other columns."""
    head = "<tr><th>x</th><th>id</th><th>at</th><th>v</th><th>w</th></tr>"
    rows = [
        f'<tr><td rowspan="2">1</td><td>a</td><td>{TIME}</td><td>1</td><td>8</td></tr>',
        f"<tr><td>b</td><td>{TIME}</td><td>2</td><td>9</td></tr>",
        f"<tr><td>1</td><td rowspan=2>c</td><td>{TIME}</td><td>3</td><td>8</td></tr>",
        f"<tr><td>d</td><td>{TIME}</td><td>4</td><td>8</td><td>9</td></tr>",
        f"<tr><td>1</td><td>e</td><td>{TIME}</td><td colspan=2>5</td></tr>",
        '<tr><td colspan="5">&nbsp;</td></tr>',
        f"<tr><td>1</td><td>f</td><td>{TIME}</td><td>6</td><td>8</td></tr>",
    ]
    found = html(table(*rows, head=head))
    assert found.rows == [("a", 1), ("b", 2), ("c", 3), ("f", 6)]
    assert "is covered by a cell of a row above (rowspan), in id" in found.reasons[0]
    assert "spans several columns (colspan), in v" in found.reasons[1]
    assert len(found.reasons) == 2
    spanned = html(table(row(1), head="<tr><th>id</th><th>at</th><th colspan=2>v</th></tr>"))
    assert not spanned.rows
    assert "spans several columns (colspan), in v" in spanned.reasons[0]


def test_every_table_with_the_header_is_read():
    """One mail, two tables with the same header: the second was passed over."""
    other = "<tr><th>v</th><th>id</th><th>at</th></tr>"
    found = html(
        table("<tr><td>Week 47</td></tr>", row(1))
        + "<table><tr><td>layout</td><td>"
        + table(f"<tr><td>2</td><td>b</td><td>{TIME}</td></tr>", head=other)
        + "</td></tr></table>"
    )
    assert found.rows == [("a", 1), ("b", 2)]
    assert "the row has 1 cells" in found.reasons[0]
    assert [each.origin for each in found.records] == [{"line": 3}, {"line": 2, "table": 2}]


@pytest.mark.parametrize(
    "quote",
    [
        "<blockquote>OLD</blockquote>",
        '<div class="gmail_quote"><div>On Mon, Ann wrote:</div><blockquote class="gmail_quote">OLD</blockquote></div>',
        '<hr><div id="divRplyFwdMsg"><b>Von:</b> Ann</div>OLD',
        '<div id="x_divRplyFwdMsg"></div><div>OLD</div>',
        "<div class=OutlookMessageHeader>x</div>OLD",
        "<p>-----Original Message-----</p>OLD",
        '<div style="border-top:solid #E1E1E1 1.0pt"><b>From:</b> A<br><b>Sent:</b> B<br><b>Subject:</b> C</div>OLD',
    ],
)
def test_a_quoted_table_is_not_read_beside_its_answer(quote):
    """Reported as closeio/quotequail#4 and freescout-help-desk/freescout#5544: what is quoted is taken for new."""
    old = table(row(1), row(5, "old"))
    found = html(table(row(2)) + quote.replace("OLD", old))
    assert (found.rows, found.reasons) == ([("a", 2)], [])
    assert found.notes == [
        "message <1@acme.example>: 1 table with these columns is quoted or hidden, and not read"
    ]
    assert html("See below." + quote.replace("OLD", old)).rows == [("a", 1), ("old", 5)]


def test_an_answer_below_what_it_quotes_is_read():
    """Reported as closeio/quotequail#4: the answer may stand below."""
    found = html(f"<blockquote>{table(row(1))}</blockquote>" + table(row(2)))
    assert found.rows == [("a", 2)]


LINES = f"id;at;v\na;{TIME};1\n"


def test_rows_behind_an_empty_line_are_read():
    """As python's csv and pandas (skip_blank_lines) do: an empty line does not end a table."""
    found = text(f"{LINES}\nb;{TIME};2\nc;{TIME};x\n\n\nKind regards; Ann; Acme\n\nd;{TIME};4\n\nBye\n")
    assert found.rows == [("a", 1), ("b", 2), ("d", 4)]
    assert ["v is not a number: 'x'" in each for each in found.reasons] == [True]
    assert found.records[1].origin == {"line": 4}
    assert found.notes == [
        "message <1@acme.example>: 1 line after its table was not read: it does not look like a row"
    ]


def test_lines_that_may_be_rows_or_a_greeting_are_rejected():
    """Where every text is a value nothing tells a signature from a row."""
    lines = "id;v\na;good\n\nRegards;Ann\n"
    found = text(lines, values="v (text)", time="@received")
    assert found.rows == [("a", "good")]
    assert [
        "follows an empty line, and it is unclear whether it is a row of the table" in each
        for each in found.reasons
    ] == [True]


@pytest.mark.parametrize(
    "quote",
    [
        "-----Original Message-----\nFrom: Ann\n\n",
        "Am 20.11.2026 um 12:00 schrieb Ann:\n\n",
        "On Mon, 23 Nov 2026, Ann <ann@acme.example> wrote:\n\n",
        "Lähettäjä: Ann\nLähetetty: maanantai\nVastaanottaja: Bo\nAihe: Orders\n\n",
        "> ",
    ],
)
def test_a_text_that_is_quoted_is_not_read_beside_its_answer(quote):
    """Reported as closeio/quotequail#4: what is quoted is taken for new."""
    old = LINES.replace(";1", ";9")
    old = (
        f"{quote}{old}" if quote.endswith("\n") else "".join(f"{quote}{line}\n" for line in old.splitlines())
    )
    found = text(f"{LINES}\n{old}")
    assert (found.rows, found.reasons) == ([("a", 1)], [])
    assert found.notes == [
        "message <1@acme.example>: 1 table with these columns is quoted or hidden, and not read"
    ]


def test_a_quoted_line_within_a_table_is_rejected():
    found = text(f"{LINES}> b;{TIME};9\n")
    assert found.rows == [("a", 1)]
    assert ["begins with > like a quoted line" in each for each in found.reasons] == [True]


def test_a_second_header_begins_a_table_of_its_own():
    found = text(f"{LINES}\nWeek 48:\n\nv;id;at\n2;b;{TIME}\n")
    assert (found.rows, found.reasons) == ([("a", 1), ("b", 2)], [])


@pytest.mark.parametrize(("delsp", "value"), [("no", "12 3"), ("yes", "123")])
def test_lines_that_the_mail_program_folded_are_one(delsp, value):
    """Reported as nodemailer/mailparser#114 and #45: `format=flowed` folds lines, and half a cell is read."""
    message = mail(text=f"id;at;v\r\n a;{TIME};12 \r\n3\r\nb;{TIME};4\r\n").replace(
        b'charset="utf-8"', f'charset="utf-8"; format=flowed; delsp={delsp}'.encode()
    )
    found = Read(message, body="text", delimiter=";", values="v (text)")
    assert (found.rows, found.reasons) == ([("a", value), ("b", "4")], [])


def attached(content, charset, name="a.csv"):
    head = f'Content-Type: text/csv; charset={charset}; name="{name}"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
    return mixed(head.encode() + base64.encodebytes(content).replace(b"\n", b"\r\n").rstrip())


@pytest.mark.parametrize(
    ("charset", "codec"),
    [
        ("iso-8859-1", "latin-1"),
        ("windows-1252", "cp1252"),
        ("iso-8859-1", "cp1252"),
        ("utf-16le", "utf-16-le"),
        ("iso-2022-jp", "iso-2022-jp"),
        ("us-ascii", "utf-8"),
        ("iso-8859-1", "utf-8"),
        ("utf-8", "utf-16"),
    ],
)
def test_the_charset_of_an_attached_table_counts(charset, codec):
    """Reported as SpamScope/mail-parser#45 and azanov/imapx#11: what the part says of its letters is dropped."""
    name = {"cp1252": "Mäkelä 5 €", "iso-2022-jp": "日本"}.get(codec, "Mäkelä")
    found = Read(attached(f"id,at,v\r\n{name},{TIME},1\r\n".encode(codec), charset), attachments="*.csv")
    assert (found.rows, found.reasons) == ([(name, 1)], [])


def test_a_charset_that_does_not_help_is_a_reason():
    """Reported as sup-heliotrope/sup#586: an attachment with a charset that does not exist."""
    content = f"id,at,v\nMäkelä,{TIME},1\n".encode("latin-1")
    (reason,) = Read(attached(content, "klingon"), attachments="*.csv").reasons
    assert "a.csv is not in utf-8, and its charset klingon is unknown; set encoding in the section" in reason
    (reason,) = Read(attached(content, "us-ascii"), attachments="*.csv").reasons
    assert "is not in utf-8" in reason
    assert Read(attached(content, "klingon"), attachments="*.csv", encoding="latin-1").rows == [("Mäkelä", 1)]
    (reason,) = Read(attached(content, "latin-1"), attachments="*.csv", encoding="utf-8").reasons
    assert "is not in utf-8" in reason
