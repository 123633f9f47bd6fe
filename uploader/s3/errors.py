"""What S3's refusals and the network's failures mean, and what to do about each.

Invariants: every refusal is one of the four classes of `outbox.errors`; whatever did not come from S3
(a proxy's page, a login portal) is called so; no message holds a secret or an address with a signature.
"""

import re
import ssl
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import urllib3.exceptions as http

from outbox.errors import ObjectError, OutboxError, PermanentError, TransientError
from outbox.machine.network import http_date, retry_after_s
from uploader.objectstore import OtherBytesError
from uploader.s3.transport import TooSlowError

_CREDENTIALS = "ask head office whether the key is still right, then: outbox secret set aws"
_STORES = "for an S3-compatible store try [upload] conditional, checksum, encryption or path_style"
_REGION = "write [upload] region = {region}"
_KMS = "ask head office to let this key use the bucket's KMS key, or correct [upload] encryption and kms_key"

WAIT, OBJECT, PERSON = TransientError, ObjectError, PermanentError

_CODES: dict[str, tuple[type[OutboxError], str, str | None]] = {
    # Waiting helps.
    "SlowDown": (WAIT, "too many requests just now", None),
    "InternalError": (WAIT, "the store had an accident", None),
    "ServiceUnavailable": (WAIT, "the store is busy", None),
    "RequestTimeout": (WAIT, "the object arrived too slowly", None),
    "IncompleteBody": (WAIT, "the object was cut off on its way", None),
    "BadDigest": (
        WAIT,
        "the object was damaged on its way",
        "if this stays: what changes data between here and S3?",
    ),
    "ConditionalRequestConflict": (WAIT, "another put of the same object is on its way", None),
    "OperationAborted": (WAIT, "another operation on the bucket or the object is on its way", None),
    "KMS.ThrottlingException": (WAIT, "too many requests to KMS just now", None),
    "ExpiredToken": (WAIT, "the temporary key {key_id} ran out", "if this stays: outbox secret set aws"),
    "TokenRefreshRequired": (
        WAIT,
        "the temporary key {key_id} ran out",
        "if this stays: outbox secret set aws",
    ),
    # A person must act: who we are.
    "AccessDenied": (PERSON, "the key {key_id} may not put here: {said}", "grant s3:PutObject on {url}/*"),
    "InvalidAccessKeyId": (PERSON, "the key {key_id} is switched off or deleted", _CREDENTIALS),
    "SignatureDoesNotMatch": (PERSON, "the secret of the key {key_id} is not the one S3 knows", _CREDENTIALS),
    "InvalidToken": (PERSON, "the session token of the key {key_id} is not valid", _CREDENTIALS),
    "RequestTimeTooSkewed": (
        PERSON,
        "this machine's clock is {skew}",
        "set the clock, and keep it in step by NTP",
    ),
    # … where we write to.
    "NoSuchBucket": (PERSON, "there is no bucket {bucket}", "correct [upload] to, or endpoint_url"),
    "InvalidBucketName": (PERSON, "{bucket} cannot be a bucket's name", "correct [upload] to"),
    "PermanentRedirect": (PERSON, "the bucket {bucket} is in another region", _REGION),
    "TemporaryRedirect": (PERSON, "the bucket {bucket} is in another region, or very new", _REGION),
    "AuthorizationHeaderMalformed": (PERSON, "signed for another region than the bucket's", _REGION),
    "IllegalLocationConstraintException": (PERSON, "the bucket {bucket} is in another region", _REGION),
    # … and how.
    "NotImplemented": (PERSON, "this store does not know something we ask for: {said}", _STORES),
    "InvalidRequest": (PERSON, "{said}", _STORES),
    "InvalidArgument": (PERSON, "{said}", _STORES),
    "MissingContentLength": (PERSON, "something on the way took the object's length off", _STORES),
    "XAmzContentSHA256Mismatch": (PERSON, "the object's signed checksum does not fit what arrived", _STORES),
    # Only this object.
    "EntityTooLarge": (OBJECT, "the object is too large", "lower [upload] max_bytes for the next objects"),
    "InvalidDigest": (OBJECT, "the object's checksum cannot be read", _STORES),
    "KeyTooLongError": (OBJECT, "the object's name is too long", "shorten the prefix in [upload] to"),
}
EXPIRED = ("ExpiredToken", "TokenRefreshRequired")
_ALIASES = {
    "IllegalLocationConstraint": "IllegalLocationConstraintException",
    "KeyTooLong": "KeyTooLongError",
}


