"""The built-in source `agent`: what it says is what the rows say, it is bounded, and no ended run is left out."""

import json
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from outbox.agents import renew
from outbox.delivery import Limits
from outbox.errors import DataError, PermanentError
from outbox.health import Expected, examine
from outbox.health_source import MAX_RUNS_A_PAGE, HealthSource, UploadKey, database_bytes
from outbox.record import Page, Rejected
from outbox.runs import note_clock, recorded
from tests.support.agent import record

EVERY_S = 900.0


@pytest.fixture
def source(agent, clock):
    return made(agent, clock)


def made(agent, clock, expected=(("weather", EVERY_S), ("agent", EVERY_S))):
    return HealthSource(
        agent.database,
        every_s=EVERY_S,
        expected_s=dict(expected),
        examine=lambda: examine(agent.database, Expected(dict(expected), 300.0), now=clock),
        upload_key=lambda: UploadKey("7Q2F", 86_400.0),
        now=clock,
    )


def stored(agent, source):
    """Store what the source yields now, as a collect does, and return the records."""
    with recorded(agent.database, "collect", "agent", now=agent.clock) as run_id:
        marks = agent.outbox.bookmarks("agent")
        texts = {scope: mark.text for scope, mark in marks.items()}
        revision = marks[""].revision if marks else 0
        records = []
        for page in source.collect(texts):
            agent.outbox.add(page, source="agent", run_id=run_id, revision=revision)
            revision += 1
            records += page.records
    return records


def of(stream, records):
    return {found.entity: found.values for found in records if found.stream == stream}


def health(agent, source):
    (found,) = of("health", stored(agent, source)).values()
    return found


def collected(agent, *records, source="weather", error=None, **page):
    """One run of a source that stores one page, then ends or fails."""
    try:
        with recorded(agent.database, "collect", source, now=agent.clock) as run_id:
            marks = agent.outbox.bookmarks(source)
            made = Page(records=list(records), bookmark="b", **page)
            revision = marks[""].revision if marks else 0
            agent.outbox.add(made, source=source, run_id=run_id, revision=revision)
            if error:
                raise error
    except PermanentError:
        pass
    return run_id


def test_a_new_agent_says_that_all_is_well(agent, source):
    found = health(agent, source)
    files = {path.name for path in agent.database.path.parent.glob("outbox.db*")}
    assert files == {"outbox.db", "outbox.db-wal", "outbox.db-shm"}
    assert 100_000 < found.pop("database_bytes") <= database_bytes(agent.database)
    assert found.pop("free_disk_bytes") > 0
    assert found == {
        "waiting": 0,
        "waiting_bytes": 0,
        "oldest_waiting_age_s": 0,
        "first_sequence": 1,
        "highest_sequence": 0,
        "sealed_sequence": 0,
        "sent_sequence": 0,
        "missing": 0,
        "rejected_unresolved": 0,
        "problems": 0,
        "version": agent.database.value("SELECT program FROM migrations"),
        "sqlite_version": agent.database.value("SELECT sqlite_version()"),
        "clock_offset_s": None,
        "predecessor_agent": None,
        "upload_key": "7Q2F",
        "upload_key_age_s": 86_400.0,
    }


def test_what_waits_is_sealed_and_was_sent_is_told_by_sequence(agent, source, clock):
    agent.collect(*[record(n) for n in range(6)], rejected=[Rejected("no time", "{}")])
    clock.advance(minutes=4)
    batches = [agent.seal(Limits(2, 10**6)) for _ in range(2)]
    agent.acknowledge(batches[1])
    found = health(agent, source)
    assert (found["waiting"], found["oldest_waiting_age_s"], found["rejected_unresolved"]) == (4, 240, 1)
    assert (found["highest_sequence"], found["sealed_sequence"], found["sent_sequence"]) == (6, 4, 0)
    assert found["waiting_bytes"] == agent.database.value(
        "SELECT sum(bytes) FROM outbox WHERE status = 'pending' AND source = 'weather'"
    )
    agent.acknowledge(batches[0])
    clock.advance(hours=1)
    found = health(agent, source)
    assert (found["sealed_sequence"], found["sent_sequence"]) == (4, 4)
    assert found["missing"] == 0


def test_the_clock_is_compared_with_the_stores_and_the_first_word_of_a_run_counts(agent, source, clock):
    with recorded(agent.database, "upload", now=clock) as run_id:
        for late_s in (12.5, 99.0):
            note_clock(agent.database, run_id, clock() - timedelta(seconds=late_s), now=clock)
    with recorded(agent.database, "upload", now=clock):
        pass
    assert health(agent, source)["clock_offset_s"] == 12.5


def test_the_agent_before_this_one_is_named(agent, source, clock):
    before = agent.outbox.agent.agent_id
    after = renew(agent.database, "restored", now=clock, token=lambda: "f" * 16)
    records = stored(agent, source)
    assert of("health", records)[after.agent_id]["predecessor_agent"] == before


