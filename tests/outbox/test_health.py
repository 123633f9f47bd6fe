"""Health is computed from the rows: what waits, what was delivered, what needs a person."""

import os
from contextlib import suppress
from datetime import timedelta

import pytest

from outbox import health as module
from outbox.delivery import Limits
from outbox.errors import DiskFullError, OutboxError, PermanentError, TransientError
from outbox.health import Expected, examine
from outbox.record import Rejected, timestamp
from outbox.runs import recorded
from tests.support.agent import opened, record

if os.name != "nt":
    import pwd

SCHEDULED = "Hint: does the scheduled task still run, and as the account that owns this folder?"


def look(agent, **changes):
    return examine(agent.database, expected(**changes), now=agent.clock)


def expected(**changes):
    return Expected(**({"every_s": {"weather": 900.0}, "upload_every_s": 300.0} | changes))


def test_a_new_agent_is_healthy_and_has_nothing(agent):
    health = look(agent)
    assert (health.waiting, health.sent, health.missing, health.problems) == (0, 0, 0, ())
    assert (health.first_sequence, health.last_sequence) == (1, 0)


def test_what_waits_and_what_was_sent_are_counted_from_the_rows(agent, clock):
    agent.collect(*[record(n) for n in range(5)])
    clock.advance(minutes=4)
    agent.acknowledge(agent.seal(Limits(3, 10**6)))
    health = look(agent)
    assert (health.waiting, health.sent, health.missing, health.last_sequence) == (2, 3, 0, 5)
    assert (health.objects_24h, health.sent_24h) == (1, 3)
    assert health.oldest_waiting == "2026-11-23T02:00:00.000Z"
    assert health.waiting_bytes == agent.database.value(
        "SELECT sum(bytes) FROM outbox WHERE status = 'pending'"
    )
    assert health.sources[0][:5] == ("weather", "2026-11-23T02:00:00.000Z", 5, 0, 0)
    assert health.sources[0].newest == "2026-11-23T06:00:00.000Z"


def test_batches_that_were_sent_out_of_order_are_counted_rightly(agent):
    agent.collect(*[record(n) for n in range(6)])
    batches = [agent.seal(Limits(2, 10**6)) for _ in range(3)]
    agent.acknowledge(batches[1])
    assert (look(agent).waiting, look(agent).sent, agent.outbox.waiting()) == (4, 2, 4)


def test_a_failed_run_is_a_problem_until_one_succeeds(agent, clock):
    for _ in range(2):
        clock.advance(minutes=5)
        with pytest.raises(PermanentError), recorded(agent.database, "upload", now=clock):
            raise PermanentError("access denied", hint="ask head office")
    health = look(agent)
    assert [(p.what, p.why) for p in health.problems] == [("upload", "access denied\nHint: ask head office")]
    assert health.problems[0][2:] == ("2026-11-23T02:05:00.000Z", 2)
    with recorded(agent.database, "upload", now=clock):
        pass
    assert look(agent).problems == ()


def test_a_source_that_fails_is_named_and_another_ones_success_does_not_hide_it(agent, clock):
    with pytest.raises(PermanentError), recorded(agent.database, "collect", "orders", now=clock):
        raise PermanentError("no such table")
    with recorded(agent.database, "collect", "weather", now=clock):
        pass
    configured = {"weather": 900.0, "orders": 900.0}
    assert [problem.what for problem in look(agent, every_s=configured).problems] == ["source orders"]
    assert look(agent).problems == ()  # it was taken out of the configuration, or switched off


def test_rejected_inputs_are_a_problem(agent):
    agent.collect(rejected=[Rejected("no time", "{}"), Rejected("no time", "[]")])
    (problem,) = look(agent).problems
    assert problem.what == "rejected inputs of weather"
    assert problem.why == (
        "2 inputs could not become records, as: no time\nHint: outbox rejected list --source weather"
    )


