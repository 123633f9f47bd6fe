"""What every reader keeps: one suite for a directory, moto and a real S3 server."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from outbox.config.sections import NetworkOptions, UploadOptions
from outbox.errors import DataError, ObjectError, PermanentError, TransientError
from outbox.retry import Retry
from tests.contract.conftest import BUCKET, Place
from tests.support.s3_faults import Answer, page, refusal, serving
from uploader.compression import compress
from uploader.directory import PARTIAL
from uploader.objectstore import ObjectReader, ObjectStore
from uploader.s3.reader import PAGE_KEYS, PIECE_BYTES, S3Reader
from uploader.s3.store import S3Store
from uploader.stores import open_reader

ENVIRON = {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "canary"}


def once() -> Retry:
    return Retry(attempts=1)


def reader_of(store: ObjectStore) -> ObjectReader:
    """The reading side of the same destination, with the same settings."""
    if isinstance(store, S3Store):
        return S3Reader(store, once())
    return open_reader(UploadOptions(to=store.url), NetworkOptions(), folder=Path(), retry=once())


def test_every_object_is_listed_once_with_its_size_in_the_order_of_keys(place: Place):
    store = place.open()
    keys = ["a/b", "a.c", "a=1/x", "a=1/äö ☃+%2F", "a0", "z"]
    for size, key in enumerate(keys):
        store.put(key, b"x" * size)
    listed = list(reader_of(store).list_objects())
    assert listed == sorted(((key, size) for size, key in enumerate(keys)), key=lambda item: item[0].encode())


def test_a_listing_of_several_pages_is_whole(place: Place):
    store = place.open()
    keys = [f"data/customer=acme/{number:03d}" for number in range(PAGE_KEYS * 2 + 1)]
    for key in keys:
        store.put(key, b"x")
    assert [key for key, _ in reader_of(store).list_objects()] == keys


def test_only_what_is_below_is_listed(place: Place):
    store = place.open()
    for key in ("a/b/c", "a/b/d", "a/bc", "b"):
        store.put(key, b"x")
    reader = reader_of(store)
    assert [key for key, _ in reader.list_objects("a/b/")] == ["a/b/c", "a/b/d"]
    assert [key for key, _ in reader.list_objects("a/b/d")] == ["a/b/d"]
    assert list(reader.list_objects("absent/")) == []


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES, PIECE_BYTES + 1, PIECE_BYTES * 3])
def test_an_object_is_read_to_the_last_byte(place: Place, size: int):
    store, data = place.open(), bytes(range(251)) * (size // 251 + 1)
    store.put("data/x", data[:size])
    assert reader_of(store).read_object("data/x") == data[:size]


@pytest.mark.parametrize("encoding", ["zstd", "gzip", "none"])
def test_lines_are_read_in_every_encoding(place: Place, encoding: str):
    store = place.open()
    store.put("data/x", compress(b"one\ntwo\n", encoding))
    assert reader_of(store).read_lines("data/x", encoding) == b"one\ntwo\n"


@pytest.mark.parametrize("encoding", ["zstd", "gzip"])
@pytest.mark.parametrize("cut", [5, -1])
def test_lines_that_cannot_be_unpacked_are_a_data_error(place: Place, encoding: str, cut: int):
    store = place.open()
    store.put("data/x", compress(b"one\n" * 999, encoding)[:cut])
    with pytest.raises(DataError, match=encoding):
        reader_of(store).read_lines("data/x", encoding)


@pytest.mark.parametrize("encoding", ["zstd", "gzip"])
def test_an_object_that_unpacks_without_end_takes_no_memory_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str
):
    monkeypatch.setattr("uploader.compression.MAX_LINES_BYTES", 1_000)
    (tmp_path / "fits").write_bytes(compress(bytes(600), encoding) + compress(bytes(400), encoding))
    (tmp_path / "bomb").write_bytes(compress(bytes(600), encoding) + compress(bytes(401), encoding))
    reader = open_reader(UploadOptions(to=tmp_path.as_uri()), NetworkOptions(), folder=Path(), retry=once())
    assert reader.read_lines("fits", encoding) == bytes(1_000)
    with pytest.raises(DataError, match=r"unpack to more than 1,000 bytes"):
        reader.read_lines("bomb", encoding)


def test_an_absent_object_is_this_objects_error(place: Place):
    with pytest.raises(ObjectError, match="has no object data/absent"):
        reader_of(place.open()).read_object("data/absent")


def test_a_directory_that_is_not_there_is_a_persons_business(tmp_path: Path):
    upload = UploadOptions(to=(tmp_path / "absent").as_uri())
    reader = open_reader(upload, NetworkOptions(), folder=tmp_path, retry=once())
    for act in (lambda: list(reader.list_objects()), lambda: reader.read_object("a")):
        with pytest.raises(PermanentError, match="cannot read below") as caught:
            act()
        assert "mounted" in str(caught.value.hint)


def test_what_is_half_written_is_no_object(tmp_path: Path):
    (tmp_path / PARTIAL).mkdir()
    (tmp_path / PARTIAL / "0123").write_bytes(b"half")
    reader = open_reader(UploadOptions(to=tmp_path.as_uri()), NetworkOptions(), folder=tmp_path, retry=once())
    assert list(reader.list_objects()) == []


def read(url: str, act: Callable[[ObjectReader], Any]) -> Any:
    upload = UploadOptions(to=f"s3://{BUCKET}", region="eu-north-1", endpoint_url=url, credentials="env")
    network = NetworkOptions(timeout=20, connect_timeout=20)
    return act(open_reader(upload, network, folder=Path(), retry=once(), environ=ENVIRON))


LIST, GET = (lambda reader: list(reader.list_objects())), (lambda reader: reader.read_object("x"))


@pytest.mark.parametrize("act", [LIST, GET], ids=["list", "get"])
@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        (
            refusal(403, "AccessDenied"),
            PermanentError,
            "the key AKIA…MPLE may not list or read",
        ),
        (refusal(403, "InvalidAccessKeyId"), PermanentError, "switched off"),
        (refusal(404, "NoSuchBucket"), PermanentError, "no bucket landing"),
        (refusal(503, "SlowDown"), TransientError, "SlowDown"),
        (page(200), PermanentError, "did not come from S3"),
        (page(403), PermanentError, "did not come from S3"),
    ],
)
def test_what_s3_refuses_is_the_same_tree_of_errors(
    act: Callable[[ObjectReader], Any], answer: Answer, kind: type, text: str
):
    with serving(answer) as server, pytest.raises(kind, match=text) as caught:
        read(server.url, act)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("body", [b"", b"<a/>", b"<ListBucketResult><Contents>", b"{}"])
def test_an_answer_that_is_no_listing_is_never_an_empty_bucket(body: bytes):
    answer = Answer(200, {"Content-Type": "application/xml"}, body)
    with serving(answer) as server, pytest.raises((PermanentError, TransientError)):
        read(server.url, LIST)


def test_a_store_that_lists_in_another_order_is_refused():
    keys = "".join(f"<Contents><Key>{key}</Key><Size>1</Size></Contents>" for key in "ba")
    xml = f"<ListBucketResult><Name>landing</Name><IsTruncated>false</IsTruncated>{keys}</ListBucketResult>"
    answer = Answer(200, {"Content-Type": "application/xml"}, xml.encode())
    with serving(answer) as server, pytest.raises(PermanentError, match="lists a after b"):
        read(server.url, LIST)


def test_a_page_too_long_for_the_transport_is_asked_for_again_in_smaller_ones():
    def of(count: int) -> Answer:
        keys = "".join(
            f"<Contents><Key>{number:03d}{'k' * 1_000}</Key><Size>1</Size></Contents>"
            for number in range(count)
        )
        xml = f"<ListBucketResult><IsTruncated>false</IsTruncated>{keys}</ListBucketResult>"
        return Answer(200, {"Content-Type": "application/xml"}, xml.encode())

    with serving(of(80), of(15)) as server:
        assert len(read(server.url, LIST)) == 15
    assert ["max-keys=80" in request.path for request in server.requests] == [True, False]
