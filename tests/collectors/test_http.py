import gzip
import json
import logging
import socket
import threading
import time
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import quote, quote_plus

import pytest

from collectors.http.client import Answer, Request, check_status, said
from outbox import __version__
from outbox.errors import ConfigError, PermanentError, TransientError
from outbox.redaction import NOT_SHOWN
from tests.collectors.loopback import RESET, reply

CANARY = "CANARY-b41d-secret"


def whole(answer):
    return answer


def test_an_answer_has_status_headers_body_and_an_address_without_its_query(serve, make_http):
    server = serve(lambda _ask: reply(200, b"body", {"X-Odd": "yes"}))
    answer = make_http().get(
        server.url + "/path", {"a": "1,2", "b": "ä b"}, read=whole, headers={"Accept": "x/y"}
    )
    assert (answer.status, answer.body, answer.url) == (200, b"body", server.url + "/path")
    assert answer.headers["x-odd"] == "yes"
    (ask,) = server.asks
    assert ask.target == "/path?a=1,2&b=%C3%A4+b"
    assert ask.headers["user-agent"] == f"snowflake-datapipe/{__version__}"
    assert ask.headers["accept"] == "x/y"


def test_any_status_reaches_the_reader(serve, make_http):
    server = serve(lambda _ask: reply(418, b"short and stout"))
    assert make_http().get(server.url, {}, read=lambda answer: answer.status) == 418


def test_a_reader_that_asks_for_another_attempt_gets_one(serve, make_http, clock):
    server = serve(lambda _ask: reply())
    seen = []

    def read(answer):
        seen.append(answer.status)
        if len(seen) < 3:
            raise TransientError("not yet", retry_after_s=7)
        return "done"

    assert make_http(attempts=3).get(server.url, {}, read=read) == "done"
    assert clock.sleeps == [7, 7]
    assert len(server.asks) == 3


def test_what_runs_before_an_attempt_can_hold_it_back(serve, make_http, clock):
    server = serve(lambda _ask: reply())
    calls = []

    def before():
        calls.append(len(server.asks))
        if len(calls) == 1:
            raise TransientError("wait", retry_after_s=60)

    make_http(attempts=2).get(server.url, {}, read=whole, before=before)
    assert calls == [0, 0]
    assert len(server.asks) == 1
    assert clock.sleeps == [60]


def test_a_bug_in_a_reader_is_not_retried(serve, make_http):
    server = serve(lambda _ask: reply())
    with pytest.raises(ZeroDivisionError):
        make_http(attempts=3).get(server.url, {}, read=lambda _answer: 1 / 0)
    assert len(server.asks) == 1


def closed_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_refused_connection_is_transient(make_http):
    with pytest.raises(TransientError, match="cannot be read"):
        make_http().get(f"http://127.0.0.1:{closed_port()}/x", {"apikey": CANARY}, read=whole)


def test_an_unknown_host_is_transient(make_http):
    with pytest.raises(TransientError, match=r"nowhere\.invalid"):
        make_http().get("http://nowhere.invalid/x", {"apikey": CANARY}, read=whole)


@pytest.mark.parametrize(
    "sent",
    [
        RESET,
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfive.",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfive.\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nfive.\r\n",
        b"I am no HTTP server\r\n\r\n",
        reply(200, b"no gzip at all", {"Content-Encoding": "gzip"}),
        reply(200, gzip.compress(b"x" * 5_000)[:-9], {"Content-Encoding": "gzip"})[:-40],
    ],
)
def test_an_answer_that_breaks_off_or_is_garbled_is_transient(serve, make_http, sent):
    server = serve(lambda _ask: sent)
    with pytest.raises(TransientError):
        make_http().get(server.url, {"apikey": CANARY}, read=whole)


def test_a_broken_answer_is_asked_for_again(serve, make_http, clock):
    answers = [RESET, b"", reply(200, b"whole")]
    server = serve(lambda _ask: answers.pop(0))
    assert make_http(attempts=3).get(server.url, {}, read=whole).body == b"whole"
    assert len(clock.sleeps) == 2


