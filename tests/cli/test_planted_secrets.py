"""Secrets that servers throw back, in every usual coding: they are found in no screen, log, table or object."""

import base64
import json
import struct
import urllib.parse
from functools import partial

import pytest

from tests.cli.conftest import SILENT, source
from tests.collectors.loopback import Loopback, reply
from tests.support.imap import Listening, scripted
from tests.support.s3_faults import refusal, serving

KEY = "Xq7-pl+s/Canary.9kLm2vRt8"
STRETCHES = [KEY[start : start + 8] for start in range(len(KEY) - 7)]
AT = "2026-11-23T05:00:00Z"


def shifted(count):
    return base64.b64encode(b"x" * count + KEY.encode()).decode()


CODINGS = {
    "plain": KEY,
    "upper": KEY.upper(),
    "base64": shifted(0),
    "base64, one on": shifted(1),
    "base64, two on": shifted(2),
    "hex": KEY.encode().hex(),
    "hex in capitals": KEY.encode().hex().upper(),
    "url": urllib.parse.quote(KEY, safe=""),
    "json": "".join(f"\\u{ord(char):04x}" for char in KEY),
    "html": "".join(f"&#{ord(char)};" for char in KEY),
    "cut in front": KEY[6:],
    "cut behind": KEY[:14],
}
PLACES = {
    "an error": lambda coded: reply(400, {"error": f"the key {coded} is not known"}),
    "a page of HTML": lambda coded: reply(400, f"<html><p>{coded}</p></html>".encode()),
    "a list that is none": lambda coded: reply(
        200, {"status": "error", "message": f"API key {coded} is bad"}
    ),
    "a key of JSON": lambda coded: reply(200, [{coded: 1, "id": 1}]),
    "a rejected record": lambda coded: reply(
        200, [{"id": 1, "at": "never", "v": 1, "self": f"/x?key={coded}"}]
    ),
    "a reason": lambda coded: reply(200, [{"id": 1, "at": AT, "v": f"key {coded}"}]),
    "a redirect": lambda coded: reply(
        302, b"", {"Location": f"https://example.com/{urllib.parse.quote(coded)}"}
    ),
    "a bookmark": lambda coded: reply(200, [{"id": 1, "at": AT, "v": 1, "mark": coded}]),
}


def found_in(agent, *results):
    """The forms of the key, or of a stretch of it, that stand in a screen or a file that is not its own."""
    needles = {form.casefold() for form in CODINGS.values()} | {stretch.casefold() for stretch in STRETCHES}
    needles |= {stretch.encode().hex() for stretch in STRETCHES}
    texts = {f"screen {number}": result.out + result.err for number, result in enumerate(results)}
    for (table,) in agent.query("SELECT name FROM sqlite_schema WHERE type = 'table'"):
        rows = agent.query(f'SELECT * FROM "{table}"')
        texts[table] = "\n".join(str(cell) for row in rows for cell in row)
    for path in (agent.folder / "logs").glob("*"):
        texts[path.name] = path.read_text("utf-8")
    texts["objects"] = json.dumps(agent.lines(), ensure_ascii=False)
    return [
        (where, needle) for where, text in texts.items() for needle in needles if needle in text.casefold()
    ]


@pytest.mark.parametrize("place", PLACES)
def test_a_key_that_a_server_throws_back_is_found_nowhere(agent, outbox, place):
    assert outbox("secret", "set", "api", stdin=f"{KEY}\n").code == 0
    asked = []
    coded = iter([*CODINGS.values()] * 3)

    def answer(ask):
        asked.append(ask.headers["x-api-key"])
        return PLACES[place](next(coded))

    with Loopback(answer) as server:
        agent.configure(
            f"[source:s]\ncollector = rest\nurl = {server.url}/list\nauth = header\nauth_header = X-Api-Key: {{secret}}\n"
            "secret = file:secrets/api\nentity = id\ntime = at\nvalues = v\nbookmark = mark\nquery = since = {bookmark}\n",
            own=SILENT.replace("no", "yes"),
        )
        results = [outbox("collect", "s") for _ in CODINGS]
        results += [outbox("preview", "s"), outbox("check", "s")]
    results += [
        outbox("upload"),
        outbox("status"),
        outbox("status", "--json"),
        outbox("rejected", "list", "--all"),
    ]
    results += [outbox("rejected", "list", "--csv"), outbox("audit")]
    results += [outbox("rejected", "show", "1")]
    assert asked[0] == KEY
    assert len(asked) >= len(CODINGS)
    assert found_in(agent, *results) == []


