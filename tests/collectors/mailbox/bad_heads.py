"""Messages with odd heads, and attachments with odd names."""

from tests.collectors.mailbox.bad_case import ROWS, Case
from tests.support.mail import mixed, part


def named(filename, **more):
    """A message whose attachment has this name, in quotes, as it is."""
    return mixed(part(name=filename), **more)


def headed(*lines, **more):
    """The usual message under another head."""
    return mixed(part(), head=b"".join(line + b"\r\n" for line in lines), **more)


NAMES = [
    ("traversal", b"../../../etc/passwd.csv", "passwd.csv"),
    ("traversal of windows", rb"..\\..\\Windows\\system32\\orders.csv", "orders.csv"),
    ("absolute path", b"/etc/cron.d/orders.csv", "orders.csv"),
    ("drive letter", rb"C:\\Users\\orders.csv", "orders.csv"),
    ("network share", rb"\\\\server\\share\\orders.csv", "orders.csv"),
    ("alternate stream", b"name:stream.csv", "name:stream.csv"),
    ("device name", b"CON.csv", "CON.csv"),
    ("right-to-left mark", "orders\u202excod.csv".encode(), "ordersxcod.csv"),
    ("zero-width signs", "ord\u200bers\u2060.csv".encode(), "orders.csv"),
    ("escape sequence", b"\x1b[31morders.csv", "[31morders.csv"),
    ("control signs", b"or\x07de\x01rs.csv", "orders.csv"),
    ("percent signs", b"%2e%2e%2forders.csv", "%2e%2e%2forders.csv"),
    ("spaces around", b"  orders.csv  ", "orders.csv"),
    ("formula", b"=cmd|calc!A1.csv", "=cmd|calc!A1.csv"),
    ("tilde", b"~root.csv", "~root.csv"),
    ("upper case", b"ORDERS.CSV", "ORDERS.CSV"),
    ("latin-1 bytes", "été.csv".encode("latin-1"), "été.csv"),
    ("utf-8 bytes", "été.csv".encode(), "été.csv"),
    ("encoded word", b"=?utf-8?B?b3JkZXJzLmNzdg==?=", "orders.csv"),
    ("encoded word with a path", b"=?utf-8?Q?=2E=2E=2Forders.csv?=", "orders.csv"),
    ("encoded word of no charset", b"=?klingon?Q?orders.csv?=", "orders.csv"),
]

ODD_NAMES = [
    ("no name at all", b"", b""),
    ("a name of spaces", b"   ", b""),
    ("a dot", b".", b""),
    ("a name that ends otherwise", b"orders.csv.exe", b""),
    ("a name that ends behind a mark", "orders.exe\u202evsc.".encode(), b""),
    ("broken encoded word", b"=?utf-8?B?b3Jk*ZXJz?=", b""),
]

HEADS = [
    ("no date", headed(b"From: ann@acme.example", b"Subject: Orders"), ROWS),
    ("absurd date", headed(b"From: ann@acme.example", b"Date: Fri, 99 Foo 99999 99:99:99 +9999"), ROWS),
    ("date of the year 1", headed(b"From: ann@acme.example", b"Date: Mon, 1 Jan 0001 00:00:00 +0000"), ROWS),
    ("no message id", headed(b"From: ann@acme.example"), ROWS),
    ("two message ids", headed(b"From: ann@acme.example", b"Message-ID: <a@b>", b"Message-ID: <c@d>"), ROWS),
    ("a message id without end", headed(b"From: ann@acme.example", b"Message-ID: <" + b"x" * 100_000), ROWS),
    ("two senders", headed(b"From: ann@acme.example", b"From: eve@evil.example"), 0),
    ("two addresses in one sender", headed(b"From: ann@acme.example, eve@evil.example"), 0),
    ("no sender", headed(b"Subject: Orders"), 0),
    ("an empty sender", headed(b"From:"), 0),
    ("a sender in the name of another", headed(b'From: "ann@acme.example" <eve@evil.example>'), 0),
    ("a sender behind a bracket", headed(b"From: eve@evil.example <ann@acme.example"), ROWS),
    ("a sender in a comment", headed(b"From: (ann@acme.example) eve@evil.example"), 0),
    ("a sender that the library misread", headed(b"From: ann@acme.example)eve@evil.example"), 0),
    ("a sender within brackets", headed(b"From: <ann@acme.example> <eve@evil.example>"), 0),
    ("a sender with a source route", headed(b"From: <@evil.example:ann@acme.example>"), 0),
    ("a sender of 8-bit bytes", headed("From: Änn <ann@acme.example>".encode("latin-1")), ROWS),
    ("a sender folded over lines", headed(b"From: Ann", b" Example", b"\t<ann@acme.example>"), ROWS),
    ("a very long subject", headed(b"From: ann@acme.example", b"Subject: " + b"x" * 50_000), ROWS),
    ("a subject of 8-bit bytes", headed(b"From: ann@acme.example", b"Subject: \xff\xfe\xe4"), ROWS),
    ("a subject of encoded words", headed(b"From: ann@acme.example", b"Subject: " + b"=?a?q?" * 5_000), ROWS),
    ("a header without colon", headed(b"From: ann@acme.example", b"this is no header"), 0),
    ("a header without name", headed(b"From: ann@acme.example", b": nothing"), ROWS),
    ("a folded first line", headed(b" From: eve@evil.example", b"From: ann@acme.example"), ROWS),
    ("bare line feeds", headed(b"From: ann@acme.example").replace(b"\r\n", b"\n"), ROWS),
]

HEADS_AND_NAMES = [
    *(Case(f"name: {name}", named(filename), ROWS, file=file) for name, filename, file in NAMES),
    *(Case(f"name: {name}", named(filename), 0, claimed=False) for name, filename, _ in ODD_NAMES),
    *(
        Case(f"head: {name}", message, rows, options={"senders": "ann@acme.example"}, claimed=bool(rows))
        for name, message, rows in HEADS
    ),
]
