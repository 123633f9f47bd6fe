"""What is waiting, what is wrong: computed from the rows themselves, never from counters of its own."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from outbox.agents import Agent, current_agent, require_own
from outbox.config.options import format_duration
from outbox.database import Database
from outbox.errors import DataError
from outbox.record import timestamp

OVERDUE_INTERVALS = 4
_DISK_BYTES_PER_BODY_BYTE = 1.6
_SAMPLE = 1_000

_WAITING = "SELECT source, records, bytes, oldest FROM backlog"
_SENT_SINCE = """
SELECT count(*), coalesce(sum(last_sequence - first_sequence + 1), 0) FROM batches WHERE sent_at >= ?
"""
_LAST_SENT = "SELECT max(sent_at) FROM batches WHERE status = 'sent'"
_LAST_SEQUENCE = "SELECT seq FROM sqlite_sequence WHERE name = 'outbox'"
_FIRST_SEQUENCE = "SELECT min(first_sequence) FROM agents"
_SENT = "SELECT coalesce(sum(last_sequence - first_sequence + 1), 0) FROM batches WHERE status = 'sent'"
_LAST_RUN = """
SELECT started_at, exit_code FROM runs WHERE command = ? AND source = ? AND finished_at IS NOT NULL
ORDER BY id DESC LIMIT 1
"""
_REFUSED_SINCE = """
SELECT min(started_at), count(*) FROM runs
WHERE command = 'upload' AND exit_code <> 0
  AND id > coalesce((SELECT max(id) FROM runs WHERE command = 'upload' AND exit_code = 0), 0)
"""
_SOURCE = """
SELECT max(CASE WHEN exit_code = 0 THEN finished_at END),
  coalesce(sum(CASE WHEN started_at >= ?2 THEN new END), 0),
  coalesce(sum(CASE WHEN started_at >= ?2 THEN unchanged END), 0),
  coalesce(sum(CASE WHEN started_at >= ?2 THEN rejected END), 0),
  max(newest), min(started_at)
FROM runs WHERE command = 'collect' AND source = ?1
"""
_KNOWN_SOURCES = "SELECT DISTINCT source FROM runs WHERE command = 'collect' ORDER BY source"
_PROBLEMS = "SELECT what, why, since FROM problems ORDER BY since"
_MEAN_BYTES = "SELECT avg(bytes) FROM (SELECT bytes FROM outbox ORDER BY sequence DESC LIMIT 1000)"
_NEW_SINCE = (
    "SELECT coalesce(sum(new), 0), min(started_at) FROM runs WHERE command = 'collect' AND started_at >= ?"
)


class Problem(NamedTuple):
    """Something that needs a person: what, why, and since when."""

    what: str
    why: str
    since: str


class SourceHealth(NamedTuple):
    """A source's last success and its last 24 hours; times are RFC 3339 text, None where there was none."""

    name: str
    last_good: str | None
    new: int
    unchanged: int
    rejected: int
    newest: str | None
    waiting: int


class Health(NamedTuple):
    """The state of an agent; times are RFC 3339 text, None where there was none."""

    agent: Agent
    waiting: int
    waiting_bytes: int
    oldest_waiting: str | None
    objects_24h: int
    sent_24h: int
    last_sent: str | None
    last_upload: str | None
    refused_since: str | None
    refused_runs: int
    first_sequence: int
    last_sequence: int
    sent: int
    missing: int
    sources: tuple[SourceHealth, ...]
    problems: tuple[Problem, ...]
    daily_bytes: float


def examine(
    database: Database, *, every_s: Mapping[str, float], upload_every_s: float, now: Callable[[], datetime]
) -> Health:
    """Return the state of the agent; `every_s` says how often each configured source is expected."""
    moment = now()
    yesterday = timestamp(moment - timedelta(days=1))
    backlog = {source: rest for source, *rest in database.rows(_WAITING)}
    objects, sent_24h = database.execute(_SENT_SINCE, (yesterday,))[0]
    first = database.value(_FIRST_SEQUENCE)
    last = database.value(_LAST_SEQUENCE) or first - 1
    waiting = sum(records for records, *_ in backlog.values())
    sent = database.value(_SENT)
    last_upload = database.execute(_LAST_RUN, ("upload", ""))
    refused_since, refused_runs = database.execute(_REFUSED_SINCE)[0]
    known = [row[0] for row in database.rows(_KNOWN_SOURCES)]
    sources = [
        _source(database, name, yesterday, backlog.get(name, [0])[0])
        for name in dict.fromkeys([*every_s, *known])
    ]
    problems = [*_foreign(database, moment), *(Problem(*row) for row in database.rows(_PROBLEMS))]
    expected = {("collect", name): every for name, every in every_s.items()} | {
        ("upload", ""): upload_every_s
    }
    problems += [found for of, every in expected.items() if (found := _overdue(database, *of, every, moment))]
    return Health(
        agent=current_agent(database),
        waiting=waiting,
        waiting_bytes=sum(size for _, size, _ in backlog.values()),
        oldest_waiting=min((oldest for *_, oldest in backlog.values()), default=None),
        objects_24h=objects,
        sent_24h=sent_24h,
        last_sent=_sound(database.value(_LAST_SENT)),
        last_upload=_sound(last_upload[0][0]) if last_upload else None,
        refused_since=refused_since,
        refused_runs=refused_runs,
        first_sequence=first,
        last_sequence=last,
        sent=sent,
        missing=(last - first + 1) - sent - waiting,
        sources=tuple(sources),
        problems=tuple(problems),
        daily_bytes=_daily_bytes(database, moment),
    )


def _foreign(database: Database, moment: datetime) -> Iterator[Problem]:
    """Say why collect and upload will refuse this database, if they will."""
    try:
        require_own(database)
    except DataError as error:
        yield Problem("database", str(error), timestamp(moment))


def _source(database: Database, name: str, yesterday: str, waiting: int) -> SourceHealth:
    last_good, new, unchanged, rejected, newest, _ = database.execute(_SOURCE, (name, yesterday))[0]
    return SourceHealth(name, _sound(last_good), new, unchanged, rejected, _sound(newest), waiting)


def _sound(text: str | None) -> str | None:
    """Return a time as it is kept; None also where a damaged row holds none."""
    try:
        datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return text


def _overdue(
    database: Database, command: str, source: str, every_s: float, moment: datetime
) -> Problem | None:
    rows = database.execute(_LAST_RUN, (command, source))
    started_at = _sound(rows[0][0]) if rows else None
    if started_at is None:
        return None
    silent_s = (moment - datetime.fromisoformat(started_at)).total_seconds()
    if silent_s < every_s * OVERDUE_INTERVALS:
        return None
    what = f"{command} {source}".strip()
    return Problem(
        what,
        f"has not run for {silent_s / 3600:.1f} h; expected every {format_duration(every_s)}",
        started_at,
    )


def _daily_bytes(database: Database, moment: datetime) -> float:
    """How much disk a day of collecting takes, from the last week's runs; 0.0 where there were none."""
    new, since = database.execute(_NEW_SINCE, (timestamp(moment - timedelta(days=7)),))[0]
    if not new or not _sound(since):
        return 0.0
    days = max(1.0, (moment - datetime.fromisoformat(since)).total_seconds() / 86_400)
    return float(new / days * (database.value(_MEAN_BYTES) or 0.0) * _DISK_BYTES_PER_BODY_BYTE)
