"""The loop that collects: page by page, one source's failure stops no other, back-fills last."""

import logging
from collections.abc import Callable, Iterator
from datetime import date
from functools import partial
from pathlib import Path

import pytest

from collectors import collect as module
from collectors.collect import Collecting, Notes, Room, Source
from outbox.errors import DiskFullError, Exit, LoginRefusedError, PermanentError, TransientError, worst
from outbox.record import Page, Rejected
from outbox.refusals import Login
from tests.support.agent import Agent, Clock, make, opened, record


class Scripted:
    """A source that yields what a test gives it, and remembers how it was asked."""

    def __init__(self, *steps: Page | Exception | Callable[[], None]) -> None:
        self.steps = steps
        self.asked: list[tuple[dict, object]] = []
        self.yielded = 0

    def collect(self, bookmarks, window=None) -> Iterator[Page]:
        self.asked.append((dict(bookmarks), window))
        for step in self.steps:
            if isinstance(step, Exception):
                raise step
            if isinstance(step, Page):
                self.yielded += 1
                yield step
            else:
                step()


@pytest.fixture
def agent(tmp_path: Path):
    make(tmp_path / "outbox.db", Clock())
    with opened(tmp_path / "outbox.db", Clock()) as found:
        yield found


def collecting(agent: Agent, floor_bytes: int = 0, **options) -> Collecting:
    room = Room(agent.database.path.parent, floor_bytes)
    return Collecting(agent.outbox, room, **({"limit_s": 1e9} | options))


def page(*numbers: int, bookmark: str = "b", **fields) -> Page:
    return Page(records=[record(n) for n in numbers], bookmark=bookmark, **fields)


def test_each_page_is_stored_before_the_next_is_read(agent):
    seen: list[list[int]] = []
    source = Scripted(
        page(0, 1), lambda: seen.append(agent.sequences()), page(2), lambda: seen.append(agent.sequences())
    )
    (outcome,) = collecting(agent).sources([Source("weather", source)])
    assert seen == [[1, 2], [1, 2, 3]]
    assert (outcome.exit_code, outcome.counts.new, outcome.error) == (Exit.OK, 3, None)


def test_the_next_run_begins_at_the_bookmarks_that_were_stored(agent):
    source = Scripted(page(0, bookmark="one"), page(1, bookmark="two", scope="b.csv"))
    for _ in range(2):
        collecting(agent).sources([Source("weather", source)])
    assert source.asked == [({}, None), ({"": "one", "b.csv": "two"}, None)]


def test_what_was_stored_before_a_failure_stays_and_the_error_is_reported(agent):
    source = Scripted(page(0), TransientError("the server went away"), page(1))
    (outcome,) = collecting(agent).sources([Source("weather", source)])
    assert (outcome.exit_code, outcome.counts.new) == (Exit.TRANSIENT, 1)
    assert str(outcome.error) == "the server went away"
    assert agent.sequences() == [1]
    assert agent.database.execute("SELECT exit_code, error, new FROM runs ORDER BY id DESC LIMIT 1") == [
        (75, "the server went away", 1)
    ]


def test_one_sources_failure_stops_no_other_and_the_worst_code_wins(agent, caplog):
    caplog.set_level(logging.CRITICAL)
    sources = [
        Source("a", Scripted(TransientError("later"))),
        Source("b", Scripted(KeyError("bug"))),
        Source("c", Scripted(PermanentError("denied"))),
        Source("d", Scripted(page(0))),
    ]
    outcomes = collecting(agent).sources(sources)
    assert [outcome.exit_code for outcome in outcomes] == [Exit.TRANSIENT, Exit.BUG, Exit.PERMANENT, Exit.OK]
    assert worst(outcome.exit_code for outcome in outcomes) == Exit.BUG
    assert agent.sequences() == [1]


def test_ctrl_c_stops_everything_and_keeps_what_was_stored(agent):
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        collecting(agent).sources(
            [Source("weather", Scripted(page(0), interrupt)), Source("b", Scripted(page(1)))]
        )
    assert agent.sequences() == [1]
    assert agent.database.value("SELECT exit_code FROM runs ORDER BY id DESC LIMIT 1") == 130


