"""No answer at all: names, connections, proxies and certificates; one put is at most one request."""

import hashlib
import socket
import sys
from pathlib import Path
from threading import Thread

import pytest
import urllib3.connection

from outbox.errors import ConfigError, PermanentError, TransientError
from outbox.machine.network import bypasses
from tests.s3.conftest import DATA, KEY, MakeStore, refused
from tests.support.certificates import Authority
from tests.support.s3_faults import DROP, HANG, Answer, label, page, refusal, serving, stored

AMAZON = "https://s3.eu-north-1.amazonaws.com"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def test_a_dropped_connection(make_store: MakeStore):
    with serving(DROP) as server:
        refused(make_store(server.url), TransientError, "127.0.0.1 broke off the connection")
    assert len(server.requests) == 1


def test_an_answer_cut_short(make_store: MakeStore):
    with serving(Answer(200, {"Content-Length": "100", "Connection": "close"}, b"<x>")) as server:
        refused(make_store(server.url), TransientError, "broke off the connection")
    assert len(server.requests) == 1


def test_an_answer_without_end_takes_no_more_than_its_share_of_memory(make_store: MakeStore):
    endless = Answer(403, {"Content-Type": "text/html", "Content-Length": str(10**9)}, bytes(10**6))
    with serving(endless, stored()) as server:
        store = make_store(server.url)
        refused(store, PermanentError, "did not come from S3")
        assert not store.put(KEY, DATA).existed
    assert len(server.requests) == 2


def test_a_server_that_hangs(make_store: MakeStore):
    with serving(HANG) as server:
        refused(
            make_store(server.url, network={"timeout": 0.2}), TransientError, "in time", "[network] timeout"
        )
    assert len(server.requests) == 1


def test_a_server_that_never_takes_the_connection(make_store: MakeStore, monkeypatch: pytest.MonkeyPatch):
    def connect(*_: object, **__: object) -> None:
        raise TimeoutError("timed out")

    monkeypatch.setattr(urllib3.connection.connection, "create_connection", connect)
    refused(make_store(AMAZON), TransientError, "landing.s3.eu-north-1.amazonaws.com", "connect_timeout")


def test_a_port_where_nobody_listens(make_store: MakeStore):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    refused(make_store(f"http://127.0.0.1:{port}"), TransientError, "cannot be reached", "[network] proxy")


def test_a_name_that_nobody_knows(make_store: MakeStore, monkeypatch: pytest.MonkeyPatch):
    def resolve(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    refused(
        make_store(AMAZON),
        TransientError,
        "landing.s3.eu-north-1.amazonaws.com is not known",
        "[network] proxy",
    )


def test_a_certificate_that_a_pem_file_vouches_for(make_store: MakeStore, authority: Authority):
    with serving(stored(), tls=authority.issue("127.0.0.1").context()) as server:
        store = make_store(server.url, network={"ca_bundle": str(authority.bundle)})
        assert not store.put(KEY, DATA).existed
    signed = server.requests[0].headers
    assert signed["x-amz-content-sha256"] == hashlib.sha256(DATA).hexdigest()
    assert "expect" not in signed


@pytest.mark.skipif(
    sys.platform != "linux", reason="SSL_CERT_FILE stands in for the system's store on Linux only"
)
def test_a_certificate_that_the_operating_system_trusts(
    make_store: MakeStore, authority: Authority, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    with serving(stored(), tls=authority.issue("127.0.0.1").context()) as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.bundle))
        assert not make_store(server.url).put(KEY, DATA).existed
        monkeypatch.setenv("SSL_CERT_FILE", str(Authority(tmp_path / "other").bundle))
        refused(make_store(server.url), PermanentError, "not trusted")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("host", "expired", "trusted", "fragments"),
    [
        ("127.0.0.1", False, False, ("is not trusted", "[network] ca_bundle")),
        ("127.0.0.1", True, True, ("expired", "this machine's clock")),
        ("other.example", False, True, ("not valid for '127.0.0.1'", "endpoint_url")),
    ],
    ids=["untrusted", "expired", "wrong-host"],
)
def test_a_certificate_that_proves_nothing(
    make_store: MakeStore, authority: Authority, tmp_path: Path, host, expired, trusted, fragments
):
    bundle = authority.bundle if trusted else Authority(tmp_path / "other").bundle
    with serving(stored(), tls=authority.issue(host, expired=expired).context()) as server:
        refused(make_store(server.url, network={"ca_bundle": str(bundle)}), PermanentError, *fragments)
    assert server.requests == []


def test_a_server_that_speaks_no_tls(make_store: MakeStore):
    with serving(stored()) as server:
        refused(make_store(server.url.replace("http:", "https:")), TransientError, "no TLS connection")


@pytest.mark.parametrize("text", [None, "no certificate"])
def test_a_bundle_that_cannot_be_used_is_refused_at_once(
    make_store: MakeStore, tmp_path: Path, text: str | None
):
    if text:
        (tmp_path / "bundle.pem").write_text(text)
    with pytest.raises(ConfigError) as caught:
        make_store(AMAZON, network={"ca_bundle": str(tmp_path / "bundle.pem")})
    assert "PEM" in str(caught.value.hint)


