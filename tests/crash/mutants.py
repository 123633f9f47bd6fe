"""The protocol, broken on purpose: each mutant is one careless way to write it, in force for a `with` block.

A test that cannot fail proves nothing: `test_mutants.py` shows that every one of these is caught. A mutant
works as long as nothing happens (records are collected, put and marked sent), as careless code does; where
a trigger of the schema would stop it at once, it drops that trigger, as a careless migration would.

Not modelled: mistakes that any first test finds, two mutants at once, and mistakes in the tests themselves.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any
from unittest.mock import patch
from uuid import uuid4

from outbox import agents, delivery, housekeeping, store
from outbox import database as databases
from outbox.agents import Agent, current_agent
from outbox.bookmarks import Bookmark, set_bookmark
from outbox.checksums import record_checksum
from outbox.database import Database
from outbox.delivery import Batch, Delivery, Sealed
from outbox.record import Entry, Page, timestamp
from outbox.sequences import last_sequence, next_unsealed
from outbox.store import Added, Outbox
from outbox.witness import Witnessed, write_witness
from uploader.s3.store import S3Store
from uploader.upload import Upload

Block = AbstractContextManager[Any]
Mutant = Callable[[], Block]
MUTANTS: dict[str, Mutant] = {}


def mutant(function: Mutant) -> Mutant:
    """Keep a mutant under its name as a sentence."""
    MUTANTS[function.__name__.replace("_", " ")] = function
    return function


def _drop(database: Database, trigger: str) -> None:
    database.execute(f"DROP TRIGGER IF EXISTS {trigger}")


@mutant
def a_batch_is_sealed_only_after_its_put() -> Block:
    """The lines of unsealed rows are put; the seal is committed with the store's confirmation."""
    commit, acknowledge, next_sequence = Delivery._commit, Delivery.acknowledge, Delivery._next
    waiting: dict[Delivery, list[tuple[Any, Any]]] = {}

    def remember(self: Delivery, made: Any, lost: list[Any]) -> Sealed:
        waiting.setdefault(self, []).append((made, lost))
        return Sealed(Batch(-len(waiting[self]), *made.row), made.ndjson, tuple(lost))

    def following(self: Delivery) -> int:
        return max([next_sequence(self), *(made.row[4] + 1 for made, _ in waiting.get(self, []))])

    def seal_and_acknowledge(self: Delivery, batch: Batch, **confirmation: Any) -> bool:
        made_up = waiting.get(self, [])
        while made_up and made_up[0][0].row[3] <= batch.first_sequence:
            with self._database.transaction():
                commit(self, *made_up.pop(0))
        true = next(sealed for sealed in self.sealed() if sealed[1:] == batch[1:])
        return acknowledge(self, true, **confirmation)

    return patch.multiple(Delivery, _commit=remember, _next=following, acknowledge=seal_and_acknowledge)


@mutant
def each_put_has_a_random_key() -> Block:
    """The name in the store is made up when the object is put, and not kept."""
    put = Upload._put

    def put_somewhere(self: Upload, batch: Batch, lines: bytes) -> Any:
        folder, _, name = batch.object_key.rpartition("/")
        first, last, rest = name.split("-")
        key = f"{folder}/{first}-{last}-{uuid4().hex[:16]}.{rest.partition('.')[2]}"
        return put(self, batch._replace(object_key=key), lines)

    return patch.object(Upload, "_put", put_somewhere)


@mutant
def the_key_holds_the_date_of_the_put() -> Block:
    """The name is made again at every retry, with the day that it is then."""
    sealed = Delivery.sealed

    def sealed_today(self: Delivery) -> list[Batch]:
        today = f"/date={timestamp(self._now())[:10]}/"
        return [
            batch._replace(object_key=re.sub("/date=.*?/", today, batch.object_key)) for batch in sealed(self)
        ]

    return patch.object(Delivery, "sealed", sealed_today)


@mutant
def a_batch_is_marked_sent_before_its_put() -> Block:
    """First the mark, then the put: at most once instead of exactly once."""
    following = Upload._next

    def mark_and_hand_out(self: Upload, work: Iterator[Sealed]) -> Sealed | None:
        sealed = following(self, work)
        if sealed:
            self._delivery.acknowledge(
                sealed.batch, run_id=self._run_id, store=self._store.url, etag=None, object_bytes=1
            )
        return sealed

    return patch.object(Upload, "_next", mark_and_hand_out)


@mutant
def synchronous_is_normal() -> Block:
    """What was committed may be gone after a power cut."""
    require = databases._require_pragma

    return patch.object(
        databases,
        "_require_pragma",
        lambda database, name, wanted: require(database, name, 1 if name == "synchronous" else wanted),
    )


@mutant
def a_bare_200_is_trusted() -> Block:
    """Whoever answers with success is taken for S3."""
    return patch.object(S3Store, "_confirm", lambda _self, response, *_: str(response.get("ETag", "")))


@mutant
def any_412_is_trusted() -> Block:
    """A proxy's 412 passes for S3's word that the key exists."""
    return patch.object(
        S3Store, "_exists", lambda _self, response: response["ResponseMetadata"]["HTTPStatusCode"] == 412
    )


@mutant
def a_retry_selects_the_rows_again() -> Block:
    """What was sealed and not confirmed is forgotten, and a new range is built of what is pending now."""

    def forget(self: Delivery) -> list[Batch]:
        _drop(self._database, "batches_stay")
        with self._database.transaction():
            self._database.execute("DELETE FROM batches WHERE status = 'sealed'")
        return []

    return patch.object(Delivery, "sealed", forget)


