"""The one HTTP client, and the only file that knows httpx.

Invariants:
- One retry policy: every attempt runs inside `Retry`, and the library's own retries and the
  environment's proxies are off. A reader that raises TransientError is retried by the same policy.
- Certificates are always verified, and no redirect is followed: what answers is what was asked.
- Nothing is unbounded: connecting, each read, the whole answer (its headers too) and its size have a limit.
- No message holds a query string or a secret: the values of parameters and headers whose name says
  key, token, secret, password, signature, cookie or authorization are struck out of every error, and
  what a request itself declares secret.
- Where a request says what it may reach, nothing is sent through a connection to any other address, and
  no connection is shared with requests that may reach more.
"""

import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from http.client import responses
from typing import Any, NamedTuple, Self, TypeVar
from urllib.parse import urlencode

import httpx

from collectors.http.reach import Reach
from outbox import __version__
from outbox.config.sections import NetworkOptions
from outbox.errors import ConfigError, LoginRefusedError, OutboxError, PermanentError, TransientError
from outbox.machine.network import bypasses, is_address, limit_ends_in_s, trusted
from outbox.redaction import Secrets, host_of, login_secrets, secrets_in, without_secrets
from outbox.retry import Retry

# At INFO httpx writes down each address with its query, at DEBUG httpcore what was sent.
logging.getLogger("httpx").setLevel(logging.WARNING)
logging.getLogger("httpcore").setLevel(logging.WARNING)

T = TypeVar("T")
Params = Mapping[str, str | int | float]

_OPEN_HEADERS = {"accept", "accept-encoding", "accept-language", "content-type", "user-agent"}
"""Headers whose values hold no secret; any other may hold a key, whatever its name."""
MAX_BODY_BYTES = 64 * 1024 * 1024
MAX_ANSWER_S = 600.0
MAX_QUOTE_CHARS = 200
_LIMIT_LEFT = ("x-ratelimit-remaining", "x-rate-limit-remaining", "ratelimit-remaining")
_REDIRECTS = (301, 302, 303, 307, 308)
_PROXY_HINT = "look at [network] proxy: its address, its login, and whether it lets this host through"
_TLS_HINT = (
    "a proxy that inspects TLS? Put its certificate into the machine's store, or name a PEM file: "
    "[network] ca_bundle"
)


