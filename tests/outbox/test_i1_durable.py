"""I1: what was stored survives, since the pragmas that promise it are in force, and read back."""

import apsw
import pytest

from outbox import database as module
from outbox.database import Database
from outbox.errors import DataError


def test_every_connection_runs_with_the_promised_pragmas(agent):
    pragmas = {
        "journal_mode": "wal",
        "synchronous": 2,
        "auto_vacuum": 2,
        "mmap_size": 0,
        "temp_store": 2,
        "recursive_triggers": 1,
        "foreign_keys": 1,
        "application_id": module.APPLICATION_ID,
        "journal_size_limit": module.JOURNAL_SIZE_LIMIT_BYTES,
    }
    assert {name: agent.database.connection.pragma(name) for name in pragmas} == pragmas


def test_sqlite_is_newer_than_the_wal_reset_bug():
    assert apsw.SQLITE_VERSION_NUMBER >= module.MIN_SQLITE


def test_an_older_sqlite_is_refused(path, monkeypatch):
    monkeypatch.setattr(module, "MIN_SQLITE", 9_000_000)
    with pytest.raises(DataError, match="older than 3.51.3"):
        Database.open(path)


def test_a_pragma_that_does_not_hold_is_an_error(path):
    connection = apsw.Connection(str(path))
    with pytest.raises(DataError, match="keeps page_size at 4096 instead of 8192"):
        module._require_pragma(connection, "page_size", 8192)
    connection.close()


def test_the_wal_file_stays_when_the_last_connection_closes(agent):
    agent.collect()
    agent.database.close()
    assert agent.database.path.with_name("outbox.db-wal").exists()
    assert agent.database.path.with_name("outbox.db-shm").exists()