_UNITS = (("days", 86_400), ("hours", 3_600), ("minutes", 60), ("seconds", 1))

# Some inherit from others: the first that fits is meant.
_NO_ANSWER: tuple[tuple[type[http.HTTPError], str, str], ...] = (
    (
        http.NameResolutionError,
        "is not known here",
        "is there a name server? or is the way out a [network] proxy?",
    ),
    (
        http.NewConnectionError,
        "cannot be reached",
        "is the way out open? see [network] proxy, [upload] endpoint_url",
    ),
    (
        http.ConnectTimeoutError,
        "cannot be reached in time",
        "is the way out open? see [network] connect_timeout",
    ),
    (http.ReadTimeoutError, "does not answer in time", "if this stays: raise [network] timeout"),
    (
        TooSlowError,
        "is too slow, or the line to it",
        "if this stays: lower [upload] parallel, or raise [network] timeout",
    ),
)


class Attempt(NamedTuple):
    """One put as messages name it; nothing in it is secret."""

    key: str
    url: str
    bucket: str
    host: str
    key_id: str
    via: str
    """`host:port` of the proxy, or nothing."""


def refused(response: Mapping[str, Any], attempt: Attempt, *, now: datetime) -> OutboxError:
    """Return the error that S3's refusal stands for; `response` is botocore's, its message masked already."""
    metadata, details = response["ResponseMetadata"], response.get("Error", {})
    status, headers = int(metadata["HTTPStatusCode"]), metadata["HTTPHeaders"]
    code = str(details.get("Code", ""))
    if code in ("", str(status)):
        return _not_from_s3(status, headers, attempt, now)
    kind, sentence, hint = _meaning(_ALIASES.get(code, code), status)
    told = {
        **attempt._asdict(),
        "said": str(details.get("Message", "")).rstrip("."),
        "region": headers.get("x-amz-bucket-region") or details.get("Region") or "the bucket's",
        "skew": clock_error(headers, now),
    }
    where = f"{attempt.url}/{attempt.key}" if kind is OBJECT else attempt.url
    message = f"{where}: S3 says {code}: {sentence.format(**told)}"
    return _error(kind, message, hint and hint.format(**told), headers, now)


def _meaning(code: str, status: int) -> tuple[type[OutboxError], str, str | None]:
    if code in _CODES:
        return _CODES[code]
    if code.startswith("KMS."):
        return PERSON, "{said}", _KMS
    if status >= 500 or status in (408, 409, 429):
        return WAIT, "{said}", None
    if status in (401, 403, 404, 405) or status < 400:
        return PERSON, "{said}", "show this message to head office"
    return OBJECT, "{said}", "show this message to head office"


def _not_from_s3(status: int, headers: Mapping[str, str], attempt: Attempt, now: datetime) -> OutboxError:
    """Return the error for an answer without S3's own code: most often something between us and S3."""
    if status == 407:
        return login_wanted(attempt)
    if (status >= 500 and status != 511) or status in (408, 429):
        return _error(WAIT, f"{attempt.url}: {attempt.host} answers HTTP {status}", None, headers, now)
    if region := headers.get("x-amz-bucket-region"):
        message = f"{attempt.url}: the bucket {attempt.bucket} is in another region"
        return PermanentError(message, hint=_REGION.format(region=region))
    return stranger(status, headers, attempt)


def stranger(status: int, headers: Mapping[str, str], attempt: Attempt) -> PermanentError:
    """Return the error for an answer that did not come from S3 and will not change by itself."""
    what = headers.get("content-type", "").partition(";")[0] or "no text"
    target = urlsplit(headers.get("location", "")).hostname
    leads = f", leading to {target}" if target else ""
    return PermanentError(
        f"{attempt.url}: the answer did not come from S3: HTTP {status} with {what}{leads}. Nothing was lost",
        hint=f"a proxy, firewall or login page answers for {attempt.host}: have it let through, "
        "or correct [network] proxy or [upload] endpoint_url",
    )