@mutant
def lines_are_in_another_order_than_their_sequences() -> Block:
    """The latest first."""
    lines = Delivery._lines

    def upside_down(self: Delivery, *arguments: Any) -> tuple[list[bytes], list[Any]]:
        made, lost = lines(self, *arguments)
        return made[::-1], lost

    return patch.object(Delivery, "_lines", upside_down)


@mutant
def seals_leave_a_gap() -> Block:
    """The first sequence after a batch is skipped, and no trigger minds."""
    following = delivery.next_unsealed

    def one_later(database: Database) -> int:
        _drop(database, "batches_tile")
        return following(database) + database.value("SELECT count(*) > 0 FROM batches")

    return patch.object(delivery, "next_unsealed", one_later)


@mutant
def rows_and_batch_are_marked_in_two_transactions() -> Block:
    """A batch that is marked sent may have rows that are pending for ever."""
    mark = delivery._MARK
    acknowledge = Delivery.acknowledge

    def in_two_steps(self: Delivery, batch: Batch, **confirmation: Any) -> bool:
        with (
            patch.object(delivery, "_MARK", "SELECT ?, ?, ?"),
            patch.object(Database, "changes", lambda self: self.connection.changes() and batch.records),
        ):
            done = acknowledge(self, batch, **confirmation)
        if done:
            with self._database.transaction():
                self._database.execute(mark, (batch.id, batch.first_sequence, batch.last_sequence))
        return done

    return patch.object(Delivery, "acknowledge", in_two_steps)


@mutant
def checksums_are_not_looked_at() -> Block:
    """A damaged body is sent as if it were good."""
    rows = Delivery._rows

    def whatever(self: Delivery, first: int, last: int) -> Iterator[Any]:
        for sequence, collected_at, body, crc, *rest in rows(self, first, last):
            good = crc if body is None else record_checksum(sequence, collected_at, body)
            yield sequence, collected_at, body, good, *rest

    def unsealed(self: Delivery, batch: Batch) -> bytes:
        agent = agents.agent_by_id(self._database, batch.agent_id)
        return b"".join(self._lines(batch.format, agent, batch.first_sequence, batch.last_sequence)[0])

    return patch.multiple(Delivery, _rows=whatever, lines=unsealed)


@mutant
def the_bookmark_is_written_in_its_own_transaction() -> Block:
    """First the page's records are committed, then its bookmark."""
    add = Outbox.add

    def add_twice(self: Outbox, page: Page, *, source: str, backfill_id: int = 0, **rest: Any) -> Added:
        with patch.object(store, "set_bookmark", lambda *_: None):
            added = add(self, page, source=source, backfill_id=backfill_id, **rest)
        with self.database.transaction():
            bookmark = Bookmark(page.bookmark, rest["revision"] + 1)
            set_bookmark(self.database, source, backfill_id, page.scope, bookmark, timestamp(self.now()))
        return added

    return patch.object(Outbox, "add", add_twice)


@mutant
def the_bookmark_is_set_without_a_comparison() -> Block:
    """Whoever stores a page last is right, however long ago it began."""
    add = Outbox.add

    def add_anyway(self: Outbox, page: Page, *, source: str, backfill_id: int = 0, **rest: Any) -> Added:
        mark = self.bookmarks(source, backfill_id).get(page.scope)
        rest["revision"] = mark.revision if mark else 0
        return add(self, page, source=source, backfill_id=backfill_id, **rest)

    return patch.object(Outbox, "add", add_anyway)


@mutant
def records_are_inserted_or_ignored() -> Block:
    """A unique index recognises what is known, and burns the number that it would have had."""

    def insert(self: Outbox, entries: list[Entry], source: str, run_id: int, moment: str) -> int:
        execute, new = self.database.execute, 0
        execute("CREATE UNIQUE INDEX IF NOT EXISTS known ON outbox (record_id, content_hash)")
        first, collected_at = last_sequence(self.database) + 1, moment.encode()
        for sequence, entry in enumerate(entries, start=first):
            body = entry.body
            row = (sequence, entry.record_id, entry.content_hash, source, run_id, moment, len(body))
            execute(store._INSERT_ROW.replace("INSERT", "INSERT OR IGNORE"), row)
            if self.database.changes():
                execute(store._INSERT_BODY, (sequence, body, record_checksum(sequence, collected_at, body)))
                new += 1
        return new

    return patch.object(Outbox, "_insert", insert)


@mutant
def the_next_number_follows_the_highest_row() -> Block:
    """Numbered by max(sequence) + 1: what was forgotten gives its number to another record."""
    highest = "SELECT coalesce(max(sequence), 0) FROM outbox"
    return patch.object(store, "last_sequence", lambda database: database.value(highest))


@mutant
def records_are_pruned_before_they_were_sent() -> Block:
    """Old is taken for sent, and a careless migration dropped the trigger that knew better."""
    prune = housekeeping._prune

    def prune_all(database: Database, sent_before: str) -> int:
        _drop(database, "bodies_keep_pending")
        return prune(database, sent_before)

    everything = "SELECT min(sequence), max(sequence) FROM bodies HAVING count(*) > 0 AND ? > ''"
    return patch.multiple(housekeeping, _prune=prune_all, _SENT_WITH_BODIES=everything)


@mutant
def a_restored_agent_keeps_its_identity() -> Block:
    """Renewed in name only: the sequences that were given out before are given out again."""

    def make_up(database: Database, _reason: str, **_: Any) -> Agent:
        agent = current_agent(database)
        first = next_unsealed(database)
        write_witness(database.path, Witnessed(agent.agent_id, first - 1))
        return agent

    return patch.object(agents, "renew", make_up)


@mutant
def nobody_asks_the_witness() -> Block:
    """A database that was put back from a backup goes on as if nothing had happened."""
    return patch.object(agents, "read_witness", lambda _path: None)