def test_silence_is_a_problem(agent, clock):
    with recorded(agent.database, "upload", now=clock):
        pass
    clock.advance(minutes=59)
    assert look(agent, upload_every_s=3_600).problems == ()
    clock.advance(minutes=2)
    (problem,) = look(agent, upload_every_s=3_600).problems
    assert problem == (
        "collect",
        f"has not run for 61 min, expected every 15 min\n{SCHEDULED}",
        "2026-11-23T02:00:00.000Z",
        0,
    )


def test_a_killed_run_is_no_problem_and_no_success(agent, clock):
    with agent.database.transaction():
        agent.database.execute(
            "INSERT INTO runs (command, started_at) VALUES ('upload', '2026-11-23T02:00:00.000Z')"
        )
    assert look(agent).problems == ()
    assert look(agent).last_upload is None


def test_missing_sequences_are_seen(agent):
    agent.collect(*[record(n) for n in range(5)])
    agent.database.execute("DROP TRIGGER outbox_keeps_pending")
    agent.database.execute("DELETE FROM outbox WHERE sequence = 3")
    assert look(agent).missing == 1


@pytest.mark.parametrize("column", ["started_at", "finished_at", "oldest", "newest"])
def test_a_damaged_row_of_a_run_hides_nothing_else(agent, column):
    agent.collect(record(0))
    agent.database.execute(f"UPDATE runs SET {column} = '2026-11-2\x7f'")
    health = look(agent)
    assert (health.waiting, health.sources[0].name) == (1, "weather")
    assert health.daily_bytes >= 0


def failed(agent, command, source="", error=None):
    with suppress(OutboxError), recorded(agent.database, command, source, now=agent.clock):
        raise error or TransientError("cannot be reached")


def ran(agent, command, source="", new=0, unchanged=0):
    with recorded(agent.database, command, source, now=agent.clock) as run_id:
        agent.database.execute(
            "UPDATE runs SET new = ?, unchanged = ? WHERE id = ?", (new, unchanged, run_id)
        )


def whats(health):
    return [problem.what for problem in health.problems]


class Interloper:
    """A writer that commits a page between any two reads of whoever uses this database."""

    def __init__(self, database, write):
        self.database, self.write, self.reads = database, write, 0

    def __getattr__(self, name):
        return getattr(self.database, name)

    def rows(self, *arguments):
        self.reads += 1
        self.write(self.reads)
        return self.database.rows(*arguments)

    def execute(self, *arguments):
        return list(self.rows(*arguments))

    def value(self, *arguments):
        rows = self.execute(*arguments)
        return rows[0][0] if rows else None


def test_a_collect_that_runs_meanwhile_never_makes_sequences_missing(agent, path, clock):
    agent.collect(*[record(n) for n in range(3)])
    with opened(path, clock) as other:
        busy = Interloper(agent.database, lambda n: other.collect(record(100 + n), bookmark=f"{n}"))
        health = examine(busy, expected(), now=clock)
    assert busy.reads > 10
    assert (health.missing, health.waiting, health.last_sequence) == (
        0,
        4,
        4,
    )  # the first read comes after a write
    assert look(agent).waiting == 3 + busy.reads


def test_what_waits_is_summed_in_steps_that_need_little_memory(agent, monkeypatch):
    for source in ("a", "b"):
        agent.collect(*[record(n) for n in range(25)], source=source)
    whole = look(agent)
    monkeypatch.setattr(module, "_STEP_ROWS", 7)
    steps = []
    agent.database.connection.exec_trace = lambda _cursor, sql, _bindings: steps.append(sql) or True
    found = look(agent)
    agent.database.connection.exec_trace = None
    assert sum("GROUP BY source" in sql and "BETWEEN" in sql for sql in steps) == 8
    assert not [sql for sql in steps if "FROM backlog" in sql]
    assert (found.waiting, found.waiting_bytes, found.oldest_waiting) == whole[1:4]


def test_the_view_of_problems_sorts_nothing_of_what_waits(agent):
    plan = agent.database.execute("EXPLAIN QUERY PLAN SELECT * FROM problems")
    assert not [row[3] for row in plan if row[3].startswith("SCAN outbox")]


