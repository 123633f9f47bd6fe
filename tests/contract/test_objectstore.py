"""What every object store keeps: one suite for a directory, moto and a real S3 server."""

import random
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from tests.contract.conftest import Place
from uploader.objectstore import Receipt

KEY = "data/customer=acme/site=helsinki/agent=3f9c-000000000001/date=2026-11-23/000000000001-000000000002.zst"
THREADS = 8


def test_a_put_stores_exactly_these_bytes_under_exactly_this_key(place: Place):
    data = bytes(range(256)) * 3 + b"\r\n\n\x00"
    receipt = place.open().put(KEY, data)
    assert not receipt.existed
    assert place.read(KEY) == data
    assert place.names() == [KEY]


def test_a_second_put_hears_that_the_key_exists_and_changes_nothing(place: Place):
    store = place.open()
    store.put(KEY, b"first")
    assert store.put(KEY, b"other").existed
    assert place.read(KEY) == b"first"


def test_another_process_with_the_same_batch_hears_that_the_key_exists(place: Place):
    place.open().put(KEY, b"first")
    assert place.open().put(KEY, b"first").existed


def test_simultaneous_puts_of_one_key_are_all_confirmed_and_leave_one_object(place: Place):
    store, start = place.open(), Barrier(THREADS)

    def put(_: int) -> Receipt:
        start.wait()
        return store.put(KEY, b"the same")

    with ThreadPoolExecutor(THREADS) as pool:
        receipts = list(pool.map(put, range(THREADS)))
    made = [receipt.existed for receipt in receipts].count(False)
    assert made == 1 if place.atomic else made >= 1
    assert len(receipts) == THREADS
    assert place.names() == [KEY]
    assert place.read(KEY) == b"the same"


def test_simultaneous_puts_of_many_keys_do_not_disturb_each_other(place: Place):
    store = place.open()
    bodies = {f"{KEY}.{number}": str(number).encode() * 1_000 for number in range(THREADS * 3)}
    with ThreadPoolExecutor(THREADS) as pool:
        receipts = list(pool.map(lambda item: store.put(*item), bodies.items()))
    assert not any(receipt.existed for receipt in receipts)
    assert {key: place.read(key) for key in place.names()} == bodies


def test_an_empty_object_is_an_object(place: Place):
    store = place.open()
    assert not store.put(KEY, b"").existed
    assert store.put(KEY, b"").existed
    assert place.read(KEY) == b""


def test_twenty_megabytes_that_nothing_can_compress(place: Place):
    data = random.Random(1).randbytes(20_000_000)
    place.open().put(KEY, data)
    assert place.read(KEY) == data


@pytest.mark.parametrize(
    "key",
    [
        "plain",
        "a=b/c=d/e",
        "data/äöü ß/☃",
        "with space/and+plus",
        "percent%2Fsigns%41",
        "tilde~/dots..in/.side",
    ],
)
def test_keys_are_kept_to_the_letter(place: Place, key: str):
    store = place.open()
    assert not store.put(key, b"x").existed
    assert place.names() == [key]
    assert place.read(key) == b"x"
    assert store.put(key, b"x").existed


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/a",
        "a/",
        "a//b",
        "..",
        "../a",
        "a/../b",
        "a/..",
        ".",
        "a/./b",
        "a\\b",
        "c:d",
        "a\x00b",
        "a\nb",
        "k" * 1_025,
    ],
)
def test_a_key_that_could_leave_the_destination_is_a_bug(place: Place, key: str):
    with pytest.raises(ValueError, match="is no object key"):
        place.open().put(key, b"x")
    assert place.names() == []


def test_the_address_is_shown_as_configured(place: Place):
    assert place.open().url.startswith(("s3://landing/raw/", "file:///"))
