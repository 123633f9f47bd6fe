"""A gate before moto that holds a policy's conditions, which moto does not.

moto knows actions and resources. Of an IAM policy it leaves out the conditions, and that a copy has to read
its source: those two are decided here, by `policy.permits`, as AWS documents them; all else passes through
unchanged, signature included.
"""

import http.client
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.aws.policy import permits

DENIED = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
HOP = {"connection", "transfer-encoding", "content-length", "keep-alive"}


class Gate(ThreadingHTTPServer):
    """Forwards to `target` what the policy of the request's access key allows; keys without one pass."""

    daemon_threads = True

    def __init__(self, target: str, policies: Mapping[str, Mapping[str, Any]]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = urlsplit(target).netloc
        self.policies = policies
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients hang up."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Gate

    def _pass(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if not self._permitted():
            self._answer(403, {"Content-Type": "application/xml"}, DENIED)
            return
        connection = http.client.HTTPConnection(self.server.target, timeout=30)
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        self._answer(answer.status, dict(answer.getheaders()), answer.read())
        connection.close()

    def _permitted(self) -> bool:
        key_id = self.headers.get("Authorization", "").partition("Credential=")[2].partition("/")[0]
        policy = self.server.policies.get(key_id)
        way = urlsplit(self.path)
        puts = self.command == "PUT" or (self.command == "POST" and "upload" in way.query)
        if policy is None or not puts:
            return True
        carried = {"s3_if_none_match": "*"} if self.headers.get("If-None-Match") == "*" else {}
        source = unquote(self.headers.get("x-amz-copy-source", "")).partition("?")[0]
        if source and not permits(policy, "s3:GetObject", f"arn:aws:s3:::{source.lstrip('/')}"):
            return False
        return permits(policy, "s3:PutObject", f"arn:aws:s3:::{unquote(way.path).lstrip('/')}", **carried)

    def _answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass  # noqa: N815 - the base class looks for these names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
        """Write nothing."""


@contextmanager
def serving(target: str, policies: Mapping[str, Mapping[str, Any]]) -> Iterator[Gate]:
    """Run a gate for the length of a `with` block."""
    gate = Gate(target, policies)
    thread = threading.Thread(target=gate.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield gate
    finally:
        gate.shutdown()
        gate.server_close()
        thread.join()