def test_a_proxy_that_carries(make_store: MakeStore):
    with serving(stored()) as proxy:
        store = make_store(
            "http://s3.example", network={"proxy": f"http://user:pass%21@127.0.0.1:{proxy.port}"}
        )
        assert not store.put(KEY, DATA).existed
    assert proxy.requests[0].path.startswith("http://landing.s3.example/raw/")
    assert proxy.requests[0].headers["proxy-authorization"] == "Basic dXNlcjpwYXNzIQ=="


@pytest.mark.parametrize(
    ("reply", "kind", "fragments"),
    [
        (Answer(407), PermanentError, ("wants a login (HTTP 407)",)),
        (
            page(403),
            PermanentError,
            ("refuses the way to landing.s3.eu-north-1.amazonaws.com (HTTP 403)", ":443"),
        ),
        (Answer(503), TransientError, ("answers HTTP 503", "[network] proxy")),
    ],
    ids=label,
)
def test_a_proxy_that_does_not(make_store: MakeStore, reply, kind, fragments):
    with serving(reply) as proxy:
        network = {"proxy": f"http://user:canary@127.0.0.1:{proxy.port}"}
        refused(make_store(AMAZON, network=network), kind, f"the proxy 127.0.0.1:{proxy.port}", *fragments)
    assert [request.method for request in proxy.requests] == ["CONNECT"]


def test_a_proxy_that_hangs_up(make_store: MakeStore):
    with serving(DROP) as proxy:
        store = make_store(AMAZON, network={"proxy": proxy.url})
        refused(store, TransientError, f"broke off the connection (by way of 127.0.0.1:{proxy.port})")
    assert len(proxy.requests) == 1


def test_a_407_in_the_clear_is_the_proxys_too(make_store: MakeStore):
    with serving(page(407)) as proxy:
        store = make_store("http://s3.example", network={"proxy": f"127.0.0.1:{proxy.port}"})
        refused(store, PermanentError, f"the proxy 127.0.0.1:{proxy.port} wants a login")


def test_a_proxy_where_nobody_listens(make_store: MakeStore):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    store = make_store(AMAZON, network={"proxy": f"http://127.0.0.1:{port}"})
    refused(store, TransientError, f"the proxy 127.0.0.1:{port} cannot be reached", "[network] proxy")


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1080", "http://"])
def test_what_is_no_proxy_is_refused_at_once(make_store: MakeStore, proxy: str):
    with pytest.raises(PermanentError) as caught:
        make_store(AMAZON, network={"proxy": proxy})
    assert "http://host:port" in str(caught.value.hint)


@pytest.mark.parametrize("no_proxy", [("127.0.0.1",), ("127.0.0.0/8",), ("*",)])
def test_a_host_that_is_reached_directly(make_store: MakeStore, no_proxy: tuple[str, ...]):
    with serving(stored()) as server, serving(Answer(407)) as proxy:
        network = {"proxy": f"127.0.0.1:{proxy.port}", "no_proxy": no_proxy}
        assert not make_store(server.url, network=network).put(KEY, DATA).existed
    assert proxy.requests == []


@pytest.mark.parametrize(
    ("host", "no_proxy", "direct"),
    [
        ("s3.acme.example", ("s3.acme.example",), True),
        ("S3.Acme.example", ("s3.acme.EXAMPLE",), True),
        ("landing.s3.acme.example", (".acme.example",), True),
        ("acme.example", (".acme.example",), True),
        ("badacme.example", (".acme.example",), False),
        ("landing.s3.acme.example", ("acme.example",), False),
        ("10.1.2.3", ("10.0.0.0/8",), True),
        ("11.1.2.3", ("10.0.0.0/8", "12.0.0.0/8"), False),
        ("fd00::1", ("fd00::/8", "10.0.0.0/8"), True),
        ("10.example", ("10.0.0.0/8",), False),
        ("anything", (), False),
    ],
)
def test_what_is_reached_directly(host: str, no_proxy: tuple[str, ...], direct: bool):
    assert bypasses(host, no_proxy) == direct


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_the_environments_proxies_are_not_used(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch, name: str
):
    with serving(stored()) as server, serving(Answer(407)) as proxy:
        monkeypatch.setenv(name, proxy.url)
        assert not make_store(server.url).put(KEY, DATA).existed
    assert proxy.requests == []


def test_the_environments_addresses_are_not_used(make_store: MakeStore, monkeypatch: pytest.MonkeyPatch):
    def resolve(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with serving(stored()) as elsewhere:
        monkeypatch.setenv("AWS_ENDPOINT_URL", elsewhere.url)
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", elsewhere.url)
        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        refused(make_store(""), TransientError, "landing.s3.eu-north-1.amazonaws.com is not known")
    assert elsewhere.requests == []


def test_a_refusal_that_comes_before_the_body_was_read_is_heard(make_store: MakeStore):
    """A server may answer and hang up while 20 MB are still on their way: no deadlock, and no guessing."""
    said = refusal(403, "AccessDenied").body
    head = f"HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: {len(said)}\r\n\r\n"
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer_early() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1_000)
                connection.sendall(head.encode() + said)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(1 << 20):
                    pass

        thread = Thread(target=answer_early)
        thread.start()
        store = make_store(f"http://127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(PermanentError, match="AccessDenied"):
            store.put(KEY, bytes(20_000_000))
        thread.join()
