"""The one HTTP client, and the only file that knows httpx.

Invariants:
- One retry policy: every attempt runs inside `Retry`, and the library's own retries and the
  environment's proxies are off. A reader that raises TransientError is retried by the same policy.
- Certificates are always verified, and no redirect is followed: what answers is what was asked.
- Nothing is unbounded: connecting, each read, the whole body and its size have a limit.
- No message holds a query string or a secret: the values of parameters and headers whose name says
  key, token, secret, password, signature, cookie or authorization are struck out of every error.
"""

import re
import ssl
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from http.client import responses
from typing import NamedTuple, Self, TypeVar
from urllib.parse import quote, quote_plus, unquote, urlencode

import httpx

from outbox import __version__
from outbox.errors import ConfigError, OutboxError, PermanentError, TransientError
from outbox.network import bypasses, retry_after_s, trusted
from outbox.retry import Retry
from outbox.sections import NetworkOptions

T = TypeVar("T")

MAX_BODY_BYTES = 64 * 1024 * 1024
MAX_ANSWER_S = 600.0
MAX_QUOTE_CHARS = 200
_REDIRECTS = (301, 302, 303, 307, 308)
_SECRET_NAME = re.compile(r"key|token|secret|passw|sign?ature|cookie|auth", re.IGNORECASE)
_MIN_SECRET_CHARS = 4
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
        self._clients: dict[str, httpx.Client] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; the next `get` opens new ones."""
        while self._clients:
            self._clients.popitem()[1].close()

    def get(
        self,
        url: str,
        params: Mapping[str, str | int | float],
        *,
        read: Callable[[Answer], T],
        headers: Mapping[str, str] | None = None,
        max_bytes: int = MAX_BODY_BYTES,
        before: Callable[[], None] | None = None,
    ) -> T:
        """Return what `read` makes of the answer, whatever its status.

        `before` runs ahead of each attempt and may raise TransientError to have it wait (a server's
        published limits). What fails on the way is a TransientError or, where waiting cannot help, a
        PermanentError; a broken [network] section is a ConfigError.
        """
        secrets = _secrets(params, headers or {}, self._network.proxy)

        def attempt() -> T:
            try:
                if before:
                    before()
                return read(self._send(url, params, headers or {}, max_bytes))
            except OutboxError as error:
                _strike_out(secrets, error)
                raise

        return self._retry(attempt)

    def _send(
        self, url: str, params: Mapping[str, str | int | float], headers: Mapping[str, str], max_bytes: int
    ) -> Answer:
        shown = without_secrets(url)
        query = urlencode(params, safe=",")
        started = self._monotonic()
        proxy = ""
        try:
            target = httpx.URL(f"{url}?{query}" if query else url)
            proxy = "" if self._is_direct(target.host) else self._network.proxy
            with self._client(proxy).stream("GET", target, headers=dict(headers)) as response:
                _refuse_detours(response, shown)
                body = self._body(response, shown, started + self._max_answer_s, max_bytes)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _translated(error, shown, _host(proxy)) from error
        return Answer(response.status_code, dict(response.headers), body, shown)

    def _body(self, response: httpx.Response, shown: str, deadline: float, max_bytes: int) -> bytes:
        body = bytearray()
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > max_bytes:
                raise PermanentError(f"{shown}: the answer is larger than {max_bytes:,} bytes")
            if self._monotonic() > deadline:
                raise TransientError(f"{shown}: no whole answer within {self._max_answer_s:.0f} s")
        return bytes(body)

    def _client(self, proxy: str) -> httpx.Client:
        if proxy not in self._clients:
            trust = trusted(self._network.ca_bundle)
            self._clients[proxy] = httpx.Client(
                verify=trust,
                trust_env=False,
                proxy=_proxy(proxy, trust) if proxy else None,
                follow_redirects=False,
                timeout=httpx.Timeout(self._network.timeout, connect=self._network.connect_timeout),
                limits=httpx.Limits(max_connections=1),
                headers={"User-Agent": f"snowflake-datapipe/{__version__}"},
            )
        return self._clients[proxy]

    def _is_direct(self, host: str) -> bool:
        return not self._network.proxy or bypasses(host, self._network.no_proxy)


def check_status(answer: Answer, now: datetime | None = None) -> None:
    """Return when the status is below 400; else raise the error that says what to do about it.

    429 and 5xx are TransientError and carry the server's Retry-After (a date in it is counted from the
    server's own Date, else from `now`); every other is a PermanentError.
    """
    if answer.status < 400:
        return
    message = f"{answer.url} answered {_status(answer.status)}{said(answer.body)}"
    if answer.status == 429 or answer.status >= 500:
        raise TransientError(message, retry_after_s=retry_after_s(answer.headers, now or datetime.now(UTC)))
    if answer.status in (401, 403):
        raise PermanentError(message, hint="the server refuses this login: look at its secret or its rights")
    raise PermanentError(message)


def said(body: bytes) -> str:
    """Return `: ` and the first printable characters of a body, for a message; empty where there are none."""
    text = body[: 4 * MAX_QUOTE_CHARS].decode("utf-8", errors="replace")
    words = "".join(char if char.isprintable() else " " for char in text).split()
    return f": {' '.join(words)[:MAX_QUOTE_CHARS]}" if words else ""


def without_secrets(url: str) -> str:
    """Return the address alone: no login, no query, no fragment."""
    scheme, slashes, rest = re.split(r"[?#]", url, maxsplit=1)[0].partition("//")
    login_and_host, slash, path = rest.partition("/")
    return f"{scheme}{slashes}{login_and_host.rpartition('@')[2]}{slash}{path}"


def _refuse_detours(response: httpx.Response, shown: str) -> None:
    status = response.status_code
    if status == 407:
        raise PermanentError(f"{shown}: the proxy asks for a login (407)", hint=_PROXY_HINT)
    if status in _REDIRECTS:
        target = _host(response.headers.get("location", "")) or _host(shown)
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
        if address.startswith(("http://", "https://")) and _host(address):
            return httpx.Proxy(address, ssl_context=trust if address.startswith("https") else None)
    except (ValueError, httpx.InvalidURL):
        pass  # a port that is none; the address may hold a password, so the cause is not chained
    raise ConfigError(
        ["[network] proxy: is no address of a proxy"], hint="write http://host:port, or nothing"
    )


def _secrets(params: Mapping[str, str | int | float], headers: Mapping[str, str], proxy: str) -> set[str]:
    values = [str(value) for name, value in (*params.items(), *headers.items()) if _SECRET_NAME.search(name)]
    login = proxy.partition("//")[2].rpartition("@")[0]
    values += [login, unquote(login), *login.split(":")[1:], *unquote(login).split(":")[1:]]
    values += [word for value in values for word in value.split()]  # the token of "Bearer token"
    written = {form(value) for value in values for form in (str, quote, quote_plus)}
    return {value for value in written if len(value) >= _MIN_SECRET_CHARS}


def _strike_out(secrets: set[str], error: OutboxError) -> None:
    for secret in sorted(secrets, key=len, reverse=True):
        error.message = error.message.replace(secret, "***")
        error.hint = error.hint.replace(secret, "***") if error.hint else None
    error.args = (error.message,)


def _host(url: str) -> str:
    return without_secrets(url).partition("//")[2].partition("/")[0]


def _status(status: int) -> str:
    return f"{status} {responses.get(status, '')}".strip()
