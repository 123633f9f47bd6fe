"""Objects in S3, or in a store that speaks its language; the only file that knows boto3.

Invariants:
- One put is one HTTP request. botocore finds the credentials, signs and parses; urllib3 carries. Their
  retries, redirects and look-ups of the bucket's region are off, and no `Expect` is sent.
- A put has succeeded when the store proved that it holds these bytes (`_confirm`), or said itself that the
  key exists (412 with its own code). A status alone proves nothing.
- The signature covers the bytes: a store that ignores checksums cannot keep a damaged object either.
- The configuration alone decides how S3 is reached: no proxy, address or CA bundle of the environment does.
"""

import base64
import hashlib
import io
import logging
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import boto3
import urllib3
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from outbox.config.sections import NetworkOptions, UploadOptions
from outbox.errors import ObjectError, OutboxError, PermanentError, TransientError
from outbox.machine.network import http_date, is_address
from outbox.redaction import Secrets
from uploader.objectstore import Receipt, key_parts
from uploader.s3 import errors as s3_errors
from uploader.s3.credentials import HINT, Credentials, read_credentials
from uploader.s3.transport import Transport

# At DEBUG botocore writes down each request, a session token among its headers.
logging.getLogger("botocore").setLevel(logging.INFO)


_ENCRYPTED = "x-amz-server-side-encryption"