def test_silence_is_transient(serve, make_http, stack):
    silent = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    http = make_http(network={"timeout": "0.2s"})
    with pytest.raises(TransientError, match="no answer in time"):
        http.get(f"http://127.0.0.1:{silent.getsockname()[1]}", {}, read=whole)


def test_an_answer_that_trickles_in_has_a_limit(serve, make_http):
    ticks = iter(range(0, 10**6, 300))  # however few reads the answer comes in
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
    server = serve(lambda _ask: (head, *[b"." * 100] * 1_000))
    http = make_http(max_answer_s=250.0, monotonic=lambda: next(ticks))
    with pytest.raises(TransientError, match="no whole answer within 250 s"):
        http.get(server.url, {}, read=whole)


@pytest.mark.parametrize("kind", ["headers", "body", "body without a length"])
def test_one_limit_holds_for_the_whole_answer_headers_included(serve, make_http, kind):
    """A server that sends a line now and then keeps each read within its limit, and the whole beyond all."""
    heads = {"headers": b"", "body": b"Content-Length: 100\r\n\r\n", "body without a length": b"\r\n"}
    ended = threading.Event()

    def trickle():
        yield b"HTTP/1.1 200 OK\r\n" + heads[kind]
        for number in range(100):
            ended.wait(0.1)
            yield b"X-%d: 1\r\n" % number if kind == "headers" else b"1"

    server = serve(lambda _ask: trickle())
    started = time.monotonic()
    with pytest.raises(TransientError, match="no whole answer within 1 s"):
        make_http(max_answer_s=0.6).get(server.url, {}, read=lambda answer: answer)
    assert time.monotonic() - started < 8
    ended.set()


def test_a_body_may_be_as_large_as_its_limit_and_not_larger(serve, make_http):
    server = serve(lambda _ask: reply(200, b"x" * 1_000))
    http = make_http()
    assert len(http.get(server.url, {}, read=whole, max_bytes=1_000).body) == 1_000
    with pytest.raises(PermanentError, match="larger than 999 bytes"):
        http.get(server.url, {}, read=whole, max_bytes=999)


def test_what_counts_is_the_size_after_inflating(serve, make_http):
    bomb = reply(200, gzip.compress(b"\0" * 5_000_000), {"Content-Encoding": "gzip"})
    server = serve(lambda _ask: bomb)
    with pytest.raises(PermanentError, match="larger than"):
        make_http().get(server.url, {}, read=whole, max_bytes=1_000_000)


def test_a_compressed_answer_is_inflated(serve, make_http):
    server = serve(lambda _ask: reply(200, gzip.compress(b"plain"), {"Content-Encoding": "gzip"}))
    assert make_http().get(server.url, {}, read=whole).body == b"plain"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    ("location", "target"),
    [
        (f"https://login.example/in?token={CANARY}", "login.example"),
        ("/elsewhere", "127.0.0.1"),
        ("", "127.0.0.1"),
    ],
)
def test_a_redirect_is_refused_and_names_its_target(serve, make_http, status, location, target):
    server = serve(lambda _ask: reply(status, b"", {"Location": location}))
    with pytest.raises(PermanentError) as caught:
        make_http().get(server.url, {"token": CANARY}, read=whole)
    assert str(status) in caught.value.message
    assert target in caught.value.message
    assert CANARY not in str(caught.value)
    assert len(server.asks) == 1


@pytest.mark.parametrize(
    "url", ["ftp://host/x", "no address", "http://host:port/x", "http:///x", "http://[::1/x"]
)
def test_an_address_that_is_none_is_permanent(make_http, url):
    with pytest.raises(PermanentError):
        make_http().get(url, {"apikey": CANARY}, read=whole)


