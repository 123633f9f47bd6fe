"""Every mutant is caught: each broken protocol breaks a promise that one of the harnesses looks after.

A harness runs twice with the same figures: once as the code is, where it must find nothing, and once for
each mutant, where it must find something. Which harness catches a mutant is written beside its name; it is
the cheapest that does, and not the only one.
"""

import json
import shutil
import traceback
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import Phase, settings

from outbox import agents
from outbox.delivery import Limits
from outbox.errors import OutboxError
from outbox.housekeeping import vacuum
from outbox.retry import Retry
from outbox.runs import recorded
from tests.crash import corruption, model_machine, power_loss, vfs, workload
from tests.crash.mutants import MUTANTS
from tests.crash.power_loss_scenario import MemoryStore, Scenario
from tests.s3 import fault_matrix
from tests.support.agent import Agent, Clock, make, opened, record
from uploader.compression import decompress
from uploader.upload import Upload

DAY_S = 86_400.0
STEPS = 300
Harness = Callable[[Path], list[str]]


class FirstFailure(power_loss.Result):
    """Ends a campaign with the first broken promise."""

    def note(self, wrong: dict[str, str], where: str) -> None:
        if wrong:
            raise AssertionError(f"{where}: {wrong}")


def power_cuts(folder: Path) -> list[str]:
    """A life whose power is cut at every write, with three of the policies."""
    result = FirstFailure(seed=1, synchronous="FULL", lives=1)  # how an agent is made is no mutant's business
    with patch.object(power_loss, "DRAWS", ("nothing", "everything", "subset")), vfs.scratch() as disk:
        power_loss._cut_one_life(Scenario(result.seed), 10_000, disk, result)
    print(result)
    return []


def work(folder: Path) -> list[str]:
    """One collect and one upload that nothing disturbs."""
    workload.prepare(folder / "agent")
    with opened(folder / "agent" / "outbox.db", Clock()) as agent:
        workload.run(folder / "agent", agent)
    return workload.verify(folder / "agent")


class Death(BaseException):
    """The process ends; nothing after it runs, not even its clean-up."""


def deaths(folder: Path) -> list[str]:
    """A process that dies right after its n-th commit, for every n, and another one that goes on."""
    for number in count(1):
        each, died = folder / str(number), False
        workload.prepare(each)
        try:
            with opened(each / "outbox.db", Clock()) as agent:
                agent.database.connection.exec_trace = dying_after(number)
                workload.run(each, agent)
        except Death:
            died = True
        with opened(each / "outbox.db", Clock()) as agent:
            workload.run(each, agent)
        if wrong := workload.verify(each):
            return [f"after commit {number}: {what}" for what in wrong]
        if not died:
            break
    return []


def dying_after(number: int) -> Callable[..., bool]:
    commits = 0

    def trace(_cursor: object, sql: str, _bindings: object) -> bool:
        nonlocal commits
        if commits >= number:
            raise Death
        commits += sql == "COMMIT"
        return True

    return trace


def walk(_: Path) -> list[str]:
    """A random walk beside the oracle; a difference is told as it was found, and not made smaller."""
    quick = model_machine.configured(STEPS)
    quick = settings(quick, phases=[Phase.generate], print_blob=False, report_multiple_bugs=False)
    with patch.object(model_machine, "configured", lambda _steps: quick):
        model_machine.run(STEPS, 1)
    return []


def s3(_: Path, only: str) -> list[str]:
    """Uploads to a store that has an accident."""
    return fault_matrix.run(1, only=only).examples


def put_back(folder: Path) -> list[str]:
    """A backup is put back, the agent renewed, and what was read since is read anew and differs."""
    path, clock, objects = folder / "outbox.db", Clock(), dict[str, bytes]()
    make(path, clock)
    with opened(path, clock) as agent:
        agent.collect(record(0))
    shutil.copy(path, folder / "backup.db")
    with opened(path, clock) as agent:
        agent.collect(record(1, "before"))
        upload(agent, objects)
    path.with_name("outbox.db-wal").unlink()
    path.with_name("outbox.db-shm").unlink()
    shutil.copy(folder / "backup.db", path)
    with opened(path, clock) as agent:
        agents.renew(agent.database, "restored", now=clock)
        agent.collect(record(1, "after"))
        upload(agent, objects)
        agents.require_own(agent.database)
    given = Counter((line["agent_id"], line["sequence"]) for line in lines_of(objects))
    return [f"{each} was given out {times} times" for each, times in given.items() if times > 1]


