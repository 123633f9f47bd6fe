"""What a mailbox's messages become: read from a real IMAP server, and never changed there."""

import imaplib
import json
from datetime import UTC, date, datetime

import pytest
from imap_tools.imap_utf7 import utf7_encode

from outbox.errors import LoginRefusedError, PermanentError, TransientError
from tests.support.mail import ORDERS, mail

pytestmark = pytest.mark.xdist_group("dovecot")


def rows(pages):
    """The records of tables, without those that count messages."""
    return [record for page in pages for record in page.records if record.stream != "mailbox"]


def counted(pages):
    return [record.values for page in pages for record in page.records if record.stream == "mailbox"]


def rejected(pages):
    return [item for page in pages for item in page.rejected]


def marks(pages, before=None):
    return {**(before or {}), **{page.scope: page.bookmark for page in pages}}


def test_an_attached_table_becomes_records(server, user, make_email):
    server.put(user, mail(("orders.csv", ORDERS)))
    pages = list(make_email().collect({}))
    assert [(r.entity, r.observed_at, r.values, r.units) for r in rows(pages)] == [
        ("4711", datetime(2026, 11, 20, 10, tzinfo=UTC), {"quantity": 3}, {"quantity": "pcs"}),
        ("4712", datetime(2026, 11, 21, 11, tzinfo=UTC), {"quantity": 5}, {"quantity": "pcs"}),
    ]
    assert rows(pages)[0].origin == {
        "folder": "INBOX",
        "uid": 1,
        "message_id": "<1@acme.example>",
        "file": "orders.csv",
        "line": 2,
    }
    assert not rejected(pages)


def test_nothing_is_marked_or_deleted(server, user, make_email):
    server.put(user, mail(("orders.csv", ORDERS)), mail(("orders.csv", ORDERS)), mail())
    with server.client(user) as client:
        client.select("INBOX")  # takes \Recent away, which the first to look would
        client.uid("STORE", "2", "+FLAGS", r"(\Flagged)")
    before = server.flags(user)
    list(make_email().collect({}))
    assert server.flags(user) == before
    assert not any(rb"\Seen" in line for line in before)


def test_only_commands_that_change_nothing_are_sent(server, user, make_email, monkeypatch):
    sent = []
    send = imaplib.IMAP4._command
    monkeypatch.setattr(
        imaplib.IMAP4, "_command", lambda self, *words: sent.append(words) or send(self, *words)
    )
    server.put(user, mail(("orders.csv", ORDERS)))
    sent.clear()
    list(make_email().collect({}))
    assert {words[0] for words in sent} == {"CAPABILITY", "AUTHENTICATE", "EXAMINE", "UID", "LOGOUT"}
    asked = [words for words in sent if words[0] == "UID"]
    assert {words[1] for words in asked} == {"SEARCH", "FETCH"}
    assert all("BODY.PEEK[" in words[3] and "BODY[" not in words[3] for words in asked if words[1] == "FETCH")


def test_what_was_read_is_not_read_again(server, user, make_email):
    server.put(user, mail(("orders.csv", ORDERS)))
    first = list(make_email().collect({}))
    known = marks(first)
    assert list(make_email().collect(known)) == []
    server.put(user, mail(("new.csv", ORDERS)))
    second = list(make_email().collect(known))
    assert {record.origin["file"] for record in rows(second)} == {"new.csv"}


def test_each_message_is_a_page_and_moves_the_bookmark(server, user, make_email):
    server.put(user, *(mail((f"{number}.csv", ORDERS)) for number in range(3)))
    pages = make_email().collect({})
    seen = [next(pages) for _ in range(2)]
    pages.close()
    resumed = list(make_email().collect(marks(seen)))
    assert [page.records[0].origin["file"] for page in seen] == ["0.csv", "1.csv"]
    assert {record.origin["file"] for record in rows(resumed)} == {"2.csv"}


def test_a_new_uidvalidity_reads_the_folder_anew(server, user, make_email):
    with server.client(user) as client:
        client.create("Orders")
    server.put(user, mail(("orders.csv", ORDERS)), folder="Orders")
    first = list(make_email(folders="Orders").collect({}))
    server.renew(user, "Orders")
    server.put(user, mail(("orders.csv", ORDERS)), folder="Orders")
    second = list(make_email(folders="Orders").collect(marks(first)))
    assert first[0].scope != second[0].scope
    assert first[0].scope.startswith("Orders;UIDVALIDITY=")
    # The same facts: what differs is where they were found, which is no content.
    assert [(r.entity, r.observed_at, r.values) for r in rows(second)] == [
        (r.entity, r.observed_at, r.values) for r in rows(first)
    ]


