"""I5, sent means stored: which answers prove that the store holds our bytes, and which do not."""

import hashlib

import pytest

from outbox.errors import PermanentError, TransientError
from tests.s3.conftest import DATA, KEY, MakeStore, refused
from tests.support.s3_faults import DROP, Answer, Reply, Request, label, page, refusal, serving, stored
from uploader.objectstore import OtherBytesError

MD5 = f'"{hashlib.md5(DATA).hexdigest()}"'
OTHER = '"0123456789abcdef0123456789abcdef"'
NOT_ECHOED = {"x-amz-checksum-sha256": ""}


@pytest.mark.parametrize(
    ("reply", "etag"),
    [
        (stored(), MD5),
        (stored(ETag=OTHER), OTHER),
        (stored(ETag=""), ""),
        (stored(**NOT_ECHOED), MD5),
        (stored(**NOT_ECHOED, ETag=MD5.strip('"')), MD5.strip('"')),
        (stored(**NOT_ECHOED, **{"Content-Type": "text/html; charset=UTF-8"}), MD5),
    ],
    ids=["echo", "echo-of-encrypted", "echo-without-etag", "md5", "md5-unquoted", "swift"],
)
def test_the_checksum_or_the_md5_of_our_bytes_is_proof(make_store: MakeStore, reply: Reply, etag: str):
    with serving(reply) as server:
        receipt = make_store(server.url).put(KEY, DATA)
    assert not receipt.existed
    assert receipt.etag == etag
    assert len(server.requests) == 1


@pytest.mark.parametrize("trust_etag", [False, True])
@pytest.mark.parametrize(
    ("reply", "kind", "fragment"),
    [
        (Answer(200), PermanentError, "echoes neither checksum nor ETag"),
        (page(200), PermanentError, "did not come from S3"),
        (page(200, ETag='"5f3c-61a2b3c4d5e6f"'), PermanentError, "did not come from S3"),
        (page(200, ETag=OTHER), PermanentError, "did not come from S3"),
        (Answer(200, {"ETag": OTHER}, b"<p>welcome</p>"), OtherBytesError, "is not the object's MD5"),
        (Answer(200, {"ETag": '"5f3c-61a2b3c4d5e6f"'}), PermanentError, "is not the object's MD5"),
        (Answer(200, {"ETag": "W/" + OTHER}), PermanentError, "is not the object's MD5"),
        (Answer(201, {"ETag": MD5}), PermanentError, "did not come from S3: HTTP 201"),
        (
            stored(**{"x-amz-checksum-sha256": "n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg="}),
            OtherBytesError,
            "another checksum",
        ),
        (stored(**{"x-amz-checksum-sha256": "nonsense"}, ETag=OTHER), OtherBytesError, "another checksum"),
    ],
    ids=label,
)
def test_a_status_alone_proves_nothing(
    make_store: MakeStore, reply: Reply, kind: type[PermanentError], fragment: str, trust_etag: bool
):
    with serving(reply) as server:
        error = refused(make_store(server.url, trust_etag=trust_etag), kind, fragment)
    assert error.hint
    assert len(server.requests) == 1


def test_a_page_that_is_no_xml_and_does_not_say_what_it_is_proves_nothing(make_store: MakeStore):
    with serving(Answer(200, {"ETag": MD5}, b"<html><br></html>")) as server:
        refused(make_store(server.url, trust_etag=True), TransientError)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("etag", "encrypted", "kind"),
    [
        (OTHER, False, OtherBytesError),
        (OTHER, True, PermanentError),
        (OTHER[:-1] + '-1"', False, PermanentError),
    ],
)
def test_an_etag_that_is_not_our_md5_is_believed_only_on_request(
    make_store: MakeStore, etag: str, encrypted: bool, kind: type[PermanentError]
):
    said = {"x-amz-server-side-encryption": "aws:kms"} if encrypted else {}
    with serving(stored(**NOT_ECHOED, **said, ETag=etag)) as server:
        error = refused(make_store(server.url), kind, "is not the object's MD5")
        assert "[upload] trust_etag = yes" in str(error.hint)
        assert make_store(server.url, trust_etag=True).put(KEY, DATA).etag == etag


def test_s3_itself_says_that_the_key_exists(make_store: MakeStore):
    with serving(
        refusal(412, "PreconditionFailed", headers={"Date": "Mon, 23 Nov 2026 12:00:05 GMT"})
    ) as server:
        receipt = make_store(server.url).put(KEY, DATA)
    assert receipt.existed
    assert receipt.server_time is not None
    assert receipt.server_time.isoformat() == "2026-11-23T12:00:05+00:00"
    assert len(server.requests) == 1


def test_a_412_that_nobody_asked_for_proves_nothing(make_store: MakeStore):
    with serving(refusal(412, "PreconditionFailed")) as server, pytest.raises(PermanentError):
        make_store(server.url, conditional=False).put(KEY, DATA)


def test_a_lost_reply_is_made_good_by_the_next_put(make_store: MakeStore):
    kept: dict[str, bytes] = {}

    def store(request: Request) -> Answer:
        if request.path in kept and request.headers["if-none-match"] == "*":
            return refusal(412, "PreconditionFailed")
        kept[request.path] = request.body
        return stored()(request)

    def store_and_drop(request: Request) -> str:
        store(request)
        return DROP

    with serving(store_and_drop, store) as server:
        store_on_s3 = make_store(server.url)
        refused(store_on_s3, TransientError, "broke off the connection")
        assert store_on_s3.put(KEY, DATA).existed
    assert kept == {"/landing/raw/data/customer%3Dacme/000000000001-000000000002-ab.ndjson": DATA}
    assert len(server.requests) == 2