def test_a_header_that_cannot_be_sent_is_permanent_and_not_quoted(serve, make_http):
    server = serve(lambda _ask: reply())
    with pytest.raises(PermanentError) as caught:
        make_http().get(server.url, {}, read=whole, headers={"Authorization": f"Bearer {CANARY}\r\nX: y"})
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("written", [CANARY, "CANARY+b%2Fc d", "ä€-CANARY"])
@pytest.mark.parametrize("where", ["param", "header", "bearer"])
def test_a_secret_that_the_server_echoes_is_struck_out(serve, make_http, written, where):
    def echo(ask):
        return reply(403, f"no entry with {ask.target} {ask.headers.get('x-api-key')} {written}".encode())

    server = serve(echo)
    params = {"apikey": written, "place": "here"} if where == "param" else {}
    headers = {"header": {"X-Api-Key": CANARY}, "bearer": {"Authorization": f"Bearer {CANARY}"}}.get(
        where, {}
    )
    if where != "param":
        written = CANARY
    with pytest.raises(PermanentError) as caught:
        make_http().get(server.url, params, read=check_status, headers=headers)
    assert NOT_SHOWN in caught.value.message
    for text in (str(caught.value), repr(caught.value), caught.value.message):
        assert "CANARY" not in text


def test_no_error_on_the_way_names_the_query(make_http):
    with pytest.raises(TransientError) as caught:
        make_http().get(f"http://127.0.0.1:{closed_port()}/x", {"place": "secret-place"}, read=whole)
    assert "secret-place" not in str(caught.value)


NOW = datetime(2026, 11, 23, 5, 6, tzinfo=UTC)


def answered(status, headers=None, body=b""):
    return Answer(status, headers or {}, body, "http://server/x")


@pytest.mark.parametrize("status", [200, 204, 304])
def test_a_status_below_400_is_no_error(status):
    assert check_status(answered(status)) is None


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 511, 599])
def test_waiting_helps_with_429_and_5xx(status):
    with pytest.raises(TransientError) as caught:
        check_status(answered(status, body=b" over\n\x00 loaded "))
    assert caught.value.message.endswith(": over loaded")
    assert caught.value.retry_after_s is None


