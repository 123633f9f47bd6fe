"""The same end state on a real S3 server, behind a proxy that swallows replies and cuts what passes."""

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from outbox.config.sections import NetworkOptions, UploadOptions
from outbox.errors import TransientError
from tests.contract.conftest import BUCKET, Place, s3_client, s3_place
from tests.s3.fault_checks import BATCHES, RECORDS, complete, ledger, nothing_but_the_truth, unpacked
from tests.s3.fault_list import Case, Fault
from tests.s3.fault_matrix import Campaign, campaign, upload
from tests.support import swift
from tests.support.certificates import Authority
from uploader.s3.store import S3Store

pytestmark = pytest.mark.xdist_group("swift")


class CuttingProxy:
    """Relays connections; the first `left` puts of `target` are cut at a byte of the request or the reply."""

    def __init__(self, server: tuple[str, int], what: str, byte: int, target: str, left: int) -> None:
        self._server, self._what, self._byte = server, what, byte
        self._target, self.left = target.encode(), left
        self.cuts = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept)]
        self._ended, self._end = socket.socketpair()

    @contextmanager
    def running(self) -> Iterator[None]:
        self._threads[0].start()
        try:
            yield
        finally:
            self._end.close()
            for thread in self._threads:
                thread.join()
            self._ended.close()
            self._listener.close()

    def _accept(self) -> None:
        while self._listener in select.select([self._listener, self._ended], [], [])[0]:
            client, _ = self._listener.accept()
            self._threads.append(threading.Thread(target=self._relay, args=(client,)))
            self._threads[-1].start()

    def _relay(self, client: socket.socket) -> None:
        allowed: dict[socket.socket, int] = {}  # how many bytes of a side may still pass
        with client, socket.create_connection(self._server) as server:
            while True:
                ready = select.select([client, server, self._ended], [], [])[0]
                if self._ended in ready:
                    return
                source = ready[0]
                try:
                    data = source.recv(65_536)
                    if source is client and self.left > 0 and self._target in data:
                        self.left -= 1
                        self.cuts += 1
                        allowed[client if self._what == "request" else server] = self._byte
                    passing = data[: allowed.get(source, len(data))]
                    (server if source is client else client).sendall(passing)
                except OSError:
                    return
                if source in allowed:
                    allowed[source] -= len(passing)
                if not data or allowed.get(source) == 0:
                    return


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campaign]:
    with campaign(tmp_path_factory.mktemp("campaign")) as found:
        yield found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[swift.Swift]:
    folder = tmp_path_factory.mktemp("swift")
    if reason := swift.reason_not_to_run(folder):
        pytest.skip(reason)
    pair = Authority(tmp_path_factory.mktemp("authority")).issue("127.0.0.1")
    with swift.serving(folder, pair) as found:
        s3_client(found.url, found.key_id, found.secret).create_bucket(Bucket=BUCKET)
        yield found


def held(place: Place) -> dict[str, bytes]:
    return {key: unpacked(key, place.read(key)) for key in place.names()}


@pytest.mark.parametrize(
    ("times", "batch"),
    [(1, 0), (3, 3), (10**9, 0), (10**9, BATCHES - 1)],
    ids=["once-first", "thrice-middle", "always-first", "always-last"],
)
@pytest.mark.parametrize(
    ("what", "byte"),
    [("reply", 0), ("reply", 40), ("request", 0), ("request", 200), ("request", 5_000)],
    ids=str,
)
def test_a_real_server_behind_a_line_that_breaks(
    prepared: Campaign, server: swift.Swift, tmp_path: Path, what: str, byte: int, batch: int, times: int
):
    prefix = f"raw/{what}-{byte}-{batch}-{times}"
    place = s3_place(server.url, server.key_id, server.secret, prefix, atomic=False)
    host, _, port = server.url.removeprefix("http://").partition(":")
    proxy = CuttingProxy((host, int(port)), what, byte, f"/{1 + batch * RECORDS:012d}-", times)
    case = Case(Fault("cut", TransientError, ""), "", "", batch, 1 + batch % 2, "none")
    options = UploadOptions(
        to=f"s3://{BUCKET}/{prefix}",
        region="us-east-1",
        endpoint_url=proxy.url,
        credentials="env",
        path_style=True,
    )
    environ = {"AWS_ACCESS_KEY_ID": server.key_id, "AWS_SECRET_ACCESS_KEY": server.secret}
    store = S3Store(options, NetworkOptions(), folder=tmp_path, environ=environ)
    with proxy.running(), prepared.outbox() as agent:
        error = upload(agent, store, case)
        first = ledger(agent)
        assert type(error) is (TransientError if times > 3 else type(None))
        assert proxy.cuts == min(times, 4)
        assert len(first.sent) >= BATCHES - 1
        nothing_but_the_truth(held(place), first)
        proxy.left = 0
        assert upload(agent, store, case) is None
        complete(held(place), first, ledger(agent))
