"""Opening: never a silent new database, never a file that is not ours, never a network drive."""

import sqlite3
import time
from pathlib import Path

import pytest

from outbox import agents
from outbox import database as module
from outbox.database import BusyError, Database
from outbox.errors import DataError, PermanentError, SchemaError
from tests.support.agent import Clock, make, opened, record


def test_opening_a_path_where_nothing_is_makes_nothing(tmp_path):
    with pytest.raises(PermanentError, match="there is no database"):
        Database.open(tmp_path / "outbox.db")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is empty"),
        (b"hello" * 100, "not a SQLite database"),
        (b"SQLite format 3\0" + b"\0" * 84, "another program's"),
    ],
)
def test_a_file_that_is_not_ours_is_refused_and_left_alone(tmp_path, content, complaint):
    path = tmp_path / "outbox.db"
    path.write_bytes(content)
    with pytest.raises(SchemaError, match=complaint):
        Database.open(path)
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_another_programs_database_is_not_even_opened(tmp_path):
    path = tmp_path / "outbox.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode = wal")
        connection.execute("CREATE TABLE t (a)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(SchemaError, match="another program's"):
        Database.open(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["outbox.db"]


def test_a_truncated_database_is_an_error_of_data(path):
    path.write_bytes(path.read_bytes()[:6000])
    with pytest.raises(DataError), Database.open(path) as database:
        database.execute("SELECT count(*) FROM outbox")
        database.execute("SELECT * FROM problems")


def test_a_network_drive_is_refused(path, monkeypatch):
    monkeypatch.setattr(module, "network_drive", lambda folder: "nfs4")
    with pytest.raises(PermanentError, match="network drive .nfs4."):
        Database.open(path)


def test_making_a_database_where_one_is_leaves_that_alone(path, clock):
    before = path.read_bytes()
    with pytest.raises(PermanentError, match="exists already"):
        make(path, clock)
    assert path.read_bytes() == before
    assert not path.with_name("outbox.db.new").exists()


def test_a_database_is_made_whole_or_not_at_all(tmp_path, clock, monkeypatch):
    monkeypatch.setattr(agents, "fingerprint", lambda: 1 / 0)
    path = tmp_path / "outbox.db"
    with pytest.raises(ZeroDivisionError):
        make(path, clock)
    assert not path.exists()
    monkeypatch.undo()
    make(path, clock)
    with opened(path, clock) as agent:
        assert agent.outbox.agent.agent_id == "0123456789abcdef-000000000001"


def test_a_database_without_an_agent_is_refused(path, clock):
    with Database.open(path) as database:
        database.execute("DROP TRIGGER agents_stay")
        database.execute("DELETE FROM agents")
        with pytest.raises(SchemaError, match="has no agent"):
            agents.current_agent(database)


def test_reading_cannot_write(path, clock):
    with (
        Database.open(path, readonly=True) as database,
        pytest.raises(PermanentError, match="cannot be written"),
    ):
        database.execute("DELETE FROM runs")


def test_a_reader_does_not_stop_a_writer(agent, path):
    with Database.open(path, readonly=True) as reader:
        rows = reader.rows("SELECT 1 FROM sqlite_schema")
        next(rows)
        agent.collect(record(0))
        rows.close()
    assert agent.sequences() == [1]


def test_a_relative_path_works(path, clock, monkeypatch):
    monkeypatch.chdir(path.parent)
    with opened(Path("outbox.db"), clock) as agent:
        agent.collect(record(0))


def test_a_database_that_was_here_is_told_from_one_that_never_was(path):
    with opened(path, Clock()) as agent:
        agent.collect(record(0))
        agent.seal()
    path.unlink()
    with pytest.raises(PermanentError, match="had sealed up to sequence 1") as error:
        Database.open(path)
    assert "put outbox.db back from a backup" in str(error.value)


def test_a_snapshot_sees_one_moment_and_nests(path, clock):
    with opened(path, clock) as agent, opened(path, clock) as other, agent.database.snapshot():
        assert agent.sequences() == []
        other.collect(record(0))
        with agent.database.snapshot():
            assert agent.sequences() == []
    with opened(path, clock) as agent:
        assert agent.sequences() == [1]


def test_another_writer_is_waited_for_once(path, clock, monkeypatch):
    monkeypatch.setattr(module, "BUSY_TIMEOUT_MS", 300)
    with opened(path, clock) as agent, opened(path, clock) as other:
        other.database.execute("BEGIN IMMEDIATE")
        waited = []
        for _ in range(3):
            start = time.monotonic()
            with pytest.raises(BusyError, match="is busy") as error, agent.database.transaction():
                raise AssertionError("it got in")
            waited.append(time.monotonic() - start)
        assert "DB Browser" in str(error.value)
        assert waited[0] >= 0.25 > max(waited[1:])
        other.database.execute("ROLLBACK")
        agent.collect(record(0))
        assert agent.database.value("PRAGMA busy_timeout") == 300
