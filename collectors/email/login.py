"""Gets the secret for logging in to a mailbox: a password, an access token, or a token fetched by OAuth."""

from urllib.parse import urlencode

from collectors.collector import Context
from collectors.email.options import EmailOptions
from collectors.http.client import Request
from collectors.http.oauth import FORM, MAX_TOKEN_BYTES, read_token


def credential(options: EmailOptions, context: Context) -> str:
    """Return the password or access token; LoginRefusedError where the token server refuses to issue one."""
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
        headers=dict(FORM),
        body=urlencode({name: value for name, value in form.items() if value}).encode(),
        secrets=(secret, form.get("refresh_token", "")),
    )
    granted = context.http.send(
        request, read=lambda answer: read_token(answer, context.now()), max_bytes=MAX_TOKEN_BYTES
    )
    context.hide(granted.token)
    return granted.token