class S3Store:
    """Puts objects into one bucket, below one prefix."""

    def __init__(
        self,
        upload: UploadOptions,
        network: NetworkOptions,
        *,
        folder: Path,
        environ: Mapping[str, str] = os.environ,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.url = upload.to
        self._bucket, _, self._prefix = upload.to.removeprefix("s3://").partition("/")
        self._upload, self._folder, self._environ, self._now = upload, folder, environ, now
        self._transport = Transport(network, connections=upload.parallel)
        self._lock = threading.Lock()
        self._login: _Login | None = None

    def put(self, key: str, data: bytes) -> Receipt:
        """Store `data` as the object `key`, or hear that it exists; see ObjectStore.put."""
        key = "/".join([*filter(None, [self._prefix]), *key_parts(key)])
        login = self._logged_in()
        with login.secrets.kept():
            return self._put(key, data, login)

    def _put(self, key: str, data: bytes, login: "_Login") -> Receipt:
        attempt = s3_errors.Attempt(
            key, self.url, self._bucket, login.host, login.credentials.shown, self._transport.via
        )
        try:
            response = self._ask("put_object", self._request(key, data), attempt, login)
        except ClientError as error:
            if self._exists(error.response):
                return Receipt(None, existed=True, server_time=_server_time(error.response))
            raise self._refused(error.response, attempt, login) from error
        etag = self._confirm(response, data, attempt)
        return Receipt(etag, existed=False, server_time=_server_time(response))

    def read(self, operation: str, **parameters: Any) -> Mapping[str, Any] | None:
        """Return S3's answer to `get_object` or the like, tried once; raises what put raises.

        PermanentError where the key may only put, ObjectError where there is no such object, None where
        nothing is at the range asked for. An answer that was cut off is a TransientError.
        """
        login = self._logged_in()
        with login.secrets.kept():
            return self._read(operation, parameters, login)

    def _read(self, operation: str, parameters: dict[str, Any], login: "_Login") -> Mapping[str, Any] | None:
        name = parameters.get("Key") or parameters.get("Prefix", "")
        attempt = s3_errors.Attempt(
            name, self.url, self._bucket, login.host, login.credentials.shown, self._transport.via
        )
        try:
            response = self._ask(operation, parameters, attempt, login)
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code")
            if code == "AccessDenied":
                what = f"{self.url}: the key {attempt.key_id} may not list or read"
                hint = "as it should be for an agent; a key with s3:ListBucket and s3:GetObject may look"
                raise PermanentError(what, hint=hint) from error
            if code == "NoSuchKey":
                raise ObjectError(
                    f"{self.url} has no object {name.removeprefix(self._prefix).lstrip('/')}"
                ) from error
            if code == "InvalidRange":
                return None
            raise self._refused(error.response, attempt, login) from error
        metadata = response["ResponseMetadata"]
        status, headers = metadata["HTTPStatusCode"], metadata["HTTPHeaders"]
        if status != 204 and (status not in (200, 206) or _is_page(headers)):  # 204 has nothing to show
            raise s3_errors.stranger(status, headers, attempt)
        return response

    def _ask(
        self, operation: str, parameters: dict[str, Any], attempt: s3_errors.Attempt, login: "_Login"
    ) -> Mapping[str, Any]:
        """Send one request; what S3 refuses comes through as botocore's ClientError, without the secrets."""
        try:
            response: Mapping[str, Any] = getattr(login.client, operation)(Bucket=self._bucket, **parameters)
        except ClientError as error:
            error.args = (login.credentials.mask(str(error)),)  # a traceback shows it
            raise
        except urllib3.exceptions.HTTPError as error:
            raise s3_errors.unreachable(error, attempt) from error
        except BotoCoreError as error:
            raise self._unusable(error) from error
        return response

    def delete(self, key: str) -> None:
        """Delete the object `key`, tried once; raises what put raises. For trial objects: data stays."""
        self.read("delete_object", Key="/".join([*filter(None, [self._prefix]), *key_parts(key)]))

    def key_shown(self) -> str:
        """Return the access key id in use as people may see it, `AKIA…7Q2F`; PermanentError for none."""
        return self._logged_in().credentials.shown

    def _request(self, key: str, data: bytes) -> dict[str, Any]:
        request: dict[str, Any] = {"Key": key, "Body": data}
        if self._upload.conditional:
            request["IfNoneMatch"] = "*"
        if self._upload.checksum == "sha256":
            request["ChecksumSHA256"] = _sha256(data)
        elif self._upload.checksum == "md5":
            request["ContentMD5"] = base64.b64encode(_md5(data)).decode()
        if self._upload.encryption:
            request["ServerSideEncryption"] = self._upload.encryption
        if self._upload.kms_key:
            request["SSEKMSKeyId"] = self._upload.kms_key
        return request

    def _confirm(self, response: Mapping[str, Any], data: bytes, attempt: s3_errors.Attempt) -> str:
        """Return the ETag when the answer proves that the store holds `data`; else PermanentError."""
        metadata = response["ResponseMetadata"]
        status, headers = metadata["HTTPStatusCode"], metadata["HTTPHeaders"]
        etag, echoed = str(response.get("ETag", "")), response.get("ChecksumSHA256")
        if status != 200 or _is_page(headers):
            raise s3_errors.stranger(status, headers, attempt)
        if echoed is not None:
            proven = echoed == _sha256(data)
        else:
            proven = etag.strip('"').lower() == _md5(data).hex()
        # An ETag of S3's own form, and no body: no web server's answer looks like that.
        plausible = re.fullmatch(r'"[0-9a-f]{32}(-\d+)?"', etag) and headers.get("content-length") == "0"
        if proven or (plausible and echoed is None and self._upload.trust_etag):
            return etag
        raise s3_errors.unproven(etag, echoed, attempt, encrypted=_ENCRYPTED in headers)

    def _exists(self, response: Mapping[str, Any]) -> bool:
        """Return whether the store itself said that the key exists; a proxy's 412 has no such code."""
        status, code = response["ResponseMetadata"]["HTTPStatusCode"], response.get("Error", {}).get("Code")
        return self._upload.conditional and status == 412 and code == "PreconditionFailed"

    def _refused(
        self, response: Mapping[str, Any], attempt: s3_errors.Attempt, login: "_Login"
    ) -> OutboxError:
        details = {name: str(value) for name, value in response.get("Error", {}).items()}
        for name, value in details.items():
            if name != "Code" or not value.isalpha():  # S3's own codes are words
                details[name] = login.credentials.mask(value)
        if details.get("Code") in s3_errors.EXPIRED:
            with self._lock:
                self._login = None if self._login is login else self._login
        return s3_errors.refused({**response, "Error": details}, attempt, now=self._now())

    def _logged_in(self) -> "_Login":
        with self._lock:
            if self._login is None:
                try:
                    self._login = self._log_in()
                except (BotoCoreError, ValueError) as error:
                    raise self._unusable(error) from error
            return self._login

    def _log_in(self) -> "_Login":
        upload = self._upload
        given = read_credentials(upload.credentials, folder=self._folder, environ=self._environ)
        kind, _, name = upload.credentials.partition(":")
        session = boto3.Session(
            aws_access_key_id=given.access_key_id if given else None,
            aws_secret_access_key=given.secret_access_key if given else None,
            aws_session_token=given.session_token if given else None,
            profile_name=name if kind == "profile" else None,
            region_name=upload.region or None,
        )
        found = session.get_credentials()
        if found is None:
            raise PermanentError(f"{self.url}: no AWS credentials were found on this machine", hint=HINT)
        key = found.get_frozen_credentials()
        client: Any = session.client("s3", endpoint_url=upload.endpoint_url or None, config=_config(upload))
        client.meta.events.register("before-call.s3", _stay_in_region)
        client.meta.events.register("before-send.s3", self._send)
        host = urlsplit(client.meta.endpoint_url).hostname or ""
        if not (upload.path_style or is_address(host) or "." in self._bucket):
            host = f"{self._bucket}.{host}"
        credentials = Credentials(str(key.access_key), str(key.secret_key), key.token)
        secrets = Secrets(filter(None, (*key, *self._transport.secrets)))
        return _Login(client, credentials, host, secrets)

    def _send(self, request: Any, **_: Any) -> AWSResponse:
        """Carry one signed request; botocore's place for this is the event `before-send`."""
        # As bytes and without Expect: botocore makes a file of them, to be sent only after leave was given.
        headers = {name: value for name, value in request.headers.items() if name != "Expect"}
        body = request.body.read() if hasattr(request.body, "read") else request.body
        answer = self._transport.send(request.method, request.url, headers, body or b"")
        # A page is no XML: botocore would call it a server's error. _confirm knows better, from the headers.
        said = b"" if answer.status < 300 and _is_page(answer.headers) else answer.body
        answer_headers: Any = answer.headers
        return AWSResponse(request.url, answer.status, answer_headers, _Body(said))

    def _unusable(self, error: Exception) -> OutboxError:
        """Return the error for what boto3 cannot even begin: settings or a way to credentials."""
        what = f"{self.url}: {type(error).__name__}: {error}"
        if isinstance(error, HTTPClientError):
            return TransientError(f"{what}. The credentials could not be fetched")
        return PermanentError(
            what, hint=f"correct [upload] credentials, region, endpoint_url or to, or: {HINT}"
        )


def denied(error: OutboxError) -> bool:
    """Return whether S3 itself said that these credentials may not."""
    cause = error.__cause__
    return isinstance(cause, ClientError) and cause.response.get("Error", {}).get("Code") == "AccessDenied"


class _Login(NamedTuple):
    client: Any
    credentials: Credentials
    host: str
    secrets: Secrets


class _Body(io.BytesIO):
    """An answer's body as AWSResponse wants to read it."""

    def stream(self) -> Iterator[bytes]:
        yield self.getvalue()


def _config(upload: UploadOptions) -> Config:
    return Config(
        signature_version="s3v4",
        retries={"total_max_attempts": 1, "mode": "standard"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        ignore_configured_endpoint_urls=True,  # type: ignore[call-arg,unused-ignore]
        s3={
            "addressing_style": "path" if upload.path_style else "virtual",
            # Over TLS botocore would leave the body out of the signature, trusting the checksum's header.
            "payload_signing_enabled": True,
        },
    )


def _stay_in_region(context: dict[str, Any], **_: Any) -> None:
    """Tell botocore that the redirect it allows itself is used up.

    It would ask for the bucket's region (HeadBucket, which a put-only key may not) and send again elsewhere.
    """
    context.setdefault("s3_redirect", {})["redirected"] = True


def _is_page(headers: Mapping[str, str]) -> bool:
    """Return whether the answer is for a person's eyes; Swift calls even its empty answers HTML."""
    return "html" in headers.get("content-type", "").lower() and headers.get("content-length") != "0"


def _server_time(response: Mapping[str, Any]) -> datetime | None:
    return http_date(response["ResponseMetadata"]["HTTPHeaders"].get("date", ""))


def _sha256(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()
