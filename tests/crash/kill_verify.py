"""What must hold after the random kills, found out from the objects first and the database second."""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from outbox.database import Database
from tests.crash.kill_source import SOURCES, Fact, expected_rejected, expected_rows, expected_unchanged
from uploader.compression import decompress

_ENCODINGS = {".zst": "zstd", ".gz": "gzip", ".ndjson": "none"}


@dataclass
class Found:
    """How much was delivered, and what is wrong."""

    acknowledged_pages: int = 0
    records: int = 0
    objects: int = 0
    wrong: list[str] = field(default_factory=list)

    def require(self, holds: bool, promise: str) -> None:
        if not holds:
            self.wrong.append(promise)


def verify(folder: Path, database: Database) -> Found:
    """Read everything; `wrong` is empty when every promise held."""
    found = Found()
    lines = _objects(folder / "objects", database, found)
    pages = {
        source: int(database.value("SELECT bookmark FROM bookmarks WHERE source = ?", (source,)) or 0)
        for source in SOURCES
    }
    _delivered(lines, pages, found)
    _acknowledged(folder / "journal", pages, found)
    _ledger(lines, pages, database, found)
    return found


def _objects(folder: Path, database: Database, found: Found) -> list[dict[str, Any]]:
    """The lines of every object, in the order of their names: each name tells the truth about its object."""
    lines: list[dict[str, Any]] = []
    paths = sorted((folder / "data").rglob("*.ndjson*"), key=lambda path: path.name)
    for path in paths:
        first, last, digest = path.name.partition(".")[0].split("-")
        ndjson = decompress(path.read_bytes(), _ENCODINGS[path.suffix])
        held = [json.loads(line) for line in ndjson.splitlines()]
        numbers = list(range(int(first), int(last) + 1))
        found.require(
            hashlib.sha256(ndjson).hexdigest()[:16] == digest, f"{path.name} holds what it was named for"
        )
        found.require([x["sequence"] for x in held] == numbers, f"{path.name} holds its sequences")
        lines += held
    keys = {path.relative_to(folder).as_posix() for path in paths}
    sealed = {row[0] for row in database.rows("SELECT object_key FROM batches WHERE status = 'sent'")}
    found.require(keys == sealed, f"objects are sent batches: {sorted(keys ^ sealed)[:3]}")
    found.objects, found.records = len(paths), len(lines)
    return lines


def _delivered(lines: list[dict[str, Any]], pages: dict[str, int], found: Found) -> None:
    """Every sequence once, without a gap; and of each source exactly the rows that its pages make."""
    numbers = [line["sequence"] for line in lines]
    found.require(numbers == list(range(1, len(lines) + 1)), "sequences tile 1..N, each in one object")
    for source in SOURCES:
        rows = [
            (line["observed_at"], line["entity"], line["values"]["v"])
            for line in lines
            if line["source"] == source
        ]
        expected = [_shown(fact) for fact in expected_rows(pages[source])]
        differing = next(
            (n for n, pair in enumerate(zip(rows, expected, strict=False)) if pair[0] != pair[1]),
            min(len(rows), len(expected)),
        )
        found.require(
            rows == expected,
            f"{source} delivers its {len(expected)} rows; it delivers {len(rows)}, otherwise from row "
            f"{differing} on: {rows[differing : differing + 3]}",
        )
    identities = {(line["source"], line["entity"], line["observed_at"], line["record_id"]) for line in lines}
    ids = {identity[-1] for identity in identities}
    found.require(
        len(ids) == len({identity[:-1] for identity in identities}) == len(identities),
        "a record_id names one record",
    )


def _shown(fact: Fact) -> tuple[str, str, str]:
    return fact.observed_at, str(fact.place), fact.value


def _acknowledged(folder: Path, pages: dict[str, int], found: Found) -> None:
    """What was acknowledged before a kill is behind the bookmark, and nothing was acknowledged twice."""
    noted: Counter[tuple[str, int]] = Counter()
    for path in folder.iterdir():
        for line in path.read_text("ascii").splitlines():
            source, page = line.split()
            noted[source, int(page)] += 1
    lost = [page for page in noted if page[1] >= pages[page[0]]]
    twice = [page for page, times in noted.items() if times > 1]
    found.require(not lost, f"acknowledged pages are stored: {lost[:3]}")
    found.require(not twice, f"a page is stored once: {twice[:3]}")
    found.acknowledged_pages = len(noted)


def _ledger(lines: list[dict[str, Any]], pages: dict[str, int], database: Database, found: Found) -> None:
    """What the database says of itself is what the objects hold."""
    value = database.value
    found.require(value("PRAGMA integrity_check") == "ok", "integrity")
    found.require(value("SELECT count(*) FROM outbox WHERE status <> 'sent'") == 0, "every row is sent")
    found.require(value("SELECT count(*) FROM batches WHERE status <> 'sent'") == 0, "every batch is sent")
    found.require(value("SELECT count(*) FROM pending") == 0, "nothing is pending")
    ids = {line["sequence"]: line["record_id"].replace("-", "") for line in lines}
    wrong = [
        sequence
        for sequence, record_id in database.rows("SELECT sequence, record_id FROM outbox")
        if ids.get(sequence) != record_id.hex()
    ]
    found.require(not wrong, f"the ledger names what the objects hold: {wrong[:3]}")
    last = value("SELECT seq FROM sqlite_sequence WHERE name = 'outbox'") or 0
    found.require(last == len(lines), "the last number given is the last one delivered")
    strays = "SELECT count(*) FROM bodies WHERE sequence NOT IN (SELECT sequence FROM outbox)"
    found.require(value(strays) == 0, "no body without its row")
    for source in SOURCES:
        read = database.execute(
            "SELECT coalesce(sum(new), 0), coalesce(sum(unchanged), 0), coalesce(sum(rejected), 0) FROM runs"
            " WHERE command = 'collect' AND source = ?",
            (source,),
        )[0]
        told = (
            len(expected_rows(pages[source])),
            expected_unchanged(pages[source]),
            expected_rejected(pages[source]),
        )
        found.require(read == told, f"{source} counts what it read: {read} instead of {told}")
        kept = database.execute("SELECT count(*), sum(count) FROM rejected WHERE source = ?", (source,))[0]
        found.require((kept[0], kept[1] or 0) == (told[2], told[2]), f"{source} keeps what it rejected")
    sent = value("SELECT sum(sent) FROM runs WHERE command = 'upload'") or 0
    found.require(sent == len(lines), "the runs have sent each record once")
