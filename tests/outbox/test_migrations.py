"""Migrations equal the snapshot, leave no trace when they fail, and refuse what they do not know."""

from pathlib import Path

import apsw
import pytest

from outbox import migrate
from outbox.database import Database
from outbox.errors import DataError, SchemaError
from outbox.migrate import Migration, migrations, upgrade
from tests.support.agent import make, opened, record

SNAPSHOT = Path(__file__).parents[2] / "migrations" / "outbox" / "schema.sql"
NEXT = Migration(
    2, "0002_more.sql", "CREATE TABLE more (a INTEGER) STRICT; ALTER TABLE runs ADD COLUMN more TEXT;"
)


def schema(connection: apsw.Connection) -> str:
    statements = connection.execute(
        "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY type, name"
    )
    return "".join(f"{sql};\n\n" for (sql,) in statements)


def test_the_migrations_make_what_the_snapshot_says(path):
    """After a new migration, write the snapshot anew with this test's `schema`."""
    with Database.open(path) as database:
        assert SNAPSHOT.read_text("utf-8") == schema(database.connection)


def test_the_released_migrations_are_numbered_without_gap():
    assert [migration.name[:4] for migration in migrations()] == [
        f"{n:04}" for n in range(1, len(migrations()) + 1)
    ]


def test_an_upgrade_keeps_the_records_and_makes_a_backup_first(path, clock, monkeypatch):
    with opened(path, clock) as agent:
        agent.collect(record(0))
    monkeypatch.setattr(migrate, "migrations", lambda: [*migrations(), NEXT])
    with Database.open(path) as database:
        backup = upgrade(database, now=clock)
        assert database.version == 2 == database.value("PRAGMA user_version")
        assert database.value("SELECT count(*) FROM outbox JOIN bodies USING (sequence)") == 1
        assert database.execute("SELECT version, name FROM migrations")[1] == (2, "0002_more.sql")
        assert upgrade(database, now=clock) is None
    monkeypatch.undo()
    with opened(backup, clock) as agent:
        assert agent.sequences() == [1]


def test_a_failing_migration_leaves_no_trace(path, clock, monkeypatch):
    bad = Migration(2, "0002_bad.sql", "CREATE TABLE more (a); INSERT INTO nowhere VALUES (1);")
    monkeypatch.setattr(migrate, "migrations", lambda: [*migrations(), bad])
    with Database.open(path) as database:
        before = schema(database.connection)
        with pytest.raises(DataError, match="nowhere"):
            upgrade(database, now=clock)
        assert schema(database.connection) == before
        assert database.value("PRAGMA user_version") == 1


def test_a_newer_database_is_refused_with_both_numbers(path, clock, monkeypatch):
    monkeypatch.setattr(migrate, "migrations", lambda: [*migrations(), NEXT])
    with Database.open(path) as database:
        upgrade(database, now=clock)
    monkeypatch.undo()
    with (
        Database.open(path) as database,
        pytest.raises(SchemaError, match="has schema 2; this program knows 1"),
    ):
        upgrade(database, now=clock)


def test_a_database_that_an_edited_file_made_is_refused(path, clock):
    with Database.open(path) as database:
        database.execute("UPDATE migrations SET sha256 = printf('%064d', 0)")
        with pytest.raises(SchemaError, match="other migrations"):
            upgrade(database, now=clock)


def test_an_old_program_that_is_still_running_stores_nothing_in_an_upgraded_database(
    agent, path, clock, monkeypatch
):
    agent.collect(record(0))
    monkeypatch.setattr(migrate, "migrations", lambda: [*migrations(), NEXT])
    with Database.open(path) as newer:
        upgrade(newer, now=clock)
    with pytest.raises(SchemaError, match="was upgraded to schema 2"):
        agent.collect(record(1))
    assert agent.sequences() == [1]


def test_reading_commands_do_not_upgrade(path, monkeypatch):
    monkeypatch.setattr(migrate, "migrations", lambda: [*migrations(), NEXT])
    with (
        Database.open(path, readonly=True) as database,
        pytest.raises(SchemaError, match="schema 1, this program schema 2"),
    ):
        migrate.require_current(database)


def test_two_programs_that_upgrade_at_once_upgrade_once(path, clock, monkeypatch):
    monkeypatch.setattr(migrate, "migrations", lambda: [*migrations(), NEXT])
    with Database.open(path) as slow, Database.open(path) as fast:
        upgrade(fast, now=clock)
        with pytest.raises(DataError, match="was upgraded to schema 2"):
            upgrade(slow, now=clock)


def test_every_table_says_in_one_line_what_a_row_is(path, clock):
    with Database.open(path) as database:
        tables = database.execute(
            "SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        )
    assert len(tables) == 11
    for name, sql in tables:
        assert sql.splitlines()[0].startswith(f"CREATE TABLE {name} ( -- A row per "), name
        assert "STRICT" in sql


def test_making_gives_the_same_schema_every_time(tmp_path, clock):
    schemas = set()
    for name in ("a.db", "b.db"):
        make(tmp_path / name, clock)
        with Database.open(tmp_path / name) as database:
            schemas.add(schema(database.connection))
    assert len(schemas) == 1
