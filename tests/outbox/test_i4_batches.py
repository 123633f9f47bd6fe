"""I4: a batch never changes, and batches tile the sequence. I5: sent means confirmed, once."""

import hashlib
import json

import pytest

from outbox import delivery
from outbox.delivery import Limits
from outbox.errors import DataError, TransientError
from tests.support.agent import LIMITS, START, record


def test_a_seal_fixes_range_key_digest_and_date_before_anything_is_put(agent):
    agent.collect(record(0), record(1))
    sealed = agent.delivery.seal(LIMITS, "zstd")
    batch = sealed.batch
    digest = hashlib.sha256(sealed.lines).hexdigest()
    assert batch.ndjson_sha256.hex() == digest
    assert (batch.first_sequence, batch.last_sequence, batch.records) == (1, 2, 2)
    assert batch.object_key == (
        "data/customer=acme/site=helsinki/agent=0123456789abcdef-000000000001/date=2026-11-23/"
        f"000000000001-000000000002-{digest[:16]}.ndjson.zst"
    )
    assert agent.delivery.sealed() == [batch]


def test_a_line_is_the_envelope_and_the_body_sorted_and_understood_alone(agent):
    agent.collect(record(0, 3.4, attributes={"latitude": 60.1695}, origin={"url": "https://example.org"}))
    lines = agent.delivery.seal(LIMITS, "none").lines.decode()
    assert lines.endswith("}\n")
    line = json.loads(lines)
    envelope = ["agent_id", "agent_since", "collected_at", "customer_id", "format", "sequence", "site"]
    body = [
        "attributes",
        "entity",
        "observed_at",
        "origin",
        "record_id",
        "source",
        "stream",
        "units",
        "values",
    ]
    assert list(line) == envelope + body
    assert line["agent_since"] == line["collected_at"] == "2026-11-23T02:00:00.000Z"
    assert (line["customer_id"], line["site"], line["sequence"], line["format"]) == ("acme", "helsinki", 1, 1)
    assert line["values"] == {"temperature_2m": 3.4}


def test_the_lines_of_a_sealed_batch_are_the_same_for_ever(agent, clock):
    """The bytes of format 1, released and frozen: a retry after an upgrade must give exactly these."""
    agent.collect(record(0), record(1, "ä", entity="Jyväskylä"))
    batch = agent.seal()
    clock.advance(days=400)
    assert agent.delivery.lines(batch) == (
        b'{"agent_id":"0123456789abcdef-000000000001","agent_since":"2026-11-23T02:00:00.000Z",'
        b'"collected_at":"2026-11-23T02:00:00.000Z","customer_id":"acme","format":1,"sequence":1,"site":"helsinki",'
        b'"entity":"Helsinki","observed_at":"2026-11-23T02:00:00Z","record_id":"3a25184e-8500-879d-8af6-0634923afaec",'
        b'"source":"weather","stream":"hourly","units":{"temperature_2m":"\xc2\xb0C"},"values":{"temperature_2m":1.5}}\n'
        b'{"agent_id":"0123456789abcdef-000000000001","agent_since":"2026-11-23T02:00:00.000Z",'
        b'"collected_at":"2026-11-23T02:00:00.000Z","customer_id":"acme","format":1,"sequence":2,"site":"helsinki",'
        b'"entity":"Jyv\xc3\xa4skyl\xc3\xa4","observed_at":"2026-11-23T03:00:00Z",'
        b'"record_id":"3a251885-7380-8247-b453-a02109f4c76e","source":"weather","stream":"hourly",'
        b'"units":{"temperature_2m":"\xc2\xb0C"},"values":{"temperature_2m":"\xc3\xa4"}}\n'
    )


def test_what_is_collected_after_a_seal_is_in_the_next_batch(agent):
    agent.collect(record(0))
    first = agent.seal()
    agent.collect(record(0, 2.0), record(1))
    second = agent.seal()
    assert (first.first_sequence, first.last_sequence) == (1, 1)
    assert (second.first_sequence, second.last_sequence) == (2, 3)
    assert agent.delivery.seal(LIMITS, "zstd") is None


def test_batches_keep_to_the_limits_and_one_record_always_fits(agent):
    agent.collect(*[record(n, "x" * 500) for n in range(10)])
    sizes = []
    while sealed := agent.delivery.seal(Limits(max_records=4, max_bytes=2_000), "none"):
        sizes.append((sealed.batch.records, len(sealed.lines) <= 2_000))
    assert sizes == [(2, True)] * 5
    agent.collect(record(0, "y" * 5_000))
    assert agent.seal(Limits(max_records=4, max_bytes=2_000)).records == 1


