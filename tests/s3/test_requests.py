"""What one put sends: one signed PutObject, its body as it is, under the destination's prefix."""

import base64
import hashlib
import logging
from typing import Any

import pytest

from tests.s3.conftest import DATA, KEY, KEY_ID, TOKEN, MakeStore
from tests.support.s3_faults import Request, serving, stored

SHA256 = base64.b64encode(hashlib.sha256(DATA).digest()).decode()
MD5 = base64.b64encode(hashlib.md5(DATA).digest()).decode()


def sent(make_store: MakeStore, **upload: Any) -> Request:
    """Put once to a store that echoes no checksum; return the one request."""
    with serving(stored(**{"x-amz-checksum-sha256": ""})) as server:
        assert not make_store(server.url, **upload).put(KEY, DATA).existed
    assert len(server.requests) == 1
    return server.requests[0]


def test_one_conditional_signed_put_of_the_bytes_as_they_are(make_store: MakeStore):
    request = sent(make_store)
    assert (request.method, request.body) == ("PUT", DATA)
    assert request.headers["if-none-match"] == "*"
    assert request.headers["x-amz-checksum-sha256"] == SHA256
    assert request.headers["x-amz-content-sha256"] == hashlib.sha256(DATA).hexdigest()
    assert request.headers["authorization"].startswith(f"AWS4-HMAC-SHA256 Credential={KEY_ID}/")
    assert "/eu-north-1/s3/aws4_request" in request.headers["authorization"]
    assert request.headers["x-amz-security-token"] == TOKEN
    assert int(request.headers["content-length"]) == len(DATA)
    for absent in (
        "expect",
        "transfer-encoding",
        "content-encoding",
        "x-amz-trailer",
        "x-amz-checksum-crc32",
    ):
        assert absent not in request.headers


@pytest.mark.parametrize(
    ("to", "path"),
    [
        ("s3://landing", "/landing/data/"),
        ("s3://landing/", "/landing/data/"),
        ("s3://landing/raw", "/landing/raw/data/"),
        ("s3://landing/raw/eu/", "/landing/raw/eu/data/"),
    ],
)
def test_the_prefix_comes_before_the_key(make_store: MakeStore, to: str, path: str):
    assert sent(make_store, to=to).path.startswith(path)


@pytest.mark.parametrize(
    ("checksum", "headers"),
    [
        ("sha256", {"x-amz-checksum-sha256": SHA256}),
        ("md5", {"content-md5": MD5}),
        ("none", {}),
    ],
)
def test_the_checksum_that_the_store_knows(make_store: MakeStore, checksum: str, headers: dict[str, str]):
    request = sent(make_store, checksum=checksum)
    named = {name: value for name, value in request.headers.items() if "checksum" in name or "md5" in name}
    assert named == headers
    assert request.headers["x-amz-content-sha256"] == hashlib.sha256(DATA).hexdigest()


def test_no_condition_for_stores_that_know_none(make_store: MakeStore):
    assert "if-none-match" not in sent(make_store, conditional=False).headers


def test_a_bucket_in_the_path_or_in_the_host(make_store: MakeStore):
    assert sent(make_store, path_style=True).path.startswith("/landing/raw/")
    with serving(stored()) as server:
        network = {"proxy": server.url}
        make_store("http://s3.example", network=network).put(KEY, DATA)
        make_store("http://s3.example", network=network, path_style=True).put(KEY, DATA)
    hosts = [request.headers["host"] for request in server.requests]
    assert hosts == ["landing.s3.example", "s3.example"]


def test_connections_are_kept(make_store: MakeStore):
    with serving(stored()) as server:
        store = make_store(server.url)
        for number in range(3):
            store.put(f"{KEY}.{number}", DATA)
    assert len(server.requests) == 3
    assert server.connections == 1


def test_not_even_the_debug_log_holds_a_secret(make_store: MakeStore, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    sent(make_store)
    assert caplog.records
    assert "canary" not in caplog.text
    assert "Signature=" not in caplog.text
