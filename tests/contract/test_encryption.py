"""What moto, which knows every header of S3, keeps of the wish for server-side encryption."""

from pathlib import Path
from typing import Any

import pytest

from outbox.config.sections import NetworkOptions, UploadOptions
from tests.contract.conftest import BUCKET, s3_client
from uploader.stores import open_store

pytestmark = pytest.mark.xdist_group("moto")
KEY_ARN = "arn:aws:kms:eu-north-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({}, {}),
        ({"encryption": "AES256"}, {"ServerSideEncryption": "AES256"}),
        ({"encryption": "aws:kms"}, {"ServerSideEncryption": "aws:kms"}),
        (
            {"encryption": "aws:kms", "kms_key": KEY_ARN},
            {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": KEY_ARN},
        ),
    ],
)
def test_the_object_is_encrypted_as_configured(moto_url: str, options: dict[str, Any], kept: dict[str, str]):
    environ = {"AWS_ACCESS_KEY_ID": "AKIAMOTO", "AWS_SECRET_ACCESS_KEY": "any"}
    upload = UploadOptions(
        to=f"s3://{BUCKET}", region="us-east-1", endpoint_url=moto_url, credentials="env", **options
    )
    store = open_store(upload, NetworkOptions(), folder=Path(), environ=environ)
    key = f"encrypted/{'-'.join(options.values()).replace(':', '_').replace('/', '_')}x"
    assert not store.put(key, b"x").existed
    head = s3_client(moto_url, "AKIAMOTO", "any").head_object(Bucket=BUCKET, Key=key)
    assert {name: head[name] for name in ("ServerSideEncryption", "SSEKMSKeyId") if name in head} == kept
