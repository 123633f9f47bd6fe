"""A request that says what it may reach is sent nowhere else, whatever a name stands for."""

import socket

import pytest

from collectors.http.client import Request
from collectors.http.reach import Reach
from outbox.errors import PermanentError
from tests.collectors.loopback import reply


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1",
        "93.184.215.14",
        "2606:4700:4700::1111",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
        "2002:808:808::1",
    ],
)
def test_public_addresses_are_within_reach(address):
    assert Reach().permits(address)


PRIVATE = [
    "127.0.0.1", "127.9.9.9", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1",
    "169.254.169.254", "192.0.0.1", "192.0.2.1", "198.18.0.1", "203.0.113.1", "224.0.0.1", "239.1.1.1", "240.0.0.1",
    "255.255.255.255", "::", "::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "ff02::1", "2001:db8::1",
    "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a00:1", "2002:7f00:1::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_others_are_not(address):
    assert not Reach().permits(address)


@pytest.mark.parametrize("address", PRIVATE)
def test_unless_they_are_named(address):
    plain = address.partition("%")[0]
    host = f"[{plain}]" if ":" in plain else plain
    named = Reach.named([], [f"https://{host}:8443/x"])
    assert named.permits(address)
    assert not named.permits("10.99.99.99")


def test_networks_are_named_whole():
    reach = Reach.named(["10.0.0.0/8", "192.168.1.20"], ["https://api.example/"])
    assert reach.permits("10.255.0.1")
    assert reach.permits("::ffff:10.255.0.1")
    assert reach.permits("192.168.1.20")
    assert not reach.permits("192.168.1.21")


def test_localhost_names_this_machine():
    reach = Reach.named([], ["http://localhost:80/"])
    assert reach.permits("127.0.0.1")
    assert reach.permits("::1")


@pytest.fixture
def resolver(monkeypatch):
    """resolver[name] is the address that the name stands for."""
    names = {}
    original = socket.getaddrinfo

    def look_up(host, port, *args, **kwargs):
        if host in names:
            return original(names[host], port, *args, **kwargs)
        return original(host, port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return names


def ask(http, url, reach=None, **kwargs):
    return http.send(Request(url, {}, reach=reach or Reach(), **kwargs), read=lambda answer: answer.body)


def test_a_name_that_stands_for_a_private_address_gets_nothing(serve, make_http, resolver):
    server = serve(lambda _ask: reply(200, b"inside"))
    resolver["api.example"] = "127.0.0.1"
    with pytest.raises(PermanentError, match=r"api\.example.* is at 127\.0\.0\.1") as caught:
        ask(make_http(), f"http://api.example:{server.port}/", headers={"Authorization": "Bearer x"})
    assert "private_networks = 127.0.0.1" in caught.value.hint
    assert server.asks == []


def test_with_the_network_named_it_is_asked(serve, make_http, resolver):
    server = serve(lambda _ask: reply(200, b"inside"))
    resolver["api.example"] = "127.0.0.1"
    assert (
        ask(make_http(), f"http://api.example:{server.port}/", Reach.named(["127.0.0.0/8"], [])) == b"inside"
    )


def test_an_address_in_the_url_is_checked_before_a_connection(make_http):
    for host in ("127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254"):
        with pytest.raises(PermanentError, match="no public address"):
            ask(make_http(), f"http://{host}:1/")


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "0177.0.0.1", "127.1"])
def test_odd_spellings_of_an_address_are_seen_through(serve, make_http, host):
    """The system reads these as 127.0.0.1; what counts is the address of the connection."""
    server = serve(lambda _ask: reply(200, b"inside"))
    with pytest.raises(PermanentError):
        ask(make_http(), f"http://{host}:{server.port}/")
    assert server.asks == []


def test_a_name_that_changes_between_two_requests_is_seen(serve, make_http, resolver, stack):
    """DNS rebinding: what is checked is the connection, not an earlier look-up."""
    server = serve(lambda _ask: reply(200, b"inside"))
    resolver["api.example"] = "127.0.0.1"
    http, url = make_http(), f"http://api.example:{server.port}/"
    assert ask(http, url, Reach.named(["127.0.0.1"], [])) == b"inside"
    resolver["api.example"] = "127.0.0.2"
    other = stack.enter_context(socket.create_server(("127.0.0.2", server.port)))
    with pytest.raises(PermanentError, match=r"127\.0\.0\.2"):
        ask(http, url, Reach.named(["127.0.0.1"], []))
    other.settimeout(1)
    with other.accept()[0] as connection:
        assert connection.recv(100) == b""


def test_a_connection_of_one_that_may_is_not_lent_to_one_that_may_not(serve, make_http, resolver):
    server = serve(lambda _ask: reply(200, b"inside", {"Connection": "keep-alive"}))
    resolver["api.example"] = "127.0.0.1"
    http, url = make_http(), f"http://api.example:{server.port}/"
    assert ask(http, url, Reach.named(["127.0.0.1"], [])) == b"inside"
    with pytest.raises(PermanentError):
        ask(http, url)


def test_through_a_proxy_only_an_address_in_the_url_can_be_checked(serve, make_http):
    proxy = serve(lambda _ask: reply(200, b"by the proxy"))
    http = make_http(network={"proxy": proxy.url})
    assert ask(http, "http://api.example/") == b"by the proxy"
    with pytest.raises(PermanentError, match="no public address"):
        ask(http, "http://10.0.0.1/")
    assert len(proxy.asks) == 1


def test_who_says_nothing_may_go_anywhere(serve, make_http):
    server = serve(lambda _ask: reply(200, b"inside"))
    assert make_http().get(server.url, {}, read=lambda answer: answer.body) == b"inside"
