"""What can happen to a put: each fault with the error it must end in, and whom it concerns."""

import random
import sys
from datetime import timedelta
from email.utils import format_datetime
from typing import NamedTuple

from outbox.errors import ObjectError, OutboxError, PermanentError, TransientError
from tests.s3.conftest import KEY_ID, NOW, SECRET, TOKEN
from tests.s3.fault_store import (
    Accident,
    another_protocol,
    answering,
    continued,
    found_there,
    reply_byte_by_byte,
    reply_cut_at,
    request_cut_at,
    silent,
)
from tests.support.s3_faults import Answer, Reply, page, refusal, stored
from uploader.objectstore import OtherBytesError

WAIT, PERSON, OBJECT, DOUBT = TransientError, PermanentError, ObjectError, OtherBytesError
ETAG = '"0123456789abcdef0123456789abcdef"'
TIMES = {"once": 1, "thrice": 3, "always": 10**9}
PLACES = ("first", "middle", "last")


class Fault(NamedTuple):
    """One way to fail: what the server, or the way to it, does; and the error an upload must end with."""

    name: str
    error: type[OutboxError] | None
    accident: Accident | str
    store_wide: bool = True
    store: str = "plain"
    says: str = ""
    gives_up: bool = False
    """Whether the run may not wait that long, so that not even one repetition is tried."""


class Case(NamedTuple):
    """A fault, how often, at which object; and how the agent is set up."""

    fault: Fault
    times: str
    place: str
    batch: int
    parallel: int
    encoding: str

    def __str__(self) -> str:
        return f"{self.fault.name}-{self.times}-{self.place}"


def cases(seed: int, batches: int) -> list[Case]:
    """Return every fault × every number of times × every place; what else differs is drawn by `seed`."""
    draw = random.Random(seed)
    made = []
    for fault in faults(draw):
        for times in TIMES:
            for place in PLACES:
                batch = {"first": 0, "middle": draw.randrange(1, batches - 1), "last": batches - 1}[place]
                parallel = 1 if isinstance(fault.accident, str) else draw.choice((1, 2, 4))
                made.append(Case(fault, times, place, batch, parallel, draw.choice(("zstd", "gzip", "none"))))
    return made


def faults(draw: random.Random) -> list[Fault]:
    """Return every fault once."""
    return [*_broken(draw), *_slow(), *_said_by_s3(), *_said_by_others(), *_unproven(), *_on_the_way()]


def _broken(draw: random.Random) -> list[Fault]:
    lost = [
        Fault("reply-lost", WAIT, reply_cut_at(0), store_wide=False),
        Fault("every-reply-lost", WAIT, reply_cut_at(0)),
    ]
    requests = {str(n): n for n in (0, 1, 100, 700)} | {"end": -1, "random": draw.randrange(2, 4_000)}
    replies = {str(n): n for n in (1, 9, 14, 30, 60, 90, 125)} | {"end": -1, "random": draw.randrange(2, 150)}
    return [
        *lost,
        *(
            Fault(f"request-cut-{at}", WAIT, request_cut_at(n), store_wide=False)
            for at, n in requests.items()
        ),
        *(Fault(f"reply-cut-{at}", WAIT, reply_cut_at(n), store_wide=False) for at, n in replies.items()),
    ]


def _slow() -> list[Fault]:
    return [
        Fault("hangs", WAIT, silent(), store_wide=False, store="hasty"),
        Fault("everything-hangs", WAIT, silent(read=False), store="hasty"),
        Fault("hangs-though-kept", WAIT, silent(kept=True), store_wide=False, store="hasty"),
        Fault(
            "continue-then-silence",
            WAIT,
            silent(first=b"HTTP/1.1 100 Continue\r\n\r\n"),
            store_wide=False,
            store="hasty",
        ),
        Fault("half-a-reply-then-silence", WAIT, reply_cut_at(40, waiting=True), False, "hasty"),
        Fault("reply-too-slow", WAIT, reply_byte_by_byte(0.2, most=1), store_wide=False, store="hasty"),
        Fault("reply-byte-by-byte", None, reply_byte_by_byte(0.0005)),
        Fault("continue-unasked", None, continued),
    ]


def _said(status: int, code: str, error: type[OutboxError], message: str = "as told", **more: str) -> Fault:
    says = more.pop("says", "")
    headers = {"x-amz-bucket-region": more.pop("region")} if "region" in more else {}
    headers |= {"Date": more.pop("date")} if "date" in more else {}
    reply = refusal(status, code, message, headers=headers, **more)
    name = more.get("name", f"{status}-{code}")
    return Fault(name, error, answering(reply), error is not OBJECT, says=says)


def _clock(name: str, **off: float) -> Fault:
    date = format_datetime(NOW + timedelta(**off), usegmt=True)
    fault = _said(403, "RequestTimeTooSkewed", PERSON, date=date, says=f"16 minutes {name}")
    return fault._replace(name=f"clock-16-minutes-{name}")


def _later(name: str, retry_after: str, *, gives_up: bool = False) -> Fault:
    headers = {"Retry-After": retry_after, "Date": format_datetime(NOW, usegmt=True)}
    said = answering(refusal(503, "SlowDown", headers=headers))
    return Fault(f"503-retry-after-{name}", WAIT, said, gives_up=gives_up)


