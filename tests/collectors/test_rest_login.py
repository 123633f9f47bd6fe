"""Who asks: each way to log in, tokens that end, and secrets that appear nowhere."""

import base64
import logging
import traceback
from urllib.parse import parse_qsl

import pytest
from pydantic import ValidationError

from outbox.errors import LoginRefusedError, OutboxError, PermanentError, TransientError
from tests.collectors.loopback import RESET, reply
from tests.collectors.rest_api import LINK, SECRET, Linked, entities, order, rest, since

TOKEN = "CANARY-9e21-token"


def basic(text):
    return "Basic " + base64.b64encode(text.encode()).decode()


def collected(url, make_http, clock, **options):
    return entities(rest(url, make_http(), clock, **options).collect({}))


@pytest.mark.parametrize(
    ("options", "name", "expected"),
    [
        ({"auth": "header"}, "authorization", f"Bearer {SECRET}"),
        ({"auth": "header", "auth_header": "X-Api-Key: {secret}"}, "x-api-key", SECRET),
        (
            {"auth": "header", "auth_header": "Authorization: Token token={secret}"},
            "authorization",
            f"Token token={SECRET}",
        ),
        ({"auth": "basic", "login": "jürgen"}, "authorization", basic(f"jürgen:{SECRET}")),
        ({"headers": "X-Tenant: 7\nX-Key: a{secret}b"}, "x-key", f"a{SECRET}b"),
        ({"headers": "X-Tenant: 7\naccept: text/json"}, "accept", "text/json"),
    ],
)
def test_a_login_by_header(serve, make_http, clock, options, name, expected):
    server = serve(lambda _ask: reply(200, [order(1)]))
    if "auth" in options or "secret" in str(options):
        options = {"secret": "file:secrets/api", **options}
    assert collected(server.url, make_http, clock, **options) == ["1"]
    assert server.asks[0].headers[name] == expected


def test_a_secret_in_the_query(serve, make_http, clock):
    server = serve(lambda _ask: reply(200, [order(1)]))
    collected(server.url, make_http, clock, secret="file:api", query="apikey = {secret}\nlimit = 5")
    assert server.asks[0].target == f"/?apikey={SECRET}&limit=5"


def test_a_parameter_may_come_more_than_once(serve, make_http, clock):
    server = serve(lambda _ask: reply(200, [order(1)]))
    collected(server.url, make_http, clock, query="state = open\nstate = new\nfields = a,b")
    assert server.asks[0].target == "/?state=open&state=new&fields=a,b"


class Guarded:
    """An API whose tokens end when it says so."""

    def __init__(self, **answer):
        self.tokens = 0
        self.forms = []
        self.valid = set()
        self.answer = answer

    def script(self, ask):
        if ask.target == "/token":
            self.forms.append((dict(parse_qsl(ask.body.decode())), ask.headers))
            self.tokens += 1
            token = f"{TOKEN}-{self.tokens}"
            self.valid = {f"Bearer {token}"}
            return reply(
                200, {"access_token": token, "token_type": "Bearer", "expires_in": 3600, **self.answer}
            )
        if ask.headers.get("authorization") not in self.valid:
            return reply(401, {"error": f"bad token {ask.headers.get('authorization')}"})
        return reply(200, [order(self.tokens)])


OAUTH = {"auth": "oauth", "secret": "file:secrets/api", "login": "our id"}


@pytest.fixture
def guarded(serve, make_http, clock):
    """guarded(api, **options) is a source that logs in by OAuth there."""

    def make(api, attempts=1, **options):
        url = serve(api.script).url
        options = {**OAUTH, "token_url": f"{url}/token", **options}
        return rest(url + "/orders", make_http(attempts=attempts), clock, **options)

    return make


def test_a_token_is_asked_for_once(guarded):
    api = Guarded()
    source = guarded(api, scope="read all")
    assert entities(source.collect({})) == ["1"]
    ((form, headers),) = api.forms
    assert form == {"grant_type": "client_credentials", "scope": "read all"}
    assert headers["authorization"] == basic(f"our+id:{SECRET}")


def test_id_and_secret_may_go_into_the_body(guarded):
    api = Guarded()
    list(guarded(api, token_login="body").collect({}))
    form, headers = api.forms[0]
    assert (form["client_id"], form["client_secret"]) == ("our id", SECRET)
    assert "authorization" not in headers


def test_a_token_that_ends_on_the_way_is_renewed_once(guarded):
    api = Guarded()
    linked = Linked(order(n) for n in range(9))
    seen = []

    def script(ask):
        if ask.target == "/token" or ask.headers.get("authorization") not in api.valid:
            return Guarded.script(api, ask)
        seen.append(ask)
        if len(seen) == 2:
            api.valid = set()
            return Guarded.script(api, ask)
        return linked.script(ask)

    api.script = script
    assert entities(guarded(api, **LINK).collect({})) == [str(n) for n in range(9)]
    assert api.tokens == 2


