"""The rule that no text which repeats a secret is shown, in the codings that servers and proxies use."""

import base64
import html
import json
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


def test_what_holds_no_secret_is_shown_whole() -> None:
    error = PermanentError("host: Bearer authentication failed for user u", hint="look at the key")
    Secrets([f"Bearer {SECRET}", ""]).hide(error)
    assert error.message == "host: Bearer authentication failed for user u"
    assert error.hint == "look at the key"


def test_a_short_secret_counts_as_a_whole_and_a_tiny_one_not() -> None:
    assert Secrets(["pin77"]).are_in("the PIN77 is wrong")
    assert not Secrets(["pin77"]).are_in("the pin7 is wrong")
    assert not Secrets(["abc"]).are_in("abc")