TOKEN = "0Auth-Granted.T0ken-77aa88bb99"


@pytest.mark.parametrize("place", ["the token's server", "the list", "a rejected record"])
@pytest.mark.parametrize("coding", [str, str.upper, lambda text: base64.b64encode(text.encode()).decode()])
def test_neither_the_secret_nor_the_token_of_oauth_is_found_anywhere(agent, outbox, place, coding):
    assert outbox("secret", "set", "api", stdin=f"{KEY}\n").code == 0

    def answer(ask):
        if ask.target == "/token":
            if place == "the token's server":
                return reply(400, {"error": "invalid_scope", "error_description": f"for {coding(KEY)}"})
            return reply(200, {"access_token": TOKEN, "token_type": "Bearer"})
        if place == "the list":
            return reply(400, {"message": f"the token {coding(TOKEN)} is too old"})
        return reply(200, [{"id": 1, "at": "never", "v": 1, "by": coding(TOKEN)}])

    with Loopback(answer) as server:
        agent.configure(
            f"[source:s]\ncollector = rest\nurl = {server.url}/list\nauth = oauth\ntoken_url = {server.url}/token\n"
            f"login = me\nsecret = file:secrets/api\n{MAPPED}",
            own=SILENT.replace("no", "yes"),
        )
        results = [outbox("collect", "s"), outbox("preview", "s"), outbox("check", "s")]
    results += [
        outbox("upload"),
        outbox("status"),
        outbox("status", "--json"),
        outbox("rejected", "list", "--csv"),
    ]
    assert len(server.asks) > 1
    assert found_in(agent, *results) == []
    kept = str(
        [agent.query(f"SELECT * FROM {table}") for table in ("runs", "rejected", "bookmarks", "bodies")]
    )
    shown = "".join(result.out + result.err for result in results) + kept
    assert coding(TOKEN).casefold() not in shown.casefold()


S3_KEY, S3_SECRET = "AKIAPLANTED000007Q2F", "Pl4nted/secret+access/key1234567890abcd"
S3_CODINGS = {
    "plain": S3_SECRET,
    "upper": S3_SECRET.upper(),
    "base64": base64.b64encode(S3_SECRET.encode()).decode(),
    "hex": S3_SECRET.encode().hex(),
    "url": urllib.parse.quote(S3_SECRET, safe=""),
    "the key's id": S3_KEY,
}


@pytest.mark.parametrize("coding", S3_CODINGS)
@pytest.mark.parametrize("code", ["AccessDenied", "InvalidRequest", "Unheard"])
def test_an_s3_secret_that_a_store_throws_back_is_found_nowhere(agent, outbox, installed, code, coding):
    assert outbox("secret", "set", "aws", stdin=f"{S3_KEY}\n{S3_SECRET}\n").code == 0
    coded = S3_CODINGS[coding]
    with serving(refusal(403, code, f"the key {coded} may not do this")) as s3:
        agent.configure(
            source("fixed"),
            to="s3://b/raw", region="eu-north-1", endpoint_url=s3.url, path_style="yes", credentials="file:secrets/aws",
        )  # fmt: skip
        results = [
            outbox("collect"),
            outbox("upload"),
            outbox("check"),
            outbox("status"),
            outbox("status", "--json"),
        ]
    assert s3.requests
    screens = "".join(result.out + result.err for result in results).casefold()
    tables = str(
        [agent.query(f"SELECT * FROM {table}") for table in ("runs", "batches", "rejected")]
    ).casefold()
    logs = "".join(path.read_text("utf-8") for path in (agent.folder / "logs").glob("*")).casefold()
    assert [
        where
        for where, text in (("screen", screens), ("table", tables), ("log", logs))
        if coded.casefold() in text
    ] == []


