"""Messages as nobody should send them, and what must become of each.

A case is its name, the message, options of the section, and what is expected: how many rows become
records, and the reasons of what is rejected (a part of each text, in order). A message that has no rows
and no reasons is not claimed: it is counted, and nothing else.
"""

import base64
import gzip
import io
import zipfile
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from tests.support.mail import HEAD, ORDERS, mail, mixed, part, raw

CSV = "orders.csv"
ROWS = 2


class Case(NamedTuple):
    name: str
    message: bytes
    rows: int = 0
    reasons: tuple[str, ...] = ()
    options: Mapping[str, str] = MappingProxyType({})
    file: str | None = None
    """The name that the records' origin must have."""
    claimed: bool | None = None


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


def zipped(files, password=False):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    data = out.getvalue()
    if not password:
        return data
    # The flag that says "encrypted", in the local header and in the directory.
    data = bytearray(data)
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


def gzip_bomb(size):
    return gzip.compress(ORDERS + b" " * size, 9)


def workbook(rows):
    from openpyxl import Workbook

    book = Workbook()
    for row in rows:
        book.active.append(row)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


XLSX = workbook([["OrderNo", "Changed", "Qty"], ["4711", "2026-11-20T10:00:00Z", 3]])
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 1_500
"""How a workbook with a password begins."""


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

STRUCTURES = [
    Case("an empty message", b"", claimed=False),
    Case("nothing but line ends", b"\r\n" * 50, claimed=False),
    Case("nothing but a head", HEAD, claimed=False),
    Case("bytes of all kinds", bytes(range(1, 256)) * 40, claimed=False),
    Case("no closing boundary", mixed(part(), closed=False), 0, ("cut off",)),
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
        ("inside it is encoded",),
    ),
    Case(
        "a part of a message",
        raw(b'Content-Type: message/partial; id="x"; number=1; total=2', b"", b"..."),
        claimed=False,
    ),
    Case("999 parts", mixed(*[part(b"", b"") for _ in range(990)], part()), ROWS),
    Case("10,000 attachments", mixed(*[part(b"x") for _ in range(10_000)]), 0, ("more than 1,000 parts",)),
    Case("too many tables", mixed(*[part() for _ in range(101)]), 0, ("101 tables; max_attachments is 100",)),
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

