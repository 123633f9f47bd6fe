"""The model test: hypothesis walks an outbox at random, and after every step it must equal the oracle.

    python -m tests.crash.model_machine STEPS SEED

One database, a collecting side and two uploaders on connections of their own, one store, one clock.
Besides the plain steps: an operation of one connection amid the statements of another's (`meanwhile`; the
outcome must be that of some order of the two), a process that dies before any statement, lost replies,
stale pages, clocks that jump, other encodings and limits between seal and put, another compressor.

Crashes here end a connection, not a process (the random kills do that), and the disk never fails.
"""

import json
import sys
import time
from contextlib import suppress
from typing import Any
from unittest.mock import patch

import hypothesis.strategies as st
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import precondition, rule, run_state_machine_as_test

from outbox.delivery import Limits
from outbox.errors import PermanentError, TransientError
from outbox.housekeeping import vacuum
from tests.crash.model import REMEMBER_S, Fact, Oracle, text
from tests.crash.model_seen import ENTITIES, HOURS, SOURCES, compressor, shown
from tests.crash.model_steps import UPLOADERS, Walk, encodings, facts, limits
from uploader import upload
from uploader.upload import Upload

DAYS = ("2026-01-01", "2026-01-02")
uploaders = st.sampled_from(UPLOADERS)
statements = st.integers(1, 12)
keeping = st.sampled_from((7 * 86_400, 7 * 86_400, 40 * 86_400))


class Death(BaseException):
    """The process ends before a statement; nothing after it runs, not even its clean-up."""