def test_a_batch_that_does_not_tile_is_refused_by_the_database(agent):
    agent.collect(*[record(n) for n in range(5)])
    agent.seal(Limits(2, 10**6))
    for first in (2, 4):
        row = ("a", 1, "zstd", first, 5, f"key{first}", b"x" * 32, 1, "t")
        with pytest.raises(DataError, match="begins where the one before it ended"):
            agent.database.execute(delivery._SEAL, row)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE batches SET object_key = 'other'",
        "UPDATE batches SET ndjson_sha256 = randomblob(32)",
        "UPDATE batches SET last_sequence = 9",
        "UPDATE batches SET encoding = 'none'",
        "UPDATE batches SET sealed_at = ''",
        "DELETE FROM batches",
        "UPDATE batches SET status = 'sent'",
    ],
)
def test_a_sealed_batch_never_changes(agent, statement):
    agent.collect(record(0))
    agent.seal()
    with pytest.raises(DataError, match="would break a promise"):
        agent.database.execute(statement)


def test_a_sent_batch_never_goes_back(agent):
    agent.collect(record(0))
    agent.acknowledge(agent.seal())
    for statement in (
        "UPDATE batches SET status = 'sealed', sent_at = NULL, store = NULL",
        "UPDATE batches SET attempts = 9",
    ):
        with pytest.raises(DataError, match="would break a promise"):
            agent.database.execute(statement)
    with pytest.raises(DataError, match="would break a promise"):
        agent.database.execute("UPDATE outbox SET status = 'pending', batch_id = NULL")


def test_at_most_a_hundred_batches_are_sealed_ahead(agent):
    agent.collect(*[record(n) for n in range(delivery.MAX_SEALED + 1)])
    for _ in range(delivery.MAX_SEALED):
        agent.seal(Limits(1, 10**6))
    assert agent.delivery.seal(Limits(1, 10**6), "zstd") is None
    agent.acknowledge(agent.delivery.sealed()[0])
    assert agent.seal(Limits(1, 10**6)).first_sequence == delivery.MAX_SEALED + 1


def test_acknowledging_marks_the_batch_and_exactly_its_rows(agent):
    agent.collect(*[record(n) for n in range(4)])
    first, second = agent.seal(Limits(2, 10**6)), agent.seal(Limits(2, 10**6))
    assert agent.acknowledge(second)
    assert agent.database.execute("SELECT sequence, status, batch_id FROM outbox") == [
        (1, "pending", None),
        (2, "pending", None),
        (3, "sent", second.id),
        (4, "sent", second.id),
    ]
    assert agent.outbox.waiting() == 2
    assert agent.delivery.sealed() == [first]
    assert agent.database.execute("SELECT objects, sent FROM runs") == [(1, 2)]


def test_a_second_uploader_finds_the_batch_sent_and_is_content(agent):
    agent.collect(record(0))
    batch = agent.seal()
    assert agent.acknowledge(batch)
    assert not agent.acknowledge(batch)
    assert agent.database.value("SELECT sent FROM runs") == 1


def test_a_seal_that_another_uploader_made_meanwhile_is_not_made_twice(agent, path, clock, monkeypatch):
    agent.collect(record(0))
    real = agent.delivery._lines

    def slow(*arguments):
        lines = real(*arguments)
        monkeypatch.undo()
        agent.seal()  # the other uploader, between our reading and our transaction
        return lines

    monkeypatch.setattr(agent.delivery, "_lines", slow)
    assert agent.delivery.seal(LIMITS, "zstd") is None
    assert len(agent.delivery.sealed()) == 1


DAMAGES = {
    "a body is altered": ("UPDATE bodies SET body = replace(body, '1.5', '2.5') WHERE sequence = 2", [2]),
    "a body is gone": ("DELETE FROM bodies WHERE sequence = 2", [2]),
    "a row is gone": ("DELETE FROM outbox WHERE sequence = 2", [2]),
    "the last row is gone": ("DELETE FROM outbox WHERE sequence = 3", [3]),
    "a whole body stands in another's row": (
        "UPDATE bodies SET (body, checksum) = (SELECT body, checksum FROM bodies WHERE sequence = 2) WHERE sequence = 1",
        [1],
    ),
    "a time is altered": ("UPDATE outbox SET collected_at = 'yesterday' WHERE sequence = 2", [2]),
}


