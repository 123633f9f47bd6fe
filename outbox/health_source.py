"""The built-in source `agent`: how this agent is, as ordinary records, so that silence is the alarm.

Invariants:
- Three streams: `health` (one record, of the agent), `sources` (one of each source) and `runs` (one of each
  run of collect or retry that has ended, whose read = new + unchanged + rejected).
- It says so at most once in `every`, however often collect runs: an idle agent is heard, a busy one is no
  flood.
- No ended run is left out, except its own in which it was not due. A run that may still be going on is
  waited for; one that was killed is reported as such.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec
from pydantic import Field

from outbox import __version__
from outbox.config.options import Duration, Flag, Options
from outbox.database import Database
from outbox.errors import DataError, Exit, PermanentError, shorten
from outbox.health import Health, SourceHealth
from outbox.machine.disk import free_bytes
from outbox.record import Page, Record, Rejected, timestamp

SLACK = 0.9
"""Of `every`: a scheduler that is some seconds early must not make every second look fall away."""
MAX_RUNS_A_PAGE = 5_000
_SURELY_OVER = timedelta(days=1)
_MAX_ERROR_CHARS = 500

_UNRESOLVED = "SELECT source, count(*) FROM rejected WHERE resolved_at IS NULL GROUP BY source"
_PREDECESSOR = "SELECT agent_id FROM agents ORDER BY id DESC LIMIT 1 OFFSET 1"
_LAST_EXIT = """
SELECT exit_code FROM runs WHERE command = 'collect' AND source = ? AND exit_code IS NOT NULL
ORDER BY id DESC LIMIT 1
"""
_GOING_ON = """
SELECT min(id) FROM runs AS r
WHERE command IN ('collect', 'retry') AND id > ?1 AND exit_code IS NULL AND started_at BETWEEN ?2 AND ?3
  AND NOT EXISTS (
    SELECT 1 FROM runs AS later
    WHERE later.command = r.command AND later.source = r.source AND later.id > r.id
      AND later.exit_code IS NOT NULL)
"""
_RUNS = """
SELECT id, command, source, started_at, finished_at, exit_code, error, new, unchanged, rejected, reasons,
  oldest, newest
FROM runs
WHERE command IN ('collect', 'retry') AND id > ?1 AND (?2 IS NULL OR id < ?2)
  AND NOT (source = 'agent' AND exit_code IS 0 AND new + unchanged + rejected = 0)