@pytest.mark.parametrize("status", [400, 404, 405, 410, 418])
def test_waiting_does_not_help_with_4xx(status):
    with pytest.raises(PermanentError, match=str(status)):
        check_status(answered(status))


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_login_has_a_hint(status):
    with pytest.raises(PermanentError) as caught:
        check_status(answered(status))
    assert "login" in caught.value.hint


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"retry-after": "120"}, 120),
        ({"retry-after": " 0 "}, 0),
        ({"retry-after": format_datetime(datetime(2026, 11, 23, 5, 7, tzinfo=UTC), usegmt=True)}, 60),
        ({"retry-after": format_datetime(datetime(2026, 11, 23, 5, 0, tzinfo=UTC), usegmt=True)}, 0),
        # Both by the server's clock: ours may be wrong.
        (
            {
                "retry-after": "Mon, 23 Nov 2020 00:01:30 GMT",
                "date": "Mon, 23 Nov 2020 00:00:00 GMT",
            },
            90,
        ),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "9" * 5_000}, None),
        ({"retry-after": "Mon, 99 Nov 2026 05:07:00 GMT"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(headers, expected):
    with pytest.raises(TransientError) as caught:
        check_status(answered(503, headers), NOW)
    assert caught.value.retry_after_s == expected


def test_a_quotation_is_short_and_printable():
    assert said(b"") == ""
    assert said(b"\xff\x00\n") == ": �"
    assert said(b"<html>" + b"x" * 10_000) == ": <html>" + "x" * 194


@pytest.mark.parametrize("content", [None, "", "no certificate", "folder"])
def test_a_ca_bundle_that_is_none_is_named(make_http, serve, tmp_path, content):
    bundle = tmp_path / "bundle.pem"
    if content == "folder":
        bundle.mkdir()
    elif content is not None:
        bundle.write_text(content, encoding="utf-8")
    server = serve(lambda _ask: reply())
    with pytest.raises(ConfigError, match=r"\[network\] ca_bundle: .*bundle\.pem"):
        make_http(network={"ca_bundle": str(bundle)}).get(server.url, {}, read=whole)


@pytest.mark.parametrize(
    "proxy", ["proxy.example:3128", "socks5://host:1", "http://", "http://h:port", "http://[::1"]
)
def test_a_proxy_that_is_none_is_a_config_error(make_http, proxy):
    with pytest.raises(ConfigError, match=r"\[network\] proxy"):
        make_http(network={"proxy": proxy}).get("http://server.example/", {}, read=whole)


def test_the_environments_proxies_are_not_used(serve, make_http, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port()}")
    server = serve(lambda _ask: reply(200, b"direct"))
    assert make_http().get(server.url, {}, read=whole).body == b"direct"


def test_it_can_be_used_again_after_close(serve, make_http):
    server = serve(lambda _ask: reply())
    http = make_http()
    http.get(server.url, {}, read=whole)
    http.close()
    http.close()
    assert http.get(server.url, {}, read=whole).status == 200


def test_a_post_sends_its_body_again_at_each_attempt(serve, make_http):
    answers = [reply(503), reply(200, b"found")]
    server = serve(lambda _ask: answers.pop(0))
    request = Request(server.url, {}, method="POST", headers={"X-A": "b"}, body=b'{"q": 1}')
    assert (
        make_http(attempts=2).send(request, read=lambda answer: check_status(answer) or answer.body)
        == b"found"
    )
    assert [(ask.method, ask.body, ask.headers["x-a"]) for ask in server.asks] == [
        ("POST", b'{"q": 1}', "b")
    ] * 2


def test_parameters_join_the_query_that_an_address_has(serve, make_http):
    server = serve(lambda _ask: reply())
    http = make_http()
    http.send(Request(server.url + "/x?a=%2C&b", {"c": "d e"}), read=whole)
    http.send(Request(server.url + "/x?a=%2C&b", {}), read=whole)
    assert [ask.target for ask in server.asks] == ["/x?a=%2C&b&c=d+e", "/x?a=%2C&b"]


def test_what_a_request_calls_secret_is_struck_out_in_every_form(serve, make_http):
    known = 'CANARY "a\\b"/%+ä'
    forms = [known, json.dumps(known), quote(known), quote_plus(known), f"x{known}y"]
    server = serve(lambda _ask: reply(403, " | ".join(forms).encode()))
    with pytest.raises(PermanentError) as caught:
        make_http().send(Request(server.url, {}, secrets=(known,)), read=check_status)
    assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize("before", range(150, 200, 3))
def test_a_secret_that_a_quotation_cuts_in_two_is_struck_out(serve, make_http, before):
    server = serve(lambda _ask: reply(403, b"-" * before + CANARY.encode() * 3))
    with pytest.raises(PermanentError) as caught:
        make_http().send(Request(server.url, {}, secrets=(CANARY,)), read=check_status)
    assert "CANA" not in str(caught.value)


@pytest.mark.parametrize("before", range(970, 1_000, 3))
def test_a_secret_that_a_long_message_cuts_in_two_is_struck_out(serve, make_http, before):
    def read(_answer):
        raise PermanentError("-" * before + CANARY + "-" * (1_988 - before) + CANARY + "-" * 100)

    server = serve(lambda _ask: reply())
    with pytest.raises(PermanentError) as caught:
        make_http().send(Request(server.url, {}, secrets=(CANARY,)), read=read)
    shown = caught.value.message.replace(NOT_SHOWN, "")
    assert not any(CANARY[start : start + 5] in shown for start in range(len(CANARY) - 5))


def test_a_secret_that_no_header_can_hold_is_not_in_the_traceback(serve, make_http):
    with pytest.raises(PermanentError, match="cannot be sent") as caught:
        make_http().get(serve(lambda _ask: reply()).url, {}, read=whole, headers={"X-Key": f"{CANARY}ä"})
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_no_log_holds_a_query(serve, make_http, caplog):
    caplog.set_level(logging.DEBUG)
    make_http().get(serve(lambda _ask: reply()).url, {"apikey": CANARY}, read=whole)
    assert CANARY not in caplog.text
