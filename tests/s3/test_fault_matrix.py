"""Every fault, however often and at whichever object: the right error, nothing lost, nothing doubled."""

import json
import socket
import time
from collections.abc import Iterator
from threading import Thread

import pytest

from outbox.errors import ObjectError
from tests.s3 import fault_matrix
from tests.s3.conftest import KEY, MakeStore
from tests.s3.fault_checks import BATCHES, ledger
from tests.s3.fault_list import DOUBT, Case, Fault, cases
from tests.s3.fault_matrix import Campaign, campaign, upload
from tests.support.s3_faults import Request, refusal, serving, stored
from uploader.objectstore import OtherBytesError
from uploader.s3.store import S3Store

CASES = cases(seed=0, batches=BATCHES)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campaign]:
    with campaign(tmp_path_factory.mktemp("campaign")) as found:
        yield found


@pytest.mark.parametrize("case", CASES, ids=str)
def test_no_fault_loses_or_doubles_anything(prepared: Campaign, case: Case):
    assert prepared.check(case) >= BATCHES


def test_every_case_has_a_name_of_its_own():
    assert len({str(case) for case in CASES}) == len(CASES) >= 800


class TrustsAnyOk(S3Store):
    def _confirm(self, *_):
        return ""


class TrustsAny412(S3Store):
    def _exists(self, response):
        return response["ResponseMetadata"]["HTTPStatusCode"] == 412


class OverwritesAndForgets(S3Store):
    def put(self, key, data):
        return super().put(f"{time.monotonic_ns()}/{key}", data)


@pytest.mark.parametrize(
    ("broken", "only", "said"),
    [
        (TrustsAnyOk, "200-login-page-once", "PermanentError"),
        (TrustsAny412, "412-bare-once", "PermanentError"),
        (OverwritesAndForgets, "reply-lost-once", "is called sent"),
    ],
)
def test_a_broken_store_does_not_pass(broken: type[S3Store], only: str, said: str):
    result = fault_matrix.run(0, make_store=broken, only=only)
    assert result.failures == result.cases >= 3
    assert said in result.examples[0]


def test_a_campaign_prints_its_figures(capsys):
    assert fault_matrix.main(["--seed", "5", "--only", "SlowDown-once"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert (figures["seed"], figures["cases"], figures["failures"]) == (5, 3, 0)
    assert figures["requests"] == 3 * (BATCHES + 1)


def test_an_object_that_moves_slowly_has_longer_than_connect_timeout(make_store: MakeStore):
    """On a slow line it is not the whole object that must be gone in time, but its next piece."""
    size = 16_000_000

    def take_slowly(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        taken = 0
        with connection:
            while taken < size and (piece := connection.recv(65_536)):
                taken += len(piece)
                time.sleep(0.002)
            connection.sendall(refusal_bytes)

    said = refusal(503, "SlowDown")
    refusal_bytes = f"HTTP/1.1 503 Slow\r\nContent-Length: {len(said.body)}\r\n\r\n".encode() + said.body
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        thread = Thread(target=take_slowly, args=(listener,))
        thread.start()
        store = make_store(f"http://127.0.0.1:{listener.getsockname()[1]}", network={"connect_timeout": 0.2})
        with pytest.raises(Exception, match="S3 says SlowDown"):
            store.put(KEY, bytes(size))
        thread.join()


def test_an_object_that_the_store_called_another_is_not_believed_to_be_ours(
    prepared: Campaign, make_store: MakeStore
):
    """A store that keeps other bytes and says so; without their own checksum only a person can help."""
    kept: dict[str, bytes] = {}

    def damage(request: Request):
        if request.path in kept:
            return refusal(412, "PreconditionFailed")
        kept[request.path] = b"?" + request.body[1:]
        return stored()(request._replace(body=kept[request.path]))

    case = Case(Fault("kept-damaged", DOUBT, ""), "always", "first", 0, 1, "none")
    with serving(damage) as server, prepared.outbox() as agent:
        error = upload(agent, make_store(server.url, path_style=True), case)
        assert type(error) is OtherBytesError
        assert not ledger(agent).sent
        for _ in range(2):  # each time the batch after those that are doubted becomes doubted too
            error = upload(agent, make_store(server.url, path_style=True), case)
            assert type(error) is ObjectError
            assert "deleted or moved away" in str(error)
            assert not ledger(agent).sent
        problems = dict(agent.database.rows("SELECT what, why FROM problems"))
        assert "of which it said that it keeps other bytes" in problems["batch 1"]
