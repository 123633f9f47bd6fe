"""Messages whose parts are not what parts should be."""

import base64

from tests.collectors.mailbox.bad_case import CSV, ROWS, Case
from tests.support.mail import HEAD, ORDERS, mail, mixed, part, raw


def nested(depth, content=None):
    """A message in a message in a message …"""
    message = content or mail((CSV, ORDERS))
    for _ in range(depth):
        message = raw(b"MIME-Version: 1.0", b"Content-Type: message/rfc822", b"", message)
    return message


def multiparts(depth):
    """Parts in parts in parts …"""
    lines = []
    for level in range(depth):
        lines += [b"Content-Type: multipart/mixed; boundary=B%d" % level, b"", b"--B%d" % level]
    lines += [part()]
    lines += [b"--B%d--" % level for level in reversed(range(depth))]
    return HEAD + b"\r\n".join(lines) + b"\r\n"


STRUCTURES = [
    Case("an empty message", b"", claimed=False),
    Case("nothing but line ends", b"\r\n" * 50, claimed=False),
    Case("nothing but a head", HEAD, claimed=False),
    Case("bytes of all kinds", bytes(range(1, 256)) * 40, claimed=False),
    Case("no closing boundary", mixed(part(), closed=False), 0, ("truncated",)),
    Case(
        "no boundary at all", raw(b"Content-Type: multipart/mixed", b"", part()), 0, ("boundary is missing",)
    ),
    Case(
        "a boundary that never comes",
        raw(b'Content-Type: multipart/mixed; boundary="Y"', b"", part()),
        0,
        ("boundary is missing",),
    ),
    Case("an empty boundary", mixed(part(), boundary=b""), ROWS),
    Case("a boundary of regular expressions", mixed(part(), boundary=b"a.*+?(["), ROWS),
    Case("a boundary of a thousand signs", mixed(part(), boundary=b"x" * 1_000), ROWS),
    Case("parts without heads", mixed(b"", b"", b""), claimed=False),
    Case("a part without an empty line", mixed(part().replace(b"\r\n\r\n", b"\r\n", 1)), ROWS),
    Case("an unknown type", mixed(part().replace(b"application/octet-stream", b"what/ever; =; ;;x")), ROWS),
    Case("no type", mixed(part().replace(b"Content-Type: application/octet-stream\r\n", b"")), ROWS),
    Case("two types", mixed(b"Content-Type: text/html\r\n" + part()), ROWS),
    Case("the whole message is the attachment", HEAD + part(), ROWS),
    Case("multiparts in multiparts, 20 deep", multiparts(20), ROWS),
    Case("multiparts in multiparts, 400 deep", multiparts(400), 0, ("more than 20 deep",)),
    Case("multiparts in multiparts, 5,000 deep", multiparts(5_000), 0, ("more than 20 deep",)),
    Case("a forwarded message", nested(1), ROWS),
    Case("messages in messages, 3 deep", nested(3), ROWS),
    Case("messages in messages, 4 deep", nested(4), 0, ("more than 3 deep",)),
    Case("messages in messages, 100 deep", nested(100), 0, ("more than 20 deep",)),
    Case("messages in messages, 3,000 deep", nested(3_000), 0, ("more than 20 deep",)),
    Case(
        "a digest of messages",
        raw(b"Content-Type: multipart/digest; boundary=X", b"", b"--X", b"", mail((CSV, ORDERS)), b"--X--"),
        ROWS,
    ),
    Case(
        "an encoded message inside",
        raw(
            b"Content-Type: message/rfc822",
            b"Content-Transfer-Encoding: base64",
            b"",
            base64.encodebytes(mail((CSV, ORDERS))),
        ),
        0,
        ("a forwarded message in it is encoded",),
    ),
    Case(
        "a part of a message",
        raw(b'Content-Type: message/partial; id="x"; number=1; total=2', b"", b"..."),
        claimed=False,
    ),
    Case("999 parts", mixed(*[part(b"", b"") for _ in range(990)], part()), ROWS),
    Case("10,000 attachments", mixed(*[part(b"x") for _ in range(10_000)]), 0, ("more than 1,000 parts",)),
    Case(
        "too many tables",
        mixed(*[part() for _ in range(101)]),
        0,
        ("101 attached tables; max_attachments is 100",),
    ),
    Case("a hundred times the same table", mixed(*[part() for _ in range(100)]), ROWS * 100),
    Case("a million boundaries", mixed(*[b""] * 300_000), 0, ("more than 1,000 parts",)),
    Case(
        "a bomb of headers",
        raw(*[b"X-%d: y" % number for number in range(12_000)], b"", b"text"),
        0,
        ("more than 10,000 headers",),
    ),
    Case(
        "a header of a megabyte",
        raw(b"X-Long: " + b"y" * 1_000_000, b"", b"text"),
        0,
        ("has more than 262,144",),
    ),
    Case(
        "a type of semicolons",
        mixed(
            part(more=b"Content-Description: x").replace(b"octet-stream", b'octet-stream; a="' + b";" * 9_000)
        ),
        0,
        ("Content-Type has more than 8,192",),
    ),
    Case(
        "a type of quotes", mixed(part().replace(b"octet-stream", b'octet-stream; a="' + b';"' * 3_500)), ROWS
    ),
    Case(
        "a name in ten thousand pieces",
        mixed(
            part(name=b"").replace(
                b"octet-stream", b"octet-stream" + b"".join(b"; name*%d=x" % n for n in range(500))
            )
        ),
        claimed=False,
    ),
    Case(
        "a name in pieces",
        mixed(part(name=b"").replace(b"octet-stream", b"octet-stream; name*0=ord; name*1=ers.csv")),
        ROWS,
    ),
    Case(
        "a name with its charset",
        mixed(part(name=b"").replace(b"octet-stream", b"octet-stream; name*=utf-8''%C3%A9t%C3%A9.csv")),
        ROWS,
        file="été.csv",
    ),
    Case(
        "a name of half letters",
        mixed(part(name=b"").replace(b"octet-stream", b"octet-stream; name*=utf-7''+2AA-.csv")),
        ROWS,
    ),
    Case(
        "two names", mixed(part().replace(b"octet-stream", b"octet-stream; name=other.txt")), ROWS, file=CSV
    ),
]