def test_each_source_is_told_of_and_one_that_was_removed_too(agent, clock):
    collected(agent, record(0))
    collected(agent, record(1), source="old", error=PermanentError("denied"), rejected=[Rejected("r", "x")])
    clock.advance(minutes=5)
    sources = of("sources", stored(agent, made(agent, clock)))
    assert list(sources) == ["weather", "agent", "old"]
    assert sources["weather"] == {
        "enabled": True,
        "every_s": EVERY_S,
        "last_good": "2026-11-23T02:00:00.000Z",
        "last_good_age_s": 300.0,
        "last_exit_code": 0,
        "newest": "2026-11-23T02:00:00.000Z",
        "waiting": 1,
        "rejected_unresolved": 0,
    }
    old = sources["old"]
    assert (old["enabled"], old["every_s"], old["last_good"], old["last_exit_code"]) == (
        False,
        None,
        None,
        69,
    )
    assert (old["waiting"], old["rejected_unresolved"]) == (1, 1)


def test_every_run_is_told_of_once_and_its_counts_add_up(agent, source, clock):
    first = collected(
        agent, record(0), record(1), rejected=[Rejected(f"'{n}' is not a number", str(n)) for n in (1, 2)]
    )
    clock.advance(minutes=1)
    second = collected(agent, record(0), record(2, value=float("nan")), error=PermanentError("denied"))
    runs = [found for found in stored(agent, source) if found.stream == "runs"]
    assert [run.values["run_id"] for run in runs] == [agent.run_id, first, second]
    assert [run.entity for run in runs] == ["weather"] * 3
    assert [
        tuple(run.values[name] for name in ("read", "new", "unchanged", "rejected", "exit_code", "outcome"))
        for run in runs
    ] == [(0, 0, 0, 0, 0, "ok"), (4, 2, 0, 2, 0, "ok"), (2, 0, 1, 1, 69, "permanent")]
    assert [run.values["rejected_by_reason"] for run in runs[1:]] == [
        {"… is not a number": 2},
        {"nan is not a number that JSON can hold": 1},
    ]
    assert runs[2].values["error"] == "denied"
    assert runs[2].values["started_at"] == "2026-11-23T02:01:00.000Z"
    clock.advance(hours=1)
    later = collected(agent, record(9))
    told = [found.values["run_id"] for found in stored(agent, source) if found.stream == "runs"]
    assert told == [second + 1, later]  # the agent's own run, and the one after it


def test_two_runs_of_one_millisecond_are_two_records(agent, source):
    for _ in range(20):
        collected(agent)
    assert len({(r.stream, r.entity, r.observed_at) for r in stored(agent, source)}) == 1 + 2 + 21
    assert agent.database.value("SELECT count(*) FROM rejected") == 0


