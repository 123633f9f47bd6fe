"""Tokens: from a secret, or asked for at each run; a real server looks at them."""

from urllib.parse import parse_qs

import pytest

from outbox.errors import LoginRefusedError, PermanentError, TransientError
from tests.collectors.loopback import reply
from tests.support import dovecot
from tests.support.mail import ORDERS, mail

pytestmark = pytest.mark.xdist_group("dovecot")


def rows(pages):
    return [record for page in pages for record in page.records if record.stream != "mailbox"]


def test_a_token_logs_in(server, user, make_email):
    server.put(user, mail(("orders.csv", ORDERS)))
    assert len(rows(make_email(auth="token", secret=dovecot.token(user)).collect({}))) == 2


@pytest.mark.parametrize(
    "token", [dovecot.token("somebody-else"), dovecot.token("user", expires=5), "CANARY"]
)
def test_a_token_of_somebody_else_or_of_yesterday_is_refused(make_email, token):
    with pytest.raises(LoginRefusedError, match="refuses the login") as caught:
        list(make_email(auth="token", secret=token).collect({}))
    assert token not in str(caught.value)


@pytest.mark.parametrize("consent", [False, True])
def test_oauth_asks_for_a_token_and_logs_in_with_it(server, user, make_email, serve, monkeypatch, consent):
    bodies = []

    def script(ask):
        return reply(200, {"access_token": dovecot.token(user), "token_type": "Bearer", "expires_in": 3600})

    asked = serve(script)
    server.put(user, mail(("orders.csv", ORDERS)))
    options = {
        "auth": "oauth",
        "token_url": f"{asked.url}/token",
        "client_id": "the-application",
        "scope": "https://outlook.office365.com/.default",
        "secret": {"env:MAIL": "CANARY-client", "env:CONSENT": "CANARY-refresh"},
    }
    if consent:
        options["refresh_token"] = "env:CONSENT"
    email = make_email(**options)
    send = email._context.http.send
    monkeypatch.setattr(
        email._context.http, "send", lambda request, **more: bodies.append(request) or send(request, **more)
    )
    assert len(rows(email.collect({}))) == 2
    [request] = bodies
    form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
    assert form == {
        "client_id": "the-application",
        "client_secret": "CANARY-client",
        "scope": "https://outlook.office365.com/.default",
        **(
            {"grant_type": "refresh_token", "refresh_token": "CANARY-refresh"}
            if consent
            else {"grant_type": "client_credentials"}
        ),
    }
    assert asked.asks[0].method == "POST"


@pytest.mark.parametrize(
    ("status", "body", "error", "match"),
    [
        (400, {"error": "invalid_grant"}, LoginRefusedError, "gives no token: invalid_grant"),
        (
            401,
            {"error": "invalid_client", "error_description": "CANARY-client"},
            LoginRefusedError,
            "invalid_client",
        ),
        (400, {"error": "invalid_scope"}, PermanentError, "400"),
        (200, {"access_token": ""}, PermanentError, "no access_token"),
        (200, {"access_token": "a\nb"}, PermanentError, "no access_token"),
        (200, b"<html>log in here</html>", TransientError, "sent no token"),
        (503, {"error": "temporarily_unavailable"}, TransientError, "503"),
    ],
)
def test_a_token_that_is_not_given(make_email, serve, status, body, error, match):
    asked = serve(lambda _: reply(status, body))
    options = {"auth": "oauth", "token_url": f"{asked.url}/token", "client_id": "the-application"}
    with pytest.raises(error, match=match) as caught:
        list(make_email(secret="CANARY-client", **options).collect({}))
    assert "CANARY" not in str(caught.value)
