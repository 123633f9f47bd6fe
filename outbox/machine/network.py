"""What every way out of a customer's site shares: whom to trust, what is reached directly, when to return.

It knows no client: collectors and uploader have their own, and both follow these rules.
"""

import re
import ssl
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ipaddress import ip_address, ip_network

import truststore

from outbox.errors import ConfigError

_LIMIT_RESET = ("x-ratelimit-reset", "x-rate-limit-reset", "ratelimit-reset")
_YEAR_S, _MILLISECONDS_FROM = 366 * 86_400, 10**11


def trusted(ca_bundle: str) -> ssl.SSLContext:
    """Return what decides whom to believe: the operating system's store, or a file of certificates.

    ConfigError when that file cannot be read or holds none.
    """
    if ca_bundle == "system":
        return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        return ssl.create_default_context(cafile=ca_bundle)
    except OSError as error:  # ssl.SSLError is one too
        broken = isinstance(error, ssl.SSLError)
        reason = "holds no certificates" if broken else f"cannot be read ({error.strerror})"
        raise ConfigError(
            [f"[network] ca_bundle: {ca_bundle} {reason}"], hint="write system, or the path of a PEM file"
        ) from error


def bypasses(host: str, no_proxy: Iterable[str]) -> bool:
    """Return whether `host` is reached directly: it is named, ends in a .suffix, or lies in a network."""
    host = host.lower().rstrip(".")
    for entry in (entry.lower() for entry in no_proxy):
        if entry in ("*", host) or (entry.startswith(".") and f".{host}".endswith(entry)):
            return True
        try:
            inside = is_address(host) and ip_address(host) in ip_network(entry, strict=False)
        except ValueError:
            continue  # a name: it is compared, never looked up
        if inside:
            return True
    return False


def is_address(host: str) -> bool:
    """Return whether `host` is an IP address and no name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return how long a server asks to wait, None where it does not say.

    A date in it is counted from the server's own Date, else from `now`: this machine's clock may be wrong.
    """
    text = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,9}", text):
        return float(text)
    until = http_date(text)
    since = http_date(headers.get("date", "")) or now
    return max(0.0, (until - since).total_seconds()) if until else None


def limit_ends_in_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return how long a server that limits requests asks to wait, None where it does not say.

    Retry-After counts; else the moment at which the limit is reset, which servers write as seconds to wait
    or as seconds or milliseconds since 1970 (by the server's own Date, where it sends one).
    """
    if (wait_s := retry_after_s(headers, now)) is not None:
        return wait_s
    text = next((headers[name].strip() for name in _LIMIT_RESET if name in headers), "")
    if not re.fullmatch(r"\d{1,13}(\.\d{1,9})?", text):
        return None
    reset = float(text)
    if reset < _YEAR_S:
        return reset
    since = http_date(headers.get("date", "")) or now
    return max(0.0, (reset / 1_000 if reset >= _MILLISECONDS_FROM else reset) - since.timestamp())


def http_date(text: str) -> datetime | None:
    """Return the moment that an HTTP date names, None for what is no date."""
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