def test_the_sum_of_what_the_runs_say_is_what_the_ledger_holds(agent, source, clock):
    for number in range(7):
        clock.advance(minutes=11)
        collected(agent, *[record(n, value=number // 3) for n in range(number)], source=f"s{number % 2}")
        stored(agent, source)
    clock.advance(hours=1)
    stored(agent, source)
    bodies = [json.loads(text) for (text,) in agent.database.rows("SELECT body FROM bodies")]
    by_source = dict(agent.database.rows("SELECT source, count(*) FROM outbox GROUP BY source"))
    new = Counter()
    for body in bodies:
        if body["stream"] == "runs":
            new[body["entity"]] += body["values"]["new"]
    assert {source: new[source] for source in ("s0", "s1")} == {s: by_source[s] for s in ("s0", "s1")}
    last = agent.database.value("SELECT new FROM runs WHERE source = 'agent' ORDER BY id DESC LIMIT 1")
    assert new["agent"] == by_source["agent"] - last


def test_an_agent_that_collects_every_minute_is_no_flood(agent, source, clock):
    looks = 0
    for _ in range(60):
        looks += len(of("health", stored(agent, source)))
        clock.advance(minutes=1)
    assert looks == 5  # within 90 % of 15 min, a look each 14
    assert agent.database.value("SELECT count(*) FROM runs WHERE source = 'agent'") == 60
    clock.advance(minutes=15)
    assert len(told(stored(agent, source))) == 1  # of its own, only that in which it said something


def test_a_scheduler_that_is_some_seconds_early_does_not_halve_the_looks(agent, source, clock):
    for _ in range(4):
        assert of("health", stored(agent, source))
        clock.advance(seconds=EVERY_S - 5)


def test_a_clock_that_was_put_back_is_told_at_once(agent, source, clock):
    stored(agent, source)
    clock.advance(days=-400)
    assert of("health", stored(agent, source))
    clock.advance(minutes=1)
    assert not of("health", stored(agent, source))


def test_a_run_that_goes_on_is_waited_for_and_none_after_it_is_lost(agent, source, clock):
    stored(agent, source)
    with recorded(agent.database, "collect", "slow", now=clock) as slow:
        fast = collected(agent, record(0))
        clock.advance(hours=1)
        assert slow not in told(stored(agent, source))
    clock.advance(hours=1)
    assert told(stored(agent, source))[:2] == [slow, fast]


def told(records):
    return [found.values["run_id"] for found in records if found.stream == "runs"]


def killed(agent, source, at="2026-11-23T02:00:00.000Z"):
    return agent.database.value(
        "INSERT INTO runs (command, source, started_at, new) VALUES ('collect', ?, ?, 3) RETURNING id",
        (source, at),
    )


def test_a_run_that_was_killed_is_told_of_once_a_later_one_of_its_source_ended(agent, source, clock):
    number = killed(agent, "orders")
    clock.advance(minutes=1)
    assert number not in told(stored(agent, source))
    collected(agent, source="orders")
    clock.advance(hours=1)
    records = stored(agent, source)
    assert number in told(records)
    (run,) = [
        found.values for found in records if found.stream == "runs" and found.values["run_id"] == number
    ]
    assert (run["outcome"], run["exit_code"], run["finished_at"], run["duration_s"]) == (
        "killed",
        None,
        None,
        None,
    )
    assert (run["read"], run["new"]) == (3, 3)


def test_a_run_that_was_killed_for_good_is_told_of_after_a_day(agent, source, clock):
    number = killed(agent, "removed")
    stored(agent, source)
    clock.advance(hours=25)
    assert number in told(stored(agent, source))


def test_a_run_that_was_killed_while_the_clock_was_wrong_stops_nothing(agent, source):
    number = killed(agent, "removed", at="2031-01-01T00:00:00.000Z")
    assert number in told(stored(agent, source))


@pytest.mark.parametrize(
    "damage", ["started_at = 'x'", "finished_at = '2026-99'", "reasons = '{\"a'", "exit_code = 17"]
)
def test_a_damaged_row_of_a_run_is_rejected_and_stops_nothing(agent, source, clock, damage):
    bad, good = collected(agent, record(0)), collected(agent, record(1))
    agent.database.execute(f"UPDATE runs SET {damage} WHERE id = ?", (bad,))
    (page,) = source.collect({})
    assert told(page.records) == [agent.run_id, good]
    assert [item.reason.partition(":")[0] for item in page.rejected] == ["the row of a run is damaged"]


def test_many_runs_come_in_several_pages(agent, source, clock):
    with agent.database.transaction():
        agent.database.executemany(
            "INSERT INTO runs (command, source, started_at, finished_at, exit_code) VALUES ('collect', 'w', ?1, ?1, 0)",
            [("2026-11-23T01:00:00.000Z",)] * (MAX_RUNS_A_PAGE + 7),
        )
    pages = list(source.collect({}))
    assert [len(page.records) for page in pages] == [4 + MAX_RUNS_A_PAGE, 8]
    rest = list(made(agent, clock).collect({"": _aged(pages[0].bookmark)}))
    assert told(rest[0].records) == told(pages[1].records)


def _aged(bookmark):
    return json.dumps(json.loads(bookmark) | {"looked_at": "2026-11-23T00:00:00Z"})


def test_nothing_of_a_bad_bookmark_is_guessed(source):
    with pytest.raises(DataError, match="bookmark"):
        list(source.collect({"": "[]"}))


def test_the_agent_has_no_past_to_read(source):
    with pytest.raises(PermanentError, match="no past"):
        list(source.collect({}, (date(2026, 1, 1), date(2026, 1, 2))))


def test_every_record_is_stored_as_it_is(agent, source):
    collected(agent, record(0), rejected=[Rejected("r", "x")])
    records = stored(agent, source)
    assert agent.database.value("SELECT rejected FROM runs ORDER BY id DESC LIMIT 1") == 0
    assert agent.database.value("SELECT count(*) FROM outbox WHERE source = 'agent'") == len(records)
    assert {found.observed_at.tzinfo for found in records} == {UTC}
    assert datetime(2026, 11, 23, 2, tzinfo=UTC) in {found.observed_at for found in records}


def test_the_handbook_names_every_value(agent, source):
    collected(agent, record(0))
    guide = (Path(__file__).parents[2] / "outbox" / "README.md").read_text("utf-8")
    for found in stored(agent, source):
        *_, row = [line for line in guide.splitlines() if line.startswith(f"| `{found.stream}` |")]
        assert [name for name in found.values if f"`{name}`" not in row] == []


@pytest.mark.parametrize(("second", "said"), [(0, 0), (2, 2)])
def test_what_is_missing_is_said_when_a_second_look_agrees(agent, clock, source, second, said):
    whole = source._examine()
    looks = iter([whole._replace(missing=3), whole._replace(missing=second)])
    source._examine = lambda: next(looks)
    records = [record for page in source.collect({}) for record in page.records]
    assert [record.values["missing"] for record in records if record.stream == "health"] == [said]
