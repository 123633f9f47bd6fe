"""Which parts of a request are secret, for `outbox.redaction` to keep hidden. No I/O."""

import base64
import re
from collections.abc import Iterable
from urllib.parse import parse_qsl, unquote

_SECRET_NAME = re.compile(r"key|token|secret|passw|sign?ature|cookie|auth", re.IGNORECASE)


def secrets_in(named: Iterable[tuple[str, object]], url: str) -> list[str]:
    """Return the values of parameters and headers whose name says that they are secret."""
    pairs = (*named, *parse_qsl(url.partition("?")[2]))
    return [str(value) for name, value in pairs if _SECRET_NAME.search(name)]


def login_of(address: str) -> list[str]:
    """Return what of an address's login is secret: the password, and the blob of Basic; the user is not."""
    login = unquote(address.partition("//")[2].rpartition("@")[0])
    password = login.partition(":")[2]
    return [password, base64.b64encode(login.encode()).decode()] if password else []


def without_secrets(url: str) -> str:
    """Return the address alone: no login, no query, no fragment."""
    scheme, slashes, rest = re.split(r"[?#]", url, maxsplit=1)[0].partition("//")
    login_and_host, slash, path = rest.partition("/")
    return f"{scheme}{slashes}{login_and_host.rpartition('@')[2]}{slash}{path}"


def host_of(url: str) -> str:
    """Return the host, with its port, of an address; empty where there is none."""
    return without_secrets(url).partition("//")[2].partition("/")[0]
