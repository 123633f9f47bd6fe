"""I2: rows, rejected inputs, counts and bookmark commit together, or not at all."""

import apsw
import pytest

from outbox.errors import DataError, DiskFullError, TransientError
from outbox.record import MAX_PAGE_RECORDS, Page, Rejected
from tests.support.agent import record


def tables(agent):
    names = ("outbox", "bodies", "rejected", "bookmarks")
    counts = tuple(agent.database.value(f"SELECT count(*) FROM {name}") for name in names)
    return (*counts, *agent.database.execute("SELECT new, unchanged, rejected FROM runs")[0])


def test_a_page_stores_everything_it_has(agent):
    added = agent.collect(record(0), record(1), record(2, float("nan")), rejected=[Rejected("why", "{}")])
    assert added == (2, 0, 2)
    assert tables(agent) == (2, 2, 2, 1, 2, 0, 2)


def test_a_failure_at_any_statement_of_a_page_stores_nothing(agent):
    """The n-th statement fails, for every n: nothing of the page is there, and the next try stores it all."""
    before, failed = tables(agent), 0
    while True:
        statements = 0

        def trace(_cursor, sql, _bindings, limit=failed):
            nonlocal statements
            statements += 1
            if statements == limit + 1 and sql != "ROLLBACK":
                raise apsw.FullError("injected")
            return True

        agent.database.connection.exec_trace = trace
        try:
            agent.collect(record(0), record(1, float("inf")))
        except DiskFullError:
            agent.database.connection.exec_trace = None
            assert tables(agent) == before
            failed += 1
        else:
            break
    agent.database.connection.exec_trace = None
    assert failed >= 8
    assert tables(agent) == (1, 1, 1, 1, 1, 0, 1)


def test_a_stale_page_stores_nothing_even_when_the_bookmarks_text_is_the_same(agent):
    agent.collect(record(0, 1.0), bookmark="same")
    agent.collect(record(0, 2.0), bookmark="same")
    stale = Page(records=[record(0, 1.0)], bookmark="same")
    with pytest.raises(TransientError, match="another collect"):
        agent.outbox.add(stale, source="weather", run_id=1, revision=1)
    assert agent.sequences() == [1, 2]


def test_scopes_of_one_source_are_compared_each_for_itself(agent):
    agent.collect(record(0), scope="a.csv", bookmark="1")
    agent.collect(record(1), scope="b.csv", bookmark="2")
    agent.collect(record(2), scope="a.csv", bookmark="3")
    marks = agent.outbox.bookmarks("weather")
    assert {scope: tuple(mark) for scope, mark in marks.items()} == {"a.csv": ("3", 2), "b.csv": ("2", 1)}


def test_a_page_over_the_limit_is_refused_whole(agent):
    with pytest.raises(DataError, match="smaller pages"):
        agent.collect(*[record(n) for n in range(MAX_PAGE_RECORDS + 1)])
    assert agent.sequences() == []


def test_what_a_run_read_is_new_plus_unchanged_plus_rejected(agent):
    agent.collect(record(0), record(1), record(1))
    agent.collect(record(0), record(1, 9), record(2, float("nan")))
    row = agent.database.execute("SELECT new, unchanged, rejected, oldest, newest FROM runs")[0]
    assert row == (3, 2, 1, "2026-11-23T02:00:00.000Z", "2026-11-23T03:00:00.000Z")


def test_a_rejected_input_that_comes_again_is_counted_and_not_repeated(agent):
    for _ in range(3):
        agent.collect(rejected=[Rejected("no time", '{"a": 1}')])
    assert agent.database.execute("SELECT reason, count, raw FROM rejected") == [("no time", 3, '{"a": 1}')]


def test_a_rejected_input_keeps_64_kib_and_is_told_apart_by_all_of_it(agent):
    long = "x" * 100_000
    agent.collect(
        rejected=[Rejected("long", long + "1"), Rejected("long", long + "2"), Rejected("odd", "\ud800")]
    )
    assert agent.database.execute("SELECT length(raw) FROM rejected ORDER BY id") == [
        (65536,),
        (65536,),
        (6,),
    ]
