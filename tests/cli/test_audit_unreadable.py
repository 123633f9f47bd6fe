"""outbox audit where it cannot look at everything: it says so, also to machines, and never that all is well."""

import json
import shutil

import pytest

from tests.cli.test_audit import send


def zero_a_page_of_the_schema(content):
    content[100:4096] = bytes(3996)


def empty(content):
    content.clear()


@pytest.mark.parametrize("damage", [zero_a_page_of_the_schema, empty])
def test_a_database_that_cannot_be_opened_is_a_finding_for_machines_too(agent, outbox, damage):
    send(agent, 0, 1)
    for suffix in ("-wal", "-shm"):
        agent.database.with_name(agent.database.name + suffix).unlink()
    content = bytearray(agent.database.read_bytes())
    damage(content)
    agent.database.write_bytes(content)
    result = outbox("audit")
    assert result.code == 65
    assert result.out.endswith(".\n1 finding.\n"), result.out
    assert "outbox agent renew --salvage" in result.err
    result = outbox("audit", "--json")
    told = json.loads(result.out)
    assert (result.code, told["clean"]) == (65, False)
    assert [found["kind"] for found in told["findings"]] == ["unreadable"]


def test_what_was_not_looked_at_is_not_called_well(agent, outbox):
    send(agent, 0, 1)
    shutil.rmtree(agent.objects)
    result = outbox("audit", "--store")
    assert result.code == 69
    assert "Nothing wrong" not in result.out
    assert result.out.startswith("No findings, but not everything could be looked at. The database: ")