def test_a_section_that_means_something_else_now_reads_the_folder_anew(server, user, make_email):
    server.put(user, mail(("orders.csv", ORDERS)))
    known = marks(make_email().collect({}))
    assert list(make_email(every="5m", max_time="1h").collect(known)) == []
    again = list(make_email(values="quantity: Qty [kg]").collect(known))
    assert [record.units for record in rows(again)] == [{"quantity": "kg"}] * 2
    assert rows(make_email(subjects="Orders*").collect(known))


def test_several_folders_are_each_a_scope(server, user, make_email):
    with server.client(user) as client:
        client.create(b'"' + utf7_encode("Été 2026") + b'"')
    server.put(user, mail(("in.csv", ORDERS)))
    server.put(user, mail(("été.csv", ORDERS)), folder=utf7_encode("Été 2026").decode())
    pages = list(make_email(folders="INBOX, Été 2026").collect({}))
    assert [scope.partition(";")[0] for scope in marks(pages)] == ["INBOX", "Été 2026"]
    assert {record.origin["file"] for record in rows(pages)} == {"in.csv", "été.csv"}
    with pytest.raises(PermanentError, match="the folder Orders cannot be opened"):
        list(make_email(folders="INBOX, Orders").collect({}))


@pytest.mark.parametrize(
    ("options", "claimed"),
    [
        ({"senders": "ann@acme.example"}, 1),
        ({"senders": "*@ACME.example"}, 1),
        ({"senders": "bob@acme.example, *@other.example"}, 0),
        ({"subjects": "orders*"}, 1),
        ({"subjects": "Invoice, paid\nORDERS of ? days"}, 1),
        ({"subjects": "Orders"}, 0),
        ({"attachments": "*.xlsx"}, 0),
        ({"attachments": "ORDERS-2026-*.CSV"}, 1),
    ],
)
def test_only_what_the_section_means_is_claimed(server, user, make_email, options, claimed):
    server.put(user, mail(("orders-2026-11.csv", ORDERS), subject="Orders of 7 days"), mail(subject="Lunch?"))
    pages = list(make_email(**options).collect({}))
    assert len(rows(pages)) == 2 * claimed
    assert counted(pages) == [{"messages": 2, "claimed": claimed, "unclaimed": 2 - claimed}]
    assert not rejected(pages)


def test_messages_are_counted_on_from_run_to_run(server, user, make_email):
    server.put(user, mail(), mail(("orders.csv", ORDERS)), mail())
    first = list(make_email().collect({}))
    assert counted(first) == [{"messages": 3, "claimed": 1, "unclaimed": 2}]
    server.put(user, mail())
    second = list(make_email().collect(marks(first)))
    assert counted(second) == [{"messages": 4, "claimed": 1, "unclaimed": 3}]
    assert [(record.entity, record.attributes["user"]) for page in second for record in page.records] == [
        ("INBOX", user)
    ]


def test_messages_are_counted_at_the_time_of_the_newest(server, user, make_email):
    for day in (20, 3, 10):
        server.put(user, mail(), at=datetime(2026, 11, day, 12, tzinfo=UTC))
    [page] = make_email().collect({})
    assert page.records[0].observed_at == datetime(2026, 11, 20, 12, tzinfo=UTC)


def test_a_count_is_not_lost_by_a_crash_behind_the_last_message(server, user, make_email):
    server.put(user, mail(("orders.csv", ORDERS)))
    pages = list(make_email().collect({}))
    resumed = list(make_email().collect(marks(pages[:1])))
    assert counted(resumed) == counted(pages) == [{"messages": 1, "claimed": 1, "unclaimed": 0}]
    assert not rows(resumed)


def test_the_columns_of_the_message_itself(server, user, make_email):
    table = b"OrderNo,Qty\r\n4711,3\r\n"
    received = datetime(2026, 11, 23, 3, 4, 5, tzinfo=UTC)
    server.put(user, mail(("orders.csv", table), subject="Week 47"), at=received)
    email = make_email(time="@received", attributes="@from, @subject, table: @file")
    [record] = rows(email.collect({}))
    assert record.observed_at == received
    assert record.attributes == {"@from": "ann@acme.example", "@subject": "Week 47", "table": "orders.csv"}