def unproven(etag: str, echoed: str | None, attempt: Attempt, *, encrypted: bool) -> PermanentError:
    """Return the error for a success that nothing proves: no checksum or ETag of ours came back.

    Another checksum, or the MD5 of something else, says more: that other bytes are kept. Of an object that
    the store says is `encrypted`, an ETag is no MD5, whatever it looks like.
    """
    kind = PermanentError
    if echoed is not None or (re.fullmatch(r'"?[0-9a-fA-F]{32}"?', etag) and not encrypted):
        kind = OtherBytesError
    if echoed is not None:
        what, hint = (
            "echoes another checksum than the one sent",
            "what changes data between here and the store?",
        )
    elif etag:
        what = f"echoes no checksum, and its ETag {etag[:80]} is not the object's MD5"
        hint = "for a store that encrypts what it keeps: [upload] trust_etag = yes; else ask who answers here"
    else:
        what, hint = "echoes neither checksum nor ETag", "is it a store at all? correct [upload] endpoint_url"
    return kind(f"{attempt.url}: {attempt.host} accepts {attempt.key} but {what}", hint=hint)


def unreachable(error: http.HTTPError, attempt: Attempt) -> OutboxError:
    """Return the error for a request that got no answer."""
    if isinstance(error, http.ProxyError):
        return _proxy_error(error, attempt)
    if isinstance(error, http.SSLError):
        return _tls_error(error, attempt)
    what, hint = next(
        ((what, hint) for kind, what, hint in _NO_ANSWER if isinstance(error, kind)),
        ("broke off the connection", None),
    )
    via = f" (by way of {attempt.via})" if attempt.via else ""
    return TransientError(f"{attempt.url}: {attempt.host} {what}{via}. Nothing was lost", hint=hint)


def _proxy_error(error: http.ProxyError, attempt: Attempt) -> OutboxError:
    status = re.search(r"Tunnel connection failed: (\d{3})", str(error))
    if status and status[1] == "407":
        return login_wanted(attempt)
    if status and status[1].startswith("4"):
        return PermanentError(
            f"{attempt.url}: the proxy {attempt.via} refuses the way to {attempt.host} (HTTP {status[1]})",
            hint=f"have it let {attempt.host}:443 through",
        )
    what = f"answers HTTP {status[1]}" if status else "cannot be reached"
    return TransientError(f"{attempt.url}: the proxy {attempt.via} {what}", hint="check [network] proxy")


def login_wanted(attempt: Attempt) -> PermanentError:
    """Return the error for a proxy that asks who we are."""
    return PermanentError(
        f"{attempt.url}: the proxy {attempt.via or 'on the way'} wants a login (HTTP 407)",
        hint=f"have it let this machine through to {attempt.host} without one, or see [network] proxy",
    )


def _tls_error(error: http.SSLError, attempt: Attempt) -> OutboxError:
    cause: BaseException | None = error
    while cause and not isinstance(cause, ssl.SSLCertVerificationError):
        cause = cause.__cause__ or next((arg for arg in cause.args if isinstance(arg, BaseException)), None)
    if cause is None:
        return TransientError(f"{attempt.url}: no TLS connection with {attempt.host}: {_reason(error)}")
    reason = str(getattr(cause, "verify_message", "") or _reason(cause))
    hint = (
        "where a proxy inspects TLS, let this machine trust its certificate, or name it: [network] ca_bundle"
    )
    if "expired" in reason or "not yet valid" in reason:
        hint = f"is this machine's clock right? {hint}"
    elif "mismatch" in reason:
        hint = f"is [upload] endpoint_url right? {hint}"
    return PermanentError(
        f"{attempt.url}: the certificate of {attempt.host} is not trusted: {reason}", hint=hint
    )


def _reason(error: BaseException) -> str:
    return str(getattr(error, "reason", None) or type(error).__name__)


def _error(
    kind: type[OutboxError], message: str, hint: str | None, headers: Mapping[str, str], now: datetime
) -> OutboxError:
    if issubclass(kind, TransientError):
        return kind(message, hint=hint, retry_after_s=retry_after_s(headers, now))
    return kind(message, hint=hint)


def clock_error(headers: Mapping[str, str], now: datetime) -> str:
    """Return in words how far this machine's clock is from the server's `Date`."""
    server = http_date(headers.get("date", ""))
    if server is None:
        return "more than 15 minutes off"
    off_s = (now - server).total_seconds()
    unit, unit_s = next((pair for pair in _UNITS if abs(off_s) >= 2 * pair[1]), _UNITS[-1])
    return f"{abs(off_s) / unit_s:,.0f} {unit} {'fast' if off_s > 0 else 'slow'}"
