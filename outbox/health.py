"""What is waiting, what is wrong: computed from the rows, and from the world where a fault keeps rows away.

Invariants:
- All that is read of the database is of one moment, whatever is written meanwhile.
- Memory does not grow with what waits.
- A fault that keeps a command from writing (never scheduled, no room, another account's files, a wrong
  clock) is found without a row of that command.
- One fault is one problem with one age: that of the first failure since the last success.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from outbox.agents import Agent, current_agent, require_own
from outbox.config.file import OWN_SOURCE
from outbox.database import Database
from outbox.errors import DataError, DiskFullError, Exit
from outbox.machine.account import unusable_files
from outbox.machine.disk import require_room
from outbox.record import timestamp

OVERDUE_INTERVALS = 4
PATIENCE_RUNS = 3
PATIENCE = timedelta(hours=1)
"""A failure that the next run may cure needs nobody before so many runs, or so much time."""
FIRST_RUN_S = 3_600.0
"""Who sets an agent up has this long before it is missed that nothing runs."""
CLOCK_SLACK = timedelta(minutes=5)
_LONGEST_RUN = timedelta(days=1)
_STALE_S = 86_400.0
_STALE_UNLEARNED_S = 8 * 86_400.0  # what comes once a week has come by then
_MIN_GAPS = 3
_DISK_BYTES_PER_BODY_BYTE = 1.6
_STEP_ROWS = 100_000

_FIRST_WAITING = """
SELECT coalesce(
  (SELECT min(first_sequence) FROM batches WHERE status = 'sealed'),
  (SELECT max(last_sequence) + 1 FROM batches),
  0)