CONTENTS = [
    Case("an empty attachment", mixed(part(b"")), 0, ("is empty",)),
    Case("nothing but a header row", mixed(part(ORDERS.partition(b"\r\n")[0])), 0, claimed=True),
    Case(
        "base64 of rubbish",
        mixed(part(b"!!$$%%&&((" * 30, encoding=b"base64").replace(b"\r\n\r\n", b"\r\n\r\n$$", 1)),
        0,
        ("damaged",),
    ),
    Case("base64 cut off", mixed(part()[:-5]), 0, ("damaged",)),
    Case(
        "base64 that is none",
        mixed(part(ORDERS, encoding=b"7bit").replace(b"7bit", b"base64")),
        0,
        ("damaged",),
    ),
    Case("base64 without padding", mixed(part(ORDERS + b"x").rstrip(b"=")), 0, ("damaged",)),
    Case(
        "quoted-printable with open ends",
        mixed(part(ORDERS + b"=ZZ,=\r\n", encoding=b"quoted-printable")),
        ROWS,
        ("2 cells, and 3 columns",),
    ),
    Case(
        "uuencode",
        mixed(part(b"begin 644 x\r\n#0V%T\r\n`\r\nend", encoding=b"x-uuencode")),
        0,
        ("encoded as x-uuencode",),
    ),
    Case("an encoding of its own", mixed(part(encoding=b"rot13")), 0, ("encoded as rot13",)),
    Case(
        "an encoding with a tail",
        mixed(part().replace(b"base64", b"base64; really")),
        0,
        ("encoded as base64; really",),
    ),
    Case(
        "8-bit bytes in no charset",
        mixed(part(ORDERS + b"\xe4\xff,2026-11-21T11:00:00Z,5\r\n", encoding=b"8bit")),
        ROWS,
        ("not in utf-8",),
    ),
    Case("another charset than configured", mixed(part(ORDERS.decode().encode("utf-16"))), ROWS),
    Case("NUL in a table", mixed(part(ORDERS + b"47\x0013,2026-11-21T11:00:00Z,5\r\n")), ROWS, ("NUL",)),
    Case(
        "numbers that are none",
        mixed(part(b"OrderNo,Changed,Qty\r\n1,2026-11-20T10:00:00Z,NaN\r\n2,2026-11-20T10:00:00Z,1e999\r\n")),
        0,
        ("NaN", "beyond the range"),
    ),
    Case(
        "a day that never was",
        mixed(part(b"OrderNo,Changed,Qty\r\n1,2026-02-30T10:00:00Z,1\r\n")),
        0,
        ("2026-02-30",),
    ),
    Case(
        "no such column",
        mixed(part(b"Number,Amount\r\n1,2\r\n")),
        0,
        ("orders.csv has no column OrderNo, Changed, Qty",),
    ),
    Case(
        "a bomb of gzip",
        mixed(part(gzip_bomb(30_000_000), b"orders.csv.gz")),
        ROWS,
        ("unfolds into more than",),
        {"attachments": "*.csv.gz"},
    ),
    Case(
        "gzip cut off",
        mixed(part(gzip.compress(ORDERS * 50)[:60], b"orders.csv.gz")),
        0,
        ("no whole gzip file",),
        {"attachments": "*.csv.gz"},
    ),
    Case(
        "gzip in gzip",
        mixed(part(gzip.compress(gzip.compress(ORDERS)), b"orders.csv.gz.gz")),
        0,
        ("packed twice",),
        {"attachments": "*.gz"},
    ),
    Case("gzip under a plain name", mixed(part(gzip.compress(ORDERS))), 0, ("orders.csv",)),
    Case(
        "a zip",
        mixed(part(zipped({CSV: ORDERS}), b"orders.zip")),
        0,
        ("is an archive",),
        {"attachments": "*.zip"},
    ),
    Case(
        "a bomb of zip",
        mixed(part(zipped({CSV: b"0" * 10_000_000}), b"orders.zip")),
        0,
        ("is an archive",),
        {"attachments": "*"},
    ),
    Case(
        "a zip with a password",
        mixed(part(zipped({CSV: ORDERS}, password=True), b"orders.zip")),
        0,
        ("is an archive",),
        {"attachments": "*.zip"},
    ),
    Case("a zip under the name of a table", mixed(part(zipped({CSV: ORDERS}))), 0, ("orders.csv",)),
    Case("a workbook", mixed(part(XLSX, b"orders.xlsx")), 1, (), {"attachments": "*.xlsx"}),
    Case(
        "a workbook with a password",
        mixed(part(OLE, b"orders.xlsx")),
        0,
        ("orders.xlsx",),
        {"attachments": "*.xlsx"},
    ),
    Case(
        "a workbook that is none",
        mixed(part(ORDERS, b"orders.xlsx")),
        0,
        ("orders.xlsx",),
        {"attachments": "*.xlsx"},
    ),
    Case(
        "a workbook cut off",
        mixed(part(XLSX[:900], b"orders.xlsx")),
        0,
        ("orders.xlsx",),
        {"attachments": "*.xlsx"},
    ),
    Case(
        "an unknown ending",
        mixed(part(name=b"orders.docx")),
        0,
        ("orders.docx has no ending that is known",),
        {"attachments": "*"},
    ),
    Case(
        "winmail.dat",
        mixed(part(b"\x78\x9f\x3e\x22", b"winmail.dat")),
        0,
        ("winmail.dat, which only Outlook opens",),
    ),
    Case(
        "winmail.dat by its type",
        mixed(part(b"\x78\x9f\x3e\x22", b"").replace(b"octet-stream", b"ms-tnef")),
        0,
        ("only Outlook opens",),
    ),
    Case(
        "an encrypted message (S/MIME)",
        raw(
            b'Content-Type: application/pkcs7-mime; name="smime.p7m"',
            b"Content-Transfer-Encoding: base64",
            b"",
            b"MIAG",
        ),
        0,
        ("S/MIME",),
    ),
    Case(
        "an encrypted message (PGP)",
        mixed(b"Content-Type: application/pgp-encrypted\r\n\r\nVersion: 1", part(name=b"encrypted.asc")),
        0,
        ("PGP",),
    ),
    Case(
        "a good table beside bad ones",
        mixed(part(b""), part(), part(b"rubbish"), part(name=b"b.csv")),
        2 * ROWS,
        ("is empty", "has no column"),
    ),
    Case("a line of a megabyte", mixed(part(ORDERS + b"x" * 1_000_000 + b"\r\n")), ROWS, ("longer than",)),
    Case(
        "a body that is no text",
        raw(b"Content-Type: text/html; charset=utf-8", b"", b"<table>\xff</table>"),
        0,
        ("not written in utf-8",),
        {"attachments": "", "body": "html"},
    ),
    Case(
        "a body in a slow charset",
        raw(b"Content-Type: text/html; charset=punycode", b"", b"a" * 100_000),
        0,
        ("charset punycode is unknown",),
        {"attachments": "", "body": "html"},
    ),
    Case(
        "a body of one line",
        raw(b"Content-Type: text/plain", b"", b"a," * 100_000),
        0,
        (),
        {"attachments": "", "body": "text"},
        claimed=False,
    ),
]

CASES = [
    *STRUCTURES,
    *CONTENTS,
    *(Case(f"name: {name}", named(filename), ROWS, file=file) for name, filename, file in NAMES),
    *(Case(f"name: {name}", named(filename), 0, claimed=False) for name, filename, _ in ODD_NAMES),
    *(
        Case(f"head: {name}", message, rows, options={"senders": "ann@acme.example"}, claimed=bool(rows))
        for name, message, rows in HEADS
    ),
]
