"""Messages whose attachments and bodies are no tables, or dangerous ones."""

import gzip
import io
import zipfile

from tests.collectors.mailbox.bad_case import CSV, ROWS, Case
from tests.support.mail import ORDERS, mixed, part, raw


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


CONTENTS = [
    Case(
        "an attachment without a name, and any name is meant",
        mixed(part(name=b"").replace(b"\r\nContent-T", b"\r\nContent-Disposition: attachment\r\nContent-T")),
        claimed=False,
        options={"attachments": "*"},
    ),
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
        ("its transfer encoding x-uuencode is not supported",),
    ),
    Case(
        "an encoding of its own",
        mixed(part(encoding=b"rot13")),
        0,
        ("its transfer encoding rot13 is not supported",),
    ),
    Case(
        "an encoding with a tail",
        mixed(part().replace(b"base64", b"base64; really")),
        0,
        ("its transfer encoding base64; really is not supported",),
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
        ("unpacks to more than",),
        {"attachments": "*.csv.gz"},
    ),
    Case(
        "gzip cut off",
        mixed(part(gzip.compress(ORDERS * 50)[:60], b"orders.csv.gz")),
        0,
        ("not a complete gzip file",),
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
        ("winmail.dat, which only Outlook can open",),
    ),
    Case(
        "winmail.dat by its type",
        mixed(part(b"\x78\x9f\x3e\x22", b"").replace(b"octet-stream", b"ms-tnef")),
        0,
        ("only Outlook can open",),
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
        "a body that is not a text",
        raw(b"Content-Type: text/html; charset=utf-8", b"", b"<table>\xff</table>"),
        0,
        ("not in its declared charset utf-8",),
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
