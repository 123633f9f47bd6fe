"""Who asks: the headers that log a REST source in, and OAuth's token (client credentials).

Invariants:
- A token is asked for once, kept in memory alone until shortly before it ends, and renewed once where the
  server refuses it earlier (401). A second refusal is the server's answer.
- Every secret that a request carries, in whichever form, is declared to it and struck out of messages.
"""

import base64
from collections.abc import Callable
from datetime import datetime, timedelta
from urllib.parse import quote_plus, urlencode

from collectors.collector import Context
from collectors.http.client import Request
from collectors.http.oauth import FORM, MAX_TOKEN_BYTES, Granted, read_token
from collectors.rest.options import RestOptions, filled, pairs

TOKEN_MARGIN = timedelta(seconds=60)


class Login:
    """Logs the requests of one source in; secrets are read when they are first needed."""

    def __init__(self, options: RestOptions, context: Context) -> None:
        self._options = options
        self._context = context
        self._token = Token(options, context, self.secret) if options.auth == "oauth" else None

    def secret(self) -> str:
        """Return the secret, empty where the section has none."""
        return self._context.secret(self._options.secret) if self._options.secret else ""

    def headers(self) -> dict[str, str]:
        """Return what a request sends to be let in; nothing for `auth = none`."""
        match self._options.auth:
            case "header":
                line = filled(self._options.auth_header, {"secret": self.secret()})
                name, _, value = (line or "").partition(":")
                return {name.strip(): value.strip()}
            case "basic":
                return {"Authorization": basic(self._options.login, self.secret())}
        return {"Authorization": f"Bearer {self._token.get()}"} if self._token else {}

    def renew(self) -> bool:
        """Forget a token that was refused; False where there is none to renew."""
        return self._token is not None and self._token.forget()

    def secrets(self) -> tuple[str, ...]:
        """Return every value that no message may hold."""
        token = self._token.known() if self._token else ""
        return tuple(filter(None, (self.secret(), token)))


class Token:
    """The token of one source."""

    def __init__(self, options: RestOptions, context: Context, secret: Callable[[], str]) -> None:
        self._options = options
        self._context = context
        self._secret = secret
        self._text = ""
        self._until: datetime | None = None

    def known(self) -> str:
        """Return the token that is at hand, empty where there is none."""
        return self._text

    def forget(self) -> bool:
        """Have the next `get` ask for a new token; False where there was none."""
        there, self._text, self._until = bool(self._text), "", None
        return there

    def get(self) -> str:
        """Return a token that is good for a while; LoginRefusedError where the server gives none."""
        if not self._until or self._context.now() >= self._until:
            self.forget()
            self._text, seconds = self._ask()
            self._context.hide(self._text)
            self._until = self._context.now() + max(timedelta(), timedelta(seconds=seconds) - TOKEN_MARGIN)
        return self._text

    def _ask(self) -> Granted:
        secret = self._secret()
        form = {"grant_type": "client_credentials"}
        if self._options.scope:
            form["scope"] = self._options.scope
        headers = dict(FORM)
        if self._options.token_login == "header":  # noqa: S105 - where it goes, not what it is
            # RFC 6749 §2.3.1: both are form-encoded first.
            headers["Authorization"] = basic(quote_plus(self._options.login), quote_plus(secret))
        else:
            form |= {"client_id": self._options.login, "client_secret": secret}
        request = Request(
            url=self._options.token_url,
            params={},
            method="POST",
            headers=headers,
            body=urlencode(form).encode(),
            secrets=(secret,),
            reach=self._options.reach(),
        )
        return self._context.http.send(
            request, read=lambda answer: read_token(answer, self._context.now()), max_bytes=MAX_TOKEN_BYTES
        )


def basic(user: str, password: str) -> str:
    """Return the value of the header for a user and a password."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")


def header_lines(options: RestOptions, values: dict[str, str]) -> dict[str, str]:
    """Return the configured headers; one whose placeholder has no value is left out."""
    lines = {name: filled(value, values) for name, value in pairs(options.headers, ":")}
    return {name: value for name, value in lines.items() if value is not None}
