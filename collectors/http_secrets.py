"""Which parts of a request are secret, and how they are kept out of what a person reads. No I/O."""

import json
import re
from collections.abc import Iterable
from urllib.parse import parse_qsl, quote, quote_plus, unquote

from outbox.errors import OutboxError

_SECRET_NAME = re.compile(r"key|token|secret|passw|sign?ature|cookie|auth", re.IGNORECASE)
_MIN_SECRET_CHARS = 4
CUT = " ... "
"""What `shorten` puts where it cuts; a quotation is cut at the end of a message."""


def secrets_in(named: Iterable[tuple[str, object]], url: str) -> list[str]:
    """Return the values of parameters and headers whose name says that they are secret."""
    pairs = (*named, *parse_qsl(url.partition("?")[2]))
    return [str(value) for name, value in pairs if _SECRET_NAME.search(name)]


def login_of(address: str) -> list[str]:
    """Return what of an address's login is secret: user and password together, and the password."""
    login = address.partition("//")[2].rpartition("@")[0]
    return [login, unquote(login), *login.split(":")[1:], *unquote(login).split(":")[1:]]


def secret_forms(values: Iterable[str]) -> set[str]:
    """Return every form in which secrets may show; what is too short to be one is left out."""
    whole = list(values)
    words = [word for value in whole for word in value.split()]  # the token of "Bearer token"
    written = {form(value) for value in (*whole, *words) for form in (str, quote, quote_plus, _in_json)}
    return {value for value in written if len(value) >= _MIN_SECRET_CHARS}


def _in_json(value: str) -> str:
    return json.dumps(value)[1:-1]


def strike_out(secrets: Iterable[str], error: OutboxError) -> None:
    """Replace every secret in an error's message and hint, and what a cut left of one."""
    longest_first = sorted(secrets, key=len, reverse=True)
    error.message = _struck(error.message, longest_first)
    error.hint = _struck(error.hint, longest_first) if error.hint else None
    error.args = (error.message,)


def _struck(text: str, secrets: list[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, "***")
    pieces = text.split(CUT)
    for number, piece in enumerate(pieces):
        for secret in secrets:
            ends = range(len(secret) - 1, _MIN_SECRET_CHARS - 1, -1)
            if left := next((secret[:n] for n in ends if piece.endswith(secret[:n])), ""):
                pieces[number] = piece.removesuffix(left) + "***"
            elif number and (left := next((secret[-n:] for n in ends if piece.startswith(secret[-n:])), "")):
                pieces[number] = "***" + piece.removeprefix(left)
    return CUT.join(pieces)


def without_secrets(url: str) -> str:
    """Return the address alone: no login, no query, no fragment."""
    scheme, slashes, rest = re.split(r"[?#]", url, maxsplit=1)[0].partition("//")
    login_and_host, slash, path = rest.partition("/")
    return f"{scheme}{slashes}{login_and_host.rpartition('@')[2]}{slash}{path}"


def host_of(url: str) -> str:
    """Return the host, with its port, of an address; empty where there is none."""
    return without_secrets(url).partition("//")[2].partition("/")[0]
