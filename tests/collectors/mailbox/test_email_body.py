"""Tables that stand in the message itself."""

import pytest

from tests.support.mail import ORDERS, mail

pytestmark = pytest.mark.xdist_group("dovecot")

HTML = """<html><body><p>Dear all,</p>
<table><tr><td><table><tr><td>logo</td></tr></table></td></tr></table>
<TABLE border=1><caption>Orders</caption>
<tr><th>Week 47</th></tr>
<tr><th> OrderNo </th><th>Changed</th><th>Qty<br></th></tr>
<tr><td>4711</td><td>2026-11-20T10:00:00Z</td><td><b>1</b>3</td></tr>
<tr><td>47&#49;2<td>2026-11-21T11:00:00Z<td>5
</table>
<table><tr><td>OrderNo</td><td>Changed</td></tr><tr><td>x</td><td>y</td></tr></table>
Regards"""

TEXT = """Dear all,

here they are:
OrderNo;Changed;Qty
4711;2026-11-20T10:00:00Z;13
4712;2026-11-21T11:00:00Z;5

Regards; Ann; x
"""


def rows(pages):
    return [(r.entity, r.values) for page in pages for r in page.records if r.stream != "mailbox"]


def rejected(pages):
    return [item.reason for page in pages for item in page.rejected]


EXPECTED = [("4711", {"quantity": 13}), ("4712", {"quantity": 5})]


def test_a_table_in_html(server, user, make_email):
    server.put(user, mail(html=HTML), mail(html="<p>nothing</p>"))
    pages = list(make_email(body="html", attachments="").collect({}))
    assert rows(pages) == EXPECTED
    assert not rejected(pages)
    assert pages[0].records[0].origin == {
        "folder": "INBOX",
        "uid": 1,
        "message_id": "<1@acme.example>",
        "line": 2,
    }
    assert pages[-1].records[-1].values == {"messages": 2, "claimed": 1, "unclaimed": 1}


def test_a_table_in_text(server, user, make_email):
    server.put(user, mail(text=TEXT), mail(text="OrderNo;Changed\n1;2\n"))
    pages = list(make_email(body="text", attachments="", delimiter=";").collect({}))
    assert rows(pages) == EXPECTED
    assert not rejected(pages)


def test_attachments_and_body_together(server, user, make_email):
    server.put(user, mail(("orders.csv", ORDERS), html=HTML))
    assert len(rows(make_email(body="html").collect({}))) == 4


def test_the_charset_of_the_body_counts(server, user, make_email):
    message = mail(html=HTML.replace("Qty", "Määrä")).replace(b'charset="utf-8"', b'charset="klingon"')
    server.put(user, mail(html=HTML.replace("Qty", "Määrä")), message)
    pages = list(make_email(body="html", attachments="", values="quantity: Määrä").collect({}))
    assert rows(pages) == EXPECTED
    assert ["charset klingon is unknown" in reason for reason in rejected(pages)] == [True]


@pytest.mark.parametrize(
    ("html", "reason"),
    [
        ("<table><tr>" + "<td>x</td>" * 2_000, "more than 1,000 columns"),
        ("<table>" * 2_000, "more than 1,000 tables"),
        ("x" * 2_000_001, "more than 2,000,000 characters"),
    ],
)
def test_html_without_end_is_rejected(server, user, make_email, html, reason):
    server.put(user, mail(html=html))
    assert reason in rejected(make_email(body="html", attachments="").collect({}))[0]


@pytest.mark.parametrize(
    "html",
    [
        "<![foo[" + HTML,
        "<!--" * 100_000,
        "<" * 500_000,
        "<table><tr><td" * 900,
        "</table></tr></td>" * 50_000,
        "<table><tr><td>" + "x<br>" * 200_000,
        "&#0;&#xD800;&#99999999999;" * 10_000,
        "<table><td>OrderNo<td>Changed<td>Qty</table>",
    ],
    ids=lambda text: text[:20],
)
def test_html_that_nobody_should_write_ends_and_tells_nothing(server, user, make_email, html):
    server.put(user, mail(html=html))
    pages = list(make_email(body="html", attachments="").collect({}))
    assert not rows(pages)