class OutboxMachine(Walk):
    """Walks at random."""

    steps = 0

    # --- the collecting side

    @rule(source=st.sampled_from(SOURCES), said=facts)
    def collect(self, source: str, said: list[Fact]) -> None:
        run_id = self.record_run("collect", source)
        self.both(self.add((source, 0, self.revision(source), run_id), said))

    @rule(source=st.sampled_from(SOURCES), data=st.data())
    def read_the_bookmark(self, source: str, data: Any) -> None:
        """A collect, or one of a back-fill, begins; it stores its page at some later step, stale or not."""
        mine = [number for number, of, _, _ in self.oracle.backfills if of == source]
        backfill = data.draw(st.sampled_from([0, *mine]))
        run_id = self.record_run("collect", source)
        self.begun.append((source, backfill, self.revision(source, backfill), run_id))

    @precondition(lambda self: self.begun)
    @rule(data=st.data(), said=facts)
    def store_a_page(self, data: Any, said: list[Fact]) -> None:
        at = data.draw(st.integers(0, len(self.begun) - 1))
        source, backfill, revision, run_id = self.begun[at]
        if self.both(self.add(self.begun[at], said)) != "stale":
            self.begun[at] = (source, backfill, revision + 1, run_id)

    @rule(source=st.sampled_from(SOURCES), days=st.sampled_from(DAYS))
    def ask_for_a_backfill(self, source: str, days: str) -> None:
        self.both(
            (
                lambda: self.outbox.ask_backfill(source, days, days),
                lambda oracle: oracle.ask_backfill(source, days),
            )
        )

    @precondition(lambda self: self.outbox.backfills())
    @rule(data=st.data())
    def finish_a_backfill(self, data: Any) -> None:
        backfill = data.draw(st.sampled_from(self.outbox.backfills()))
        for _ in range(data.draw(st.integers(1, 2))):
            self.outbox.finish_backfill(backfill)
        self.oracle.finish_backfill(backfill.id)
        self.check()

    # --- the sending side

    @rule(name=uploaders, limit=limits, encoding=encodings)
    def seal(self, name: str, limit: Limits, encoding: str) -> None:
        self.both(self.sealing(name, limit, encoding))

    @rule(name=uploaders)
    def find_what_is_sealed(self, name: str) -> None:
        """A new upload begins with what was sealed and not confirmed."""
        delivery = self.delivery(name)
        self.hands[name] = [(batch, delivery.lines(batch), False) for batch in delivery.sealed()]
        waiting = [batch for batch in self.oracle.batches if batch.sent_at is None]
        assert [shown(batch, lines) for batch, lines, _ in self.hands[name]] == [
            (x.id, x.first, x.last, x.encoding, x.key, x.lines) for x in waiting
        ]

    @precondition(lambda self: any(self.hands.values()))
    @rule(data=st.data(), lost=st.booleans())
    def put(self, data: Any, lost: bool) -> None:
        name = data.draw(st.sampled_from([name for name in UPLOADERS if self.hands[name]]))
        at = data.draw(st.integers(0, len(self.hands[name]) - 1))
        batch, lines, _ = self.hands[name][at]
        receipt = self.shelf.put(batch.object_key, upload.compress(lines, batch.encoding))
        assert receipt.existed == self.oracle.put(batch.id)
        self.hands[name][at] = (batch, lines, not lost)  # where the reply was lost, nothing is known
        self.check()

    @precondition(lambda self: any(put for hand in self.hands.values() for *_, put in hand))
    @rule(data=st.data(), times=st.integers(1, 2))
    def acknowledge(self, data: Any, times: int) -> None:
        confirmed = [(name, x[0]) for name in UPLOADERS for x in self.hands[name] if x[2]]
        step = self.acknowledging(*data.draw(st.sampled_from(confirmed)))
        for _ in range(times):
            self.both(step)

    @rule(
        name=uploaders,
        limit=limits,
        encoding=encodings,
        failing=st.sampled_from((None, 0, 1)),
        lost=st.booleans(),
    )
    def upload_everything(
        self, name: str, limit: Limits, encoding: str, failing: int | None, lost: bool
    ) -> None:
        """A whole upload; it ends where the store says no, or where its yes is lost on the way."""
        run_id, oracle, now = self.record_run("upload", ""), self.oracle, self.clock()
        self.shelf.fail(failing, lost)
        uploading = Upload(
            self.delivery(name),
            self.shelf,
            retry=lambda operation: operation(),
            limits=limit,
            encoding=encoding,
            parallel=1,
            run_id=run_id,
        )
        with suppress(PermanentError):
            uploading()
        self.shelf.fail(None, False)
        waiting = [seal for seal in oracle.batches if seal.sent_at is None]
        puts = 0
        while seal := (waiting.pop(0) if waiting else oracle.seal(*limit, encoding, now)):
            if puts != failing or lost:
                oracle.put(seal.id)
            if puts == failing:
                break
            oracle.acknowledge(seal.id, run_id, now)
            puts += 1
        self.check()

    @rule(other=st.booleans())
    def change_the_compressor(self, other: bool) -> None:
        """An upgrade: other bytes for the same lines."""
        upload.compress = compressor(other)

    # --- at one moment

    @rule(data=st.data(), outer=st.sampled_from(("collector", *UPLOADERS, "waiting")), at=statements)
    def meanwhile(self, data: Any, outer: str, at: int) -> None:
        """Another connection's whole step before one statement of this one's."""
        others = [name for name in ("collector", *UPLOADERS) if name != outer]
        inner = data.draw(st.sampled_from([*UPLOADERS, "right"] if outer == "waiting" else others))
        first = (self.outbox.waiting, Oracle.waiting) if outer == "waiting" else self.any_step(data, outer)
        second = self.any_step(data, inner)
        connection = self.databases["collector" if outer == "waiting" else outer].connection
        results: dict[str, Any] = {}
        count = 0

        def trace(_cursor: object, _sql: str, _bindings: object) -> bool:
            nonlocal count
            count += 1
            if count == at:
                self.databases[inner].connection.set_busy_timeout(0)
                results["second"] = second[0]()
            return True

        connection.exec_trace = trace
        try:
            results["first"] = first[0]()
        finally:
            connection.exec_trace = None
        if "second" not in results:
            results["second"] = second[0]()
        self.settle(first[1], second[1], (results["first"], results["second"]))

    @rule(data=st.data(), name=st.sampled_from(("collector", *UPLOADERS)), at=statements)
    def die(self, data: Any, name: str, at: int) -> None:
        """A process dies before a statement, and another one begins: the step happened or it did not."""
        real, model = self.any_step(data, name)
        count = 0

        def trace(_cursor: object, _sql: str, _bindings: object) -> bool:
            nonlocal count
            count += 1
            if count >= at:
                raise Death
            return True

        self.databases[name].connection.exec_trace = trace
        try:
            found = real()
        except Death:
            pass
        else:
            assert found == model(self.oracle)
        self.open(name)
        self.check()

    # --- time

    @rule(hours=st.sampled_from((1, 24 * 8, 24 * 31, 24 * 91, -1, -24 * 10)))
    def move_the_clock(self, hours: int) -> None:
        self.clock.advance(hours=hours)

    @rule(name=uploaders, said=st.just([]) | facts, keep_s=keeping, sent=st.booleans())
    def vacuum_much_later(self, name: str, said: list[Fact], keep_s: int, sent: bool) -> None:
        """A month on, the sources read newer facts only: now old ones may be forgotten."""
        if sent:
            self.upload_everything(name, Limits(100, 10**6), "none", None, lost=False)
        self.clock.advance(days=31)
        for source in SOURCES:
            self.collect(source, [*said, Fact(ENTITIES[0], HOURS[-1], 1)])
        self.vacuum(name, keep_s)

    @rule(name=uploaders, keep_s=keeping)
    def vacuum(self, name: str, keep_s: int) -> None:
        now, oracle = self.clock(), self.oracle
        if oracle.runs and oracle.runs[-1].started_at > text(now):
            try:
                vacuum(self.databases[name], keep_sent_s=keep_s, remember_s=REMEMBER_S, now=self.clock)
            except TransientError:
                self.check()
                return
            raise AssertionError("the clock went back, and something was removed all the same")
        kept = {row.sequence for row in oracle.rows if row.kept}
        done = vacuum(self.databases[name], keep_sent_s=keep_s, remember_s=REMEMBER_S, now=self.clock)
        left = {row[0] for row in self.databases[name].rows("SELECT sequence FROM outbox")}
        bodies = oracle.prune(now, keep_s)
        forgotten = kept - left
        assert oracle.must_forget(now) <= forgotten <= oracle.may_forget(now)
        oracle.forget(forgotten)
        assert done[:4] == (bodies, len(forgotten), *oracle.expire(now))
        self.check()


def configured(steps: int) -> settings:
    """About so many steps, fifty in a row."""
    return settings(
        max_examples=max(1, steps // 50),
        stateful_step_count=50,
        deadline=None,
        database=None,
        print_blob=True,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )


def run(steps: int, number: int) -> dict[str, Any]:
    """Walk at least so many steps from a seed; raises at the first difference, shrunk."""
    began, OutboxMachine.steps = time.perf_counter(), 0
    walks = 0
    while OutboxMachine.steps < steps:
        chosen, left = number + walks, max(steps - OutboxMachine.steps, 500)
        print(f"seed {chosen}", file=sys.stderr)
        with patch.object(upload, "compress", upload.compress):
            run_state_machine_as_test(seed(chosen)(OutboxMachine), settings=configured(min(left, 20_000)))
        walks += 1
    seconds = time.perf_counter() - began
    return {"seed": number, "walks": walks, "steps": OutboxMachine.steps, "seconds": round(seconds, 1)}


if __name__ == "__main__":
    print(json.dumps(run(int(sys.argv[1]), int(sys.argv[2]))))
