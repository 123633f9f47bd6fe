"""What a salvage makes of rows that are gone or altered, one kind at a time."""

import itertools
import json

import pytest

from outbox.agents import current_agent, renew
from outbox.audit.audit import audit_database
from outbox.database import Database
from outbox.delivery import Limits
from outbox.errors import DiskFullError, PermanentError
from outbox.salvage.pages import Found
from outbox.salvage.rows import tables
from outbox.salvage.salvage import salvage
from outbox.witness import witness_of
from tests.support.agent import opened, record
from tests.support.damage import sabotage

TWO = Limits(2, 10**6)
LEDGER = (
    "SELECT sequence, record_id, content_hash, source, run_id, collected_at, bytes FROM outbox ORDER BY 1"
)
VARIED = [
    record(0, attributes={"latitude": 60.2}, origin={"url": "here"}),
    record(1, values={}, deleted=True),
    record(2, "x" * 30_000),
    record(3, units={}),
    record(4, attributes={"b": [1, {"c": None}], "a": "é"}),
    record(5),
]


@pytest.fixture
def damaged(path, clock):
    """Let an agent work (sequences 1-2 sent, 3-4 sealed, 5-6 pending), damage it, and return its ledger before."""

    def damage(*statements):
        with opened(path, clock) as agent:
            agent.collect(*VARIED)
            agent.acknowledge(agent.seal(TWO))
            agent.seal(TWO)
            agent.outbox.ask_backfill("weather", "2026-01-01", "2026-02-01")
            before = agent.database.execute(LEDGER)
            sabotage(agent, *statements)
            agent.database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            return before

    return damage


@pytest.fixture
def saved(path, clock):
    tokens = itertools.count(1)

    def save():
        return salvage(
            path, customer="acme", site="helsinki", now=clock, token=lambda: f"{next(tokens):016x}"
        )

    return save


def look(path):
    with Database.open(path) as database:
        return [tuple(finding) for finding in audit_database(database, deep=True)]


def query(path, sql):
    with Database.open(path) as database:
        return database.execute(sql)


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM outbox WHERE sequence IN (3, 5, 6)",
        "UPDATE outbox SET record_id = randomblob(16) WHERE sequence > 3",
        "UPDATE outbox SET content_hash = randomblob(16), bytes = 1, source = 'x' WHERE sequence > 2",
        "UPDATE outbox SET collected_at = '2020-01-01' WHERE sequence IN (4, 6)",
    ],
)
def test_rows_of_the_ledger_are_made_anew_from_their_texts(path, damaged, saved, damage):
    before = damaged(damage)
    done = saved()
    assert done.remade >= 2
    assert (done.built.lost, done.built.resealed) == ([], 0)
    assert query(path, LEDGER) == before
    assert look(path) == []


def test_a_record_whose_text_is_gone_is_told_as_lost(path, damaged, saved, clock):
    damaged("DELETE FROM bodies WHERE sequence IN (4, 5)", "DELETE FROM outbox WHERE sequence = 5")
    done = saved()
    assert (done.built.lost, done.built.waiting, done.built.resealed) == ([(4, 5)], 2, 1)
    assert look(path) == []
    reasons = query(path, "SELECT source, reason FROM rejected")
    assert reasons == [("unknown", "sequences 4 to 5: its text was damaged on the agent's disk")]
    with opened(path, clock) as agent:
        (again,) = agent.delivery.sealed()
        last = agent.delivery.seal(TWO, "none")
        lines = [json.loads(line) for line in (agent.delivery.lines(again) + last.lines).splitlines()]
    assert [(line["sequence"], "lost" in line) for line in lines] == [
        (3, False),
        (4, True),
        (5, True),
        (6, False),
    ]
    assert [line["agent_id"][-1] for line in lines] == ["1", "1", "5", "5"]
    assert query(path, "SELECT reason FROM voided") == [("its records were damaged on the agent's disk",)]


def test_what_is_marked_as_sent_is_not_sent_again_though_its_batch_is_gone(path, damaged, saved):
    damaged("DELETE FROM batches WHERE id = 1")
    done = saved()
    assert (done.built.sent, done.built.unnamed, done.built.waiting) == (1, 1, 4)
    assert query(
        path, "SELECT id, status, store, first_sequence, last_sequence FROM batches ORDER BY id"
    ) == [
        (1, "sent", "unknown", 1, 2),
        (2, "sealed", None, 3, 4),
    ]
    assert look(path) == []


def test_a_seal_that_is_gone_is_made_again_by_the_agent_that_had_it(path, damaged, saved, clock):
    damaged("DELETE FROM batches WHERE id = 2")
    done = saved()  # the witness knows that there was one
    assert (done.built.resealed, done.agent.first_sequence) == (1, 5)
    with opened(path, clock) as agent:
        (batch,) = agent.delivery.sealed()
    assert (batch.id, batch.first_sequence, batch.last_sequence) == (3, 3, 4)
    assert batch.agent_id == "0123456789abcdef-000000000001"
    assert look(path) == []


