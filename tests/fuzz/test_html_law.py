"""Tables in HTML mails, with troubles mixed: each row that is seen is a record with what is seen, or rejected."""

from decimal import Decimal
from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.public_reports.test_mail import html, table

HIDDEN = ("display:none", "visibility:hidden", "font-size:0", "opacity:0", "mso-hide:all")
REFUSED = object()


class Cell(NamedTuple):
    """HTML, and the text that a reader of the mail sees; REFUSED where no text can be said for it."""

    written: str
    seen: Any


@st.composite
def cells(draw: Any, text: str) -> Cell:
    """A cell whose text is `text`, written in one of the ways of mail programs."""
    style = draw(st.sampled_from(HIDDEN))
    half = draw(st.integers(0, len(text)))
    head, tail = text[:half], text[half:]
    ways = [
        Cell(text, text),
        Cell(f"<b>{head}</b>{tail}", text),
        Cell(f'<font color="red"><span>{text}</span></font>', text),
        Cell(f"&nbsp;{text}&#160;\n", text),
        Cell(f"{head}&#8203;{tail}&shy;", text),
        Cell("".join(f"&#{ord(char)};" for char in text), text),
        Cell(f"{text}<!-- 7 -->", text),
        Cell(f'{head}<span style="{style}">99</span>{tail}', text),
        Cell(f'<span style="{style}">99<i>9</i></span>{text}', text),
        Cell(f"{text}<span hidden>99</span>", text),
        Cell(f"{text}<style>.a{{}}</style><script>9</script>", text),
        Cell(f"<s>99</s> {text}", REFUSED),
        Cell(f"<del>{text}</del>", REFUSED),
        Cell(f'<span style="text-decoration:line-through">9</span>{text}', REFUSED),
        Cell(f"{text}<sup>1</sup>", REFUSED),
        Cell(f"{text}<sub>2</sub>", REFUSED),
    ]
    return draw(st.sampled_from(ways))


@st.composite
def rows(draw: Any) -> tuple[str, Any]:
    """A row's HTML, and (entity, value) as it is seen; REFUSED, or None for a row that nobody sees."""
    place = f"p{draw(st.integers(10, 99))}"
    number = draw(st.decimals(Decimal(0), Decimal(9_999), places=2))
    entity, value = draw(cells(place)), draw(cells(f"{number:f}"))
    hour = draw(st.integers(0, 23))
    style = draw(st.sampled_from(["", "", "", "display:none", "color:red"]))
    at = f"2026-11-23T{hour:02}:00:00Z"
    written = f'<tr style="{style}"><td>{entity.written}</td><td>{at}</td><td>{value.written}</td></tr>'
    if style == "display:none":
        return written, None
    if REFUSED in (entity.seen, value.seen):
        return written, REFUSED
    return written, (entity.seen, at, number)


@settings(max_examples=150, derandomize=True, deadline=None, database=None)
@given(st.lists(rows(), min_size=1, max_size=6), st.booleans())
def test_each_row_of_a_mail_is_a_record_with_what_is_seen_or_rejected(found, nested):
    text = table(*[written for written, _ in found])
    if nested:
        text = f"<table><tr><td>{text}</td></tr></table>"
    read = html(text)
    wanted = [outcome for _, outcome in found if outcome is not None and outcome is not REFUSED]
    got = [
        (each.entity, each.observed_at.isoformat().replace("+00:00", "Z"), Decimal(each.values["v"]))
        for each in read.records
    ]
    assert got == wanted
    assert len(read.reasons) == sum(outcome is REFUSED for _, outcome in found)
