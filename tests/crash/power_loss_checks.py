"""What must hold of a database that was found after a mishap, and after the agent went on from there."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from outbox.database import Database, Row
from tests.crash.power_loss_scenario import LAST_SEQUENCE, REVISIONS, Life, PageFact, Scenario
from tests.support.agent import START
from uploader.compression import decompress

_TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name"
Revisions = tuple[tuple[str, int], ...]


@dataclass
class World:
    """What others know, whatever happens to the disk."""

    made: bool = False
    clock: datetime = START
    rows: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)
    revisions: dict[str, int] = field(default_factory=dict)
    sent: set[int] = field(default_factory=set)
    objects: dict[str, bytes] = field(default_factory=dict)
    facts: int = 0

    def learn(self, kind: str, what: Any) -> None:
        """Take note of a fact."""
        self.facts += 1
        if kind == "made":
            self.made = True
        elif kind == "clock":
            self.clock = what
        elif kind == "page":
            self.rows.update({sequence: (record, content) for sequence, record, content in what.rows})
            self.revisions = dict(what.revisions)
        elif kind == "sent":
            self.sent.add(what)
        elif kind == "put":
            key, data = what
            self.objects.setdefault(key, data)
        else:
            raise AssertionError(kind)


class History:
    """What an undisturbed life of a scenario came to: the states it went through, and what it delivered."""

    def __init__(self, pages: Iterable[PageFact], objects: Mapping[str, bytes]) -> None:
        self.last_sequence: dict[Revisions, int] = {(): 0}
        self.last_sequence.update({page.revisions: page.last_sequence for page in pages})
        self.delivered = delivered(objects)[0]


def delivered(objects: Mapping[str, bytes]) -> tuple[dict[str, list[str]], Counter[int]]:
    """Return what arrived of each source, in the order of sequences, and how often each sequence did."""
    lines = []
    for key, data in objects.items():
        encoding = {".zst": "zstd", ".gz": "gzip"}.get(Path(key).suffix, "none")
        lines += [json.loads(line) for line in decompress(data, encoding).splitlines()]
    lines.sort(key=lambda line: line["sequence"])
    by_source: dict[str, list[str]] = defaultdict(list)
    for line in lines:
        by_source[line["source"]].append(f"{line['record_id']} {line['values']}")
    return dict(by_source), Counter(line["sequence"] for line in lines)


def state(database: Database) -> tuple[Row, ...]:
    """Return everything that the database says."""
    tables = [row[0] for row in database.rows(_TABLES)]
    return tuple(row for table in tables for row in database.rows(f"SELECT * FROM {table} ORDER BY 1"))


def found(database: Database, world: World, history: History | None) -> dict[str, str]:
    """Return what is wrong with a database as it was found, by kind; empty when every promise held."""
    integrity = database.value("PRAGMA integrity_check")
    if integrity != "ok":
        return {"corrupt": integrity}
    wrong = {}
    last = database.value(LAST_SEQUENCE)
    ledger = {
        row[0]: row[1:] for row in database.rows("SELECT sequence, record_id, content_hash FROM outbox")
    }
    arrived = {sequence for key in world.objects for sequence in _range(key)}
    lost = [
        sequence
        for sequence, row in world.rows.items()
        if sequence > last
        or ledger.get(sequence, row) != row
        or not (sequence in ledger or sequence in arrived)
    ]
    if lost:
        wrong["lost"] = f"{len(lost)} records, the first {lost[0]}"
    revisions: Revisions = tuple((row[0], row[1]) for row in database.rows(REVISIONS))
    stored = dict(revisions)
    if any(stored.get(source, 0) < known for source, known in world.revisions.items()):
        wrong["lost"] = f"bookmarks {revisions} are behind {world.revisions}"
    confirmed = {row[0] for row in database.rows("SELECT id FROM batches WHERE status = 'sent'")}
    if world.sent - confirmed:
        wrong["lost"] = f"the confirmation of batches {world.sent - confirmed}"
    if history and history.last_sequence.get(revisions) != last:
        wrong["inconsistent"] = f"{last} rows with bookmarks {revisions}"
    bodiless = database.value(
        "SELECT count(*) FROM outbox LEFT JOIN bodies USING (sequence) WHERE status = 'pending' AND body IS NULL"
    )
    if bodiless:
        wrong["inconsistent"] = f"{bodiless} pending records have no text"
    return wrong


def went_on(scenario: Scenario, folder: Path, world: World, history: History) -> dict[str, str]:
    """Let the agent go on to the end, and return what is wrong then."""
    life = Life(scenario, folder, lambda _kind, _what: None, dict(world.objects))
    life.clock.moment = world.clock
    if not life.path.exists():
        life.make()
    life.finish()
    wrong = {}
    by_source, times = delivered(life.store.objects)
    doubled = [sequence for sequence, count in times.items() if count > 1]
    if doubled:
        wrong["doubled"] = f"{len(doubled)} sequences, the first {doubled[0]}"
    if life.store.refused_other_bytes:
        wrong["keys_with_two_contents"] = f"{life.store.refused_other_bytes} keys"
    if "doubled" not in wrong and by_source != history.delivered:
        wrong["inconsistent"] = "other records arrived, or in another order, than without the mishap"
    with Database.open(life.path) as database:
        if database.value("PRAGMA integrity_check") != "ok":
            wrong["corrupt"] = "after going on"
        last = database.value(LAST_SEQUENCE)
        batches = list(database.rows("SELECT first_sequence, last_sequence, status FROM batches ORDER BY 1"))
    tiles = [sequence for first, end, _ in batches for sequence in range(first, end + 1)]
    if tiles != list(range(1, last + 1)) or any(status != "sent" for *_, status in batches):
        wrong["inconsistent"] = f"batches {batches} do not tile 1 to {last}"
    if sorted(times) != list(range(1, last + 1)):
        wrong["lost"] = f"{last - len(times)} of {last} sequences never arrived"
    return wrong


def _range(key: str) -> range:
    first, last = Path(key).name.split("-")[:2]
    return range(int(first), int(last) + 1)