def postgresql(coded):
    def handle(client):
        client.recv(8)  # asks for TLS
        client.sendall(b"N")
        client.recv(65536)
        fields = b"SFATAL\0C28P01\0M" + f"the password {coded} is not right".encode() + b"\0\0"
        client.sendall(b"E" + struct.pack(">i", len(fields) + 4) + fields)

    return Listening(handle)


def mysql(coded):
    def handle(client):
        said = b"\xff" + struct.pack("<H", 1130) + b"#HY000" + f"host with {coded} may not connect".encode()
        client.sendall(struct.pack("<I", len(said))[:3] + b"\0" + said)

    return Listening(handle)


def imap(coded, *, when):
    refusal = f"TAG NO denied, session of {coded}".encode()
    return scripted({when: refusal})


def proxy(coded):
    def handle(client):
        client.recv(65536)
        body = f"<html>Proxy-Authorization: {coded}</html>".encode()
        client.sendall(b"HTTP/1.1 400 Bad\r\nContent-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body)

    return Listening(handle)


MAPPED = "entity = id\ntime = at\nvalues = v\n"
DATABASE = "url = {kind}://user@127.0.0.1:{port}/d\npassword = file:secrets/api\ntable = t\n" + MAPPED
MAILBOX = (
    "host = 127.0.0.1\nport = {port}\nsecurity = none\nuser = user@example.com\nsecret = file:secrets/api\nsenders = *\nattachments = *.csv\n"
    + MAPPED
)
BLOB = base64.b64encode(f"\0user@example.com\0{KEY}".encode()).decode()
BASIC = base64.b64encode(f"user:{KEY}".encode()).decode()
SERVERS = {
    "PostgreSQL": (postgresql, "collector = sql\n" + DATABASE.replace("{kind}", "postgresql"), ""),
    "MySQL": (mysql, "collector = sql\n" + DATABASE.replace("{kind}", "mysql"), ""),
    "IMAP at login": (partial(imap, when=b"LOGIN"), "collector = email\n" + MAILBOX, ""),
    "IMAP by SASL": (partial(imap, when=b"AUTHENTICATE"), "collector = email\n" + MAILBOX, ""),
    "IMAP after login": (partial(imap, when=b"EXAMINE"), "collector = email\n" + MAILBOX, ""),
    "IMAP while searching": (partial(imap, when=b"SEARCH"), "collector = email\n" + MAILBOX, ""),
    "a proxy": (
        proxy,
        "collector = rest\nurl = http://api.example.com/list\n" + MAPPED,
        f"[network]\nproxy = http://user:{urllib.parse.quote(KEY, safe='')}@127.0.0.1:{{port}}\nno_proxy =\n",
    ),
}


@pytest.mark.parametrize("coding", [*CODINGS, "SASL's blob", "Basic's blob"])
@pytest.mark.parametrize("server", SERVERS)
def test_a_password_that_a_server_throws_back_is_found_nowhere(agent, outbox, server, coding):
    assert outbox("secret", "set", "api", stdin=f"{KEY}\n").code == 0
    make, section, network = SERVERS[server]
    if (coding == "SASL's blob" and "IMAP" not in server) or (
        coding == "Basic's blob" and server != "a proxy"
    ):
        pytest.skip("this blob is not sent to this server")
    coded = {**CODINGS, "SASL's blob": BLOB, "Basic's blob": BASIC}[coding]
    with make(coded) as listening:
        sections = [network.format(port=listening.port), f"[source:s]\n{section.format(port=listening.port)}"]
        agent.configure(*sections, own=SILENT.replace("no", "yes"))
        results = [outbox("collect", "s"), outbox("preview", "s"), outbox("check", "s")]
        agent.configure(own=SILENT.replace("no", "yes"))
    assert results[0].code in (69, 75), results[0].err
    results += [outbox("status"), outbox("status", "--json"), outbox("rejected", "list"), outbox("upload")]
    assert found_in(agent, *results) == []
    assert coded not in "".join(result.out + result.err for result in results)