def long_after(folder: Path) -> list[str]:
    """The latest row is sent and, since its source no longer reads back to it, forgotten."""
    path, clock, objects = folder / "outbox.db", Clock(), dict[str, bytes]()
    make(path, clock)
    with opened(path, clock) as agent:
        agent.collect(record(9, "stays"), record(0, "is forgotten"))
        upload(agent, objects)
        clock.advance(days=40)
        with recorded(agent.database, "collect", "weather", now=clock) as agent.run_id:
            agent.collect(record(9, "stays"))
        vacuum(agent.database, keep_sent_s=DAY_S, remember_s=30 * DAY_S, now=clock)
        agent.collect(record(10, "is new"))
        upload(agent, objects)
    said = [(line["sequence"], line["values"]["temperature_2m"]) for line in lines_of(objects)]
    expected = [(1, "stays"), (2, "is forgotten"), (3, "is new")]
    return [] if said == expected else [f"the objects hold {said}"]


def images(_: Path, only: str) -> list[str]:
    """Files that are damaged, or old."""
    return corruption.run(flips=0, seed=1, only=only).examples


def upload(agent: Agent, objects: dict[str, bytes]) -> None:
    Upload(
        agent.delivery,
        MemoryStore(objects, lambda _kind, _what: None),
        retry=Retry(attempts=1),
        limits=Limits(3, 10**6),
        encoding="none",
        parallel=1,
        run_id=agent.run_id,
    )()


def lines_of(objects: dict[str, bytes]) -> list[dict]:
    found = [json.loads(line) for data in objects.values() for line in decompress(data, "none").splitlines()]
    return sorted(found, key=lambda line: line["sequence"])


proven, there = partial(s3, only="200-without-etag-thrice"), partial(s3, only="412-page-thrice")
HARNESSES: dict[str, Harness] = {
    "power cuts": power_cuts,
    "an undisturbed run": work,
    "a death after any commit": deaths,
    "the oracle": walk,
    "a store that proves nothing": proven,
    "a proxy that says 412": there,
    "a backup that is put back": put_back,
    "a row that was forgotten": long_after,
    "a damaged text": partial(images, only="the text of"),
    "an old file": partial(images, only="put back"),
}
CAUGHT_BY = {
    "a batch is sealed only after its put": "power cuts",
    "each put has a random key": "power cuts",
    "the key holds the date of the put": "power cuts",
    "a batch is marked sent before its put": "power cuts",
    "synchronous is normal": "power cuts",
    "a bare 200 is trusted": "a store that proves nothing",
    "any 412 is trusted": "a proxy that says 412",
    "a retry selects the rows again": "power cuts",
    "lines are in another order than their sequences": "an undisturbed run",
    "seals leave a gap": "an undisturbed run",
    "rows and batch are marked in two transactions": "a death after any commit",
    "checksums are not looked at": "a damaged text",
    "the bookmark is written in its own transaction": "power cuts",
    "the bookmark is set without a comparison": "the oracle",
    "records are inserted or ignored": "an undisturbed run",
    "the next number follows the highest row": "a row that was forgotten",
    "records are pruned before they were sent": "the oracle",
    "a restored agent keeps its identity": "a backup that is put back",
    "nobody asks the witness": "an old file",
}


def broken_promises(harness: str, folder: Path) -> list[str]:
    """What a harness finds; an agent that refuses its work breaks one too."""
    try:
        return HARNESSES[harness](folder)
    except (AssertionError, OutboxError) as error:
        line = traceback.extract_tb(error.__traceback__)[-1].line
        return [f"{type(error).__name__}: {error or line}"]


@pytest.mark.parametrize("harness", HARNESSES)
def test_as_the_code_is_every_promise_holds(harness, tmp_path):
    assert broken_promises(harness, tmp_path) == []


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_breaks_a_promise_and_is_found(name, tmp_path):
    with MUTANTS[name]():
        found = broken_promises(CAUGHT_BY[name], tmp_path)
    print(f"{name}: {CAUGHT_BY[name]}: {found[:1]}")
    assert found


def test_every_mutant_is_over_when_its_block_is(tmp_path):
    for make_mutant in MUTANTS.values():
        with make_mutant():
            pass
    assert work(tmp_path) == []
    assert CAUGHT_BY.keys() == MUTANTS.keys()
