"""A loopback S3 that keeps what it is sent, and has one accident at a chosen object; its names can fail too.

An accident is a function of the handler, called when only the first line of a request was read: it decides
how much of the rest is read, whether the object is kept, and what goes back.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from unittest.mock import patch
from urllib.parse import unquote

from tests.support import s3_faults
from tests.support.s3_faults import Answer, FaultServer, Reply, Request, refusal, stored

HOST = "s3.fault.example"
Accident = Callable[["Handler"], None]


class FaultStore(FaultServer):
    """Keeps objects as S3 does; for the next `left` requests that fit, `accident` takes S3's place.

    They fit when they put the object `target` or, where the fault is the store's, once it was asked for.
    """

    def __init__(self, **options: object) -> None:
        super().__init__(**options)
        self.RequestHandlerClass = Handler
        self.mutex = threading.Lock()
        self.closes = False
        self.reset()

    def reset(self) -> None:
        """Forget every object and request."""
        self.objects: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.puts: list[Request] = []
        self.faulted = 0
        self.on_accident: Callable[[int], None] = lambda number: None
        self.lift()

    def expect(self, accident: Accident | None, target: str, left: int, *, store_wide: bool) -> None:
        """Have `accident` at the object whose key contains `target`."""
        self.accident, self.target, self.left, self.store_wide = accident, target, left, store_wide

    def lift(self) -> None:
        """Have no more accidents."""
        self.expect(None, "", 0, store_wide=False)

    def act_on(self, first_line: str) -> Accident:
        """Return what is to be done with the request that begins so."""
        with self.mutex:
            self.asked.append(first_line.split(" ")[1])
            hit = self.accident is not None and self.left > 0 and self.target in first_line
            if not hit:
                return answer_as_s3
            self.left -= 1
            self.faulted += 1
            self.target = "" if self.store_wide else self.target
            self.on_accident(self.faulted)
            return self.accident or answer_as_s3

    def keep(self, request: Request) -> Answer:
        """Keep the object unless there is one of its name; return S3's answer."""
        key = unquote(request.path)
        with self.mutex:
            if key in self.objects and request.headers.get("if-none-match") == "*":
                return refusal(412, "PreconditionFailed")
            self.objects[key] = request.body
        return stored()(request)


class Handler(s3_faults._Handler):
    """One connection; the accidents use `take`, `keep`, `send` and `cut`."""

    server: FaultStore

    def handle_one_request(self) -> None:
        self.raw_requestline = self.rfile.readline(65_537)
        if not self.raw_requestline:
            self.close_connection = True
            return
        self.server.act_on(unquote(self.raw_requestline.decode("latin-1")))(self)

    def take(self) -> Request:
        """Read the rest of the request."""
        if not self.parse_request():
            raise ConnectionError("no HTTP")
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", 0)))
        request = Request(self.command, self.path, headers, body)
        with self.server.mutex:
            self.server.puts.append(request)
        return request

    def keep(self, request: Request) -> bytes:
        """Keep the object and return S3's answer as it goes over the wire."""
        return self.raw(self.server.keep(request))

    def raw(self, answer: Answer) -> bytes:
        """Return an answer as bytes, S3's length of nothing at its end."""
        self.close_connection = self.server.closes
        closing = {"Connection": "close"} if self.close_connection else {}
        headers = {**answer.headers, **closing}
        headers.setdefault("Content-Length", str(len(answer.body)))
        reason = HTTPStatus(answer.status).phrase
        lines = [f"HTTP/1.1 {answer.status} {reason}", *(f"{name}: {text}" for name, text in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode() + answer.body

    def send(self, raw: bytes) -> None:
        self.wfile.write(raw)

    def cut(self) -> None:
        """Break the connection off."""
        self.close_connection = True

    def wait(self) -> None:
        """Say nothing until the client hangs up."""
        self.close_connection = True
        self.connection.settimeout(20)
        while self.connection.recv(65_536):
            pass


def answer_as_s3(handler: Handler) -> None:
    handler.send(handler.keep(handler.take()))


def answering(reply: Reply, *, kept: bool = False) -> Accident:
    """Read the request and answer so; where it is `kept`, S3 got the object all the same."""

    def act(handler: Handler) -> None:
        request = handler.take()
        if kept:
            handler.server.keep(request)
        answer = reply(request) if callable(reply) else reply
        assert isinstance(answer, Answer)
        handler.send(handler.raw(answer))

    return act


def reply_cut_at(byte: int, *, waiting: bool = False) -> Accident:
    """Keep the object, and let only the first bytes of the answer (counted from its end if < 0) arrive."""

    def act(handler: Handler) -> None:
        handler.send(handler.keep(handler.take())[:byte])
        (handler.wait if waiting else handler.cut)()

    return act


def request_cut_at(byte: int) -> Accident:
    """Break the connection off when so many bytes after the first line (from the end if < 0) have come."""

    def act(handler: Handler) -> None:
        if byte >= 0:
            handler.rfile.read(byte)
        elif handler.parse_request():
            handler.rfile.read(int(handler.headers["Content-Length"]) + byte)
        handler.cut()

    return act


def reply_byte_by_byte(pause_s: float, most: int = 10**6) -> Accident:
    """Keep the object and answer slowly."""

    def act(handler: Handler) -> None:
        for byte in handler.keep(handler.take())[:most]:
            handler.send(bytes([byte]))
            time.sleep(pause_s)

    return act


def silent(*, kept: bool = False, first: bytes = b"", read: bool = True) -> Accident:
    """Say `first`, then nothing more."""

    def act(handler: Handler) -> None:
        if read:
            request = handler.take()
            if kept:
                handler.server.keep(request)
        handler.send(first)
        handler.wait()

    return act


def continued(handler: Handler) -> None:
    """Give a leave that nobody asked for, then answer."""
    handler.send(b"HTTP/1.1 100 Continue\r\n\r\n" + handler.keep(handler.take()))


def found_there(handler: Handler) -> None:
    """Say that the object is there, which is true."""
    request = handler.take()
    handler.server.keep(request)
    handler.send(handler.keep(request))


def another_protocol(handler: Handler) -> None:
    """Speak, but no HTTP."""
    handler.take()
    handler.send(b"SSH-2.0-OpenSSH_9.6\r\n")
    handler.cut()


@contextmanager
def running(server: FaultServer) -> Iterator[FaultServer]:
    """Run `server` for the length of a `with` block."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


class Names:
    """What the name server says of HOST: at each question the real port, or what `wrong` gives."""

    def __init__(self) -> None:
        self.wrong: Callable[[], list[int] | None] = lambda: None
        self._real = socket.getaddrinfo

    def __call__(self, host: str, port: int, *more: object, **options: object) -> list[tuple]:
        if host != HOST:
            return self._real(host, port, *more, **options)
        ports = self.wrong() or [port]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", each)) for each in ports]

    @contextmanager
    def asked(self) -> Iterator[None]:
        """Answer every question of this process."""
        with patch("socket.getaddrinfo", self):
            yield


@contextmanager
def black_hole() -> Iterator[int]:
    """Give a port that never takes a connection, and never refuses one either (on Linux)."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(3)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", port))
        try:
            yield port
        finally:
            for each in waiting:
                each.close()