def test_a_new_token_that_is_refused_too_is_a_refused_login(guarded):
    api = Guarded()
    original = api.script
    api.script = lambda ask: original(ask) if ask.target == "/token" else reply(401, b"never")
    with pytest.raises(LoginRefusedError, match="401"):
        list(guarded(api, attempts=3).collect({}))
    assert api.tokens == 2


@pytest.mark.parametrize(
    ("lives", "tokens"), [(3600, 1), (90, 4), (1, 4), (0, 1), ("3600", 1), ("soon", 1), (None, 1), (1e300, 1)]
)
def test_a_token_is_kept_until_shortly_before_it_ends(guarded, clock, lives, tokens):
    api = Guarded(expires_in=lives)
    linked = Linked(order(n) for n in range(12))

    def script(ask):
        if ask.target == "/token":
            return Guarded.script(api, ask)
        clock.sleep(45)
        return linked.script(ask)

    api.script = script
    assert len(entities(guarded(api, **LINK).collect({}))) == 12
    assert api.tokens == tokens


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (reply(400, {"error": "invalid_client", "error_description": "who?"}), LoginRefusedError),
        (reply(401, {"error": "invalid_client"}), LoginRefusedError),
        (reply(401, b"no"), LoginRefusedError),
        (reply(400, {"error": "invalid_scope"}), PermanentError),
        (reply(403, b"<html>"), PermanentError),
        (reply(200, {"error": "unauthorized_client"}), LoginRefusedError),
        (reply(500, {"error": "invalid_client"}), TransientError),
        (reply(503), TransientError),
        (reply(429), TransientError),
        (RESET, TransientError),
        (reply(200, b"<html>Log in</html>"), TransientError),
        (reply(200, b"\xff\xfe"), TransientError),
        (reply(200, b"[" * 60_000), TransientError),
        (reply(200, []), PermanentError),
        (reply(200, {}), PermanentError),
        (reply(200, {"access_token": ""}), PermanentError),
        (reply(200, {"access_token": 5}), PermanentError),
        (reply(200, {"access_token": "two\r\nX-Evil: 1"}), PermanentError),
        (reply(200, {"access_token": "ä"}), PermanentError),
        (reply(200, {"access_token": "x" * 70_000}), PermanentError),
        (reply(302, b"", {"Location": "https://login.example/"}), PermanentError),
    ],
)
def test_a_token_that_cannot_be_had(guarded, answer, expected):
    api = Guarded()
    api.script = lambda _ask: answer
    with pytest.raises(OutboxError) as caught:
        list(guarded(api).collect({}))
    assert type(caught.value) is expected
    assert SECRET not in str(caught.value)


def test_a_login_that_was_withdrawn_is_tried_once(guarded, clock):
    """When the token has ended, and the server gives no new one, it is not asked twice."""
    api = Guarded(expires_in=90)
    linked = Linked(order(n) for n in range(12))

    def script(ask):
        if ask.target == "/token" and api.tokens:
            api.tokens += 1
            return reply(401, {"error": "invalid_client"})
        if ask.target == "/token":
            return Guarded.script(api, ask)
        clock.sleep(45)
        return linked.script(ask)

    api.script = script
    with pytest.raises(LoginRefusedError):
        list(guarded(api, **LINK).collect({}))
    assert api.tokens == 2


def test_a_wrong_login_is_told_apart_from_missing_rights(serve, make_http, clock):
    for status, expected in ((401, LoginRefusedError), (403, PermanentError)):
        server = serve(lambda _ask, status=status: reply(status))
        with pytest.raises(PermanentError) as caught:
            collected(server.url, make_http, clock, auth="header", secret="file:secrets/api")
        assert type(caught.value) is expected


def echoes(ask):
    """What a careless server says: everything that it was sent."""
    login = ask.headers.get("authorization", "")
    raw = base64.b64decode(login.split()[-1]).decode(errors="replace") if "Basic" in login else ""
    return f"refused {ask.target} {ask.headers} {raw} {ask.body!r}".encode()


@pytest.mark.parametrize("status", [200, 400, 401, 403, 429, 500])
@pytest.mark.parametrize(
    "options",
    [
        {"auth": "header"},
        {"auth": "header", "auth_header": "X-Custom: {secret}"},
        {"auth": "basic", "login": "me"},
        {"headers": "X-Harmless: {secret}"},
        {"query": "x = {secret}"},
        {"method": "POST", "body": '{"x": "{secret}"}'},
        {"auth": "oauth", "login": "me"},
        {"auth": "oauth", "login": "me", "token_login": "body"},
    ],
)
@pytest.mark.parametrize("known", [SECRET, 'CANARY "q\\uote" %/+ä'])
def test_a_secret_that_the_server_echoes_is_nowhere(serve, make_http, clock, caplog, options, status, known):
    def script(ask):
        if ask.target == "/token" and status == 200:
            return reply(200, {"access_token": f"{TOKEN}"})
        return reply(status, echoes(ask))

    caplog.set_level(logging.DEBUG)
    server = serve(script)
    if options.get("auth") == "oauth":
        options = {**options, "token_url": f"{server.url}/token"}
    source = rest(server.url, make_http(), clock, known=known, secret="file:secrets/api", **options)
    with pytest.raises(OutboxError) as caught:
        list(source.collect({}))
    told = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + str(caught.value)
    for text in (told, caplog.text, str(caught.value.hint)):
        assert "CANARY" not in text
    assert type(caught.value).__module__ == "outbox.errors"


