"""The promises that every case of the S3 fault campaign is held to; AssertionError says which was broken."""

import hashlib
import json
import re
from collections import Counter
from typing import NamedTuple

from outbox.errors import Exit, ObjectError, OutboxError, TransientError
from tests.s3.fault_list import Case
from tests.s3.fault_store import FaultStore
from tests.support.agent import Agent
from uploader.compression import decompress
from uploader.upload import MAX_FAILURES_IN_A_ROW

BATCHES, RECORDS, ATTEMPTS = 6, 3, 4
EXITS = {None: Exit.OK, TransientError: Exit.TRANSIENT}


class Ledger(NamedTuple):
    """What the database says."""

    sealed: dict[str, bytes]
    sent: dict[str, bytes]
    rows: Counter[str]


def ledger(agent: Agent) -> Ledger:
    """Read what the database says, by the digest of each object's lines."""
    batches = list(agent.database.rows("SELECT object_key, ndjson_sha256, status FROM batches"))
    sealed, sent = (
        {key: digest for key, digest, status in batches if status == wanted} for wanted in ("sealed", "sent")
    )
    ranges = list(agent.database.rows("SELECT first_sequence, last_sequence, status FROM batches"))
    rows = dict(agent.database.rows("SELECT sequence, status FROM outbox"))
    for first, last, status in ranges:
        wanted = "sent" if status == "sent" else "pending"
        assert {rows[n] for n in range(first, last + 1)} == {wanted}, "rows and batch disagree"
    assert sorted(rows) == list(range(1, BATCHES * RECORDS + 1)), "a row was lost"
    return Ledger(sealed, sent, Counter(rows.values()))


def right_error(case: Case, error: OutboxError | None) -> None:
    """The error is of the fault's class, or there is none where a retry within the run was enough."""
    wanted = case.fault.error
    if wanted is TransientError and case.times != "always" and not case.fault.gives_up:
        wanted = None
    assert type(error) is (wanted or type(None)), (
        f"{wanted} was due, not {error!r} from {error and error.__cause__!r}"
    )
    if error is not None:
        assert error.exit_code is EXITS.get(wanted, Exit.PERMANENT)
        assert re.search(case.fault.says, str(error)), str(error)


def nothing_but_the_truth(held: dict[str, bytes], found: Ledger) -> None:
    """What is called sent is in the store with exactly these lines; all the rest waits."""
    digests = {key: hashlib.sha256(lines).digest() for key, lines in held.items()}
    for key, digest in found.sent.items():
        assert digests.get(key) == digest, f"{key} is called sent"
    assert digests.items() <= {**found.sent, **found.sealed}.items(), "an object that no batch knows"
    assert found.rows["sent"] == len(found.sent) * RECORDS
    assert found.rows["pending"] == BATCHES * RECORDS - found.rows["sent"]


def the_others_passed(case: Case, found: Ledger) -> None:
    """A fault of one object blocks no other; one of the store lets what came before it pass."""
    target = f"/{1 + case.batch * RECORDS:012d}-"
    if not case.fault.store_wide:
        assert len(found.sent) >= BATCHES - 1, "one object blocked others"
        assert all(target in key for key in found.sealed)
    elif case.parallel == 1:
        assert len(found.sent) >= case.batch, "what came before was blocked"


def bounded(case: Case, server: FaultStore, hits: int) -> None:
    """A run asks no more often than it may, and less when the store itself is at fault."""
    assert hits > 0, "the fault did not happen"
    assert max(Counter(server.asked).values(), default=0) <= ATTEMPTS, "one object was put too often"
    if case.fault.store_wide and case.fault.error is TransientError:
        assert hits <= (MAX_FAILURES_IN_A_ROW + case.parallel - 1) * ATTEMPTS, f"{hits} tries"
    elif case.fault.store_wide and case.fault.error is not None:
        assert hits <= case.parallel, f"{hits} tries though a person must act"
    elif case.fault.error is ObjectError:
        assert hits == 1


def a_person_looks(server: FaultStore, error: OutboxError | None, first: Ledger, found: Ledger) -> int:
    """Nothing but what the store holds and called other bytes waits; delete it there, and return how many."""
    held = [key for key in lines_of(server) if key not in first.sent and key in found.sealed]
    assert found.sealed.keys() == set(held), "what was not doubted waits"
    assert (type(error) is ObjectError) == bool(held), f"{error!r} for {len(held)} doubted objects"
    for key in held:
        del server.objects[f"/landing/raw/{key}"]
    return len(held)


def complete(held: dict[str, bytes], first: Ledger, last: Ledger) -> None:
    """All is sent, once, under the names of the first seal, and the ranges tile."""
    nothing_but_the_truth(held, last)
    assert not last.sealed
    assert last.rows == {"sent": BATCHES * RECORDS}
    assert {**first.sealed, **first.sent}.items() <= last.sent.items(), "a batch was changed"
    assert held.keys() == last.sent.keys()
    sequences: list[int] = []
    for key in sorted(held):
        found = [json.loads(line)["sequence"] for line in held[key].splitlines()]
        digest = hashlib.sha256(held[key]).hexdigest()
        assert f"/{found[0]:012d}-{found[-1]:012d}-{digest[:16]}." in key
        sequences += found
    assert sequences == list(range(1, BATCHES * RECORDS + 1)), "the ranges do not tile"


def well_formed(server: FaultStore) -> None:
    """Every request was one put of signed bytes that overwrites nothing; no name had two contents."""
    contents = {(put.path, put.body) for put in server.puts}
    assert len(contents) == len({put.path for put in server.puts}), "a name had two contents"
    for put in server.puts:
        assert put.method == "PUT"
        assert put.headers["if-none-match"] == "*"
        assert put.headers["x-amz-content-sha256"] == hashlib.sha256(put.body).hexdigest()
        assert "expect" not in put.headers


def lines_of(server: FaultStore) -> dict[str, bytes]:
    """Return the lines of every object that the store holds, by its key."""
    return {
        key.removeprefix("/landing/raw/"): unpacked(key, data) for key, data in list(server.objects.items())
    }


def unpacked(key: str, data: bytes) -> bytes:
    """Return an object's lines."""
    return decompress(data, {"zst": "zstd", "gz": "gzip", "ndjson": "none"}[key.rpartition(".")[2]])