class Answer(NamedTuple):
    """What a server said: `headers` have lower-case names, `url` has no query, login or fragment."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str


class Request(NamedTuple):
    """What to ask: it may be asked several times, so it must change nothing on the server.

    `params` are added to a query that `url` may have. `secrets` are values that no message may hold.
    `reach` None: any address.
    """

    url: str
    params: Mapping[str, str | int | float] = {}
    method: str = "GET"
    headers: Mapping[str, str] = {}
    body: bytes = b""
    secrets: tuple[str, ...] = ()
    reach: Reach | None = None


class Http:
    """Asks one thing at a time of the servers that sources name, through the configured network."""

    def __init__(
        self,
        *,
        retry: Retry,
        network: NetworkOptions,
        max_answer_s: float = MAX_ANSWER_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._retry = retry
        self._network = network
        self._max_answer_s = max_answer_s
        self._monotonic = monotonic
        self._clients: dict[tuple[str, Reach | None], httpx.Client] = {}
        self._sockets: dict[tuple[str, Reach | None], socket.socket] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; the next `get` opens new ones."""
        self._sockets.clear()
        while self._clients:
            self._clients.popitem()[1].close()

    def get(
        self,
        url: str,
        params: Params,
        *,
        read: Callable[[Answer], T],
        headers: Mapping[str, str] | None = None,
        max_bytes: int = MAX_BODY_BYTES,
        before: Callable[[], None] | None = None,
    ) -> T:
        """`send` a GET of an address that may be anywhere."""
        request = Request(url, params, headers=headers or {})
        return self.send(request, read=read, max_bytes=max_bytes, before=before)

    def send(
        self,
        request: Request,
        *,
        read: Callable[[Answer], T],
        max_bytes: int = MAX_BODY_BYTES,
        before: Callable[[], None] | None = None,
    ) -> T:
        """Return what `read` makes of the answer, whatever its status.

        `before` runs ahead of each attempt and may raise TransientError to have it wait (a server's
        published limits). What fails on the way is a TransientError or, where waiting cannot help, a
        PermanentError; a broken [network] section is a ConfigError.
        """
        named = (*request.params.items(), *request.headers.items())
        values = [*request.secrets, *secrets_in(named, request.url), *login_secrets(self._network.proxy)]
        values += [value for name, value in request.headers.items() if name.lower() not in _OPEN_HEADERS]
        secrets = Secrets(values)

        def attempt() -> T:
            try:
                if before:
                    before()
                return read(self._send(request, max_bytes))
            except OutboxError as error:
                secrets.hide(error)
                raise

        return self._retry(attempt)

    def _send(self, request: Request, max_bytes: int) -> Answer:
        shown = without_secrets(request.url)
        started = self._monotonic()
        proxy, is_late = "", threading.Event()
        try:
            target = httpx.URL(_with_query(request.url, request.params))
            proxy = "" if self._is_direct(target.host) else self._network.proxy
            if request.reach is not None and is_address(target.host):
                _require_reach(request.reach, target.host, shown)
            trace = self._trace(proxy, request.reach, shown, is_late)
            with (
                self._ended_in_time(proxy, request.reach, is_late),
                self._client(proxy, request.reach).stream(
                    request.method,
                    target,
                    headers=dict(request.headers),
                    content=request.body or None,
                    extensions={"trace": trace},
                ) as response,
            ):
                _refuse_detours(response, shown)
                body = self._body(response, shown, started + self._max_answer_s, max_bytes)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            if is_late.is_set():
                raise self._late(shown) from error
            raise _translated(error, shown, host_of(proxy)) from error
        except UnicodeEncodeError:  # it holds the header: it is not chained
            raise PermanentError(f"{shown}: a header holds letters that cannot be sent") from None
        if is_late.is_set():  # a body without a length ends where its connection does
            raise self._late(shown)
        return Answer(response.status_code, dict(response.headers), body, shown)

    def _body(self, response: httpx.Response, shown: str, deadline: float, max_bytes: int) -> bytes:
        body = bytearray()
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > max_bytes:
                raise PermanentError(f"{shown}: the answer is larger than {max_bytes:,} bytes")
            if self._monotonic() > deadline:
                raise self._late(shown)
        return bytes(body)

    def _late(self, shown: str) -> TransientError:
        return TransientError(f"{shown}: no whole answer within {self._max_answer_s:.0f} s")

    @contextmanager
    def _ended_in_time(self, proxy: str, reach: Reach | None, is_late: threading.Event) -> Iterator[None]:
        """End the connection of a request that takes too long: a server may send its headers bit by bit."""

        def end() -> None:
            is_late.set()
            if connection := self._sockets.get((proxy, reach)):
                with suppress(OSError):  # it has ended by itself
                    connection.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(self._max_answer_s, end)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _trace(
        self, proxy: str, reach: Reach | None, shown: str, is_late: threading.Event
    ) -> Callable[[str, Mapping[str, Any]], None]:
        """Look at each new connection, before anything is sent through it."""

        def look(event: str, info: Mapping[str, Any]) -> None:
            if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
                stream = info["return_value"]
                self._sockets[proxy, reach] = stream.get_extra_info("socket")
                if is_late.is_set():
                    stream.close()
                    raise self._late(shown)
                if reach is not None and not proxy and event.endswith(".connect_tcp.complete"):
                    try:
                        _require_reach(reach, stream.get_extra_info("server_addr")[0], shown)
                    except PermanentError:
                        stream.close()
                        raise

        return look

    def _client(self, proxy: str, reach: Reach | None) -> httpx.Client:
        if (proxy, reach) not in self._clients:
            trust = trusted(self._network.ca_bundle)
            self._clients[proxy, reach] = httpx.Client(
                verify=trust,
                trust_env=False,
                proxy=_proxy(proxy, trust) if proxy else None,
                follow_redirects=False,
                timeout=httpx.Timeout(self._network.timeout, connect=self._network.connect_timeout),
                limits=httpx.Limits(max_connections=1),
                headers={"User-Agent": f"snowflake-datapipe/{__version__}"},
            )
        return self._clients[proxy, reach]

    def _is_direct(self, host: str) -> bool:
        return not self._network.proxy or bypasses(host, self._network.no_proxy)


