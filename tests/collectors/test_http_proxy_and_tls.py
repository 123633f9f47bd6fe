import ssl
import threading
import time

import pytest
import trustme

from outbox.errors import PermanentError, TransientError
from tests.collectors.loopback import Tunnel, reply

PASSWORD = "CANARY-p%40ss"


def whole(answer):
    return answer


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def bundle(authority, tmp_path):
    path = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(path)
    return str(path)


@pytest.fixture
def tls(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "weather.example").configure_cert(context)
    return context


def test_a_bundle_makes_its_servers_trusted(serve, make_http, tls, bundle):
    server = serve(lambda _ask: reply(200, b"secret"), tls)
    assert make_http(network={"ca_bundle": bundle}).get(server.url, {}, read=whole).body == b"secret"


def test_a_certificate_that_nobody_vouches_for_is_permanent(serve, make_http, tls):
    server = serve(lambda _ask: reply(), tls)
    with pytest.raises(PermanentError, match="certificate is not trusted") as caught:
        make_http(attempts=3).get(server.url, {"apikey": PASSWORD}, read=whole)
    assert "[network] ca_bundle" in caught.value.hint
    assert "CANARY" not in str(caught.value)
    assert server.asks == []


def test_a_certificate_of_another_host_is_permanent(serve, make_http, authority, bundle):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("other.example").configure_cert(context)
    server = serve(lambda _ask: reply(), context)
    with pytest.raises(PermanentError, match="certificate is not trusted"):
        make_http(network={"ca_bundle": bundle}).get(server.url, {}, read=whole)


def test_tls_to_a_server_without_it_is_transient(serve, make_http):
    server = serve(lambda _ask: reply())
    with pytest.raises(TransientError):
        make_http(network={"connect_timeout": "0.3s"}).get(
            server.url.replace("http:", "https:"), {}, read=whole
        )


def test_plain_http_goes_to_the_proxy_as_a_whole_address(serve, make_http):
    proxy = serve(lambda _ask: reply(200, b"by proxy"))
    http = make_http(network={"proxy": proxy.url})
    assert http.get("http://weather.example/v1", {"a": 1}, read=whole).body == b"by proxy"
    assert proxy.asks[0].target == "http://weather.example/v1?a=1"


def test_https_goes_through_a_tunnel(serve, make_http, tls, bundle):
    server = serve(lambda _ask: reply(200, b"through"), tls)
    proxy = serve(lambda _ask: Tunnel(server.port))
    http = make_http(network={"proxy": proxy.url, "ca_bundle": bundle})
    answer = http.get("https://weather.example/v1", {"apikey": PASSWORD}, read=whole)
    assert answer.body == b"through"
    assert proxy.asks[0][:2] == ("CONNECT", "weather.example:443")
    assert "CANARY" not in repr(proxy.asks)


@pytest.mark.parametrize("through_proxy", [False, True])
def test_the_limit_of_an_answer_holds_inside_of_tls(serve, make_http, tls, bundle, through_proxy):
    ended = threading.Event()

    def trickle():
        yield b"HTTP/1.1 200 OK\r\n"
        for number in range(100):
            ended.wait(0.1)
            yield b"X-%d: 1\r\n" % number

    server = serve(lambda _ask: trickle(), tls)
    proxy = serve(lambda _ask: Tunnel(server.port))
    network = {"ca_bundle": bundle} | ({"proxy": proxy.url} if through_proxy else {})
    url = "https://weather.example" if through_proxy else server.url
    started = time.monotonic()
    with pytest.raises(TransientError, match="no whole answer within 1 s"):
        make_http(max_answer_s=0.6, network=network).get(url, {}, read=whole)
    assert time.monotonic() - started < 8
    ended.set()


def test_a_login_for_the_proxy_is_sent_to_it_alone(serve, make_http, tls, bundle):
    server = serve(lambda _ask: reply(), tls)
    proxy = serve(lambda _ask: Tunnel(server.port))
    http = make_http(network={"proxy": f"http://me:{PASSWORD}@127.0.0.1:{proxy.port}", "ca_bundle": bundle})
    http.get("https://weather.example/", {}, read=whole)
    assert proxy.asks[0].headers["proxy-authorization"].startswith("Basic ")
    assert "proxy-authorization" not in server.asks[0].headers


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("status", [407, 403])
def test_a_proxy_that_refuses_is_permanent(serve, make_http, scheme, status):
    proxy = serve(lambda _ask: reply(status, b"denied to CANARY-p@ss"))
    http = make_http(network={"proxy": f"http://me:{PASSWORD}@127.0.0.1:{proxy.port}"})
    if (scheme, status) == ("http", 403):
        assert (
            http.get("http://weather.example/", {}, read=whole).status == 403
        )  # the server's, for all we know
        return
    with pytest.raises(PermanentError) as caught:
        http.get(f"{scheme}://weather.example/", {"apikey": "CANARY-key"}, read=whole)
    assert str(status) in caught.value.message
    assert "[network] proxy" in caught.value.hint
    assert "CANARY" not in str(caught.value)


def test_a_proxy_that_cannot_get_through_is_transient(serve, make_http):
    proxy = serve(lambda _ask: reply(502))
    with pytest.raises(TransientError, match="502") as caught:
        make_http(network={"proxy": proxy.url}).get("https://weather.example/", {}, read=whole)
    assert f"through the proxy 127.0.0.1:{proxy.port}" in caught.value.message


def test_a_proxy_that_is_not_there_is_transient_and_named(make_http):
    http = make_http(network={"proxy": f"http://me:{PASSWORD}@127.0.0.1:1"})
    with pytest.raises(TransientError, match=r"127\.0\.0\.1:1") as caught:
        http.get("https://weather.example/", {}, read=whole)
    assert "[network] proxy" in caught.value.hint
    assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize(
    ("entry", "host", "direct"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.0/8", "127.0.0.1", True),
        ("10.0.0.0/8", "127.0.0.1", False),
        ("::1", "127.0.0.1", False),
        ("localhost", "localhost", True),
        ("LOCALHOST", "localhost", True),
        (".localhost", "localhost", True),
        ("host", "localhost", False),
        ("localhost", "a.localhost", False),
        ("", "127.0.0.1", False),
    ],
)
def test_no_proxy_names_hosts_suffixes_and_networks(serve, make_http, entry, host, direct):
    server = serve(lambda _ask: reply(200, b"direct"))
    proxy = serve(lambda _ask: reply(200, b"by proxy"))
    http = make_http(network={"proxy": proxy.url, "no_proxy": f"{entry}, .acme.example"})
    answer = http.get(f"http://{host}:{server.port}/", {}, read=whole)
    assert answer.body == (b"direct" if direct else b"by proxy")


def test_a_suffix_of_no_proxy_covers_the_hosts_below_it(serve, make_http):
    proxy = serve(lambda _ask: reply(200, b"by proxy"))
    http = make_http(network={"proxy": proxy.url, "no_proxy": ".acme.invalid"})
    with pytest.raises(TransientError, match="cannot be read"):  # directly, where there is no such host
        http.get("http://db.acme.invalid/", {}, read=whole)
    assert http.get("http://xacme.invalid/", {}, read=whole).body == b"by proxy"
