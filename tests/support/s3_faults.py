"""A loopback HTTP server that answers as it is told, and remembers every request; also a scripted proxy.

The script is a list of replies, one for each request; the last one is repeated. A reply is an `Answer`, or
one of the accidents DROP (the connection is cut) and HANG (no answer until the test ends).
"""

import base64
import hashlib
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple


class Request(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Answer(NamedTuple):
    status: int
    headers: dict[str, str] = {}  # noqa: RUF012 - never changed
    body: bytes = b""


DROP, HANG = "drop", "hang"
Reply = Answer | str | Callable[[Request], Answer | str]


class FaultServer(ThreadingHTTPServer):
    """Answers by `script`; `requests` holds what it was asked."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, *script: Reply, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script: list[Reply] = list(script)
        self.requests: list[Request] = []
        self.connections = 0
        self.closing = threading.Event()
        self._lock = threading.Lock()
        self._tls = tls
        self.port = self.server_address[1]
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}"

    def finish_request(self, request: socket.socket, client_address: object) -> None:
        with self._lock:
            self.connections += 1
        if self._tls is None:
            super().finish_request(request, client_address)
            return
        # Here, in the connection's own thread: a client that shakes no hands keeps no other waiting.
        with self._tls.wrap_socket(request, server_side=True) as trusted:
            super().finish_request(trusted, client_address)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a client that hangs up, or does not trust us, is what these tests are about."""

    def reply_to(self, request: Request) -> Reply:
        with self._lock:
            self.requests.append(request)
            return self.script[min(len(self.requests), len(self.script)) - 1]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultServer

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, self.path, headers, self.rfile.read(length))
        reply = self.server.reply_to(request)
        if callable(reply):
            reply = reply(request)
        if reply == HANG:
            self.server.closing.wait()
        if isinstance(reply, str):
            self.close_connection = True
            self.connection.close()
            return
        self.send_response_only(reply.status)
        for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)
        self.close_connection |= reply.headers.get("Connection") == "close"

    do_PUT = do_GET = do_HEAD = do_CONNECT = _answer  # noqa: N815 - the base class looks for these names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
        """Write nothing: `requests` is the log."""


def label(value: object) -> str | None:
    """Name a test after the answer it scripts; None leaves the name to pytest."""
    if not isinstance(value, Answer):
        return None
    code = re.search(rb"<Code>(.+?)</Code>", value.body)
    return f"{value.status}-{code[1].decode() if code else 'page' if value.body else 'bare'}"


@contextmanager
def serving(*script: Reply, tls: ssl.SSLContext | None = None) -> Iterator[FaultServer]:
    """Run a server for the length of a `with` block."""
    server = FaultServer(*script, tls=tls)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


def stored(**headers: str) -> Callable[[Request], Answer]:
    """Return S3's answer to a put that succeeded: the checksum echoed, the ETag the body's MD5."""

    def answer(request: Request) -> Answer:
        echoed = {
            "ETag": f'"{hashlib.md5(request.body).hexdigest()}"',
            "x-amz-checksum-sha256": base64.b64encode(hashlib.sha256(request.body).digest()).decode(),
        }
        return Answer(200, {name: value for name, value in {**echoed, **headers}.items() if value})

    return answer


def refusal(
    status: int, code: str, message: str = "as told", *, headers: dict[str, str] | None = None, **more: str
) -> Answer:
    """Return an error in S3's own XML."""
    fields = {"Code": code, "Message": message, **more, "RequestId": "4442587FB7D0A2F9"}
    xml = "".join(f"<{name}>{value}</{name}>" for name, value in fields.items())
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{xml}</Error>'.encode()
    return Answer(
        status,
        {"Content-Type": "application/xml", "x-amz-request-id": "4442587FB7D0A2F9", **(headers or {})},
        body,
    )


def page(status: int, **headers: str) -> Answer:
    """Return what a proxy or a login portal shows to people."""
    body = b"<!DOCTYPE html><html><body><p>Please log in<br></body></html>"
    return Answer(status, {"Content-Type": "text/html; charset=utf-8", **headers}, body)
