"""What OAuth's token endpoint answers (RFC 6749 §5): a token, or why there is none."""

from datetime import datetime
from typing import NamedTuple

import msgspec

from collectors.http.client import Answer, check_status, said
from outbox.errors import LoginRefusedError, PermanentError, TransientError

MAX_TOKEN_BYTES = 64 * 1024
DEFAULT_TOKEN_S = 300
MAX_TOKEN_S = 86_400
FORM = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
_REFUSALS = (
    "invalid_client",
    "unauthorized_client",
    "invalid_grant",
    "access_denied",
    "interaction_required",
)


class Granted(NamedTuple):
    """A token, and for how long it is good."""

    token: str
    seconds: float


def read_token(answer: Answer, now: datetime) -> Granted:
    """Return the token of an answer; LoginRefusedError where the server refuses the login.

    An answer that is no JSON is a TransientError, one without a usable token a PermanentError.
    """
    try:
        found = msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        check_status(answer, now)
        raise TransientError(f"{answer.url} sent no token but{said(answer.body)}") from error
    if not isinstance(found, dict):
        found = {}
    if answer.status < 500 and found.get("error") in _REFUSALS:
        raise LoginRefusedError(
            f"{answer.url} gives no token: {found['error']}",
            hint="look at the login, the scope and the secrets of this source",
        )
    check_status(answer, now)
    token = found.get("access_token")
    if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token:
        raise PermanentError(f"{answer.url} sent no access_token that can be used")
    return Granted(token, _seconds(found.get("expires_in")))


def _seconds(said: object) -> float:
    """For how long the server says; some say it as text, and some nothing."""
    if isinstance(said, str) and said.isdigit() and len(said) < 10:
        said = int(said)
    seconds = said if isinstance(said, (int, float)) and not isinstance(said, bool) else 0
    return min(seconds if seconds > 0 else DEFAULT_TOKEN_S, MAX_TOKEN_S)