def damage(agent, statement):
    for (trigger,) in agent.database.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'"):
        if not trigger.startswith(("batches", "voided")):
            agent.database.execute(f"DROP TRIGGER {trigger}")
    agent.database.execute(statement)


@pytest.mark.parametrize(("statement", "lost"), DAMAGES.values(), ids=DAMAGES)
def test_a_batch_that_was_damaged_after_its_seal_is_never_handed_out_but_sealed_again(agent, statement, lost):
    agent.collect(*[record(n) for n in range(3)])
    batch = agent.seal()
    damage(agent, statement)
    with pytest.raises(DataError, match="no longer matches its seal"):
        agent.delivery.lines(batch)
    again = agent.delivery.seal_again(batch, "damaged")
    assert [found.sequence for found in again.lost] == lost
    assert (again.batch.first_sequence, again.batch.last_sequence) == (1, 3)
    assert again.batch.object_key != batch.object_key
    assert again.batch.agent_id == batch.agent_id
    assert agent.delivery.lines(again.batch) == again.lines
    assert agent.database.execute("SELECT id, object_key, reason FROM voided") == [
        (batch.id, batch.object_key, "damaged")
    ]
    assert agent.delivery.sealed() == [again.batch]
    assert agent.acknowledge(again.batch)
    assert not agent.acknowledge(batch)


BEFORE_A_SEAL = {name: damage for name, damage in DAMAGES.items() if name != "the last row is gone"}


@pytest.mark.parametrize(("statement", "lost"), BEFORE_A_SEAL.values(), ids=BEFORE_A_SEAL)
def test_a_record_that_was_damaged_before_its_seal_leaves_a_line_that_says_so(agent, statement, lost):
    agent.collect(*[record(n) for n in range(3)])
    damage(agent, statement)
    sealed = agent.delivery.seal(LIMITS, "none")
    lines = [json.loads(line) for line in sealed.lines.splitlines()]
    assert [line["sequence"] for line in lines] == [1, 2, 3]
    assert (
        [line["sequence"] for line in lines if "lost" in line]
        == lost
        == [one.sequence for one in sealed.lost]
    )
    told = [line for line in lines if "lost" in line]
    assert all("values" not in line and line["collected_at"] == "" for line in told)
    named = [line["record_id"] for line in told if "record_id" in line]
    assert len(named) == statement.startswith(("UPDATE outbox", "UPDATE bodies SET body"))
    reasons = agent.database.execute("SELECT reason FROM rejected ORDER BY id")
    assert reasons == [(f"sequence {n}: its text was damaged on the agent's disk",) for n in lost]
    assert agent.delivery.lines(sealed.batch) == sealed.lines
    assert agent.acknowledge(sealed.batch)


def test_a_sealed_batch_cannot_be_deleted_without_a_word_nor_a_sent_one_at_all(agent):
    agent.collect(record(0))
    batch = agent.seal()
    with pytest.raises(DataError, match="proof"):
        agent.database.execute("DELETE FROM batches")
    agent.acknowledge(batch)
    assert agent.delivery.seal_again(batch, "too late") is None
    assert agent.database.value("SELECT count(*) FROM voided") == 0
    with pytest.raises(DataError, match="proof"):
        agent.database.execute("DELETE FROM batches")


def test_a_failed_put_leaves_the_batch_sealed_and_says_why(agent):
    agent.collect(record(0))
    batch = agent.seal()
    agent.delivery.note_failure(batch, TransientError("the store is away"))
    assert agent.database.execute("SELECT status, attempts, last_error FROM batches") == [
        ("sealed", 1, "the store is away")
    ]
    assert agent.acknowledge(batch)
    assert agent.database.execute("SELECT status, attempts, last_error FROM batches") == [("sent", 2, None)]


def test_anything_tells_whether_an_upload_has_work(agent):
    assert not agent.delivery.anything()
    agent.collect(record(0))
    assert agent.delivery.anything()
    batch = agent.seal()
    assert agent.delivery.anything()
    agent.acknowledge(batch)
    assert not agent.delivery.anything()


def test_the_date_in_the_key_is_that_of_the_seal_in_utc(agent, clock):
    clock.moment = START.replace(hour=23, minute=59)
    agent.collect(record(0))
    batch = agent.seal()
    clock.advance(minutes=2)
    assert "/date=2026-11-23/" in agent.delivery.sealed()[0].object_key == batch.object_key
