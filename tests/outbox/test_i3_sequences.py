"""I3: sequences have no gaps, under duplicates, rejects, rollbacks and several writers; nothing unsent goes."""

import subprocess
import sys
import textwrap

import apsw
import pytest

from outbox.errors import DataError
from tests.support.agent import make, opened, record


def test_duplicates_rejects_and_rollbacks_leave_no_gap(agent):
    agent.collect(record(0), record(1))
    agent.collect(record(0), record(1), record(2, float("nan")))
    with pytest.raises(ZeroDivisionError), agent.database.transaction():
        agent.outbox._insert([], "weather", 1, "")
        agent.database.execute(
            "INSERT INTO outbox (sequence, record_id, content_hash, source, run_id, collected_at, bytes)"
            " VALUES (3, randomblob(16), randomblob(16), 's', 1, '', 1)"
        )
        raise ZeroDivisionError
    agent.collect(record(3))
    assert agent.sequences() == [1, 2, 3]


def test_the_same_again_is_no_row_a_correction_is_one_and_a_return_is_a_third(agent):
    assert agent.collect(record(0, "A")).new == 1
    assert agent.collect(record(0, "A")).new == 0
    assert agent.collect(record(0, "B")).new == 1
    assert agent.collect(record(0, "A")).new == 1
    assert agent.sequences() == [1, 2, 3]


def test_an_old_revision_does_not_hide_the_latest(agent):
    """The latest row decides: an agent that compared with any row would drop the return to A."""
    for value in ("A", "B", "A", "B"):
        assert agent.collect(record(0, value)).new == 1


def test_a_change_of_unit_or_attribute_is_a_correction_and_of_origin_is_none(agent):
    agent.collect(record(0))
    assert agent.collect(record(0, units={"temperature_2m": "°F"})).new == 1
    assert agent.collect(record(0, units={"temperature_2m": "°F"}, attributes={"height": 2})).new == 1
    again = record(0, units={"temperature_2m": "°F"}, attributes={"height": 2}, origin={"file": "b.csv"})
    assert agent.collect(again).new == 0


def test_two_sources_with_one_fact_are_two_records(agent):
    agent.collect(record(0))
    assert agent.collect(record(0), source="other").new == 1


WRITER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from outbox.errors import TransientError
from tests.support.agent import Clock, opened, record
source = sys.argv[2]
with opened(Path(sys.argv[1]), Clock()) as agent:
    for n in range(40):
        try:
            with agent.database.transaction():
                agent.outbox._insert([], source, 1, "")
                agent.database.execute("INSERT INTO outbox (sequence, record_id, content_hash, source, run_id,"
                    " collected_at, bytes) SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'outbox'), 0) + 1,"
                    " randomblob(16), randomblob(16), 'rolled back', 1, '', 1")
                raise ZeroDivisionError
        except ZeroDivisionError:
            pass
        agent.collect(record(n), record(n + 1), source=source)
"""


def test_several_writers_share_the_numbers_without_gap_or_double(path, clock):
    writers = [
        subprocess.Popen([sys.executable, "-c", textwrap.dedent(WRITER), str(path), f"source-{n}"])
        for n in range(3)
    ]
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0, 0]
    with opened(path, clock) as agent:
        assert agent.sequences() == list(range(1, 3 * 41 + 1))
        bodies = [row[0] for row in agent.database.rows("SELECT sequence FROM bodies ORDER BY sequence")]
        assert bodies == agent.sequences()


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM outbox",
        "DELETE FROM bodies",
        "REPLACE INTO bodies (sequence, body, checksum) VALUES (1, '{}', 0)",
        "REPLACE INTO outbox SELECT * FROM outbox",
        "UPDATE bodies SET body = '{}'",
        "UPDATE outbox SET source = 'x'",
        "UPDATE outbox SET content_hash = randomblob(16)",
        "UPDATE outbox SET sequence = 7",
        "UPDATE outbox SET status = 'sent'",
        "UPDATE outbox SET status = 'failed'",
        "UPDATE agents SET customer = 'x'",
        "DELETE FROM agents",
        "INSERT INTO outbox (record_id, content_hash, source, run_id, collected_at, bytes) VALUES (x'00', x'00', 's', 1, '', 1)",
    ],
)
def test_the_database_itself_refuses_what_would_break_a_promise(agent, statement):
    agent.collect(record(0))
    with pytest.raises(DataError, match="would break a promise"):
        agent.database.execute(statement)
    assert agent.sequences() == [1]


def test_a_second_outbox_beside_it_counts_for_itself(agent, tmp_path, clock):
    other = tmp_path / "other.db"
    make(other, clock)
    agent.collect(record(0))
    with opened(other, clock) as second:
        assert second.sequences() == []


def test_the_numbers_go_on_after_everything_was_forgotten(agent):
    agent.collect(record(0), record(1))
    batch = agent.seal()
    agent.acknowledge(batch)
    agent.database.execute("DELETE FROM bodies")
    agent.database.execute("DELETE FROM outbox")
    agent.collect(record(5))
    assert agent.sequences() == [3]
    assert agent.outbox.waiting() == 1


def test_apsw_is_the_driver_and_its_errors_do_not_leak(agent):
    with pytest.raises(DataError) as caught:
        agent.database.execute("INSERT INTO bodies VALUES (1, NULL, 1)")
    assert isinstance(caught.value.__cause__, apsw.ConstraintError)