def test_who_was_set_up_and_never_scheduled_is_told(agent, clock):
    agent.database.execute("DELETE FROM runs")
    clock.advance(minutes=59)
    assert whats(look(agent)) == []
    clock.advance(days=90)
    (problem,) = look(agent, configured_at=clock.moment).problems
    assert problem.what == "collect and upload"
    assert problem.why.startswith(
        "has never run, 90 days after it was set up, expected every 15 min and 5 min\nHint: schedule outbox collect"
    )


def test_a_source_that_never_ran_beside_others_that_do_is_told(agent, clock):
    clock.advance(days=2)
    ran(agent, "collect", "weather", new=1)
    ran(agent, "upload")
    (problem,) = look(agent, every_s={"weather": 900.0, "orders": 900.0}).problems
    assert problem.what == "collect orders"
    assert "does the scheduled command name its sources?" in problem.why
    since = clock.moment - timedelta(minutes=30)
    assert look(agent, every_s={"weather": 900.0, "orders": 900.0}, configured_at=since).problems == ()


def test_everything_that_stopped_at_once_is_one_problem(agent, clock):
    ran(agent, "upload")
    ran(agent, "collect", "orders")
    clock.advance(days=90)
    (problem,) = look(agent, every_s={"weather": 900.0, "orders": 900.0}).problems
    assert (problem.what, problem.since) == ("collect and upload", "2026-11-23T02:00:00.000Z")
    assert problem.why.startswith(
        "has not run for 90 days, expected every 15 min and 5 min\nHint: does the scheduled"
    )


def test_a_run_that_is_under_way_is_no_silence_and_runs_that_are_killed_are(agent, clock):
    clock.advance(hours=3)
    ran(agent, "upload")
    begin = "INSERT INTO runs (command, source, started_at) VALUES ('collect', 'weather', ?)"
    agent.database.execute(begin, (timestamp(clock()),))
    assert look(agent).problems == ()
    agent.database.execute(begin, (timestamp(clock()),))
    (problem,) = look(agent).problems
    assert problem.why.startswith("has ended no run for 3 h: 2 began since and were killed\nHint: ")


def test_a_full_disk_is_a_problem_without_any_row(agent, clock):
    ran(agent, "upload")
    (problem,) = look(agent, floor_bytes=10**18).problems
    assert problem.what == "disk"
    assert "Hint: make room" in problem.why
    failed(agent, "collect", "weather", DiskFullError("no room"))
    assert whats(look(agent, floor_bytes=10**18)) == ["disk"]
    health = look(agent)
    assert (health.problems, [each.what for each in health.transient]) == ((), ["source weather"])


def test_a_run_in_the_future_is_a_problem_and_no_age(agent, clock):
    ran(agent, "upload")
    clock.advance(days=365)
    ran(agent, "collect", "weather", new=1)
    clock.advance(days=-355)
    health = look(agent)
    assert health.problems[0].what == "clock"
    assert "355 days after what this machine's clock says" in health.problems[0].why
    assert whats(health)[1:] == ["collect and upload"]
    assert health.sources[0].last_good == "2026-11-23T02:00:00.000Z"
    ran(agent, "collect", "weather", new=1)
    ran(agent, "upload")
    assert look(agent).problems == ()


def test_a_first_failure_that_may_pass_is_waited_for(agent, clock):
    ran(agent, "upload")
    for _ in range(2):
        failed(agent, "upload")
        clock.advance(minutes=5)
    health = look(agent)
    assert (health.problems, health.transient[0].runs) == ((), 2)
    failed(agent, "upload")
    health = look(agent)
    assert (whats(health), health.transient) == (["upload"], ())
    assert health.problems[0][2:] == ("2026-11-23T02:00:00.000Z", 3)


