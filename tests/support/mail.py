"""Messages for tests, written byte by byte, so that they can be as wrong as those of the world."""

import base64
from email.message import EmailMessage

SENDER = "Ann Example <ann@acme.example>"
ORDERS = b"OrderNo,Changed,Qty\r\n4711,2026-11-20T10:00:00Z,3\r\n4712,2026-11-21T11:00:00Z,5\r\n"
HEAD = b"From: Ann Example <ann@acme.example>\r\nTo: data@example.com\r\nSubject: Orders\r\nMessage-ID: <1@acme.example>\r\n"


def mail(
    *files: tuple[str, bytes],
    sender: str = SENDER,
    subject: str = "Orders",
    message_id: str = "<1@acme.example>",
    headers: tuple[tuple[str, str], ...] = (),
    text: str = "Please find the orders attached.\n",
    html: str = "",
) -> bytes:
    """Return a message as a well-kept mail program writes it, with these files attached."""
    message = EmailMessage()
    for name, value in headers:  # what a server adds stands on top
        message[name] = value
    message["From"] = sender
    message["To"] = "data@example.com"
    message["Subject"] = subject
    message["Date"] = "Fri, 20 Nov 2026 12:00:00 +0200"
    if message_id:
        message["Message-ID"] = message_id
    message.set_content(text)
    if html:
        message.add_alternative(html, subtype="html")
    for name, content in files:
        message.add_attachment(content, maintype="application", subtype="octet-stream", filename=name)
    return message.as_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def raw(*lines: bytes, head: bytes = HEAD) -> bytes:
    """Return a message of a head and these lines."""
    return head + b"\r\n".join(lines) + b"\r\n"


def part(
    content: bytes = ORDERS, name: bytes = b"orders.csv", *, encoding: bytes = b"base64", more: bytes = b""
) -> bytes:
    """Return an attachment, its headers and content, without a boundary; `more` are further header lines."""
    if encoding == b"base64":
        content = base64.encodebytes(content).replace(b"\n", b"\r\n").rstrip(b"\r\n")
    disposition = b'Content-Disposition: attachment; filename="' + name + b'"\r\n' if name else b""
    return (
        b"Content-Type: application/octet-stream\r\n"
        + disposition
        + b"Content-Transfer-Encoding: "
        + encoding
        + b"\r\n"
        + more
        + b"\r\n"
        + content
    )


def mixed(*parts: bytes, head: bytes = HEAD, boundary: bytes = b"XXX", closed: bool = True) -> bytes:
    """Return a message of several parts."""
    lines = [b"MIME-Version: 1.0", b'Content-Type: multipart/mixed; boundary="' + boundary + b'"', b""]
    for each in parts:
        lines += [b"--" + boundary, each]
    if closed:
        lines.append(b"--" + boundary + b"--")
    return raw(*lines, head=head)