def test_below_the_disk_floor_nothing_is_read_and_uploading_goes_on(agent):
    agent.collect(record(0))
    source = Scripted(page(1))
    (outcome,) = collecting(agent, floor_bytes=2**62).sources([Source("weather", source)])
    assert isinstance(outcome.error, DiskFullError)
    assert outcome.exit_code == Exit.DISK_FULL
    assert source.asked == []
    assert agent.acknowledge(agent.seal())


def test_a_disk_that_fills_up_meanwhile_stops_before_the_next_page(agent, monkeypatch):
    free = iter([10**9, 10**9, 5])
    monkeypatch.setattr("outbox.machine.disk.free_bytes", lambda folder: next(free))
    source = Scripted(page(0), page(1), page(2))
    (outcome,) = collecting(agent, floor_bytes=10**6).sources([Source("weather", source)])
    assert outcome.exit_code == Exit.DISK_FULL
    assert agent.sequences() == [1]


def test_a_source_with_too_many_rejected_inputs_stops_until_a_person_looked(agent, monkeypatch):
    monkeypatch.setattr("outbox.store.MAX_UNRESOLVED", 3)
    refused = [Rejected("no time", str(n)) for n in range(3)]
    source = Scripted(page(0, rejected=refused), page(1))
    for _ in range(2):
        (outcome,) = collecting(agent).sources([Source("weather", source)])
        assert outcome.exit_code == Exit.PERMANENT
        assert "were rejected and nobody looked" in str(outcome.error)
    assert source.yielded == 1
    assert agent.sequences() == [1]
    agent.database.execute("UPDATE rejected SET resolved_at = '2026-11-23'")
    (outcome,) = collecting(agent).sources([Source("weather", Scripted(page(1)))])
    assert outcome.exit_code == Exit.OK


def test_a_collect_that_was_overtaken_stores_nothing_and_ends_with_75(agent):
    def overtake() -> None:
        agent.collect(record(7), source="weather")

    source = Scripted(overtake, page(0))
    (outcome,) = collecting(agent).sources([Source("weather", source)])
    assert outcome.exit_code == Exit.TRANSIENT
    assert agent.sequences() == [1]
    assert agent.database.value("SELECT count(*) FROM bookmarks") == 1


def test_a_backfill_is_read_with_its_window_and_finished(agent):
    agent.outbox.ask_backfill("weather", "2026-01-01", "2026-01-31")
    source = Scripted(page(-2000))
    (outcome,) = collecting(agent).backfills([Source("weather", source)])
    assert source.asked == [({}, (date(2026, 1, 1), date(2026, 1, 31)))]
    assert (outcome.counts.new, outcome.unfinished) == (1, False)
    assert agent.outbox.backfills() == []


def test_a_backfill_that_failed_resumes_at_its_own_bookmark(agent):
    agent.collect(record(0), bookmark="live")
    agent.outbox.ask_backfill("weather", "2026-01-01", "2026-01-31")
    collecting(agent).backfills(
        [Source("weather", Scripted(page(-2000, bookmark="past"), TransientError("later")))]
    )
    source = Scripted(page(-1999, bookmark="done"))
    collecting(agent).backfills([Source("weather", source)])
    assert source.asked[0][0] == {"": "past"}
    assert agent.outbox.bookmarks("weather")[""].text == "live"
    assert agent.outbox.backfills() == []


def test_a_backfill_pauses_while_much_waits_and_goes_on_when_it_was_sent(agent, monkeypatch):
    monkeypatch.setattr(module, "MAX_WAITING_FOR_BACKFILL", 2)
    agent.outbox.ask_backfill("weather", "2026-01-01", "2026-01-31")
    source = Scripted(page(-2000), page(-1999), page(-1998))
    (outcome,) = collecting(agent).backfills([Source("weather", source)])
    assert outcome.unfinished
    assert source.yielded == 2
    assert collecting(agent).backfills([Source("weather", source)]) == []
    agent.acknowledge(agent.seal())
    (outcome,) = collecting(agent).backfills([Source("weather", Scripted(page(-1998)))])
    assert not outcome.unfinished
    assert agent.outbox.backfills() == []