"""
_NEXT = "SELECT min(sequence) FROM outbox WHERE sequence >= ?"
_SENT_SINCE = """
SELECT count(*), coalesce(sum(last_sequence - first_sequence + 1), 0) FROM batches WHERE sent_at >= ?
"""
_LAST_RUN = """
SELECT id, started_at FROM runs
WHERE command = ? AND source = ? AND finished_at IS NOT NULL AND started_at <= ?
ORDER BY id DESC LIMIT 1
"""
_LATEST_RUN = """
SELECT command, source, started_at FROM runs WHERE finished_at IS NOT NULL ORDER BY id DESC LIMIT 1
"""
_FIRST_RUN = "SELECT started_at FROM runs WHERE command = 'collect' AND source = ? ORDER BY id LIMIT 1"
_ANY_COLLECT = "SELECT EXISTS (SELECT 1 FROM runs WHERE command = 'collect')"
_CLOCK_OFFSET = """
SELECT clock_offset_s FROM runs WHERE command = 'upload' AND clock_offset_s IS NOT NULL
ORDER BY id DESC LIMIT 1
"""
_KNOWN_SOURCES = "SELECT DISTINCT source FROM runs WHERE command = 'collect' ORDER BY source"
_PROBLEMS = "SELECT what, why, since, runs, exit_code FROM problems WHERE what <> 'backlog' ORDER BY since"
_MEAN_BYTES = "SELECT avg(bytes) FROM (SELECT bytes FROM outbox ORDER BY sequence DESC LIMIT 1000)"
_NEW_SINCE = (
    "SELECT coalesce(sum(new), 0), min(started_at) FROM runs WHERE command = 'collect' AND started_at >= ?"
)


_BACKLOG = (
    "the oldest record that waits was collected more than a day ago\nHint: run outbox upload, and read it"
)
_NOTHING_RUNS = "collect and upload"
_NOT_SENT = {"upload", _NOTHING_RUNS, "database", "account"}
"""Where one of these is wrong, an old backlog is no fault of its own."""


class Problem(NamedTuple):
    """Something that is wrong: what, why with what to do, since when, and how many runs failed of it.

    `since` is RFC 3339 text, None where nobody knows; `runs` is 0 where no run has failed.
    """

    what: str
    why: str
    since: str | None = None
    runs: int = 0


class _Failure(NamedTuple):
    problem: Problem
    exit_code: int | None


class Expected(NamedTuple):
    """What the configuration promises of an agent.

    `every_s` says how often each source that is switched on runs; `fresh_s` for how long it may give nothing
    new (0: for ever; absent: learned from its runs). `configured_at` is when the configuration was last
    written: a source that has never run may be as young as that; None where it is unknown. `floor_bytes` is
    the disk's floor.
    """

    every_s: Mapping[str, float]
    upload_every_s: float
    fresh_s: Mapping[str, float] = {}
    floor_bytes: int = 0
    configured_at: datetime | None = None


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
    """The state of an agent; times are RFC 3339 text, None where there was none.

    `problems` need a person; `transient` are failures that the next run may well cure. `clock_offset_s` is
    how far this clock was ahead of the store's when that last told, None where it never did.
    """

    agent: Agent
    waiting: int
    waiting_bytes: int
    oldest_waiting: str | None
    objects_24h: int
    sent_24h: int
    last_sent: str | None
    last_upload: str | None
    first_sequence: int
    last_sequence: int
    sent: int
    missing: int
    sources: tuple[SourceHealth, ...]
    problems: tuple[Problem, ...]
    transient: tuple[Problem, ...]
    clock_offset_s: float | None
    daily_bytes: float


def examine(database: Database, expected: Expected, *, now: Callable[[], datetime]) -> Health:
    """Return the state of the agent, all of it as of one moment."""
    with database.snapshot():
        return _examine(database, expected, now())


def _examine(database: Database, expected: Expected, moment: datetime) -> Health:
    yesterday = timestamp(moment - timedelta(days=1))
    until = timestamp(moment + CLOCK_SLACK)
    backlog = _backlog(database)
    oldest_waiting = min((oldest for *_, oldest in backlog.values()), default=None)
    objects, sent_24h = database.execute(_SENT_SINCE, (yesterday,))[0]
    first = database.value("SELECT min(first_sequence) FROM agents")
    last = database.value("SELECT seq FROM sqlite_sequence WHERE name = 'outbox'") or first - 1
    waiting = sum(records for records, *_ in backlog.values())
    sent = database.value(
        "SELECT coalesce(sum(last_sequence - first_sequence + 1), 0) FROM batches WHERE status = 'sent'"
    )
    last_upload = database.execute(_LAST_RUN, ("upload", "", until))
    known = [row[0] for row in database.rows(_KNOWN_SOURCES)]
    sources = [
        _source(database, name, yesterday, until, backlog.get(name, (0, 0, ""))[0])
        for name in dict.fromkeys([*expected.every_s, *known])
    ]
    problems, transient = _problems(database, expected, moment, sources, oldest_waiting)
    return Health(
        agent=current_agent(database),
        waiting=waiting,
        waiting_bytes=sum(size for _, size, _ in backlog.values()),
        oldest_waiting=oldest_waiting,
        objects_24h=objects,
        sent_24h=sent_24h,
        last_sent=_sound(database.value("SELECT max(sent_at) FROM batches WHERE status = 'sent'")),
        last_upload=_sound(last_upload[0][1]) if last_upload else None,
        first_sequence=first,
        last_sequence=last,
        sent=sent,
        missing=(last - first + 1) - sent - waiting,
        sources=tuple(sources),
        problems=tuple(problems),
        transient=tuple(transient),
        clock_offset_s=database.value(_CLOCK_OFFSET),
        daily_bytes=_daily_bytes(database, moment),
    )


def _backlog(database: Database) -> dict[str, tuple[int, int, str]]:
    """How many records of each source wait, their bytes, and when the oldest was collected."""
    found: dict[str, tuple[int, int, str]] = {}
    last = database.value("SELECT max(sequence) FROM outbox") or 0
    start = database.value(_NEXT, (database.value(_FIRST_WAITING),))
    while start is not None and start <= last:
        # As the view `backlog` does, in steps: its GROUP BY alone would sort all that waits in memory.
        for source, records, size, oldest in database.rows(
            """
            SELECT source, count(*), sum(bytes), min(collected_at) FROM outbox
            WHERE status = 'pending' AND sequence BETWEEN ? AND ? GROUP BY source
            """,
            (start, start + _STEP_ROWS - 1),
        ):
            before = found.get(source, (0, 0, oldest))
            found[source] = (before[0] + records, before[1] + size, min(before[2], oldest))
        start = database.value(_NEXT, (start + _STEP_ROWS,))
    return found


def _problems(
    database: Database,
    expected: Expected,
    moment: datetime,
    sources: Iterable[SourceHealth],
    oldest_waiting: str | None,
) -> tuple[list[Problem], list[Problem]]:
    """What needs a person, and what the next run may cure: causes first, and no fault twice."""
    causes = [
        *_foreign(database),
        *_room(database, expected),
        *_accounts(database),
        *_clock(database, moment),
        *_silent(database, expected, moment),
    ]
    needed, transient = [], []
    for problem, code in (_Failure(Problem(*row[:4]), row[4]) for row in database.rows(_PROBLEMS)):
        if problem.what.startswith("source ") and problem.what[7:] not in expected.every_s:
            continue  # it is configured no more, or switched off
        if code == Exit.DISK_FULL:
            if not any(cause.what == "disk" for cause in causes):
                transient.append(problem)  # there is room again
        elif code == Exit.TRANSIENT and _may_pass(problem, moment):
            transient.append(problem)
        else:
            needed.append(problem)
    told = {problem.what for problem in (*causes, *needed, *transient)}
    needed += [
        stale
        for source in sources
        if f"source {source.name}" not in told and (stale := _stale(database, expected, source, moment))
    ]
    late = _sound(oldest_waiting)
    if late and moment - datetime.fromisoformat(late) > timedelta(days=1) and not told & _NOT_SENT:
        needed.append(Problem("backlog", _BACKLOG, late))
    return [*causes, *needed], transient


def _may_pass(problem: Problem, moment: datetime) -> bool:
    begun = _sound(problem.since)
    young = begun is not None and moment - datetime.fromisoformat(begun) < PATIENCE
    return young and problem.runs < PATIENCE_RUNS


def _foreign(database: Database) -> Iterator[Problem]:
    """Say why collect and upload will refuse this database, if they will."""
    try:
        require_own(database)
    except DataError as error:
        yield Problem("database", str(error))


def _room(database: Database, expected: Expected) -> Iterator[Problem]:
    try:
        require_room(database.path.parent, expected.floor_bytes)
    except DiskFullError as error:
        yield Problem("disk", str(error))


def _accounts(database: Database) -> Iterator[Problem]:
    if found := unusable_files(database.path.parent):
        yield Problem("account", f"{found.what}\nHint: {found.hint}")


def _clock(database: Database, moment: datetime) -> Iterator[Problem]:
    """A run that is yet to come: its ages, and all that are counted from it, say nothing."""
    for command, source, started_at in database.rows(_LATEST_RUN):
        begun = _sound(started_at)
        if begun and datetime.fromisoformat(begun) > moment + CLOCK_SLACK:
            ahead = span((datetime.fromisoformat(begun) - moment).total_seconds())
            what = f"{command} {source}".strip()
            yield Problem(
                "clock",
                f"the latest run, {what}, began at {begun}, {ahead} after what this machine's clock says "
                "now: it was wrong then, or is wrong now\n"
                "Hint: set the clock and keep it in step by NTP; if it is right now, the next collect "
                "or upload puts this right",
            )


def _source(database: Database, name: str, yesterday: str, until: str, waiting: int) -> SourceHealth:
    last_good, new, unchanged, rejected, newest = database.execute(
        """
        SELECT max(CASE WHEN exit_code = 0 THEN finished_at END),
          coalesce(sum(CASE WHEN started_at >= ?2 THEN new END), 0),
          coalesce(sum(CASE WHEN started_at >= ?2 THEN unchanged END), 0),
          coalesce(sum(CASE WHEN started_at >= ?2 THEN rejected END), 0),
          max(newest)
        FROM runs WHERE command = 'collect' AND source = ?1 AND started_at <= ?3
        """,
        (name, yesterday, until),
    )[0]
    return SourceHealth(name, _sound(last_good), new, unchanged, rejected, _sound(newest), waiting)


def _sound(text: str | None) -> str | None:
    """Return a time as it is kept; None also where a damaged row holds none."""
    try:
        datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return text


class _Silence(NamedTuple):
    """A command that has not ended a run for too long; `killed` counts those that began since."""

    source: str
    since: datetime
    ran: bool
    every_s: float
    killed: int


def _silent(database: Database, expected: Expected, moment: datetime) -> Iterator[Problem]:
    """What should have run and has not: one problem for each cause."""
    found = [
        silence
        for name, every_s in expected.every_s.items()
        if (silence := _silence(database, "collect", name, every_s, expected, moment))
    ]
    upload = _silence(database, "upload", "", expected.upload_every_s, expected, moment)
    if found and len(found) == len(expected.every_s):
        every_s = min(silence.every_s for silence in found)
        collects = max(found, key=lambda silence: silence.since)._replace(every_s=every_s)
        if upload:
            latest = max((collects, upload), key=lambda silence: silence.since)
            yield _overdue(_NOTHING_RUNS, latest, moment, expected.upload_every_s)
            return
        yield _overdue("collect", collects, moment)
    elif found:
        names = ", ".join(silence.source for silence in found)
        silence = min(found, key=lambda silence: silence.since)
        yield _overdue(f"collect {names}", silence, moment, others=True)
    if upload:
        yield _overdue("upload", upload, moment)


def _silence(
    database: Database, command: str, source: str, every_s: float, expected: Expected, moment: datetime
) -> _Silence | None:
    until = timestamp(moment + CLOCK_SLACK)
    rows = database.execute(_LAST_RUN, (command, source, until))
    last, started_at = rows[0] if rows else (0, None)
    if rows and not _sound(started_at):
        return None  # a damaged row says nothing of now
    if rows:
        since, limit_s = datetime.fromisoformat(started_at), every_s * OVERDUE_INTERVALS
    else:
        born = datetime.fromisoformat(database.value("SELECT min(since) FROM agents"))
        since, written = born, expected.configured_at
        if written and born < written <= moment and database.value(_ANY_COLLECT):
            since = written  # beside others that run, it may be new
        limit_s = max(every_s * OVERDUE_INTERVALS, FIRST_RUN_S)
    if (moment - since).total_seconds() < limit_s:
        return None
    unended, begun = database.execute(
        """
        SELECT count(*), max(started_at) FROM runs
        WHERE command = ? AND source = ? AND id > ? AND finished_at IS NULL AND started_at <= ?
        """,
        (command, source, last, until),
    )[0]
    if unended == 1 and _sound(begun) and moment - datetime.fromisoformat(begun) < _LONGEST_RUN:
        return None  # it may well be under way
    return _Silence(source, since, bool(rows), every_s, unended)


def _overdue(
    what: str,
    silence: _Silence,
    moment: datetime,
    upload_every_s: float | None = None,
    *,
    others: bool = False,
) -> Problem:
    age = span((moment - silence.since).total_seconds())
    text = f"has not run for {age}" if silence.ran else f"has never run, {age} after it was set up"
    text += f", expected every {span(silence.every_s)}"
    if upload_every_s is not None:
        text += f" and {span(upload_every_s)}"
    if silence.killed:
        text = f"has ended no run for {age}: {silence.killed} began since and were killed"
        hint = "is there enough memory, and does the scheduled task stop it too early? see logs/"
    elif others:
        hint = (
            "other sources run: does the scheduled command name its sources? Without names collect reads all"
        )
    elif silence.ran:
        hint = "does the scheduled task still run, and as the account that owns this folder?"
    else:
        hint = (
            "schedule outbox collect and outbox upload, as README says: cron, systemd or the Task Scheduler"
        )
    return Problem(what, f"{text}\nHint: {hint}", timestamp(silence.since))


def _stale(database: Database, expected: Expected, source: SourceHealth, moment: datetime) -> Problem | None:
    """A source that runs well and gives nothing any more."""
    if source.name not in expected.every_s or source.name == OWN_SOURCE or not source.last_good:
        return None
    fresh_s = expected.fresh_s.get(source.name)
    if fresh_s == 0:
        return None
    if _silence(database, "collect", source.name, expected.every_s[source.name], expected, moment):
        return None  # it does not run: that is told
    until = timestamp(moment + CLOCK_SLACK)
    came = _times(database, source.name, until, read_again=False)
    gaps = [(later - earlier).total_seconds() for later, earlier in pairwise(came)]
    if fresh_s is None and len(gaps) >= _MIN_GAPS:
        fresh_s = max(_STALE_S, 3 * median(gaps), 1.5 * max(gaps))
    elif (
        fresh_s is None
    ):  # too young to have a rhythm, or a table that hardly changes: it is read all the same
        came = _times(database, source.name, until, read_again=True)
        fresh_s = max([_STALE_UNLEARNED_S, *(3 * gap for gap in gaps)]) if came else _STALE_S
    first = _sound(database.value(_FIRST_RUN, (source.name,)))
    since = came[0] if came else first and datetime.fromisoformat(first)
    if not since or (moment - since).total_seconds() <= fresh_s:
        return None
    age = span((moment - since).total_seconds())
    newest = f", its newest observation is of {source.newest}" if source.newest else ""
    text = f"runs well and has given nothing new for {age}{newest}" if came else f"has given nothing in {age}"
    hint = (
        f"does what it reads still grow? outbox preview {source.name} shows what is found; where "
        f"such silence is right: fresh = 30d, or off, in [source:{source.name}]"
    )
    return Problem(f"source {source.name}", f"{text}\nHint: {hint}", timestamp(since))


def _times(database: Database, source: str, until: str, *, read_again: bool) -> list[datetime]:
    """When something came from a source, latest first."""
    rows = database.execute(
        """
        SELECT started_at FROM runs
        WHERE command = 'collect' AND source = ?1 AND started_at <= ?2
          AND (new > 0 OR rejected > 0 OR (?3 AND unchanged > 0))
        ORDER BY id DESC LIMIT 200
        """,
        (source, until, read_again),
    )
    return [datetime.fromisoformat(text) for (text,) in rows if _sound(text)]


def span(seconds: float) -> str:
    """Return a length of time in its largest sensible unit: `90 days`, `3 h`, `15 min`, `40 s`."""
    for unit, unit_s in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= (2 * unit_s if unit != "min" else unit_s):
            return f"{seconds / unit_s:.0f} {unit}"
    return f"{seconds:.0f} s"


def _daily_bytes(database: Database, moment: datetime) -> float:
    """How much disk a day of collecting takes, from the last week's runs; 0.0 where there were none."""
    new, since = database.execute(_NEW_SINCE, (timestamp(moment - timedelta(days=7)),))[0]
    if not new or not _sound(since):
        return 0.0
    days = max(1.0, (moment - datetime.fromisoformat(since)).total_seconds() / 86_400)
    return float(new / days * (database.value(_MEAN_BYTES) or 0.0) * _DISK_BYTES_PER_BODY_BYTE)