def check_status(answer: Answer, now: datetime | None = None) -> None:
    """Return when the status is below 400; else raise the error that says what to do about it.

    429 and 5xx are TransientError and carry the server's Retry-After (a date in it is counted from the
    server's own Date, else from `now`), and so is a 403 that is a limit of requests; 401 is a
    LoginRefusedError, every other a PermanentError.
    """
    if answer.status < 400:
        return
    now = now or datetime.now(UTC)
    limited = answer.status == 403 and _is_limit(answer)
    message = f"{answer.url} answered {_status(answer.status)}{said(answer.body)}"
    if answer.status == 429 or answer.status >= 500 or limited:
        hint = "the server limits how often it may be asked: raise every, or ask for fewer pages"
        wait_s = limit_ends_in_s(answer.headers, now)
        raise TransientError(message, hint=hint if limited else None, retry_after_s=wait_s)
    if answer.status in (401, 403):
        refused = LoginRefusedError if answer.status == 401 else PermanentError
        raise refused(message, hint="the server refuses this login: look at its secret or its rights")
    raise PermanentError(message)


def _is_limit(answer: Answer) -> bool:
    """Return whether a 403 says that too much was asked, as GitHub's and others' do, and not who may ask."""
    headers = answer.headers
    left = next((headers[name].strip() for name in _LIMIT_LEFT if name in headers), "")
    words = answer.body[: 4 * MAX_QUOTE_CHARS].lower()
    return left == "0" or "retry-after" in headers or b"rate limit" in words or b"ratelimitexceeded" in words


def said(body: bytes) -> str:
    """Return `: ` and the first printable characters of a body, for a message; empty where there are none."""
    text = body[: 4 * MAX_QUOTE_CHARS].decode("utf-8", errors="replace")
    words = "".join(char if char.isprintable() else " " for char in text).split()
    return f": {' '.join(words)[:MAX_QUOTE_CHARS]}" if words else ""


def _with_query(url: str, params: Params) -> str:
    query = urlencode(params, safe=",")
    return f"{url}{'&' if '?' in url else '?'}{query}" if query else url


def _require_reach(reach: Reach, address: str, shown: str) -> None:
    if not reach.permits(address):
        raise PermanentError(
            f"{shown} is at {address}, which is no public address, and the configuration does not name it",
            hint=f"if it is meant: private_networks = {address}",
        )


def _refuse_detours(response: httpx.Response, shown: str) -> None:
    status = response.status_code
    if status == 407:
        raise PermanentError(f"{shown}: the proxy asks for a login (407)", hint=_PROXY_HINT)
    if status in _REDIRECTS:
        target = host_of(response.headers.get("location", "")) or host_of(shown)
        raise PermanentError(
            f"{shown} answered {_status(status)} and points to {target}; redirects are not followed",
            hint="a login page on the way, or an address that has moved: correct the address of the source",
        )


def _translated(error: httpx.HTTPError | httpx.InvalidURL, shown: str, proxy: str) -> OutboxError:
    """What a library's exception means here; its text is quoted only where it cannot hold the request."""
    way = f"{shown}, through the proxy {proxy}," if proxy else shown
    match error:
        case httpx.ProxyError():
            # A proxy's own 5xx says that it could not get through at this moment.
            refused = PermanentError if not str(error).startswith("5") else TransientError
            return refused(f"{way}: the proxy refused{said(str(error).encode())}", hint=_PROXY_HINT)
        case httpx.TimeoutException():
            return TransientError(f"{way}: no answer in time ({type(error).__name__})")
        case httpx.InvalidURL() | httpx.UnsupportedProtocol() | httpx.LocalProtocolError():
            return PermanentError(f"{shown}: no request can be made of this address, or of its headers")
    cause: BaseException | None = error
    while cause:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return PermanentError(
                f"{shown}: its certificate is not trusted{said(str(cause).encode())}", hint=_TLS_HINT
            )
        cause = cause.__cause__ or cause.__context__
    hint = _PROXY_HINT if proxy and isinstance(error, httpx.ConnectError) else None
    return TransientError(f"{way} cannot be read{said(str(error).encode())}", hint=hint)


def _proxy(address: str, trust: ssl.SSLContext) -> httpx.Proxy:
    try:
        if address.startswith(("http://", "https://")) and host_of(address):
            return httpx.Proxy(address, ssl_context=trust if address.startswith("https") else None)
    except (ValueError, httpx.InvalidURL):
        pass  # a port that is none; the address may hold a password, so the cause is not chained
    raise ConfigError(
        ["[network] proxy: is no address of a proxy"], hint="write http://host:port, or nothing"
    )


def _status(status: int) -> str:
    return f"{status} {responses.get(status, '')}".strip()