def test_a_backfill_pauses_at_the_runs_time_limit(agent):
    agent.outbox.ask_backfill("weather", "2026-01-01", "2026-01-31")
    time = iter([0.0, 1.0, 2.0, 11.0, 12.0])
    source = Scripted(page(-2000), page(-1999), page(-1998))
    (outcome,) = collecting(agent, limit_s=10.0, monotonic=lambda: next(time)).backfills(
        [Source("weather", source)]
    )
    assert (outcome.unfinished, source.yielded) == (True, 2)


def test_a_backfill_of_a_source_that_was_not_asked_for_waits(agent):
    agent.outbox.ask_backfill("other", "2026-01-01", "2026-01-31")
    assert collecting(agent).backfills([Source("weather", Scripted(page(0)))]) == []
    assert len(agent.outbox.backfills()) == 1


REFUSED = LoginRefusedError("the server answered 401", hint="look at its secret")


def test_a_refused_login_is_not_tried_again_and_stops_no_other_source(agent):
    mail, other = Scripted(REFUSED), Scripted(page(0))
    for _ in range(2):
        sources = [Source("mail", mail, lambda: Login("secret")), Source("weather", other)]
        outcomes = collecting(agent).sources(sources)
        assert [outcome.exit_code for outcome in outcomes] == [Exit.PERMANENT, Exit.OK]
    assert (len(mail.asked), len(other.asked)) == (1, 2)
    assert "is not tried again before 2026-11-23 08:00 UTC: the server answered 401" in str(outcomes[0].error)
    assert agent.database.execute("SELECT exit_code FROM runs WHERE source = 'mail'") == [(69,), (69,)]


def test_a_refused_login_is_tried_again_with_another_secret_and_forgotten_once_it_is_accepted(agent):
    collecting(agent).sources([Source("mail", Scripted(REFUSED), lambda: Login("old"))])
    for secret in ("new", "old"):
        source = Scripted(page(0))
        (outcome,) = collecting(agent).sources([Source("mail", source, lambda secret=secret: Login(secret))])
        assert (outcome.exit_code, len(source.asked)) == (Exit.OK, 1)


def test_a_login_refused_for_the_present_is_not_tried_for_the_past(agent):
    agent.outbox.ask_backfill("mail", "2026-01-01", "2026-01-31")
    source = Source("mail", Scripted(REFUSED), lambda: Login("secret"))
    loop = collecting(agent)
    loop.sources([source])
    (outcome,) = loop.backfills([source])
    assert (outcome.exit_code, len(source.collector.asked)) == (Exit.PERMANENT, 1)
    assert len(agent.outbox.backfills()) == 1


def test_a_failure_of_another_kind_is_no_refusal_and_keeps_one(agent):
    source = Source("mail", Scripted(TransientError("later")), lambda: Login("secret"))
    for _ in range(2):
        collecting(agent).sources([source])
    assert len(source.collector.asked) == 2
    collecting(agent).sources([Source("mail", Scripted(REFUSED), lambda: Login("secret"))])
    agent.clock.advance(hours=6)
    collecting(agent).sources([source])
    assert agent.database.value("SELECT count(*) FROM refusals") == 1


def test_what_a_collector_notes_comes_out_once_and_not_all_of_it(agent):
    notes = Notes(most=2)
    source = Source(
        "weather",
        Scripted(page(0), *[partial(notes, text) for text in ("n0", "n0", "n1", "n2", "n3")]),
        notes=notes.take,
    )
    first, second = collecting(agent).sources([source, Source("b", Scripted(page(1)))])
    assert (first.notes, second.notes) == (("n0", "n1", "and 2 more"), ())
    assert notes.take() == []
