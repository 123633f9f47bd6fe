"""What the product holds, read with plain queries, and its comparison with the oracle; the store; the pages."""

import gzip
import json
from collections.abc import Callable
from typing import Any

from outbox.database import Database
from outbox.delivery import Batch
from outbox.errors import PermanentError
from outbox.record import Page, Record, normalise
from outbox.store import Outbox
from tests.crash.model import NOT_A_NUMBER, START, Fact, Identity, Oracle, observed
from tests.support.agent import record
from uploader import compression
from uploader.compression import decompress
from uploader.objectstore import Receipt

SOURCES, ENTITIES, HOURS = ("alpha", "beta"), ("Åbo", "Oulu"), range(4)
IDS = {
    Identity(source, entity, hour): json.loads(
        normalise(record(hour, entity=entity), customer="acme", site="helsinki", source=source).body
    )["record_id"]
    for source in SOURCES
    for entity in ENTITIES
    for hour in HOURS
}
assert len(set(IDS.values())) == len(IDS)


class Shelf:
    """A store that keeps its promises, in memory; one key never has two contents."""

    url = "file:///shelf"

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.fail(None, False)

    def fail(self, after: int | None, lost: bool) -> None:
        """Refuse the put after so many; or do it, and let the reply be `lost`."""
        self.after, self.lost = after, lost

    def put(self, key: str, data: bytes) -> Receipt:
        if self.after is not None:
            self.after -= 1
        failing = self.after == -1
        if failing and not self.lost:
            raise PermanentError("refused")
        existed = key in self.objects
        if existed:
            assert lines_of(key, data) == lines_of(key, self.objects[key]), f"{key} has two contents"
        else:
            self.objects[key] = data
        if failing:
            raise PermanentError("the reply was lost")
        return Receipt(etag=None, existed=existed)


def lines_of(key: str, data: bytes) -> bytes:
    return decompress(data, {"zst": "zstd", "gz": "gzip", "ndjson": "none"}[key.rpartition(".")[2]])


def compressor(other: bool) -> Callable[[bytes, str], bytes]:
    """The product's compressor, or one that gives other bytes for the same lines."""

    def compress(lines: bytes, encoding: str) -> bytes:
        if encoding == "zstd":
            options = {compression.zstd.CompressionParameter.checksum_flag: 1}
            return compression.zstd.compress(lines, options=options)
        return gzip.compress(lines, 1, mtime=1) if encoding == "gzip" else lines

    return compress if other else compression.compress


def page_of(said: list[Fact], mark: str) -> Page:
    return Page(records=[_record(fact) for fact in said], bookmark=mark)


def _record(fact: Fact) -> Record:
    value = float("nan") if fact.value == NOT_A_NUMBER else fact.value
    return record(fact.hour, entity=fact.entity, values={"v": value}, units={})


def shown(batch: Batch, lines: bytes) -> tuple[Any, ...]:
    """What the oracle knows of a batch too."""
    return batch.id, batch.first_sequence, batch.last_sequence, batch.encoding, batch.object_key, lines


def assert_equal(oracle: Oracle, database: Database, outbox: Outbox, shelf: Shelf) -> None:
    """Compare everything."""
    found, expected = _found(database, outbox, shelf), _expected(oracle)
    for what, wanted in expected.items():
        assert found[what] == wanted, f"{what}: {found[what]} instead of {wanted}"


def _found(database: Database, outbox: Outbox, shelf: Shelf) -> dict[str, Any]:
    query = database.execute
    return {
        "rows": query(
            "SELECT sequence, lower(hex(record_id)), source, run_id, collected_at, status, batch_id FROM outbox"
            " ORDER BY sequence"
        ),
        "bodies": query("SELECT sequence, body FROM bodies ORDER BY sequence"),
        "batches": query(
            "SELECT id, first_sequence, last_sequence, encoding, object_key, ndjson_bytes, sent_at, status"
            " FROM batches ORDER BY id"
        ),
        "objects": {key: lines_of(key, data) for key, data in shelf.objects.items()},
        "bookmarks": {
            (source, backfill): (text, revision)
            for source, backfill, text, revision in query(
                "SELECT source, backfill_id, bookmark, revision FROM bookmarks"
            )
        },
        "rejected": sorted(
            (source, _told(raw), count, last_at)
            for source, raw, count, last_at in query("SELECT source, raw, count, last_at FROM rejected")
        ),
        "backfills": query("SELECT id, source, since, finished_at IS NOT NULL FROM backfills ORDER BY id"),
        "runs": query(
            "SELECT id, command, source, started_at, new, unchanged, rejected, objects, sent,"
            " substr(oldest, 1, 19) FROM runs ORDER BY id"
        ),
        "waiting": outbox.waiting(),
        "last": database.value("SELECT seq FROM sqlite_sequence WHERE name = 'outbox'") or 0,
    }


def _expected(oracle: Oracle) -> dict[str, Any]:
    assert not oracle.outlived(), f"forgotten, and an older revision is not: {oracle.outlived()}"
    return {
        "rows": [
            (
                row.sequence,
                oracle.ids[row.identity].replace("-", ""),
                row.identity.source,
                row.run_id,
                row.collected_at,
                "sent" if row.sent else "pending",
                row.sent,
            )
            for row in oracle.rows
            if row.kept
        ],
        "bodies": [(row.sequence, oracle.body(row)) for row in oracle.rows if row.body],
        "batches": [
            (
                x.id,
                x.first,
                x.last,
                x.encoding,
                x.key,
                len(x.lines),
                x.sent_at,
                "sent" if x.sent_at else "sealed",
            )
            for x in oracle.batches
        ],
        "objects": oracle.objects,
        "bookmarks": oracle.bookmarks,
        "rejected": sorted(
            (source, (fact.entity, fact.hour, str(fact.value)), times, at)
            for (source, fact), (times, at) in oracle.rejected.items()
        ),
        "backfills": [tuple(x) for x in oracle.backfills],
        "runs": [
            (
                *(run.id, run.command, run.source, run.started_at, run.new, run.unchanged, run.rejected),
                *(run.objects, run.sent, None if run.oldest is None else observed(run.oldest)[:-1]),
            )
            for run in oracle.runs
        ],
        "waiting": oracle.waiting(),
        "last": len(oracle.rows),
    }


def _told(raw: str) -> tuple[str, int, str]:
    """The fact of a rejected record, from what was kept of it."""
    kept = json.loads(raw)
    hours = {str(START + (record(n).observed_at - START)): n for n in HOURS}
    value = str(kept["values"]["v"])
    return kept["entity"], hours[kept["observed_at"]], NOT_A_NUMBER if value == "nan" else value
