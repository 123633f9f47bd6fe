"""The way to the store: past the proxy or by way of it, to a server whose certificate is trusted.

Invariants: one call is one request (no retry, no redirect is followed); `[network]` alone decides about
proxy and trust, never the environment; an answer takes no more than 64 KiB of memory, and one whose headers
were cut off is none; a slow line is no failure, but for a request as a whole there is a limit (`limit_s`).
"""

import io
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from http.client import HTTPResponse, IncompleteRead
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import urllib3

from outbox.config.sections import NetworkOptions
from outbox.errors import PermanentError
from outbox.machine.network import bypasses, trusted
from outbox.redaction import login_secrets

MAX_ANSWER_BYTES = 64 * 1024
SLICE_BYTES = 256 * 1024
"""So much may take as long as [network] timeout: with its 60 s a line of 4 KB/s is just fast enough."""


class TooSlowError(urllib3.exceptions.TimeoutError):
    """The request moved, but it was not over in time."""


def limit_s(network: NetworkOptions, size: int) -> float:
    """Return how long a request with a body of `size` may take, from its connection to the answer's end."""
    return network.connect_timeout + network.timeout * (2 + size / SLICE_BYTES)


class Answer(NamedTuple):
    """What came back; the names in `headers` may be asked for in any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Transport:
    """Sends requests over `connections` kept connections; may be used from several threads."""

    def __init__(
        self,
        network: NetworkOptions,
        *,
        connections: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._network, self._monotonic = network, monotonic
        self._timeout = urllib3.Timeout(connect=network.connect_timeout, read=network.timeout)
        self._trust = trusted(network.ca_bundle)
        self._connections = connections
        self._no_proxy = network.no_proxy
        self._direct = urllib3.PoolManager(
            timeout=self._timeout, maxsize=connections, ssl_context=self._trust
        )
        self._direct.pool_classes_by_scheme = _POOLS
        self._proxied = self._proxy(network.proxy) if network.proxy else None
        proxy = self._proxied.proxy if self._proxied else None
        self.secrets = tuple(login_secrets(network.proxy))
        """What of the proxy's login may be shown nowhere."""
        self.via = f"{proxy.host}:{proxy.port}" if proxy else ""
        """`host:port` of the proxy, or nothing."""

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Return the server's answer, whatever its status; urllib3's HTTPError says that there was none."""
        direct = self._proxied is None or bypasses(urlsplit(url).hostname or "", self._no_proxy)
        pool = self._direct if direct or self._proxied is None else self._proxied
        deadline = _Deadline(self._monotonic() + limit_s(self._network, len(body)), self._monotonic)
        _DEADLINE.set(deadline)
        answer = pool.urlopen(
            method,
            url,
            # In pieces: of one piece the whole, however large, would have to be gone within connect_timeout.
            # And none where there is nothing to send: urllib3 would announce a body in chunks.
            body=_Body(body, deadline) if body else None,
            headers=headers,
            retries=False,
            redirect=False,
            preload_content=False,
            decode_content=False,
        )
        body = b""
        for chunk in answer.stream(MAX_ANSWER_BYTES):
            body += chunk
            if len(body) >= MAX_ANSWER_BYTES:
                answer.close()  # S3 says nothing that long; the rest is not worth waiting for
                break
        return Answer(answer.status, answer.headers, body)

    def _proxy(self, address: str) -> urllib3.ProxyManager:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise PermanentError(
                "[network] proxy is no address of a proxy", hint="write proxy = http://host:port"
            )
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}" if parts.username else None
        proxied = urllib3.ProxyManager(
            f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}",
            proxy_headers=urllib3.make_headers(proxy_basic_auth=login),
            proxy_ssl_context=self._trust,
            timeout=self._timeout,
            maxsize=self._connections,
            ssl_context=self._trust,
        )
        proxied.pool_classes_by_scheme = _POOLS
        return proxied


class _Deadline(NamedTuple):
    at: float
    monotonic: Callable[[], float]

    def keep(self) -> None:
        """Raise where the request has had its time."""
        if self.monotonic() > self.at:
            raise TooSlowError("the request has had its time")


_DEADLINE: ContextVar[_Deadline] = ContextVar("deadline")
"""Of the request that this thread has under way."""


class _Body(io.BytesIO):
    """What is sent, piece by piece until the deadline."""

    def __init__(self, data: bytes, deadline: _Deadline) -> None:
        super().__init__(data)
        self._deadline = deadline

    def read(self, size: int | None = -1, /) -> bytes:
        self._deadline.keep()
        return super().read(size)


class _Arriving(io.RawIOBase):
    """What is received, as it comes and until the deadline."""

    def __init__(self, raw: io.RawIOBase) -> None:
        self._raw = raw

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        _DEADLINE.get().keep()
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Lines(io.BufferedReader):
    """Remembers the line that was read last: empty where the connection was cut."""

    last = b""

    def readline(self, size: int | None = -1, /) -> bytes:
        self.last = super().readline(size)
        return self.last


class _WholeHeaders(HTTPResponse):
    """An answer whose headers have their end; to the standard library, cut-off ones are whole."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.fp = self._lines = _Lines(_Arriving(self.fp.detach()))

    def begin(self) -> None:
        super().begin()
        if not self._lines.last:
            raise IncompleteRead(b"")


class _Connection(urllib3.connection.HTTPConnection):
    response_class = _WholeHeaders


class _TlsConnection(urllib3.connection.HTTPSConnection):
    response_class = _WholeHeaders


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


_POOLS = {"http": _Pool, "https": _TlsPool}
