"""The loop that uploads: seal, put, acknowledge.

Invariants:
- Recovery comes first, and is no special case: batches that were sealed and not confirmed are put again,
  the same bytes under the same key, before anything new is sealed.
- Seals and acknowledgements happen in the calling thread, puts in others; no transaction is open while a
  put is under way, and at most `parallel` objects are in memory, however long the backlog.
- An error of one object stops no other. An error of the store ends the run: everything stays sealed.
- An error of the database ends the sealing: what was put before is marked sent all the same.
- Where the store says how long to wait, nobody puts before: not the other puts of the run either.
- Of a doubted batch, the store's word that the key exists is no confirmation: a person looks.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import datetime
from typing import NamedTuple

from outbox.delivery import Batch, Delivery, Limits, Sealed
from outbox.errors import DataError, ObjectError, OutboxError, PermanentError, TransientError, worst
from outbox.retry import Retry
from uploader.compression import compress
from uploader.objectstore import ObjectStore, OtherBytesError, Receipt

MAX_FAILURES_IN_A_ROW = 3
"""So many objects refused with none accepted in between: it is the store, not the objects."""


class Put(NamedTuple):
    """A confirmed put: what the store said, and how large the object was."""

    receipt: Receipt
    object_bytes: int


def put_again(store: ObjectStore, batch: Batch, lines: bytes, *, retry: Retry) -> Receipt:
    """Put a batch that was sent before; nothing that the store has is overwritten. Raises what put raises."""
    data = compress(lines, batch.encoding)
    return retry(lambda: store.put(batch.object_key, data))


class Upload:
    """One run of `outbox upload`."""

    def __init__(
        self,
        delivery: Delivery,
        store: ObjectStore,
        *,
        retry: Retry,
        limits: Limits,
        encoding: str,
        parallel: int,
        run_id: int,
        on_sent: Callable[[Batch], None] = lambda _batch: None,
        on_clock: Callable[[datetime], None] = lambda _server_time: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._delivery = delivery
        self._store = store
        self._retry = retry
        self._limits = limits
        self._encoding = encoding
        self._parallel = parallel
        self._run_id = run_id
        self._on_sent = on_sent
        self._on_clock = on_clock
        self._monotonic = monotonic
        self._told_to_wait: tuple[float, TransientError] | None = None
        self._errors: list[OutboxError] = []
        self._failures_in_a_row = 0
        self._failed_up_to = 0

    def __call__(self) -> None:
        """Upload everything that waits; raises the worst error once nothing more can be done."""
        work = self._work()
        in_flight: dict[Future[Put], Batch] = {}
        pool = ThreadPoolExecutor(self._parallel, thread_name_prefix="put")
        try:
            while True:
                while len(in_flight) < self._parallel and (sealed := self._next(work)):
                    in_flight[pool.submit(self._put, sealed.batch, sealed.lines)] = sealed.batch
                if not in_flight:
                    break
                done, _ = wait(in_flight, return_when=FIRST_COMPLETED)
                for future in sorted(done, key=lambda each: each.exception() is None):  # a doubt first
                    self._settle(in_flight.pop(future), future)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        if self._errors:
            code = worst(error.exit_code for error in self._errors)
            raise next(error for error in self._errors if error.exit_code == code)

    def _work(self) -> Iterator[Sealed]:
        damaged = False
        for batch in self._delivery.sealed():
            try:
                sealed = self._as_sealed(batch)
            except DataError as error:  # not even what is left of it can be read: the others may pass
                self._errors.insert(0, error)
                damaged = True
                continue
            if sealed:
                yield sealed
        while not damaged and (sealed := self._delivery.seal(self._limits, self._encoding)):
            self._note_lost(sealed)
            yield sealed

    def _as_sealed(self, batch: Batch) -> Sealed | None:
        """The batch as it was sealed or, where that can no longer be made, its range sealed anew."""
        try:
            return Sealed(batch, self._delivery.lines(batch))
        except DataError as error:
            sealed = self._delivery.seal_again(batch, error.message)
            if sealed:  # None: another uploader has sent it meanwhile, and nothing is wrong
                self._errors.append(error)
                self._note_lost(sealed)
            return sealed

    def _note_lost(self, sealed: Sealed) -> None:
        """A damaged record's place is delivered and says so; the run ends with 65 all the same."""
        if sealed.lost:
            batch, count = sealed.batch, len(sealed.lost)
            self._errors.append(
                DataError(
                    f"{count} of the records {batch.first_sequence} to {batch.last_sequence} were damaged on "
                    "this disk: their places say so in the object, and what is left of them is in rejected",
                    hint="look at the disk; restoring a backup is not needed",
                )
            )

    def _next(self, work: Iterator[Sealed]) -> Sealed | None:
        if self._is_store_wide():
            return None
        try:
            return next(work, None)
        except OutboxError as error:  # of the database: what is on its way is marked all the same
            self._errors.insert(0, error)  # said before another of its kind: this one ended the sealing
            return None

    def _put(self, batch: Batch, lines: bytes) -> Put:
        data = compress(lines, batch.encoding)
        del lines  # a retry may wait for minutes: hold only what it sends
        return Put(self._retry(lambda: self._put_once(batch.object_key, data)), len(data))

    def _put_once(self, key: str, data: bytes) -> Receipt:
        """Put, unless the store has told any put of this run to wait; then that is what is said again."""
        if self._told_to_wait:
            until, said = self._told_to_wait
            left_s = until - self._monotonic()
            if left_s > 0:
                raise TransientError(said.message, hint=said.hint, retry_after_s=left_s) from said
        try:
            return self._store.put(key, data)
        except TransientError as error:
            if error.retry_after_s:
                self._told_to_wait = self._monotonic() + error.retry_after_s, error
            raise

    def _settle(self, batch: Batch, future: Future[Put]) -> None:
        try:
            put = future.result()
        except OutboxError as error:
            self._note(batch, error)
            self._failures_in_a_row += 1
            self._failed_up_to = max(self._failed_up_to, batch.first_sequence)
            return
        if put.receipt.existed and self._delivery.is_doubted(batch):
            what = f"{self._store.url} has {batch.object_key}, of which it said that it keeps other bytes"
            hint = "look at that object: once it is deleted or moved away, the next upload puts it again"
            self._note(batch, ObjectError(f"{what}. Nothing was lost", hint=hint))
            return
        self._delivery.acknowledge(
            batch,
            run_id=self._run_id,
            store=self._store.url,
            etag=put.receipt.etag,
            object_bytes=put.object_bytes,
        )
        if batch.first_sequence > self._failed_up_to:  # else it was begun before, and says nothing of now
            self._failures_in_a_row = 0
        if put.receipt.server_time:
            self._on_clock(put.receipt.server_time)
        self._on_sent(batch)

    def _note(self, batch: Batch, error: OutboxError) -> None:
        self._delivery.note_failure(batch, error, doubted=isinstance(error, OtherBytesError))
        self._errors.append(error)

    def _is_store_wide(self) -> bool:
        denied = any(isinstance(e, PermanentError) and not isinstance(e, ObjectError) for e in self._errors)
        return denied or self._failures_in_a_row >= MAX_FAILURES_IN_A_ROW