def _said_by_s3() -> list[Fault]:
    key_repeated = f"{KEY_ID} with {SECRET} and {TOKEN} may not"
    one = [
        _said(*said)._replace(store_wide=False)
        for said in (
            (400, "BadDigest", WAIT),
            (400, "RequestTimeout", WAIT),
            (400, "IncompleteBody", WAIT),
            (409, "ConditionalRequestConflict", WAIT),
            (409, "OperationAborted", WAIT),
            (400, "EntityTooLarge", OBJECT),
            (400, "InvalidDigest", OBJECT),
            (400, "KeyTooLong", OBJECT),
            (400, "KeyTooLongError", OBJECT),
            (400, "SomethingNew", OBJECT),
        )
    ]
    all_of_them = [
        _said(*said)
        for said in (
            (500, "InternalError", WAIT),
            (503, "SlowDown", WAIT),
            (503, "ServiceUnavailable", WAIT),
            (429, "TooManyRequests", WAIT),
            (403, "AccessDenied", PERSON, key_repeated),
            (403, "InvalidAccessKeyId", PERSON, key_repeated),
            (403, "SignatureDoesNotMatch", PERSON, key_repeated),
            (403, "AllAccessDisabled", PERSON),
            (400, "InvalidToken", PERSON),
            (404, "NoSuchBucket", PERSON),
            (400, "AuthorizationHeaderMalformed", PERSON),
            (400, "InvalidRequest", PERSON),
            (400, "KMS.NotFoundException", PERSON),
            (400, "KMS.ThrottlingException", WAIT),
            (501, "NotImplemented", PERSON),
        )
    ]
    return [
        *one,
        *all_of_them,
        _said(301, "PermanentRedirect", PERSON, region="us-west-2", says="us-west-2"),
        _said(307, "TemporaryRedirect", PERSON, region="us-west-2", says="us-west-2"),
        _clock("slow", minutes=16),
        _clock("fast", minutes=-16),
        _later("7-seconds", "7"),
        _later("date", format_datetime(NOW + timedelta(minutes=1), usegmt=True)),
        _later("a-day", "86400", gives_up=True),
        _later("next-year", format_datetime(NOW + timedelta(days=365), usegmt=True), gives_up=True),
        Fault("412-it-is-there", None, found_there, store_wide=False),
        Fault("412-all-are-there", None, found_there),
        Fault("expired-token", WAIT, answering(refusal(400, "ExpiredToken")), False, "file"),
        Fault("200-InternalError", WAIT, answering(refusal(200, "InternalError"))),
    ]


def _said_by_others() -> list[Fault]:
    replies: list[tuple[str, type[OutboxError], Reply]] = [
        ("412-page", PERSON, page(412)),
        ("412-bare", PERSON, Answer(412)),
        ("403-block-page", PERSON, page(403)),
        ("404-page", PERSON, page(404)),
        ("405-bare", PERSON, Answer(405)),
        ("407-proxy", PERSON, page(407)),
        ("301-bare", PERSON, Answer(301, {"x-amz-bucket-region": "us-west-2"})),
        ("302-login", PERSON, page(302, Location="http://login.example/?token=canary")),
        ("511-login", PERSON, page(511)),
        ("429-bare", WAIT, Answer(429)),
        ("500-bare", WAIT, Answer(500)),
        ("502-page", WAIT, page(502)),
        ("503-bare", WAIT, Answer(503)),
        ("504-page", WAIT, page(504)),
    ]
    made = [Fault(name, error, answering(reply)) for name, error, reply in replies]
    return [*made, Fault("no-http", WAIT, another_protocol)]


def _unproven() -> list[Fault]:
    no_echo = {"x-amz-checksum-sha256": ""}
    other_echo = {"x-amz-checksum-sha256": "n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg="}
    encrypted = stored(**no_echo, **{"x-amz-server-side-encryption": "aws:kms"}, ETag=ETAG)
    login = page(200, ETag=ETAG)
    return [
        Fault("200-without-etag", PERSON, answering(Answer(200))),
        Fault("200-without-etag-kept", PERSON, answering(Answer(200), kept=True)),
        Fault("200-login-page", PERSON, answering(page(200))),
        Fault("200-login-page-with-etag", PERSON, answering(login)),
        Fault("200-login-page-with-etag-trusting", PERSON, answering(login), store="trusting"),
        Fault("200-wrong-etag", DOUBT, answering(Answer(200, {"ETag": ETAG}))),
        Fault("200-wrong-etag-kept", DOUBT, answering(Answer(200, {"ETag": ETAG}), kept=True)),
        Fault("200-wrong-echo", DOUBT, answering(stored(**other_echo))),
        Fault(
            "200-wrong-echo-kept-trusting",
            DOUBT,
            answering(stored(**other_echo), kept=True),
            store="trusting",
        ),
        Fault("201", PERSON, answering(Answer(201, {"ETag": ETAG}))),
        Fault("kms-etag", PERSON, answering(encrypted, kept=True)),
        Fault("kms-etag-trusting", None, answering(encrypted, kept=True), store="trusting"),
        Fault("md5-without-echo", None, answering(stored(**no_echo), kept=True)),
    ]


def _on_the_way() -> list[Fault]:
    holes = [
        Fault("black-hole", WAIT, "hole", store="named", says="in time"),
        Fault("first-address-is-a-black-hole", None, "hole-then-port", store="named"),
    ]
    return [
        *(holes if sys.platform == "linux" else []),  # elsewhere a full queue refuses
        Fault("no-such-name", WAIT, "name", store="named", says="is not known"),
        Fault("refused", WAIT, "closed", store="named", says="cannot be reached"),
        Fault("tls-expired", PERSON, "expired", store="tls", says="expired"),
        Fault("tls-untrusted", PERSON, "untrusted", store="tls", says="not trusted"),
        Fault("tls-wrong-host", PERSON, "wrong-host", store="tls", says="endpoint_url"),
        Fault("tls-cut", WAIT, "cut-in-handshake", store="tls", says="broke off|TLS"),
    ]
