"""What counts as a valid DKIM signature, and what a sender could write there instead."""

import pytest

from collectors.email.verdict import is_signed_by, signed_domains
from tests.support.mail import ORDERS, mail

pytestmark = pytest.mark.xdist_group("dovecot")

PASS = "mx.example.com; dkim=pass (2048-bit key) header.d=acme.example header.i=@acme.example header.s=s1"
FAIL = "mx.example.com; dkim=fail (bad signature) header.d=acme.example"


@pytest.mark.parametrize(
    ("headers", "domains"),
    [
        ([PASS], ("acme.example",)),
        ([PASS.replace("mx.", "MX.")], ("acme.example",)),
        (
            ["mx.example.com 1; spf=pass smtp.mailfrom=x@y.example;\r\n\tdkim=pass header.d=Acme.Example"],
            ("acme.example",),
        ),
        (["mx.example.com; dkim=pass header.i=@sub.acme.example"], ("sub.acme.example",)),
        (["mx.example.com; dkim/1 = pass header.d = acme.example"], ("acme.example",)),
        (
            ["mx.example.com; dkim=pass header.d=a.example; dkim=pass header.d=b.example"],
            ("a.example", "b.example"),
        ),
        (["mx.example.com; dkim=fail header.d=a.example; dkim=pass header.d=b.example"], ("b.example",)),
        (
            [
                "(comment) mx.example.com (another (nested) one); dkim=pass (fine; dkim=fail) header.d=a.example"
            ],
            ("a.example",),
        ),
        ([], ()),
        ([""], ()),
        (["mx.example.com; none"], ()),
        (["mx.example.com"], ()),
        ([FAIL], ()),
        ([FAIL, PASS], ()),
        (["mx.other.example; dkim=pass header.d=acme.example"], ()),
        (["mx.other.example; dkim=pass header.d=acme.example", PASS], ()),
        (["dkim=pass header.d=acme.example"], ()),
        (["mx.example.com.evil.example; dkim=pass header.d=acme.example"], ()),
        (['mx.example.com; spf=fail reason="; dkim=pass header.d=acme.example"'], ()),
        (["mx.example.com; spf=fail (; dkim=pass header.d=acme.example)"], ()),
        (["mx.example.com; spf=fail (\\); dkim=pass header.d=acme.example)"], ()),
        (['mx.example.com; spf=fail reason="\\"; dkim=pass header.d=acme.example"'], ()),
        (["mx.example.com; spf=fail (never closed; dkim=pass header.d=acme.example"], ()),
        (['mx.example.com; spf=fail reason="never closed; dkim=pass header.d=acme.example'], ()),
        (["mx.example.com; spf=fail dkim=pass header.d=acme.example"], ()),
        (["mx.example.com; dkim=fail header.d=evil.example dkim=pass"], ()),
        (["mx.example.com; dkim=pass header.d=evil.example header.d=acme.example"], ("evil.example",)),
        (["mx.example.com; dkim=pass"], ()),
        (["mx.example.com; dkim=pass header.d=com"], ()),
        (["mx.example.com; dkim=pass header.d=.example"], ()),
        (["mx.example.com; dmarc=pass header.d=acme.example"], ()),
        (["mx.example.com; x=dkim=pass header.d=acme.example"], ()),
        (["mx.example.com;" + "(" * 30_000], ()),
    ],
)
def test_only_the_named_servers_topmost_verdict_counts(headers, domains):
    assert signed_domains(headers, "mx.example.com") == domains


@pytest.mark.parametrize(
    ("sender", "domains", "expected"),
    [
        ("ann@acme.example", ["acme.example"], True),
        ("ann@mail.acme.example", ["acme.example"], True),
        ("ann@acme.example", ["mail.acme.example"], False),
        ("ann@notacme.example", ["acme.example"], False),
        ("ann@acme.example", ["evil.example"], False),
        ("ann@acme.example", [], False),
        ("", ["acme.example"], False),
    ],
)
def test_the_signature_is_the_senders_own(sender, domains, expected):
    assert is_signed_by(sender, domains) is expected


def test_a_message_without_the_demanded_signature_is_rejected_once_and_counted(server, user, make_email):
    def signed(verdict, file, sender="Ann <ann@acme.example>"):
        return mail((file, ORDERS), sender=sender, headers=(("Authentication-Results", verdict),))

    server.put(
        user,
        signed(PASS, "good.csv"),
        signed(FAIL, "bad.csv"),
        signed("mx.other.example; dkim=pass header.d=acme.example", "foreign.csv"),
        signed(PASS, "theirs.csv", sender="eve@evil.example"),
        mail(("unsigned.csv", ORDERS)),
    )
    pages = list(make_email(authserv_id="mx.example.com").collect({}))
    rejected = [item for page in pages for item in page.rejected]
    assert {r.origin["file"] for page in pages for r in page.records if r.stream == "rows"} == {"good.csv"}
    assert [item.raw for item in rejected] == ["acme.example"] * 2 + ["evil.example", "acme.example"]
    assert len({item.reason for item in rejected}) == 1  # so that many forged ones are one line that counts
