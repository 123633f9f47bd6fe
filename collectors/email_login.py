"""What a mailbox's owner shows at the door: a password, a token, or OAuth's token asked for just now."""

from urllib.parse import urlencode

import msgspec

from collectors.collector import Context
from collectors.email_options import EmailOptions
from collectors.http import Answer, Request, check_status, said
from outbox.errors import LoginRefusedError, PermanentError, TransientError

MAX_TOKEN_BYTES = 64 * 1024
_REFUSALS = (
    "invalid_client",
    "unauthorized_client",
    "invalid_grant",
    "access_denied",
    "interaction_required",
)


def credential(options: EmailOptions, context: Context) -> str:
    """Return the password or access token; LoginRefusedError where the token's server gives none."""
    secret = context.secret(options.secret)
    if options.auth != "oauth":
        return secret
    form = {"client_id": options.client_id, "client_secret": secret, "scope": options.scope}
    if options.refresh_token is None:
        form["grant_type"] = "client_credentials"
    else:
        form |= {"grant_type": "refresh_token", "refresh_token": context.secret(options.refresh_token)}
    request = Request(
        url=options.token_url,
        method="POST",
        headers={"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"},
        body=urlencode({name: value for name, value in form.items() if value}).encode(),
        secrets=(secret, form.get("refresh_token", "")),
    )
    return context.http.send(request, read=_read, max_bytes=MAX_TOKEN_BYTES)


class _Token(msgspec.Struct):
    access_token: str = ""
    error: str = ""


def _read(answer: Answer) -> str:
    try:
        found = msgspec.json.decode(answer.body, type=_Token)
    except msgspec.DecodeError as error:
        check_status(answer)
        raise TransientError(f"{answer.url} sent no token but{said(answer.body)}") from error
    if answer.status < 500 and found.error in _REFUSALS:
        raise LoginRefusedError(
            f"{answer.url} gives no token: {found.error}",
            hint="look at client_id, scope and the secrets of this source",
        )
    check_status(answer)
    if not found.access_token.isprintable() or not found.access_token.isascii() or not found.access_token:
        raise PermanentError(f"{answer.url} sent no access_token that can be used")
    return found.access_token
