"""The audit of the database: a clean agent gives no finding, and each kind of damage gives its own sentence."""

import re

import pytest

from outbox.agents import make_database
from outbox.audit import finding
from outbox.audit.audit import audit_database
from outbox.audit.finding import Finding, limited
from outbox.delivery import Limits
from outbox.housekeeping import vacuum
from outbox.runs import recorded
from tests.support.agent import record
from tests.support.damage import sabotage

TWO = Limits(2, 10**6)


def look(agent, *, deep=False):
    return [(found.kind, found.text) for found in limited(audit_database(agent.database, deep=deep))]


@pytest.fixture
def filled(agent):
    """Sequences 1-2 sent, 3-4 sealed, 5-6 pending."""
    agent.collect(*[record(n) for n in range(6)])
    agent.acknowledge(agent.seal(TWO))
    agent.seal(TWO)
    return agent


@pytest.mark.parametrize("deep", [False, True])
def test_an_agent_that_is_new_or_at_work_gives_no_finding(agent, clock, deep):
    assert look(agent, deep=deep) == []
    agent.collect(*[record(n) for n in range(7)])
    assert look(agent, deep=deep) == []
    first, second, third = agent.seal(TWO), agent.seal(TWO), agent.seal(TWO)
    assert look(agent, deep=deep) == []
    agent.acknowledge(third)
    agent.acknowledge(first)
    assert look(agent, deep=deep) == []
    clock.advance(days=8)
    vacuum(agent.database, keep_sent_s=0, remember_s=0, now=clock)
    assert look(agent, deep=deep) == []
    agent.acknowledge(second)
    agent.acknowledge(agent.seal(TWO))
    assert look(agent, deep=deep) == []


@pytest.mark.parametrize("deep", [False, True])
def test_an_agent_that_forgot_everything_gives_no_finding(agent, clock, deep):
    with recorded(agent.database, "collect", "weather", now=clock) as agent.run_id:
        agent.collect(record(0), record(1))
    agent.acknowledge(agent.seal())
    clock.advance(days=40)
    with recorded(agent.database, "collect", "weather", now=clock) as agent.run_id:
        agent.collect(record(24 * 39))
    assert vacuum(agent.database, keep_sent_s=0, remember_s=86_400, now=clock).forgotten == 2
    assert look(agent, deep=deep) == []


