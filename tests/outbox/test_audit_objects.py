"""Objects that a database does not know, under an identity that it gave up: told, but for an original's own."""

import pytest

from outbox.agents import renew
from outbox.audit.objects import Tiles, audit_store
from outbox.delivery import Limits
from outbox.salvage.salvage import salvage
from tests.support.agent import opened, record
from tests.support.damage import sabotage

TWO = Limits(2, 10**6)


class Shelf:
    """A store that holds these keys, and can only be listed."""

    def __init__(self, *keys):
        self.url = "file:///store"
        self.keys = sorted(keys)

    def list_objects(self, below=""):
        return iter([(key, 1) for key in self.keys if key.startswith(below)])

    def read_lines(self, key, encoding):
        raise AssertionError("nobody asked for a deep look")


def look(agent, *keys):
    with Tiles():
        return [tuple(found) for found in audit_store(agent.database, Shelf(*keys), deep=False)]


def unknown(batch):
    """The same records under another digest: what a database elsewhere, or an earlier one, sealed."""
    digest = batch.ndjson_sha256.hex()[:16]
    return batch.object_key.replace(digest, "0" * 16)


@pytest.mark.parametrize(
    ("reason", "meaning"),
    [
        ("restored", "which was sealed after the backup was made that is in use now"),
        ("moved", "which was sealed on the old machine after the database was moved"),
        ("cloned", None),
    ],
)
def test_objects_under_an_identity_given_up_are_told(agent, clock, reason, meaning):
    agent.collect(record(0), record(1), record(2))
    batch = agent.seal(TWO)
    agent.acknowledge(batch)
    assert look(agent, batch.object_key) == []
    renew(agent.database, reason, now=clock)
    assert look(agent, batch.object_key) == []
    after = agent.seal(TWO)
    agent.acknowledge(after)
    found = look(agent, batch.object_key, unknown(batch), after.object_key)
    if meaning is None:
        assert found == []
    else:
        ((kind, text, is_note),) = found
        assert (kind, is_note) == ("object-unknown", reason == "restored")
        assert meaning in text


def test_what_was_sealed_after_a_restore_by_the_identity_that_it_ended_is_a_copy_s(agent, clock):
    agent.collect(record(0), record(1))
    batch = agent.seal(TWO)
    renew(agent.database, "restored", now=clock)
    later = unknown(batch).replace("date=2026-11-23", "date=2026-11-24")
    ((_, text, is_note),) = look(agent, batch.object_key, later)
    assert not is_note
    assert "sealed after 2026-11-23, when that identity ended: a copy of it uploads too" in text


def test_the_identity_in_force_is_told_as_before(agent):
    agent.collect(record(0), record(1))
    batch = agent.seal(TWO)
    ((_, text, _),) = look(agent, unknown(batch))
    assert "which this database sealed as batch 1: a copy of the database uploads too" in text


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("DELETE FROM batches WHERE id = 1", []),  # its rows say that it was sent: only its name is gone
        ("DELETE FROM batches WHERE id = 2", ["object-unknown"]),
    ],
)
def test_after_a_salvage_only_what_may_be_there_twice_is_told(path, clock, damage, told):
    with opened(path, clock) as agent:
        agent.collect(record(0), record(1), record(2), record(3))
        first, second = agent.seal(TWO), agent.seal(TWO)
        agent.acknowledge(first)
        sabotage(agent, damage)
        agent.database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    salvage(path, customer="acme", site="helsinki", now=clock)
    with opened(path, clock) as agent:
        assert [kind for kind, *_ in look(agent, first.object_key, second.object_key)] == told
