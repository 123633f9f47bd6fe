"""A server on 127.0.0.1 that answers byte by byte what a test says: broken answers, proxies and TLS too."""

import contextlib
import json
import select
import socket
import socketserver
import ssl
import struct
import threading
from collections.abc import Callable
from http.client import responses
from typing import NamedTuple


class Ask(NamedTuple):
    """A request as it came in; the header names are in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes = b""


class Tunnel(NamedTuple):
    """What a proxy does with CONNECT: let the client through to this port of 127.0.0.1."""

    port: int


RESET = object()
"""End the connection with a TCP reset."""

Script = Callable[[Ask], object]


def reply(status=200, body=b"{}", headers=None):
    """The bytes of an answer; a body that is no bytes is sent as JSON."""
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    lines = {"Content-Length": str(len(body)), "Connection": "close", **(headers or {})}
    head = [
        f"HTTP/1.1 {status} {responses.get(status, 'Odd')}",
        *(f"{name}: {value}" for name, value in lines.items()),
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


class _Handler(socketserver.StreamRequestHandler):
    timeout = 10

    def handle(self):
        first = self.rfile.readline().decode("latin-1").split()
        if len(first) < 2:
            return
        headers = {}
        while line := self.rfile.readline().decode("latin-1").strip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        body = self.rfile.read(int(headers.get("content-length", 0)))
        ask = Ask(first[0], first[1], headers, body)
        self.server.asks.append(ask)
        answer = self.server.script(ask)
        if answer is RESET:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif isinstance(answer, Tunnel):
            self._tunnel(answer.port)
        else:
            with contextlib.suppress(OSError):  # the client may have left
                for part in [answer] if isinstance(answer, bytes) else answer:
                    self.wfile.write(part)
                    self.wfile.flush()

    def _tunnel(self, port):
        with socket.create_connection(("127.0.0.1", port)) as upstream:
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            ends = {self.connection: upstream, upstream: self.connection}
            with contextlib.suppress(OSError):
                while True:
                    for end in select.select(list(ends), [], [], 10)[0]:
                        data = end.recv(65536)
                        if not data:
                            return
                        ends[end].sendall(data)


class Loopback(socketserver.ThreadingTCPServer):
    """Serves `script` while entered; `asks` are the requests so far."""

    daemon_threads = False
    block_on_close = True

    def __init__(self, script: Script, tls: ssl.SSLContext | None = None):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script = script
        self.asks: list[Ask] = []
        self._tls = tls
        self.port = self.server_address[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"

    def finish_request(self, request, client_address):
        if not self._tls:
            return super().finish_request(request, client_address)
        # A handshake that the client refuses, or a client that left.
        with (
            contextlib.suppress(OSError),
            self._tls.wrap_socket(request, server_side=True) as secured,
        ):
            secured.settimeout(10)
            super().finish_request(secured, client_address)
        return None

    def __enter__(self):
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()
        self._thread.join()
