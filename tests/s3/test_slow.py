"""A request has a limit as a whole, however steadily it moves; the limit grows with what is sent."""

import time
from collections.abc import Callable
from functools import partial
from itertools import chain, repeat

import pytest

from outbox.config.sections import NetworkOptions
from outbox.errors import TransientError
from tests.s3.conftest import DATA, KEY, MakeStore, refused
from tests.s3.fault_store import FaultStore, reply_byte_by_byte, running
from tests.support.s3_faults import Answer, Request, serving, stored
from uploader.s3.transport import SLICE_BYTES, TooSlowError, Transport, limit_s

AMAZON = "https://s3.eu-north-1.amazonaws.com"


def test_an_answer_that_trickles_has_a_limit_as_a_whole(make_store: MakeStore):
    """A byte every 20 ms never lets a single read run out of time."""
    with running(FaultStore()) as server:
        server.expect(reply_byte_by_byte(0.02), "", 1, store_wide=True)
        store = make_store(server.url, network={"timeout": 0.2, "connect_timeout": 0.1})
        began = time.monotonic()
        refused(store, TransientError, "is too slow", "[network] timeout")
        assert time.monotonic() - began < 2  # the whole answer would take three seconds
        assert store.put(KEY, DATA).existed
    assert len(server.asked) == 2


def test_a_proxy_that_trickles_has_a_limit_as_a_whole(make_store: MakeStore):
    with running(FaultStore()) as proxy:
        proxy.expect(reply_byte_by_byte(0.02), "", 1, store_wide=True)
        network = {"proxy": f"127.0.0.1:{proxy.port}", "timeout": 0.2, "connect_timeout": 0.1}
        refused(make_store(AMAZON, network=network), TransientError, "is too slow")


SLOW = NetworkOptions(timeout=10, connect_timeout=5)
BODY = bytes(2 * SLICE_BYTES)


def test_the_limit_is_that_of_the_answer_and_grows_with_the_body():
    assert limit_s(SLOW, 0) == 5 + 10 * 2
    assert limit_s(SLOW, len(BODY)) == 5 + 10 * 4
    now = [0.0]

    def answer_at(moment: float) -> Callable[[Request], Answer]:
        def answer(request: Request) -> Answer:
            now[0] += moment
            return stored(**{"x-long": "x" * 20_000})(request)

        return answer

    with serving(answer_at(45.0), answer_at(45.1)) as server:
        transport = Transport(SLOW, connections=1, monotonic=lambda: now[0])
        send = partial(transport.send, "PUT", server.url, {"Content-Length": str(len(BODY))}, BODY)
        assert send().status == 200
        with pytest.raises(TooSlowError):
            send()


def test_a_body_that_goes_too_slowly_is_not_sent_to_its_end():
    ticks = chain([0.0], repeat(1.0, 20), repeat(45.1))
    with serving(stored()) as server:
        transport = Transport(SLOW, connections=1, monotonic=lambda: next(ticks))
        with pytest.raises(TooSlowError):
            transport.send("PUT", server.url, {"Content-Length": str(len(BODY))}, BODY)
    assert all(len(request.body) < len(BODY) for request in server.requests)
