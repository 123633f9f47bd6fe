"""Each answer that is no success: who has to act, what is said, and that one put is one request."""

import pytest

from outbox.errors import ObjectError, OutboxError, PermanentError, TransientError
from tests.s3.conftest import DATA, KEY, KEY_ID, TOKEN, MakeStore, refused
from tests.support.s3_faults import Answer, Reply, label, page, refusal, serving, stored

REGION = {"x-amz-bucket-region": "us-west-2"}

WAITS: list[tuple[Reply, str]] = [
    (Answer(500), "HTTP 500"),
    (Answer(502), "HTTP 502"),
    (page(503), "HTTP 503"),
    (Answer(429), "HTTP 429"),
    (refusal(500, "InternalError"), "InternalError"),
    (refusal(503, "SlowDown"), "SlowDown"),
    (refusal(503, "ServiceUnavailable"), "ServiceUnavailable"),
    (refusal(429, "TooManyRequests"), "TooManyRequests"),
    (refusal(400, "RequestTimeout"), "RequestTimeout"),
    (refusal(400, "BadDigest"), "BadDigest"),
    (refusal(400, "IncompleteBody"), "IncompleteBody"),
    (refusal(400, "KMS.ThrottlingException"), "KMS"),
    (refusal(409, "ConditionalRequestConflict"), "ConditionalRequestConflict"),
    (refusal(409, "OperationAborted"), "OperationAborted"),
    (refusal(400, "ExpiredToken"), "outbox secret set aws"),
    (refusal(507, "XMinioStorageFull", "the disk is full"), "the disk is full"),
    (refusal(200, "InternalError"), "InternalError"),
]

PERSONS: list[tuple[Reply, tuple[str, ...]]] = [
    (
        refusal(403, "AccessDenied", "no s3:PutObject"),
        ("AKIA…MPLE", "no s3:PutObject", "grant s3:PutObject on s3://"),
    ),
    (refusal(403, "InvalidAccessKeyId"), ("AKIA…MPLE is switched off or deleted", "outbox secret set aws")),
    (refusal(403, "SignatureDoesNotMatch"), ("secret of the key AKIA…MPLE", "outbox secret set aws")),
    (refusal(400, "InvalidToken"), ("session token", "outbox secret set aws")),
    (refusal(403, "AllAccessDisabled", "disabled"), ("AllAccessDisabled: disabled", "head office")),
    (refusal(404, "NoSuchBucket"), ("no bucket landing", "[upload] to")),
    (refusal(400, "InvalidBucketName"), ("landing", "[upload] to")),
    (refusal(301, "PermanentRedirect", headers=REGION), ("another region", "[upload] region = us-west-2")),
    (refusal(301, "PermanentRedirect"), ("another region", "[upload] region")),
    (Answer(301, REGION), ("another region", "[upload] region = us-west-2")),
    (refusal(307, "TemporaryRedirect", headers=REGION), ("another region", "[upload] region = us-west-2")),
    (refusal(400, "AuthorizationHeaderMalformed", Region="us-west-2"), ("[upload] region = us-west-2",)),
    (refusal(400, "IllegalLocationConstraintException"), ("another region", "[upload] region")),
    (refusal(400, "KMS.DisabledException", "key is off"), ("KMS.DisabledException: key is off", "kms_key")),
    (refusal(400, "KMS.NotFoundException", "no key"), ("no key", "kms_key")),
    (refusal(501, "NotImplemented", "a header"), ("a header", "conditional, checksum, encryption")),
    (refusal(400, "InvalidRequest", "Content-MD5 is required"), ("Content-MD5 is required", "checksum")),
    (refusal(411, "MissingContentLength"), ("length", "[upload]")),
    (refusal(400, "XAmzContentSHA256Mismatch"), ("checksum", "[upload]")),
    (page(403), ("did not come from S3: HTTP 403 with text/html", "[network] proxy")),
    (page(404), ("did not come from S3", "[upload] endpoint_url")),
    (Answer(405), ("did not come from S3: HTTP 405",)),
    (page(511), ("did not come from S3",)),
    (
        page(302, Location="http://login.example/?token=canary"),
        ("did not come from S3", "leading to login.example"),
    ),
    (Answer(407), ("wants a login (HTTP 407)",)),
    (page(412), ("did not come from S3: HTTP 412",)),
    (Answer(412), ("did not come from S3: HTTP 412",)),
]