def test_a_bad_message_stops_no_other(server, user, make_email):
    server.put(
        user,
        mail(("orders.csv", ORDERS)),
        b"From: ann@acme.example\r\nSubject: Broken\r\nContent-Type: multipart/mixed; boundary=X\r\n\r\n--X\r\n\r\n",
        mail(("orders.csv", b"Number,Amount\r\n1,2\r\n")),
        mail(("orders.csv", ORDERS.replace(b",3", b",three")), ("more.csv", ORDERS)),
    )
    pages = list(make_email().collect({}))
    reasons = [item.reason for item in rejected(pages)]
    assert len(rows(pages)) == 2 + 1 + 2
    assert len(reasons) == 3
    assert "truncated" in reasons[0]
    assert "orders.csv has no column" in reasons[1]
    assert "three" in reasons[2]
    assert rejected(pages)[0].raw.startswith("From: ann@acme.example")
    assert json.loads(rejected(pages)[2].raw)["origin"]["line"] == 2


def test_a_large_message_is_rejected_and_not_fetched(server, user, make_email):
    big = ORDERS + b"".join(b"4711,2026-11-20T10:00:00Z,3\r\n" for _ in range(2_000))
    server.put(user, mail(("orders.csv", big), subject="Too much"), mail(("small.csv", ORDERS)))
    pages = list(make_email(max_message="20kB").collect({}))
    [item] = rejected(pages)
    assert "max_message is 20,000" in item.reason
    assert "Subject: Too much" in item.raw
    assert "4711" not in item.raw
    assert {record.origin["file"] for record in rows(pages)} == {"small.csv"}
    fetched = [line for line in server.log.read_text().splitlines() if user in line and "body_bytes=" in line]
    assert int(fetched[-1].partition("body_bytes=")[2].split()[0]) < 20_000


def test_a_large_table_is_several_pages_and_moves_the_bookmark_with_the_last(server, user, make_email):
    lines = b"".join(b"%d,2026-11-20T10:00:00Z,3\r\n" % number for number in range(12_000))
    server.put(user, mail(("orders.csv", b"OrderNo,Changed,Qty\r\n" + lines)))
    pages = list(make_email().collect({}))
    assert [len(page.records) for page in pages] == [10_000, 2_000, 1]
    assert json.loads(pages[0].bookmark)["uid"] == 0
    assert json.loads(pages[1].bookmark)["uid"] == 1


def test_messages_from_a_day_on_and_a_back_fill_of_days(server, user, make_email):
    from collectors.collector import Window

    for day in (1, 10, 20):
        server.put(user, mail((f"{day}.csv", ORDERS)), at=datetime(2026, 11, day, 12, tzinfo=UTC))

    def files(pages):
        return sorted({record.origin["file"] for record in rows(pages)})

    assert files(make_email(since="2026-11-10").collect({})) == ["10.csv", "20.csv"]
    window = Window(date(2026, 11, 1), date(2026, 11, 10))
    pages = list(make_email().collect({}, window))
    assert files(pages) == ["1.csv", "10.csv"]
    assert not counted(pages)
    assert files(make_email().collect(marks(pages), window)) == []


def test_a_run_ends_in_time_and_the_next_one_goes_on(server, user, make_email):
    server.put(user, *(mail((f"{number}.csv", ORDERS)) for number in range(4)))
    ticks = iter(range(1_000))
    first = list(make_email(max_time="15s", monotonic=lambda: next(ticks)).collect({}))
    second = list(make_email().collect(marks(first)))
    assert 0 < len(rows(first)) < 8
    assert len(rows(first)) + len(rows(second)) == 8
    assert counted(first)[0]["messages"] < counted(second)[0]["messages"] == 4


def test_a_mailbox_full_of_other_mail_moves_the_bookmark_too(server, user, make_email, monkeypatch):
    monkeypatch.setattr("collectors.email.collector.MAX_UNSTORED", 3)
    server.put(user, *(mail() for _ in range(7)))
    pages = list(make_email().collect({}))
    assert [json.loads(page.bookmark)["uid"] for page in pages] == [3, 6, 7]
    assert list(make_email().collect(marks(pages))) == []


def test_an_empty_mailbox_is_nothing_to_do(make_email):
    assert list(make_email().collect({})) == []


def test_a_refused_login_says_whose_and_shows_no_secret(make_email):
    with pytest.raises(LoginRefusedError, match="refuses the login of user") as caught:
        list(make_email(secret="CANARY-7f3a-wrong").collect({}))
    assert "CANARY" not in str(caught.value)


def test_a_foreign_bookmark_is_no_place_to_go_on_from(server, user, make_email):
    from outbox.errors import DataError

    server.put(user, mail(("orders.csv", ORDERS)))
    [scope] = marks(make_email().collect({}))
    with pytest.raises(DataError, match="is not one of an email source"):
        list(make_email().collect({scope: "{]"}))


def test_a_server_that_is_not_there_is_waited_for(make_email):
    with pytest.raises(TransientError, match="cannot be read"):
        list(make_email(port="1").collect({}))
