"""The S3 fault campaign: the real upload of a real outbox, one fault, and the promises after it and after that.

Every case copies a prepared outbox, has one fault at one object, uploads, and looks: was the right error
raised, is nothing called sent that the store does not hold, did the others pass? Then the fault is lifted,
everything is uploaded, and the objects must tile the sequence, each as it was first sealed. What the store
holds and has called other bytes must wait for a person, who deletes it.
"""

import argparse
import json
import random
import re
import shutil
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from outbox.config.sections import NetworkOptions, UploadOptions
from outbox.delivery import Limits
from outbox.errors import OutboxError
from outbox.retry import Retry
from tests.s3.conftest import ENVIRON, KEY_ID, NOW
from tests.s3.fault_checks import (
    ATTEMPTS,
    BATCHES,
    RECORDS,
    a_person_looks,
    bounded,
    complete,
    ledger,
    lines_of,
    nothing_but_the_truth,
    right_error,
    the_others_passed,
    well_formed,
)
from tests.s3.fault_list import DOUBT, TIMES, Case, cases
from tests.s3.fault_store import HOST, FaultStore, Names, black_hole, running
from tests.support.agent import Agent, Clock, make, opened, record
from tests.support.certificates import Authority
from tests.support.s3_faults import DROP, FaultServer
from uploader.objectstore import ObjectStore
from uploader.s3.credentials import write_credentials_text
from uploader.s3.store import S3Store
from uploader.upload import Upload

LIMITS = Limits(RECORDS, 10**6)
RUN_LIMIT_S = 1_500.0
SECRETS = re.compile(b"canary|Signature=|" + KEY_ID.encode())
MakeStore = Callable[..., ObjectStore]


@dataclass
class Result:
    """What a campaign did."""

    seed: int
    cases: int = 0
    failures: int = 0
    seconds: float = 0.0
    requests: int = 0
    examples: list[str] = field(default_factory=list)


class Campaign:
    """The servers, the prepared outbox and the stores that the cases share; for one thread."""

    def __init__(self, folder: Path, stack: ExitStack, make_store: MakeStore = S3Store) -> None:
        self._folder, self._make_store = folder, make_store
        self._stores: dict[str, ObjectStore] = {}
        authority, stranger = Authority(folder / "ours"), Authority(folder / "theirs")
        self._bundle = authority.bundle
        self._plain: FaultStore = stack.enter_context(running(FaultStore()))  # type: ignore[assignment]
        tls = authority.issue(HOST).context()
        self._secure: FaultStore = stack.enter_context(running(FaultStore(tls=tls)))  # type: ignore[assignment]
        self._names = Names()
        stack.enter_context(self._names.asked())
        hole = stack.enter_context(black_hole())
        closed = stack.enter_context(socket.socket())
        closed.bind(("127.0.0.1", 0))  # and never listens
        self._ports = {"closed": [closed.getsockname()[1]], "hole": [hole]}
        self._ports["hole-then-port"] = [hole, self._plain.port]
        for name, signer, host in (
            ("expired", authority, HOST),
            ("untrusted", stranger, HOST),
            ("wrong-host", authority, "other.example"),
        ):
            server = FaultServer(DROP, tls=signer.issue(host, expired=name == "expired").context())
            self._ports[name] = [stack.enter_context(running(server)).port]
        self._ports["cut-in-handshake"] = [stack.enter_context(running(FaultServer(DROP))).port]
        self._template = folder / "template.db"
        make(self._template, Clock(NOW))
        with opened(self._template, Clock(NOW)) as agent:
            pads = random.Random(0)
            for n in range(BATCHES * RECORDS):
                agent.collect(record(n, pads.randbytes(1_000).hex()))
            agent.database.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def check(self, case: Case) -> int:
        """Run one case; AssertionError says which promise was broken. Return the number of requests."""
        server = self._secure if case.fault.store == "tls" else self._plain
        store = self._store(case.fault.store, server)
        server.reset()
        server.closes = isinstance(case.fault.accident, str)
        hits = self._arrange(case, server)
        with self.outbox() as agent:
            error = upload(agent, store, case)
            first = ledger(agent)
            right_error(case, error)
            nothing_but_the_truth(lines_of(server), first)
            the_others_passed(case, first)
            bounded(case, server, hits())
            server.lift()
            self._names.wrong = lambda: None
            asked_before = len(server.asked)
            again = upload(agent, store, case)
            doubted = a_person_looks(server, again, first, ledger(agent)) if case.fault.error is DOUBT else 0
            again = upload(agent, store, case) if doubted else again
            assert again is None, f"after the fault: {again!r}"
            complete(lines_of(server), first, ledger(agent))
            well_formed(server)
            due = BATCHES - len(first.sent) + doubted
            assert len(server.asked) - asked_before == due, "needless requests"
        kept = b"".join(path.read_bytes() for path in self._folder.glob("outbox.*"))
        told = "".join(traceback.format_exception(error)) + str(error) if error else ""
        assert not SECRETS.search(kept), "a secret is in the database"
        assert not SECRETS.search(told.encode()), "a secret was told"
        return len(server.asked)

    @contextmanager
    def outbox(self) -> Iterator[Agent]:
        """Open a fresh copy of the prepared outbox."""
        for stale in self._folder.glob("outbox.*"):
            stale.unlink()
        shutil.copyfile(self._template, self._folder / "outbox.db")
        with opened(self._folder / "outbox.db", Clock(NOW)) as agent:
            yield agent

    def _arrange(self, case: Case, server: FaultStore) -> Callable[[], int]:
        """Have the case's fault happen; return what counts how often it did."""
        fault, left = case.fault, TIMES[case.times]
        if fault.store == "file":
            server.on_accident = self._new_key
        if not isinstance(fault.accident, str):
            target = f"/{1 + case.batch * RECORDS:012d}-"
            server.expect(fault.accident, target, left, store_wide=fault.store_wide)
            return lambda: server.faulted
        wrong: list[str] = []

        def ask() -> list[int] | None:
            if len(server.objects) < case.batch or len(wrong) >= left:
                return None
            wrong.append(fault.name)
            if fault.accident == "name":
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            return self._ports[str(fault.accident)]

        self._names.wrong = ask
        return lambda: len(wrong)

    def _new_key(self, number: int) -> None:
        unfinished = self._folder / "aws.new"
        unfinished.write_text(write_credentials_text(f"AKIA{number:016d}", "canary"), "utf-8")
        unfinished.replace(self._folder / "aws")

    def _store(self, kind: str, server: FaultStore) -> ObjectStore:
        """Return the store of this kind; kept, since boto3 takes a tenth of a second to begin."""
        if kind == "file":
            self._new_key(0)
            self._stores.pop(kind, None)
        if kind not in self._stores:
            host = HOST if kind in ("tls", "named") else "127.0.0.1"
            scheme = "https" if kind == "tls" else "http"
            upload = UploadOptions(
                to="s3://landing/raw",
                region="eu-north-1",
                credentials="file:aws" if kind == "file" else "env",
                endpoint_url=f"{scheme}://{host}:{server.port}",
                trust_etag=kind == "trusting",
                path_style=True,
            )
            network = NetworkOptions(
                timeout=0.4 if kind == "hasty" else 20.0,
                connect_timeout=0.05 if kind == "named" else 20.0,
                ca_bundle=str(self._bundle),
            )
            self._stores[kind] = self._make_store(
                upload, network, folder=self._folder, environ=ENVIRON, now=lambda: NOW
            )
        return self._stores[kind]


