"""The object stores that the contract is held against, each with a way to read back what it keeps."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import pytest
from botocore.config import Config

from outbox.config.sections import NetworkOptions, UploadOptions
from tests.support import moto, swift
from tests.support.certificates import Authority
from uploader.objectstore import ObjectStore
from uploader.stores import open_store

BUCKET = "landing"


class Place(NamedTuple):
    """An empty destination: how to open a store on it, and how to look into it from outside."""

    open: Callable[[], ObjectStore]
    read: Callable[[str], bytes]
    names: Callable[[], list[str]]
    atomic: bool = True
    """Whether it lets exactly one of several simultaneous puts make the object."""


def folder_place(folder: Path) -> Place:
    root = folder / "objects with ä"
    root.mkdir()

    def names() -> list[str]:
        return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())

    upload = UploadOptions(to=root.as_uri())
    return Place(
        open=lambda: open_store(upload, NetworkOptions(), folder=folder),
        read=lambda key: root.joinpath(key).read_bytes(),
        names=names,
    )


def s3_client(url: str, key_id: str, secret: str, **more: Any) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=key_id,
        aws_secret_access_key=secret,
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
        **more,
    )


def s3_place(
    url: str, key_id: str, secret: str, prefix: str, *, ca_bundle: str = "system", atomic: bool
) -> Place:
    client = s3_client(url, key_id, secret, verify=None if ca_bundle == "system" else ca_bundle)
    environ = {"AWS_ACCESS_KEY_ID": key_id, "AWS_SECRET_ACCESS_KEY": secret}
    upload = UploadOptions(
        to=f"s3://{BUCKET}/{prefix}", region="us-east-1", endpoint_url=url, credentials="env", path_style=True
    )

    def names() -> list[str]:
        found = client.list_objects_v2(Bucket=BUCKET, Prefix=f"{prefix}/").get("Contents", [])
        return sorted(item["Key"].removeprefix(f"{prefix}/") for item in found)

    return Place(
        open=lambda: open_store(upload, NetworkOptions(ca_bundle=ca_bundle), folder=Path(), environ=environ),
        read=lambda key: client.get_object(Bucket=BUCKET, Key=f"{prefix}/{key}")["Body"].read(),
        names=names,
        atomic=atomic,
    )


@pytest.fixture(scope="session")
def moto_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with moto.serving(tmp_path_factory.mktemp("moto")) as url:
        s3_client(url, "AKIAMOTO", "any").create_bucket(Bucket=BUCKET)
        yield url


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def swift_server(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[swift.Swift]:
    folder = tmp_path_factory.mktemp("swift")
    if reason := swift.reason_not_to_run(folder):
        pytest.skip(reason)
    with swift.serving(folder, authority.issue("127.0.0.1")) as server:
        s3_client(server.url, server.key_id, server.secret).create_bucket(Bucket=BUCKET)
        yield server


@pytest.fixture(
    params=[
        "directory",
        pytest.param("moto", marks=pytest.mark.xdist_group("moto")),
        pytest.param("swift", marks=pytest.mark.xdist_group("swift")),
        pytest.param("swift-tls", marks=pytest.mark.xdist_group("swift")),
    ]
)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Each store in turn; on S3 each test has a prefix of its own."""
    if request.param == "directory":
        return folder_place(tmp_path)
    prefix = f"raw/{request.node.name.translate(str.maketrans('[]=', '---'))}"
    if request.param == "moto":
        return s3_place(request.getfixturevalue("moto_url"), "AKIAMOTO", "any", prefix, atomic=False)
    server: swift.Swift = request.getfixturevalue("swift_server")
    # Swift looks before it writes: of eight simultaneous puts it let up to six make the (same) object.
    if request.param == "swift":
        return s3_place(server.url, server.key_id, server.secret, prefix, atomic=False)
    bundle = str(request.getfixturevalue("authority").bundle)
    return s3_place(server.tls_url, server.key_id, server.secret, prefix, ca_bundle=bundle, atomic=False)
