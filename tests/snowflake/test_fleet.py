"""A fleet: two hundred agents into one bucket, revisions, overlaps and losses among them, held against the oracle."""

import random
from datetime import timedelta

import pytest

from tests.snowflake import oracle
from tests.snowflake.sabotage import ndjson, renamed
from tests.snowflake.stand_in import LANDS_AFTER
from tests.snowflake.world import World, landed, weather

pytestmark = pytest.mark.xdist_group("fleet")

AGENTS, ROUNDS, SEED = 200, 3, 20261123
NAMES = ("temperature_2m", "humidity", "pressure")


def send(world, chance, number):
    """One agent of one of a hundred customers: every site of a second customer has two agents."""
    customer, site = f"customer{number % 100:03d}", "main" if number % 4 else f"site{number}"
    with world.agent(customer, site, encoding=chance.choice(["zstd", "gzip", "none"])) as sender:
        begun = world.clock()
        for step in range(ROUNDS):
            moments = [begun - timedelta(hours=chance.randrange(5)) for _ in range(3)]
            readings = {(moment, place): None for moment in moments for place in ("north", "south")}
            sender.collect(*[reading(chance, moment, place) for moment, place in readings])
            sender.send(max_records=chance.randrange(2, 5))
            world.clock.advance(seconds=chance.randrange(1, 90))
            if number % 17 == 0 and step == 1:
                sender.renew()


def reading(chance, moment, place):
    """A reading of some of the datapoints; one in ten is withdrawn."""
    if chance.random() < 0.1:
        return weather(moment, place, values={}, units={}, deleted=True)
    names = chance.sample(NAMES, chance.randrange(1, 4))
    values = {name: chance.choice([1.5, 2, -3, True, "n/a"]) for name in names}
    return weather(moment, place, values=values, units=dict.fromkeys(names, "u"))


def disturbed(chance, objects):
    """One object in five gets lost, comes twice, under another name as well, cut off, altered, or late."""
    result = []
    for found in objects:
        deed = chance.choice(["lost", "twice", "copied", "cut", "altered"]) if chance.random() < 0.2 else ""
        lines = [oracle.json.loads(line) for line in found.ndjson.splitlines()]
        result += {
            "": [found],
            "lost": [],
            "twice": [found, found],
            "copied": [found, renamed(found, date="2026-12-24")],
            "cut": [found._replace(ndjson=ndjson(lines[:-1]))],
            "altered": [
                found,
                renamed(found, digest="f" * 16)._replace(ndjson=ndjson([*lines[:-1], other(lines[-1])])),
            ],
        }[deed]
    chance.shuffle(result)
    return result


def other(line):
    """The line of another database that goes under the same identity."""
    return line | {"values": {"pressure": 99}, "deleted": False, "collected_at": "2026-12-24T00:00:00.000Z"}


@pytest.fixture(scope="module")
def bucket(folder):
    chance, world = random.Random(SEED), World(folder)
    for number in range(AGENTS):
        send(world, chance, number)
    return disturbed(chance, world.objects), world.clock()


@pytest.fixture(scope="module")
def warehouse(bucket):
    objects, now = bucket
    return landed(objects, now + LANDS_AFTER)


def test_it_is_a_fleet(bucket):
    objects, _ = bucket
    assert len({oracle.ObjectName.parse(found.key).agent_id for found in objects}) >= AGENTS
    assert len(objects) > 4 * AGENTS
    revisions = oracle.revisions(objects)
    assert sum(len(lines) > 1 for lines in revisions.values()) > AGENTS


def test_records_are_the_oracles(bucket, warehouse):
    rows = warehouse.query("SELECT customer, site, record_id, agent_id, sequence FROM records")
    found = {(r["customer"], r["site"], r["record_id"]): (r["agent_id"], r["sequence"]) for r in rows}
    expected = {key: (line["agent_id"], line["sequence"]) for key, line in oracle.records(bucket[0]).items()}
    assert len(rows) == len(found)
    assert found == expected


def test_observations_are_the_oracles(bucket, warehouse):
    rows = warehouse.query(
        "SELECT customer, site, record_id, datapoint, value::VARCHAR AS value, number, unit FROM observations"
    )
    found = {
        (r["customer"], r["site"], r["record_id"], r["datapoint"]): (r["number"], r["unit"]) for r in rows
    }
    expected = {
        key: (value if type(value) in (int, float) else None, unit)
        for key, (value, unit) in oracle.observations(bucket[0]).items()
    }
    assert len(rows) == len(found)
    assert found == expected


def test_history_holds_every_revision_once(bucket, warehouse):
    rows = warehouse.query("SELECT customer, site, record_id, COUNT(*) AS n FROM record_history GROUP BY ALL")
    found = {(r["customer"], r["site"], r["record_id"]): r["n"] for r in rows}
    assert found == {key: len(lines) for key, lines in oracle.revisions(bucket[0]).items()}


def test_completeness_is_the_oracles(bucket, warehouse):
    rows = warehouse.query("SELECT * FROM completeness")
    found = {
        row["agent_id"]: oracle.Complete(*(row[name] for name in oracle.Complete._fields)) for row in rows
    }
    expected = oracle.completeness(bucket[0])
    assert found == expected
    assert {len(rows)} == {len(found)}
    assert {bool(complete.gaps) for complete in expected.values()} == {True, False}
    assert {bool(complete.forks) for complete in expected.values()} == {True, False}


def test_objects_remember_every_range(bucket, warehouse):
    rows = warehouse.query("SELECT file, lines, file_rows FROM objects")
    times = {
        found.key: [other.key for other in bucket[0]].count(found.key) for found in bucket[0] if found.ndjson
    }
    assert {row["file"]: row["lines"] // row["file_rows"] for row in rows} == times


def test_collisions_are_the_oracles(bucket, warehouse):
    rows = warehouse.query("SELECT customer, site, record_id, agents, revisions FROM collisions")
    expected = {
        (*key, len({line["agent_id"] for line in lines}), len(lines))
        for key, lines in oracle.revisions(bucket[0]).items()
        if len({line["agent_id"] for line in lines}) > 1
    }
    assert {tuple(row.values()) for row in rows} == expected
    assert expected