ORDER BY id LIMIT ?3
"""
_HEALTH_UNITS = {
    "waiting": "records",
    "waiting_bytes": "B",
    "oldest_waiting_age_s": "s",
    "missing": "records",
    "rejected_unresolved": "inputs",
    "free_disk_bytes": "B",
    "database_bytes": "B",
    "clock_offset_s": "s",
    "upload_key_age_s": "s",
}
_SOURCE_UNITS = {
    "every_s": "s",
    "last_good_age_s": "s",
    "waiting": "records",
    "rejected_unresolved": "inputs",
}
_RUN_UNITS = {
    "read": "inputs",
    "new": "records",
    "unchanged": "records",
    "rejected": "inputs",
    "duration_s": "s",
}


class HealthOptions(Options):
    """[source:agent]: the built-in source, there without a section too."""

    enabled: Flag = Field(True, description="no: the agent says nothing of itself.")
    every: Duration = Field(900.0, description="How often it says how it is, at most.")


class UploadKey(NamedTuple):
    """Of the key that uploads: its last four letters, and how old its file is; None where that is unknown."""

    last_letters: str | None
    age_s: float | None


class Bookmark(msgspec.Struct, frozen=True):
    """When the agent last looked at itself, and the last run that it reported."""

    looked_at: datetime
    run_id: int


class _Run(NamedTuple):
    number: int
    command: str
    source: str
    started_at: str
    finished_at: str | None
    exit_code: int | None
    error: str | None
    new: int
    unchanged: int
    rejected: int
    reasons: str
    oldest: str | None
    newest: str | None


class HealthSource:
    """Reads the agent's own database; wired by the command line, since collectors open none."""

    def __init__(
        self,
        database: Database,
        *,
        every_s: float,
        expected_s: Mapping[str, float],
        examine: Callable[[], Health],
        upload_key: Callable[[], UploadKey],
        now: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._every_s = every_s
        self._expected_s = expected_s
        self._examine = examine
        self._upload_key = upload_key
        self._now = now

    def collect(self, bookmarks: Mapping[str, str], window: object | None = None) -> Iterator[Page]:
        """Yield the state of the agent and the runs that ended since, or nothing while it is not due."""
        if window:
            raise PermanentError("the agent keeps no past of itself to back-fill")
        mark, moment = _decode(bookmarks.get("", "")), self._now()
        if mark and not self._is_due(mark, moment):
            return
        health = self._looked()
        with self._database.snapshot():
            records = list(self._state(moment, health))
        last = mark.run_id if mark else 0
        end = self._database.value(
            _GOING_ON, (last, timestamp(moment - _SURELY_OVER), timestamp(moment + _SURELY_OVER))
        )
        while True:
            runs = [_Run(*row) for row in self._database.rows(_RUNS, (last, end, MAX_RUNS_A_PAGE))]
            last = runs[-1].number if runs else last
            rejected: list[Rejected] = []
            for run in runs:
                try:
                    records.append(_run(run))
                except ValueError as error:
                    rejected.append(Rejected(f"the row of a run is damaged: {error}", repr(run)))
            bookmark = msgspec.json.encode(Bookmark(moment, last)).decode()
            yield Page(records=records, rejected=rejected, bookmark=bookmark)
            if len(runs) < MAX_RUNS_A_PAGE:
                return
            records = []

    def _is_due(self, mark: Bookmark, moment: datetime) -> bool:
        # A look in the future: the clock was wrong, now or then, and that is worth a word.
        return not 0 <= (moment - mark.looked_at).total_seconds() < self._every_s * SLACK

    def _looked(self) -> Health:
        """The state; what is missing a second look confirms, since the record that says so stays for ever."""
        health = self._examine()
        return self._examine() if health.missing else health

    def _state(self, moment: datetime, health: Health) -> Iterator[Record]:
        unresolved: dict[str, int] = dict(self._database.execute(_UNRESOLVED))
        yield Record(
            stream="health",
            entity=health.agent.agent_id,
            observed_at=moment,
            values=self._health(health, unresolved, moment),
            units=_HEALTH_UNITS,
        )
        for source in health.sources:
            yield Record(
                stream="sources",
                entity=source.name,
                observed_at=moment,
                values=self._source(source, unresolved.get(source.name, 0), moment),
                units=_SOURCE_UNITS,
            )

    def _health(self, health: Health, unresolved: Mapping[str, int], moment: datetime) -> dict[str, Any]:
        sealed, sent = self._database.execute("""
            SELECT
              coalesce((SELECT max(last_sequence) FROM batches), beginning - 1),
              coalesce(
                (SELECT min(first_sequence) - 1 FROM batches WHERE status = 'sealed'),
                (SELECT max(last_sequence) FROM batches),
                beginning - 1)
            FROM (SELECT min(first_sequence) AS beginning FROM agents)
            """)[0]
        key = self._upload_key()
        return {
            "waiting": health.waiting,
            "waiting_bytes": health.waiting_bytes,
            "oldest_waiting_age_s": _age_s(health.oldest_waiting, moment) or 0,
            "first_sequence": health.agent.first_sequence,
            "highest_sequence": health.last_sequence,
            "sealed_sequence": sealed,
            "sent_sequence": sent,
            "missing": health.missing,
            "rejected_unresolved": sum(unresolved.values()),
            "problems": len(health.problems),
            "free_disk_bytes": free_bytes(self._database.path.parent),
            "database_bytes": database_bytes(self._database),
            "version": __version__,
            "sqlite_version": self._database.value("SELECT sqlite_version()"),
            "clock_offset_s": health.clock_offset_s,
            "predecessor_agent": self._database.value(_PREDECESSOR),
            "upload_key": key.last_letters,
            "upload_key_age_s": key.age_s,
        }

    def _source(self, source: SourceHealth, unresolved: int, moment: datetime) -> dict[str, Any]:
        return {
            "enabled": source.name in self._expected_s,
            "every_s": self._expected_s.get(source.name),
            "last_good": source.last_good,
            "last_good_age_s": _age_s(source.last_good, moment),
            "last_exit_code": self._database.value(_LAST_EXIT, (source.name,)),
            "newest": source.newest,
            "waiting": source.waiting,
            "rejected_unresolved": unresolved,
        }


def database_bytes(database: Database) -> int:
    """Return how much the database takes on the disk, its -wal and -shm and its backups included."""
    return sum(file.stat().st_size for file in database.path.parent.glob(f"{database.path.name}*"))


def _run(run: _Run) -> Record:
    started = datetime.fromisoformat(run.started_at)
    finished = datetime.fromisoformat(run.finished_at) if run.finished_at else None
    return Record(
        stream="runs",
        entity=run.source,
        # Its number in the microseconds, which the text has not: two runs of one millisecond stay two.
        observed_at=started + timedelta(microseconds=run.number % 1_000),
        values={
            "run_id": run.number,
            "command": run.command,
            "read": run.new + run.unchanged + run.rejected,
            "new": run.new,
            "unchanged": run.unchanged,
            "rejected": run.rejected,
            "rejected_by_reason": json.loads(run.reasons),
            "exit_code": run.exit_code,
            "outcome": "killed" if run.exit_code is None else Exit(run.exit_code).name.lower(),
            "error": shorten(run.error, _MAX_ERROR_CHARS) if run.error else None,
            "started_at": run.started_at,
            "finished_at": run.finished_at,
            "duration_s": (finished - started).total_seconds() if finished else None,
            "oldest": run.oldest,
            "newest": run.newest,
        },
        units=_RUN_UNITS,
    )


def _age_s(text: str | None, moment: datetime) -> float | None:
    try:
        return (moment - datetime.fromisoformat(text)).total_seconds() if text else None
    except ValueError:  # a damaged row
        return None


def _decode(text: str) -> Bookmark | None:
    try:
        return msgspec.json.decode(text, type=Bookmark) if text else None
    except msgspec.DecodeError as error:
        raise DataError(f"the agent's own bookmark is none of its: {error}") from error