DAMAGE = {
    "a pending row is gone": (
        ["DELETE FROM outbox WHERE sequence = 5"],
        {
            "row-missing": "The ledger lacks sequence 5, and no store",
            "body-orphan": "1 of them at sequence 5",
        },
    ),
    "the last rows are gone": (
        ["DELETE FROM outbox WHERE sequence >= 5", "DELETE FROM bodies WHERE sequence >= 5"],
        {
            "counter": "The counter of sequences stands at 6, but 4 was given last",
            "row-missing": "The ledger lacks sequences 5 to 6",
        },
    ),
    "a sealed row is gone": (
        ["DELETE FROM outbox WHERE sequence = 3", "DELETE FROM bodies WHERE sequence = 3"],
        {
            "row-missing": "The ledger lacks sequence 3",
            "batch-digest": "Batch 2 (sequences 3 to 4) no longer",
        },
    ),
    "a sent row is gone and its text is not": (
        ["DELETE FROM outbox WHERE sequence = 2"],
        {"body-orphan": "texts that are kept, 1 of them at sequence 2"},
    ),
    "a text that was not sent is gone": (
        ["DELETE FROM bodies WHERE sequence = 6"],
        {"body-missing": "The ledger has rows for sequence 6, but their texts are missing"},
    ),
    "a sealed text was altered": (
        ["UPDATE bodies SET body = replace(body, '1.5', '2.5') WHERE sequence = 4"],
        {"body-checksum": "The text of sequence 4 is not what was stored", "batch-digest": "cannot be sent"},
    ),
    "a sealed row was collected at another time": (
        ["UPDATE outbox SET collected_at = '2020' WHERE sequence = 4"],
        {
            "body-checksum": "The text of sequence 4 is not what was stored",
            "batch-digest": "Batch 2 (sequences 3 to 4) no longer gives the lines that were sealed",
        },
    ),
    "texts stand beside the wrong rows": (
        ["UPDATE outbox SET record_id = randomblob(16) WHERE sequence = 3"],
        {"body-record": "The text of sequence 3 is another record's"},
    ),
    "a sent row names another batch": (
        ["UPDATE outbox SET batch_id = 9 WHERE sequence = 2"],
        {"row-batch": "Of batch 1, sent (sequences 1 to 2), 1 rows are not marked as sent with it"},
    ),
    "a sent row is pending again": (
        ["UPDATE outbox SET batch_id = NULL, status = 'pending' WHERE sequence = 1"],
        {"row-batch": "the first being 1: they would never be let go"},
    ),
    "a sealed row is marked sent": (
        ["UPDATE outbox SET batch_id = 2, status = 'sent' WHERE sequence = 3"],
        {"row-batch": "Of batch 2, sealed (sequences 3 to 4), 1 rows are marked as sent, the first being 3"},
    ),
    "a row in no batch is marked sent": (
        ["UPDATE outbox SET batch_id = 1, status = 'sent' WHERE sequence = 6"],
        {"row-sent": "The ledger marks 1 rows at sequence 6 as sent, but no batch holds them"},
    ),
    "a batch is too short": (
        ["UPDATE batches SET last_sequence = 1 WHERE id = 1"],
        {
            "batch-gap": "Batch 2 begins at sequence 3: no batch holds sequence 2",
            "batch-key": "Batch 1 is named data/customer=acme",
        },
    ),
    "a batch is too long": (
        ["UPDATE batches SET last_sequence = 3 WHERE id = 1"],
        {
            "batch-overlap": "Batch 2 begins at sequence 3, but batch 1 reaches to 3: sequence 3 would be",
            "batch-key": "Batch 1 is named",
            "row-batch": "Of batch 1, sent (sequences 1 to 3), 1 rows are not marked",
        },
    ),
    "the first batch is gone": (
        ["DELETE FROM batches WHERE id = 1"],
        {"batch-gap": "Batch 2 begins at sequence 3: no batch holds sequences 1 to 2"},
    ),
    "a key has another digest": (
        ["UPDATE batches SET object_key = replace(object_key, '.ndjson', '0.ndjson') WHERE id = 2"],
        {"batch-key": "Batch 2 is named", "batch-digest": "Batch 2"},
    ),
    "a seal has another digest": (
        ["UPDATE batches SET ndjson_sha256 = randomblob(32) WHERE id = 2"],
        {"batch-key": "Batch 2 is named", "batch-digest": "Batch 2"},
    ),
    "a seal has another length": (
        ["UPDATE batches SET ndjson_bytes = 7 WHERE id = 2"],
        {"batch-size": "Batch 2 says 7 bytes of lines, but they are"},
    ),
    "a batch has another agent": (
        [
            (
                "INSERT INTO agents SELECT 2, '00000000000000aa-000000000007', customer, site, host, 7, since, "
                "'moved', row_checksum(2, '00000000000000aa-000000000007', customer, site, host, 7, since, "
                "'moved') FROM agents"
            ),
            "UPDATE batches SET agent_id = '00000000000000aa-000000000007' WHERE id = 2",
        ],
        {
            "identity": "put back from a backup",
            "batch-agent": "Batch 2 (sequences 3 to 4) is agent",
            "batch-key": "",
            "batch-digest": "Batch 2",
        },
    ),
    "an agent begins elsewhere": (
        ["UPDATE agents SET first_sequence = 2"],
        {
            "agent-checksum": "The row of agent 0123456789abcdef-000000000001 is not what was stored",
            "agent": "Agent 0123456789abcdef-000000000001 has first sequence 2",
            "row-stray": "The ledger has 1 rows at sequence 1, before the agent's first",
            "batch-agent": "Batch 1",
            "batch-overlap": "Batch 1 begins at sequence 1",
        },
    ),
    "the counter went back": (
        ["UPDATE sqlite_sequence SET seq = 4 WHERE name = 'outbox'"],
        {"counter": "The counter of sequences stands at 4, but 6 was given"},
    ),
    "the counter is ahead": (
        ["UPDATE sqlite_sequence SET seq = 8 WHERE name = 'outbox'"],
        {
            "counter": "The counter of sequences stands at 8, but 6 was given last",
            "row-missing": "The ledger lacks sequences 7 to 8",
        },
    ),
    "a bookmark was altered": (
        ["UPDATE bookmarks SET bookmark = 'c'"],
        {"bookmark-checksum": "A bookmark of weather is not what was stored"},
    ),
    "a bookmark has no back-fill": (
        [
            "UPDATE bookmarks SET backfill_id = 7",
            "UPDATE bookmarks SET checksum = row_checksum(source, 7, scope, bookmark, revision, stored_at)",
        ],
        {"bookmark": "A bookmark of weather belongs to back-fill 7"},
    ),
}


