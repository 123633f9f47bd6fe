"""Whether a text repeats a secret, what is shown instead, and which parts of a request are secret. No I/O.

Invariant: what a server sent is shown or kept only when no eight characters in a row of a configured
secret are in it, in any usual coding and whatever the case. The text is decoded and compared; spellings
are not listed one by one. The rule is meant for whole texts, and also holds for what a cut left of one.
"""

import base64
import html
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from urllib.parse import parse_qsl, unquote, unquote_plus

from outbox.errors import OutboxError

NOT_SHOWN = "(the answer repeats a secret and is not shown)"
MIN_SECRET_CHARS = 4
"""A shorter secret would be found in any text."""
STRETCH_CHARS = 8
_ROUNDS = 3
_FEW_NEEDLES = 1_000
"""Up to here, looking for each is faster than looking each stretch of the text up."""
_CUT = " ... "  # what `outbox.errors.shorten` puts where it cuts
_SCHEME = re.compile(r"(?:basic|bearer|token|apikey)\s+", re.IGNORECASE)
_SECRET_NAME = re.compile(r"key|token|secret|passw|sign?ature|cookie|auth", re.IGNORECASE)
_ESCAPE = re.compile(r"\\(?:u([0-9a-f]{4})|x([0-9a-f]{2})|(.))", re.IGNORECASE | re.DOTALL)
_CONTROLS = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}


class Secrets:
    """The secrets of one request or login, ready to be looked for; too short ones are left out."""

    def __init__(self, values: Iterable[str]) -> None:
        self._needles: set[str] = set()
        self._heads: tuple[str, ...] = ()
        self._tails: tuple[str, ...] = ()
        for value in {_SCHEME.sub("", value.strip(), count=1) for value in values}:
            if len(value) >= MIN_SECRET_CHARS:
                lengths = range(MIN_SECRET_CHARS, min(STRETCH_CHARS, len(value)))
                self._heads += tuple(value[:n].casefold() for n in lengths)
                self._tails += tuple(value[-n:].casefold() for n in lengths)
                for start in range(max(1, len(value) - STRETCH_CHARS + 1)):
                    self._needles |= _codings(value[start : start + STRETCH_CHARS])
        self._lengths = sorted({len(needle) for needle in self._needles})

    def are_in(self, text: str) -> bool:
        """Return whether the text repeats a stretch of a secret."""
        if not self._needles:
            return False
        readings = _readings(text)
        return any(self._holds(form) or self._is_cut_in(form.split(_CUT)) for form in readings)

    def _holds(self, form: str) -> bool:
        """Return whether a needle is in a text; the time does not grow with a secret as long as a token."""
        if len(self._needles) <= _FEW_NEEDLES:
            return any(needle in form for needle in self._needles)
        return any(
            not self._needles.isdisjoint(
                form[start : start + length] for start in range(len(form) - length + 1)
            )
            for length in self._lengths
        )

    def _is_cut_in(self, pieces: list[str]) -> bool:
        """Return whether a cut left the beginning or the end of a secret, shorter than a stretch."""
        return any(piece.endswith(self._heads) for piece in pieces) or any(
            piece.startswith(self._tails) for piece in pieces[1:]
        )

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Hide what repeats a secret in every error that comes out of a `with` block."""
        try:
            yield
        except OutboxError as error:
            self.hide(error)
            raise

    def hide(self, error: OutboxError) -> None:
        """Leave of an error's message what stands before the secret, and drop a hint that holds one."""
        error.message = self.shown(error.message)
        if error.hint and self.are_in(error.hint):
            error.hint = None
        error.args = (error.message,)

    def shown(self, text: str) -> str:
        """Return the text, or what stands in it before the clause that repeats a secret."""
        if not self._needles or not self.are_in(text):
            return text
        clauses = text.split(": ")
        for count in range(len(clauses) - 1, 0, -1):
            kept = ": ".join(clauses[:count])
            if not self.are_in(kept):
                return f"{kept}: {NOT_SHOWN}"
        return NOT_SHOWN


def _codings(stretch: str) -> set[str]:
    """Return a stretch itself, in hex and, where it is long enough to be told, in base64."""
    raw = stretch.encode(errors="surrogatepass")
    found = {stretch.casefold()}
    if len(stretch) < STRETCH_CHARS:
        return found
    found.add(raw.hex())
    for shift in range(3):
        coded = base64.b64encode(bytes(shift) + raw).decode().rstrip("=")
        first = (8 * shift + 5) // 6  # the characters that hold bits of this stretch alone
        whole = coded[first : (8 * (shift + len(raw))) // 6].casefold()
        found |= {whole, whole.replace("+", "-").replace("/", "_")}
    return found


def _readings(text: str) -> set[str]:
    """Return a text as it is and as its usual codings decode, in small letters."""
    found = {text}
    for _ in range(_ROUNDS):
        found |= {read(form) for form in found for read in (unquote_plus, html.unescape, _unescaped)}
    return {form.casefold() for form in found}


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(_character, text)


def _character(match: re.Match[str]) -> str:
    code = match[1] or match[2]
    return chr(int(code, 16)) if code else _CONTROLS.get(match[3], match[3])


def secrets_in(named: Iterable[tuple[str, object]], url: str) -> list[str]:
    """Return the values of parameters and headers whose name says that they are secret."""
    pairs = (*named, *parse_qsl(url.partition("?")[2]))
    return [str(value) for name, value in pairs if _SECRET_NAME.search(name)]


def login_secrets(address: str) -> list[str]:
    """Return what of an address's login is secret: the password, and the blob of Basic; the user is not."""
    login = unquote(address.rpartition("//")[2].rpartition("@")[0])
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