def test_no_page_holds_a_secret(serve, make_http, clock):
    orders = Linked(order(n) for n in range(7))
    original = orders.page

    def page(query):
        return (
            original(query)
            .replace(b'; rel="next"', f'&apikey={SECRET}>; rel="next"'.encode())
            .replace(b">&", b"&")
        )

    orders.page = page
    options = since({**LINK, "secret": "file:api", "query": "apikey = {secret}"})
    source = rest(serve(orders.script).url, make_http(), clock, **options)
    pages = list(source.collect({}))
    assert len(entities(pages)) == 7
    assert SECRET not in repr(pages)


def test_a_missing_secret_is_said_before_anything_is_asked(serve, make_http, clock):
    server = serve(lambda _ask: reply(200, []))
    source = rest(server.url, make_http(), clock, auth="header", secret="file:secrets/api")

    def missing(_reference):
        raise PermanentError("the secret file:secrets/api does not exist yet")

    object.__setattr__(source._context, "secret", missing)
    with pytest.raises(PermanentError, match="does not exist yet"):
        list(source.collect({}))
    assert server.asks == []


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"auth": "header"}, "secret is missing"),
        ({"query": "x = {secret}", "url": "http://api.example/"}, "secret is missing"),
        ({"secret": "file:a"}, "used nowhere"),
        ({"secret": "hunter2", "auth": "header"}, "never the secret itself"),
        ({"auth": "basic", "secret": "file:a"}, "login is missing"),
        ({"auth": "basic", "secret": "file:a", "login": "a:b"}, "no colon"),
        ({"auth": "oauth", "secret": "file:a", "login": "a"}, "token_url"),
        ({"auth": "header", "secret": "file:a", "token_url": "https://a.example/t"}, "token_url"),
        ({"auth": "header", "secret": "file:a", "url": "http://api.example/"}, "never sent over http"),
        ({**OAUTH, "token_url": "http://api.example/t"}, "never sent over http"),
        ({"headers": "Authorization: Bearer abc"}, "written down"),
        ({"headers": "Cookie: session=abc"}, "written down"),
        ({"query": "api_key = abc"}, "written down"),
        ({"auth": "header", "secret": "file:a", "auth_header": "Authorization: Bearer abc"}, "written down"),
        ({"headers": "Host: other.example"}, "by the program"),
        ({"headers": "X: a\n X-Y"}, "is not of the form"),
        ({"headers": "X Y: a"}, "is not a header"),
        ({"headers": "X: a\nX: b"}, "twice"),
        ({"url": "https://me:word@api.example/"}, "without login"),
        ({"url": "https://api.example/?page=1"}, "is query"),
        ({"url": "ftp://api.example/"}, "no address"),
        ({"url": "https:///x"}, "no address"),
        ({"url": "https://api.example:port/"}, "no address"),
        ({"url": "api.example"}, "no address"),
        ({"records": "data["}, "JMESPath"),
        ({"bookmark": "]", "query": "a = {bookmark}"}, "JMESPath"),
        ({"pagination": "cursor", "next": "next"}, "{cursor} is missing"),
        ({"pagination": "cursor", "query": "c = {cursor}"}, "next says"),
        ({"pagination": "page"}, "{page} is missing"),
        ({"pagination": "offset", "query": "p = {page}"}, "{page} is there"),
        ({"query": "p = {page}"}, "pagination is none"),
        ({"query": "since = {bookmark}"}, "bookmark says where"),
        ({"bookmark": "changed"}, "says where to send it"),
        ({"start": "2026-01-01"}, "belong to bookmark"),
        ({"overlap": "5m"}, "belong to bookmark"),
        ({"overlap": "five"}, "no overlap"),
        ({"sorted": "yes"}, "belong to bookmark"),
        ({"keep_cursor": "yes"}, "keep_cursor is for"),
        ({"next": "a"}, "next is for"),
        ({"pagination": "link", "method": "POST"}, "GET"),
        ({"body": "{}"}, "only POST"),
        ({"method": "POST", "body": "{"}, "no JSON"),
        ({"method": "DELETE"}, "GET"),
        ({"private_networks": "erp.local"}, "no network"),
        ({"max_bytes": "1TB"}, "64000000"),
        ({"max_pages": "0"}, "greater"),
        ({"query": "nonsense"}, "is not of the form"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_section_that_cannot_work_is_refused(make_http, clock, options, reason):
    url = options.pop("url", "https://api.example/orders")
    with pytest.raises(ValidationError) as caught:
        rest(url, make_http(), clock, **options)
    assert reason in str(caught.value)