@pytest.mark.parametrize(("statements", "expected"), DAMAGE.values(), ids=list(DAMAGE))
def test_each_kind_of_damage_is_one_sentence(filled, statements, expected):
    sabotage(filled, *statements)
    found = look(filled)
    assert {kind for kind, _ in found} == set(expected)
    for kind, text in expected.items():
        assert any(kind == of and text in said for of, said in found), found
    assert all(said.endswith(".") and "\n" not in said for _, said in found)


def test_only_deep_reads_the_texts_of_what_was_sent(filled):
    sabotage(filled, "UPDATE bodies SET body = replace(body, '1.5', '2.5') WHERE sequence IN (2, 6)")
    next_up = ("body-checksum", "The text of sequence 6 is not what was stored")
    assert [(kind, text.partition(":")[0]) for kind, text in look(filled)] == [next_up]
    found = look(filled, deep=True)
    assert [kind for kind, _ in found] == ["body-checksum", "body-checksum", "batch-digest"]
    assert "Batch 1 (sequences 1 to 2)" in found[2][1]
    assert "it was sent and cannot be shown again" in found[2][1]


def test_a_missing_or_altered_trigger_is_found(filled):
    filled.database.execute("DROP TRIGGER batches_stay")
    filled.database.execute("DROP VIEW pending")
    filled.database.execute("CREATE VIEW pending AS SELECT 1")
    assert {text.partition(":")[0] for _, text in look(filled)} == {
        "The trigger batches_stay is missing",
        "The view pending was altered",
    }


def test_what_sqlite_itself_says_is_a_finding(filled):
    sabotage(filled, "UPDATE outbox SET bytes = -1 WHERE sequence = 1")
    (found,) = look(filled)
    assert found[0] == "damage"
    assert "CHECK constraint failed in outbox" in found[1]


def test_only_sealed_and_sent_batches_tile(filled):
    """A status of a later version takes no part: its range belongs to another batch."""
    sabotage(
        filled,
        "INSERT INTO batches (id, agent_id, format, encoding, first_sequence, last_sequence, object_key, "
        "ndjson_sha256, ndjson_bytes, status, sealed_at) SELECT 9, agent_id, format, encoding, 100, 200, "
        "'other', ndjson_sha256, ndjson_bytes, 'void', sealed_at FROM batches WHERE id = 2",
    )
    assert {kind for kind, _ in look(filled)} == {
        "damage",
        "counter",
    }  # the CHECK of this version, and 200 > 6


def test_an_audit_changes_nothing_and_sees_one_moment(filled):
    before = filled.database.execute("SELECT total_changes(), (SELECT count(*) FROM runs)")
    checks = audit_database(filled.database, deep=False)
    assert list(checks) == []
    assert filled.database.execute("SELECT total_changes(), (SELECT count(*) FROM runs)") == before
    assert not filled.database.connection.in_transaction


def test_findings_of_a_kind_are_counted_beyond_a_hundred_and_never_repeated():
    many = [Finding("k", f"{n}.") for n in range(finding.MAX_OF_A_KIND + 5)]
    said = list(limited([many[0], *many]))
    assert len(said) == finding.MAX_OF_A_KIND + 1
    assert said[-1].text == "And 5 more of the kind k."


def test_the_ledger_is_walked_without_sorting_it(agent):
    """Ten million rows must not be sorted in memory: every scan follows the order that is there."""
    ran = {}
    agent.database.connection.exec_trace = lambda _cursor, sql, values: ran.update({sql: values}) is None
    assert look(agent, deep=True) == []
    agent.database.connection.exec_trace = None
    walks = {
        sql: values for sql, values in ran.items() if re.search(r"FROM (outbox|bodies)\b|JOIN outbox", sql)
    }
    assert len(walks) > 5
    for sql, values in walks.items():
        plan = [row[3] for row in agent.database.execute("EXPLAIN QUERY PLAN " + sql, values)]
        assert not any("TEMP B-TREE" in step for step in plan), (sql, plan)


def test_a_database_without_records_of_another_customer_is_clean_too(tmp_path, clock):
    from tests.support.agent import opened

    path = tmp_path / "other.db"
    make_database(path, customer="b", site="s", now=clock)
    with opened(path, clock) as agent:
        assert look(agent, deep=True) == []
