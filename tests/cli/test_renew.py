"""outbox agent renew: a new identity, and a sound database out of a damaged one, in sentences."""

import sqlite3
from contextlib import closing

from filelock import FileLock

from tests.cli.test_audit import send


def test_after_a_restore_a_new_identity_goes_on(agent, outbox):
    result = outbox("agent", "renew")
    assert result.code == 0
    assert "(restored), formerly" in result.out
    assert "from sequence 1 on" in result.out
    assert agent.query("SELECT reason FROM agents ORDER BY id") == [("made",), ("restored",)]


def test_a_damaged_database_is_salvaged_and_every_step_said(agent, outbox):
    send(agent, *range(6))
    content = bytearray(agent.database.read_bytes())
    content[:100] = bytes(100)
    for suffix in ("-wal", "-shm"):
        agent.database.with_name(agent.database.name + suffix).unlink()
    agent.database.write_bytes(content)
    refused = outbox("collect")
    assert refused.code == 65
    assert "outbox agent renew --salvage" in refused.err
    result = outbox("agent", "renew", "--salvage")
    assert result.code == 0, result
    for said in (
        "Saved ",
        "Kept ",
        "Lost ",
        "Renewed   agent ",
        "Aside ",
        "keep it until head office",
        "Next ",
    ):
        assert said in result.out, result.out
    (aside,) = agent.folder.glob("outbox.db.damaged-*")
    assert aside.read_bytes() == content
    assert outbox("audit").code == 0
    assert outbox("upload").code == 0


def test_what_was_lost_is_named(agent, outbox):
    send(agent, 0, 1)
    with closing(sqlite3.connect(agent.database)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.execute("UPDATE sqlite_sequence SET seq = 5 WHERE name = 'outbox'")
        database.commit()
    assert outbox("upload").code == 65
    result = outbox("agent", "renew", "--salvage")
    assert "Kept      the proof of 1 sent object" in result.out
    assert "Lost      3 records, and their lines will say so: sequences 3 to 5" in result.out
    assert "outbox collect --since reads a stretch of the past again" in result.out
    assert outbox("upload").code == 0
    assert outbox("audit", "--store").code == 0


def test_another_programs_database_is_left_alone(agent, outbox):
    for suffix in ("", "-wal", "-shm"):
        agent.database.with_name(agent.database.name + suffix).unlink(missing_ok=True)
    with closing(sqlite3.connect(agent.database)) as database:
        database.execute("CREATE TABLE theirs (a)")
        database.execute("INSERT INTO theirs VALUES (1)")
        database.commit()
    content = agent.database.read_bytes()
    result = outbox("agent", "renew", "--salvage")  # no witness beside it: no outbox ever sent from here
    assert result.code == 65
    assert "another program's database" in result.err
    assert agent.database.read_bytes() == content
    assert [path.name for path in agent.folder.glob("outbox.db*")] == ["outbox.db"]


def test_after_a_salvage_that_was_killed_between_its_moves_init_makes_no_other_outbox(agent, outbox):
    send(agent, 0, 1)
    agent.database.rename(agent.database.with_name("outbox.db.salvaged"))
    result = outbox("init")
    assert result.code == 69
    assert "outbox agent renew --salvage finishes it" in result.err
    assert not agent.database.exists()
    assert "Finished  a salvage that was interrupted" in outbox("agent", "renew", "--salvage").out
    assert agent.query("SELECT count(*) FROM outbox") == [(2,)]


def test_nothing_is_salvaged_while_an_upload_is_under_way(agent, outbox):
    with FileLock(agent.database.with_name("upload.lock")):
        assert outbox("agent", "renew", "--salvage").code == 75
    assert list(agent.folder.glob("*damaged*")) == []


def test_salvage_and_moved_are_two_things(agent, outbox):
    assert outbox("agent", "renew", "--moved", "--salvage").code == 2
