"""The rule that no text which repeats a secret is shown, in the codings that servers and proxies use."""

import base64
import hashlib
import html
import json
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote

import pytest

from outbox.errors import PermanentError
from outbox.redaction import NOT_SHOWN, Secrets

SECRET = "Kä7-canary/Zebra+42"
CODINGS = {
    "plain": SECRET,
    "upper": SECRET.upper(),
    "basic": base64.b64encode(f"u:{SECRET}".encode()).decode(),
    "basic, longer": base64.b64encode(f"us:{SECRET}".encode()).decode(),
    "sasl plain": base64.b64encode(f"\0u@h\0{SECRET}".encode()).decode(),
    "base64 url": base64.urlsafe_b64encode(SECRET.encode()).decode(),
    "hex": SECRET.encode().hex(),
    "hex, capitals": SECRET.encode().hex().upper(),
    "url": quote(SECRET, safe=""),
    "url, small": quote(SECRET, safe="").lower(),
    "url, all": "".join(f"%{byte:02X}" for byte in SECRET.encode()),
    "url twice": quote(quote(SECRET, safe=""), safe=""),
    "json": json.dumps(SECRET),
    "json, all": "".join(f"\\u{ord(letter):04x}" for letter in SECRET),
    "repr": ascii(SECRET),
    "entities": html.escape(SECRET),
    "entities, all": "".join(f"&#{ord(letter)};" for letter in SECRET),
    "cut": SECRET[:11],
    "cut in front": SECRET[8:],
}


@pytest.mark.parametrize("written", CODINGS.values(), ids=CODINGS.keys())
def test_no_coding_of_a_secret_is_shown(written: str) -> None:
    error = PermanentError(f"host: denied: for {written}.", hint=f"ask {written}")
    Secrets([SECRET]).hide(error)
    assert error.message == f"host: denied: {NOT_SHOWN}"
    assert error.hint is None
    assert error.args == (error.message,)


@pytest.mark.parametrize("at", [0, 1, 2, 700, 1991])
@pytest.mark.parametrize(
    "coding", [str, str.upper, lambda t: base64.b64encode(t.encode()).decode(), lambda t: t.encode().hex()]
)
def test_a_stretch_of_a_long_token_is_found_as_one_of_a_short_one_is(
    at: int, coding: Callable[[str], str]
) -> None:
    token = "".join(hashlib.sha256(bytes([number])).hexdigest() for number in range(32))[:1999]
    secrets = Secrets([token])
    assert secrets.are_in(f"denied for {coding(token[at : at + 8])}!")
    assert not secrets.are_in(f"denied for {coding('nobody')}!" + "x" * 3_000)


def test_a_long_token_is_looked_for_in_a_time_that_does_not_grow_with_it() -> None:
    looked_up = []

    class Needles(set[str]):
        def __contains__(self, stretch: object) -> bool:
            looked_up.append(stretch)
            return super().__contains__(stretch)

        def isdisjoint(self, stretches: Iterable[Any]) -> bool:
            return not any(stretch in self for stretch in stretches)

    for size in (1_000, 8_000):
        looked_up.clear()
        secrets = Secrets(["".join(hashlib.sha256(b"%d" % n).hexdigest() for n in range(size // 64))])
        secrets._needles = Needles(secrets._needles)
        assert not secrets.are_in("z" * 200)
        assert 200 < len(looked_up) < 200 * 8


def test_what_holds_no_secret_is_shown_whole() -> None:
    error = PermanentError("host: Bearer authentication failed for user u", hint="look at the key")
    Secrets([f"Bearer {SECRET}", ""]).hide(error)
    assert error.message == "host: Bearer authentication failed for user u"
    assert error.hint == "look at the key"


def test_a_short_secret_counts_as_a_whole_and_a_tiny_one_not() -> None:
    assert Secrets(["pin77"]).are_in("the PIN77 is wrong")
    assert not Secrets(["pin77"]).are_in("the pin7 is wrong")
    assert not Secrets(["abc"]).are_in("abc")