def upload(agent: Agent, store: ObjectStore, case: Case) -> OutboxError | None:
    """Upload as the command does, with time that passes only by sleeping; return the error it ended with."""
    slept = [0.0]

    def sleep(seconds: float) -> None:
        slept[0] += seconds

    retry = Retry(attempts=ATTEMPTS, limit_s=RUN_LIMIT_S, sleep=sleep, monotonic=lambda: slept[0])
    run = Upload(
        agent.delivery,
        store,
        retry=retry,
        limits=LIMITS,
        encoding=case.encoding,
        parallel=case.parallel,
        run_id=agent.run_id,
        monotonic=lambda: slept[0],
    )
    try:
        run()
    except OutboxError as error:
        return error
    return None


@contextmanager
def campaign(folder: Path, make_store: MakeStore = S3Store) -> Iterator[Campaign]:
    """Run the servers of a campaign for the length of a `with` block."""
    with ExitStack() as stack:
        yield Campaign(folder, stack, make_store)


def run(seed: int, *, make_store: MakeStore = S3Store, only: str = "") -> Result:
    """Run every case, or those whose name contains `only`."""
    began, result = time.monotonic(), Result(seed)
    with tempfile.TemporaryDirectory() as folder, campaign(Path(folder), make_store) as prepared:
        for case in cases(seed, BATCHES):
            if only not in str(case):
                continue
            result.cases += 1
            try:
                result.requests += prepared.check(case)
            except AssertionError as error:
                result.failures += 1
                result.examples.append(f"{case}: {error}")
    result.examples = result.examples[:20]
    result.seconds = round(time.monotonic() - began, 1)
    return result


def main(arguments: list[str]) -> int:
    """Run a campaign and print its figures; 1 when a promise was broken."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="")
    given = parser.parse_args(arguments)
    result = run(given.seed, only=given.only)
    print(json.dumps(asdict(result), ensure_ascii=False))
    return int(result.failures > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