OBJECTS: list[tuple[Reply, str]] = [
    (refusal(400, "EntityTooLarge"), "max_bytes"),
    (refusal(400, "InvalidDigest"), "checksum"),
    (refusal(400, "KeyTooLongError"), "prefix"),
    (refusal(400, "SomethingNew", "never heard of"), "never heard of"),
]


def answered(make_store: MakeStore, reply: Reply, kind: type[OutboxError], *fragments: str) -> OutboxError:
    with serving(reply) as server:
        error = refused(make_store(server.url), kind, *fragments)
    assert [request.method for request in server.requests] == ["PUT"]
    return error


@pytest.mark.parametrize(("reply", "fragment"), WAITS, ids=label)
def test_waiting_helps(make_store: MakeStore, reply: Reply, fragment: str):
    answered(make_store, reply, TransientError, "s3://landing/raw", fragment)


@pytest.mark.parametrize(("reply", "fragments"), PERSONS, ids=label)
def test_a_person_must_act(make_store: MakeStore, reply: Reply, fragments: tuple[str, ...]):
    assert answered(make_store, reply, PermanentError, "s3://landing/raw", *fragments).hint


@pytest.mark.parametrize(("reply", "fragment"), OBJECTS, ids=label)
def test_only_this_object_is_refused(make_store: MakeStore, reply: Reply, fragment: str):
    answered(make_store, reply, ObjectError, KEY, fragment)


@pytest.mark.parametrize(
    ("text", "wait_s"),
    [
        ("7", 7.0),
        ("Mon, 23 Nov 2026 12:01:30 GMT", 90.0),
        ("Mon, 23 Nov 2026 11:00:00 GMT", 0.0),
        ("soon", None),
    ],
)
@pytest.mark.parametrize("body", [True, False])
def test_retry_after_is_handed_on(make_store: MakeStore, text: str, wait_s: float | None, body: bool):
    headers = {"Retry-After": text}
    reply = refusal(503, "SlowDown", headers=headers) if body else Answer(503, headers)
    error = answered(make_store, reply, TransientError)
    assert isinstance(error, TransientError)
    assert error.retry_after_s == wait_s


@pytest.mark.parametrize(
    ("date", "off"),
    [
        ("Mon, 23 Nov 2026 11:40:00 GMT", "20 minutes fast"),
        ("Mon, 23 Nov 2026 15:00:00 GMT", "3 hours slow"),
        ("Mon, 23 Nov 2020 12:00:00 GMT", "2,191 days fast"),
        ("no date", "more than 15 minutes off"),
    ],
)
def test_a_wrong_clock_is_said_by_how_much(make_store: MakeStore, date: str, off: str):
    reply = refusal(403, "RequestTimeTooSkewed", headers={"Date": date})
    answered(make_store, reply, PermanentError, f"this machine's clock is {off}", "set the clock")


def test_a_message_of_the_store_that_repeats_our_key_is_masked(make_store: MakeStore):
    denied = refusal(403, "AccessDenied", f"{KEY_ID} and {TOKEN} may not")
    with serving(denied) as server, pytest.raises(PermanentError) as caught:
        make_store(server.url).put(KEY, DATA)
    assert "AKIA…MPLE and … may not" in caught.value.message


def test_an_expired_token_is_read_again_before_the_next_put(make_store: MakeStore, tmp_path):
    path = tmp_path / "aws"
    path.write_text("[default]\naws_access_key_id = AKIAOLDOLDOLDOLDOLDO\naws_secret_access_key = x\n")
    with serving(refusal(400, "ExpiredToken"), stored()) as server:
        store = make_store(server.url, credentials="file:aws")
        with pytest.raises(TransientError):
            store.put(KEY, DATA)
        path.write_text("[default]\naws_access_key_id = AKIANEWNEWNEWNEWNEWN\naws_secret_access_key = x\n")
        assert not store.put(KEY, DATA).existed
    assert "AKIANEW" in server.requests[1].headers["authorization"]
    assert store.key_shown() == "AKIA…NEWN"
