"""The mailbox keeps what every collector must keep."""

import imaplib
from datetime import UTC, datetime

import pytest

from collectors.email.collector import Email
from collectors.testing import CHECKS, Subject
from tests.support import dovecot
from tests.support.mail import ORDERS, mail, mixed, part

pytestmark = pytest.mark.xdist_group("dovecot")

PASSWORD = "CANARY-5d1e-password"


def order(number, more=b""):
    table = b"OrderNo,Changed,Qty\r\n%d,2026-11-20T10:00:00Z,3\r\nx,2026-11-20T10:00:00Z,?\r\n" % number
    return mixed(part(table), part(more, b"picture.png"))


@pytest.fixture
def subject(server, user, make_email, monkeypatch):
    asks = []
    asked = imaplib.IMAP4.uid
    monkeypatch.setattr(imaplib.IMAP4, "uid", lambda *args: asks.append(args) or asked(*args))
    day = datetime(2026, 11, 20, 12, tzinfo=UTC)
    server.put(user, *(order(number) for number in range(8)), mail(), at=day)
    server.put(f"{user}-big", *(order(number, b"x" * 2_000_000) for number in range(15)))
    server.put(f"{user}-bad", b"Subject: x\r\n\r\n", mixed(part(), closed=False), mixed(part(b"x")))
    server.put(f"{user}-big-one", mail(("orders.csv", ORDERS * 100)))
    return Subject(
        options=Email.Options,
        make=make_email,
        spoilt={
            "bad messages": lambda: make_email(user=f"{user}-bad"),
            "a large message": lambda: make_email(user=f"{user}-big-one", max_message="1kB"),
            "a wrong password": lambda: make_email(secret=PASSWORD),
            "a token that nobody gave": lambda: make_email(auth="token", secret=PASSWORD),
            "no such folder": lambda: make_email(folders="Orders"),
            "no server": lambda: make_email(port="1"),
            "no TLS where there should be": lambda: make_email(port=str(server.port)),
        },
        big=lambda: make_email(user=f"{user}-big"),
        max_memory_bytes=24 * 1024 * 1024,
        asked=lambda: len(asks),
        secrets=(PASSWORD, dovecot.PASSWORD),
    )


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_mailbox_conforms(check, subject):
    check(subject)
