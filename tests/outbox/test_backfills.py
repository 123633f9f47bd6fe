"""Back-fills are rows, with bookmarks of their own, that neither delay nor overwrite live data."""

import pytest

from outbox.bookmarks import Bookmark
from outbox.errors import TransientError
from outbox.record import Page
from tests.support.agent import record


def test_asking_twice_is_asking_once(agent):
    first = agent.outbox.ask_backfill("weather", "2026-01-01", "2026-01-31")
    assert agent.outbox.ask_backfill("weather", "2026-01-01", "2026-01-31") == first
    assert agent.outbox.ask_backfill("weather", "2026-02-01", "2026-02-28") != first
    assert [tuple(found) for found in agent.outbox.backfills()] == [
        (first, "weather", "2026-01-01", "2026-01-31"),
        (first + 1, "weather", "2026-02-01", "2026-02-28"),
    ]


def test_a_backfill_has_bookmarks_of_its_own(agent):
    agent.collect(record(0), bookmark="live")
    backfill = agent.outbox.ask_backfill("weather", "2026-01-01", "2026-01-31")
    page = Page(records=[record(-2000)], bookmark="past")
    agent.outbox.add(page, source="weather", run_id=1, revision=0, backfill_id=backfill)
    assert agent.outbox.bookmarks("weather") == {"": Bookmark("live", 1)}
    assert agent.outbox.bookmarks("weather", backfill) == {"": Bookmark("past", 1)}


def test_a_finished_backfill_is_gone_and_may_be_asked_again(agent):
    number = agent.outbox.ask_backfill("weather", "2026-01-01", "2026-01-31")
    page = Page(records=[record(-2000)], bookmark="past")
    agent.outbox.add(page, source="weather", run_id=1, revision=0, backfill_id=number)
    agent.outbox.finish_backfill(agent.outbox.backfills()[0])
    assert agent.outbox.backfills() == []
    assert agent.outbox.bookmarks("weather", number) == {}
    assert agent.outbox.ask_backfill("weather", "2026-01-01", "2026-01-31") == number + 1


def test_a_page_of_a_backfill_that_another_collect_finished_stores_nothing(agent):
    number = agent.outbox.ask_backfill("weather", "2026-01-01", "2026-01-31")
    agent.outbox.finish_backfill(agent.outbox.backfills()[0])
    page = Page(records=[record(-2000)], bookmark="past")
    with pytest.raises(TransientError, match="finished this back-fill"):
        agent.outbox.add(page, source="weather", run_id=1, revision=0, backfill_id=number)
    assert agent.sequences() == []
    assert agent.outbox.bookmarks("weather", number) == {}
