"""The shipped views, run on what a real upload wrote, against an oracle in plain Python."""

import pytest

from tests.cli.test_init import store_one
from tests.snowflake import oracle
from tests.snowflake.stand_in import PREFIX, Warehouse, objects_below
from tests.snowflake.world import START, World, days_of, landed

ACME, BOLT = ("Helsinki", "Jyväskylä"), ("Tampere", "O'Brien's \\ yard")


@pytest.fixture(scope="module")
def busy(folder):
    world = World(folder)
    with world.agent() as acme, world.agent("bolt", "tampere", encoding="gzip") as bolt:
        days_of(world, {acme: ACME, bolt: BOLT})
    world.clock.advance(hours=1)
    return world


@pytest.fixture(scope="module")
def warehouse(busy):
    warehouse = landed(busy.objects, busy.clock())
    warehouse.run("INSERT INTO expected VALUES ('acme', 'helsinki', 'a@acme.example', 86400, NULL);")
    warehouse.run("INSERT INTO expected VALUES ('bolt', 'tampere', NULL, 86400, NULL);")
    return warehouse


def found_records(warehouse):
    rows = warehouse.query("SELECT customer, site, record_id, record_values, sequence FROM records")
    return {(row["customer"], row["site"], row["record_id"]): row for row in rows}


def test_each_record_stands_once_with_its_latest_revision(busy, warehouse):
    found, expected = found_records(warehouse), oracle.records(busy.objects)
    assert found.keys() == expected.keys()
    assert len(found) > 80
    for key, line in expected.items():
        assert found[key]["sequence"] == line["sequence"]
    assert len(warehouse.query("SELECT * FROM record_history")) == sum(
        map(len, oracle.revisions(busy.objects).values())
    )


def test_observations_are_the_latest_value_that_each_datapoint_had(busy, warehouse):
    rows = warehouse.query("SELECT customer, site, record_id, datapoint, value, unit FROM observations")
    found = {(r["customer"], r["site"], r["record_id"], r["datapoint"]): r for r in rows}
    expected = oracle.observations(busy.objects)
    assert found.keys() == expected.keys()
    assert len(rows) == len(found)
    for key, (_, unit) in expected.items():
        assert found[key]["unit"] == unit
    temperatures = warehouse.query(
        "SELECT number FROM observations WHERE datapoint = 'temperature_2m' AND customer = 'acme' AND number > 4"
    )
    assert temperatures == [{"number": 4.5}] * 2


def test_every_agent_is_complete_and_nothing_is_a_problem(busy, warehouse):
    for row in warehouse.query("SELECT * FROM completeness"):
        expected = oracle.completeness(busy.objects)[row["agent_id"]]
        assert row["state"] == "complete"
        assert oracle.Complete(*(row[name] for name in oracle.Complete._fields)) == expected
    assert warehouse.query("SELECT problem, customer, subject, detail FROM problems") == []


def test_the_agents_say_how_they_are(busy, warehouse):
    (row,) = warehouse.query("SELECT * FROM agents WHERE customer = 'acme'")
    assert (row["state"], row["contact"], row["waiting"]) == ("heard", "a@acme.example", 3)
    assert (row["upload_key"], row["upload_key_age_s"]) == ("7Q2F", 86_400)
    assert row["version"]
    assert row["free_disk_bytes"] > 0


def test_what_was_read_is_what_landed(busy, warehouse):
    rows = warehouse.query("SELECT * FROM reconciliation WHERE customer = 'acme' ORDER BY day")
    counts = ("read_count", "new_count", "unchanged_count", "rejected_count", "landed")
    # By hand, from `days_of`: four times two readings a day, an input rejected in the morning, and in the
    # evening one correction and one repetition.
    assert [(row["day"].isoformat(), *(row[name] for name in counts)) for row in rows] == [
        ("2026-11-20", 11, 9, 1, 1, 9),
        ("2026-11-21", 11, 9, 1, 1, 9),
    ]
    assert {row["state"] for row in rows} == {"agrees"}


def test_the_weather_of_the_replaced_project_is_a_view(busy, warehouse):
    rows = warehouse.query("SELECT * FROM current_weather WHERE customer = 'bolt' ORDER BY time, location")
    assert len(rows) == 16
    assert rows[0] == {
        "customer": "bolt",
        "location": "O'Brien's \\ yard",
        "time": START.replace(tzinfo=None),
        "is_day": 1,
        "temperature": 3.5,
        "wind_speed": 4.25,
    }


def test_the_lists_of_what_there_is(busy, warehouse):
    (acme,) = warehouse.query("SELECT * FROM customers WHERE customer = 'acme'")
    assert (acme["sites"], acme["agents"], acme["sources"]) == (1, 1, 2)
    entities = warehouse.query(
        "SELECT entity, latitude, longitude, records FROM entities WHERE source = 'weather'"
    )
    assert {(e["entity"], e["latitude"], e["longitude"], e["records"]) for e in entities} == {
        (place, 60.1695, 24.9354, 8) for place in ("Helsinki", "Jyväskylä", "Tampere", "O'Brien's \\ yard")
    }
    units = warehouse.query(
        "SELECT datapoint, unit, units FROM datapoints WHERE source = 'weather' AND customer = 'acme'"
    )
    assert {(u["datapoint"], u["unit"], u["units"]) for u in units} == {
        ("temperature_2m", "°C", 1),
        ("wind_speed_10m", "km/h", 1),
        ("is_day", None, 1),
    }


def test_each_leg_has_its_time(busy, warehouse):
    rows = warehouse.query("SELECT * FROM latency WHERE source = 'weather' AND customer = 'acme'")
    assert {(r["collected_median_s"], r["stored_median_s"], r["landed_median_s"]) for r in rows} == {
        (0, 300, 30)
    }
    assert {r["suspicion"] for r in rows} == {None}


def test_what_the_command_uploads_lands(agent, outbox):
    agent.configure()
    store_one(agent.folder, seal=False)
    assert outbox("upload").code == 0
    warehouse = Warehouse(START)
    for found in objects_below(agent.objects, START):
        assert found.key.startswith(PREFIX + "data/customer=acme/site=helsinki/agent=")
        assert warehouse.land(found)
    warehouse.take()
    (row,) = warehouse.query("SELECT customer, site, state, complete_to FROM completeness")
    assert row == {"customer": "acme", "site": "helsinki", "state": "complete", "complete_to": 1}
    assert len(warehouse.query("SELECT * FROM records")) == 1
