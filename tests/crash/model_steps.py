"""The steps of the model test: each done to the product and to the oracle, and compared.

A step is a pair of functions; `model_machine.py` makes rules of them.
"""

import copy
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize

from outbox.database import Database
from outbox.delivery import Batch, Delivery, Limits
from outbox.errors import TransientError
from outbox.runs import recorded
from outbox.store import Outbox
from tests.crash.model import Fact, Oracle, StaleError
from tests.crash.model_seen import ENTITIES, HOURS, IDS, Shelf, assert_equal, page_of, shown
from tests.support.agent import Clock, make

UPLOADERS = ("left", "right")
TEMPLATE: dict[str, bytes] = {}

facts = st.lists(
    st.builds(
        Fact, st.sampled_from(ENTITIES), st.sampled_from(HOURS), st.sampled_from((1, 1, 2, "ä", "NaN"))
    ),
    max_size=5,
)
limits = st.sampled_from((Limits(1, 10**6), Limits(3, 10**6), Limits(100, 700), Limits(100, 10**6)))
encodings = st.sampled_from(("zstd", "gzip", "none"))


Step = tuple[Callable[[], Any], Callable[[Oracle], Any]]
"""The same step of the product and of the oracle; both return what can be compared."""


class Walk(RuleBasedStateMachine):
    """Holds the product and the oracle, and does everything to both."""

    steps = 0

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.path = Path(self.folder.name) / "outbox.db"
        self.clock, self.oracle, self.shelf = Clock(), Oracle(IDS), Shelf()
        if not TEMPLATE:
            make(self.path, self.clock)
            TEMPLATE["outbox.db"] = self.path.read_bytes()
        self.path.write_bytes(TEMPLATE["outbox.db"])
        self.hands: dict[str, list[tuple[Batch, bytes, bool]]] = {name: [] for name in UPLOADERS}
        self.begun: list[tuple[str, int, int, int]] = []
        self.databases: dict[str, Database] = {}
        self.pages = 0
        for name in ("collector", *UPLOADERS):
            self.open(name)
        self.run_id = self.record_run("upload", "")

    def open(self, name: str) -> None:
        """Open a connection anew, as the next process would; what the one before it held is gone."""
        if name in self.databases:
            self.databases[name].close()
        database = self.databases[name] = Database.open(self.path)
        database.connection.pragma("synchronous", 0)  # no power is lost here, and disks are slow
        if name == "collector":
            self.outbox = Outbox(database, now=self.clock)
            self.begun = []
        else:
            self.hands[name] = []

    def delivery(self, name: str) -> Delivery:
        return Delivery(self.databases[name], now=self.clock)

    def record_run(self, command: str, source: str) -> int:
        with recorded(self.databases["collector"], command, source, now=self.clock) as run_id:
            pass
        assert self.oracle.begin_run(command, source, self.clock()) == run_id
        return run_id

    def both(self, step: Step) -> Any:
        real, model = step[0](), step[1](self.oracle)
        assert real == model, f"the product says {real}, the oracle {model}"
        self.check()
        return real

    def check(self) -> None:
        type(self).steps += 1
        assert_equal(self.oracle, self.databases["collector"], self.outbox, self.shelf)

    def teardown(self) -> None:
        for database in getattr(self, "databases", {}).values():
            database.close()
        if hasattr(self, "folder"):
            self.folder.cleanup()

    def revision(self, source: str, backfill: int = 0) -> int:
        marks = self.outbox.bookmarks(source, backfill)
        return marks[""].revision if marks else 0

    def add(self, begun: tuple[str, int, int, int], said: list[Fact]) -> Step:
        source, backfill, revision, run_id = begun
        self.pages += 1
        mark, now = f"page {self.pages}", self.clock()

        def real() -> Any:
            try:
                return tuple(
                    self.outbox.add(
                        page_of(said, mark),
                        source=source,
                        run_id=run_id,
                        revision=revision,
                        backfill_id=backfill,
                    )
                )
            except TransientError as error:
                return "stale" if "another collect" in error.message else "busy"

        def model(oracle: Oracle) -> Any:
            try:
                return oracle.collect(said, mark, source, backfill, revision, run_id, now)
            except StaleError:
                return "stale"

        return real, model

    def sealing(self, name: str, limit: Limits, encoding: str) -> Step:
        now = self.clock()

        def real() -> Any:
            try:
                sealed = self.delivery(name).seal(limit, encoding)
            except TransientError:
                return "busy"
            if sealed is None:
                return None
            self.hands[name].append((sealed.batch, sealed.lines, False))
            return shown(sealed.batch, sealed.lines)

        def model(oracle: Oracle) -> Any:
            seal = oracle.seal(*limit, encoding, now)
            return seal and (seal.id, seal.first, seal.last, seal.encoding, seal.key, seal.lines)

        return real, model

    def acknowledging(self, name: str, batch: Batch) -> Step:
        now = self.clock()

        def real() -> Any:
            try:
                return self.delivery(name).acknowledge(
                    batch, run_id=self.run_id, store=Shelf.url, etag=None, object_bytes=1
                )
            except TransientError:
                return "busy"

        return real, lambda oracle: oracle.acknowledge(batch.id, self.run_id, now)

    def any_step(self, data: Any, name: str) -> Step:
        """A write by the collector or an uploader, as what there is to do allows."""
        if name == "collector":
            begun = self.begun[-1] if self.begun else ("alpha", 0, self.oracle.revision("alpha", 0), 1)
            return self.add(begun, data.draw(facts))
        put = [batch for batch, _, confirmed in self.hands[name] if confirmed]
        if put and data.draw(st.booleans()):
            return self.acknowledging(name, data.draw(st.sampled_from(put)))
        return self.sealing(name, data.draw(limits), data.draw(encodings))

    def settle(self, first: Callable, second: Callable, found: tuple[Any, Any]) -> None:
        """Take the order of the two that explains what was returned and what is stored."""
        complaints = []
        for order in ("first, second", "second, first", "second alone", "first alone"):
            oracle = copy.deepcopy(self.oracle, {id(IDS): IDS})
            if order == "first, second":
                told = first(oracle), second(oracle)
            elif order == "first alone":
                told = first(oracle), "busy"
            else:
                after = second(oracle)
                told = (first(oracle) if order == "second, first" else None), after
            try:
                assert found == told, f"returned {found} instead of {told}"
                assert_equal(oracle, self.databases["collector"], self.outbox, self.shelf)
            except AssertionError as error:
                complaints.append(f"{order}: {error}")
            else:
                self.oracle = oracle
                type(self).steps += 1
                return
        raise AssertionError("no order of the two explains it:\n" + "\n".join(complaints))