def test_without_the_witness_too_records_that_were_sealed_wait(path, damaged, saved):
    damaged("DELETE FROM batches WHERE id = 2")
    witness_of(path).unlink()
    done = saved()
    assert (done.built.resealed, done.built.waiting, done.agent.first_sequence) == (0, 4, 3)
    assert look(path) == []


@pytest.mark.parametrize("damage", ["DELETE FROM agents", "UPDATE agents SET since = '2036' WHERE id = 1"])
def test_an_agent_whose_row_is_gone_is_known_by_its_batches(path, damaged, saved, damage):
    damaged(damage)
    done = saved()
    ids = query(path, "SELECT agent_id, customer, site, reason FROM agents ORDER BY id")
    assert ids == [
        ("0123456789abcdef-000000000001", "acme", "helsinki", "restored"),
        (done.agent.agent_id, "acme", "helsinki", "salvaged"),
    ]
    assert look(path) == []


def test_every_agent_that_there_was_keeps_its_place(path, damaged, saved, clock):
    with opened(path, clock) as agent:
        first = current_agent(agent.database).agent_id
        second = renew(agent.database, "cloned", now=clock, token=lambda: "f" * 16).agent_id
    damaged()
    third = saved().agent
    assert query(path, "SELECT id, agent_id FROM agents ORDER BY id") == [
        (1, first),
        (2, second),
        (3, third.agent_id),
    ]
    assert third.first_sequence == 5
    assert look(path) == []


def test_bookmarks_and_backfills_that_are_whole_are_kept_and_others_dropped(path, damaged, saved, clock):
    with opened(path, clock) as agent:
        agent.collect(record(50), bookmark="whole", source="other")
        agent.acknowledge(agent.seal(TWO))
    damaged(
        "UPDATE bookmarks SET bookmark = 'x' WHERE source = 'weather'",
        "UPDATE backfills SET until = '2026-12-01'",
    )
    done = saved()
    assert done.unmarked == ["weather"]
    with opened(path, clock) as agent:
        assert agent.outbox.bookmarks("other")[""].text == "whole"
        assert (agent.outbox.bookmarks("weather"), agent.outbox.backfills()) == ({}, [])
        assert agent.collect(*VARIED).new == 0
    assert look(path) == []


@pytest.mark.parametrize("given", [2**40, 70])
def test_a_counter_that_nothing_confirms_is_believed_as_far_as_rows_can_be_lost(path, damaged, saved, given):
    damaged(f"UPDATE sqlite_sequence SET seq = {given} WHERE name = 'outbox'")
    done = saved()
    assert done.built.lost == ([(7, 70)] if given == 70 else [])
    assert look(path) == []


def test_no_number_is_given_twice_after_everything_was_forgotten(path, damaged, saved, clock):
    damaged(
        "DELETE FROM bodies",
        "DELETE FROM outbox",
        "UPDATE batches SET status = 'sent', sent_at = '', store = ''",
    )
    done = saved()
    assert done.built.lost == [(5, 6)]
    with opened(path, clock) as agent:
        agent.collect(record(99))
        assert agent.sequences() == [5, 6, 7]
    assert look(path) == []


def test_each_table_is_told_apart_by_the_shape_of_its_rows(path, damaged):
    damaged()
    values = {str: "x", int: 1, bytes: b"x", float: 1.5}
    with Database.open(path) as database:
        shapes = tables(database)
    for shape in shapes:
        row = tuple(values[types[0]] for types in shape.types)
        found = Found(1 if shape.has_rowid else None, row)
        assert [each.name for each in shapes if each.row(found) is not None] == [shape.name]


def test_a_full_disk_is_said_with_what_is_needed_and_nothing_half_made_stays(
    path, damaged, saved, monkeypatch
):
    def full(database, pages, beside):
        beside.write_bytes(b"half")
        raise DiskFullError("no room left")

    damaged()
    before = path.read_bytes()
    monkeypatch.setattr("outbox.salvage.salvage.gather", full)
    with pytest.raises(DiskFullError, match="no room left") as caught:
        saved()
    assert "three times the size of the database" in caught.value.hint
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir() if "salvaged" in each.name] == []


def test_where_there_is_nothing_there_is_nothing_to_salvage(tmp_path, clock):
    with pytest.raises(PermanentError, match="there is no database"):
        salvage(tmp_path / "outbox.db", customer="acme", site="helsinki", now=clock)


def test_a_row_that_is_marked_sent_under_another_rows_number_is_not_believed(path, damaged, saved):
    damaged("DELETE FROM outbox WHERE sequence = 6", "UPDATE outbox SET sequence = 6 WHERE sequence = 1")
    done = saved()
    assert (done.built.unnamed, done.built.lost) == (0, [])
    assert query(path, "SELECT sequence FROM outbox WHERE status = 'pending'") == [(3,), (4,), (5,), (6,)]
    assert look(path) == []
