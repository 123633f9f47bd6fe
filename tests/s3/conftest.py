"""A store with canary credentials on a scripted server, and nothing of this machine's AWS settings."""

import os
import re
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from outbox.config.sections import NetworkOptions, UploadOptions
from outbox.errors import OutboxError
from uploader.s3.store import S3Store

KEY = "data/customer=acme/000000000001-000000000002-ab.ndjson"
DATA = b'{"sequence":1}\n{"sequence":2}\n'
KEY_ID = "AKIAIOSFODNN7EXAMPLE"
SECRET = "canary/wJalrXUtnFEMI+K7MDENG"
TOKEN = "canaryFwoGZXIvYXdzEBYaDK"
ENVIRON = {"AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_SESSION_TOKEN": TOKEN}
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)

MakeStore = Callable[..., S3Store]


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if re.match(r"AWS_|BOTO|(HTTPS?|NO|ALL)_PROXY$|SSL_CERT|REQUESTS_CA", name.upper()):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "absent-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "absent-credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def make_store(tmp_path: Path) -> MakeStore:
    """Return a function that opens a store on `url`; options of [network] and [upload] by name."""

    def make(url: str, *, network: Mapping[str, Any] | None = None, **upload: Any) -> S3Store:
        options = {
            "to": "s3://landing/raw",
            "region": "eu-north-1",
            "credentials": "env",
            "endpoint_url": url,
        }
        return S3Store(
            UploadOptions(**{**options, **upload}),
            NetworkOptions(**{"timeout": 20, "connect_timeout": 20, **(network or {})}),
            folder=tmp_path,
            environ=ENVIRON,
            now=lambda: NOW,
        )

    return make


def refused(store: S3Store, kind: type[OutboxError], *fragments: str) -> OutboxError:
    """Put once; return the error, which is of exactly this kind, says all `fragments` and no secret."""
    with pytest.raises(OutboxError) as caught:
        store.put(KEY, DATA)
    assert type(caught.value) is kind
    for fragment in fragments:
        assert fragment in str(caught.value)
    told = str(caught.value) + "".join(traceback.format_exception(caught.value))
    for secret in ("canary", "Signature=", KEY_ID):
        assert secret not in told
    return caught.value