def test_a_failure_that_may_pass_needs_a_person_after_an_hour(agent, clock):
    failed(agent, "collect", "weather")
    clock.advance(minutes=59)
    assert look(agent).problems == ()
    clock.advance(minutes=2)
    ran(agent, "upload")
    assert "source weather" in whats(look(agent))


def test_one_fault_of_the_store_is_one_problem(agent, clock):
    agent.collect(record(0))
    batch = agent.seal()
    ran(agent, "upload")
    since = timestamp(clock())
    for _ in range(6):
        agent.delivery.note_failure(batch, PermanentError("access denied"), doubted=False)
        failed(agent, "upload", error=PermanentError("access denied"))
        clock.advance(hours=6)
        ran(agent, "collect", "weather", new=1)
    (problem,) = look(agent, upload_every_s=86_400).problems
    assert problem == ("upload", "access denied", since, 6)


def test_data_that_stops_coming_is_a_problem_by_the_rhythm_of_its_source(agent, clock):
    for _ in range(8):
        ran(agent, "collect", "weather", new=5)
        clock.advance(hours=24)
    clock.advance(hours=47)
    ran(agent, "collect", "weather")
    ran(agent, "upload")
    assert look(agent).problems == ()
    clock.advance(hours=2)
    for command in (("collect", "weather"), ("upload", "")):
        ran(agent, *command)
    (problem,) = look(agent).problems
    assert problem.what == "source weather"
    assert problem.why.startswith("runs well and has given nothing new for 3 days\nHint: ")
    assert problem.since == "2026-11-30T02:00:00.000Z"
    assert look(agent, fresh_s={"weather": 0.0}).problems == ()
    assert look(agent, fresh_s={"weather": 8 * 86_400.0}).problems == ()
    assert whats(look(agent, fresh_s={"weather": 3_600.0})) == ["source weather"]


def test_a_source_that_pauses_each_weekend_is_let_be(agent, clock):
    for day in range(26):
        if day % 7 < 5:
            ran(agent, "collect", "weather", new=5)
        clock.advance(hours=24)
    clock.advance(hours=2)
    ran(agent, "collect", "weather")
    ran(agent, "upload")
    assert look(agent).problems == ()


@pytest.mark.parametrize(("unchanged", "days", "told"), [(0, 9, True), (0, 8, False), (3, 9, False)])
def test_a_source_too_young_for_a_rhythm_may_be_silent_for_eight_days_or_read_the_same_again(
    agent, clock, unchanged, days, told
):
    ran(agent, "collect", "weather", new=5)
    for _ in range(days):
        clock.advance(hours=24)
        ran(agent, "collect", "weather", unchanged=unchanged)
    ran(agent, "upload")
    assert whats(look(agent)) == ["source weather"] * told


def test_a_source_that_gives_something_once_a_week_is_let_be_from_the_first_week_on(agent, clock):
    for week in range(5):
        ran(agent, "collect", "weather", new=1)
        for _ in range(7):
            clock.advance(hours=24)
            ran(agent, "collect", "weather")
            ran(agent, "upload")
            assert look(agent).problems == (), week


def test_a_source_that_never_gave_anything_is_told_after_a_day(agent, clock):
    clock.advance(hours=25)
    ran(agent, "collect", "weather")
    ran(agent, "upload")
    (problem,) = look(agent).problems
    assert problem.why.startswith("has given nothing in 25 h\nHint: ")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="needs root to give files away; CI is root")
def test_files_of_another_account_are_a_problem(agent, path, clock):
    nobody = pwd.getpwnam("nobody")
    for file in (path.parent, *path.parent.iterdir()):
        os.chown(file, nobody.pw_uid, nobody.pw_gid)
    lock = path.with_name("upload.lock")
    lock.touch(mode=0o644)
    (problem,) = look(agent).problems
    assert problem.what == "account"
    assert problem.why == (
        "nobody, whose this agent is, may not use upload.lock: it belongs to root\n"
        f"Hint: as root: chown -R nobody {path.parent}; then always: sudo -u nobody outbox ..."
    )
    lock.chmod(0o666)
    assert look(agent).problems == ()
