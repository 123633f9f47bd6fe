"""What can go wrong with what agents read and say: clocks, units, time zones, counts, deletions and erasures."""

import json
from datetime import timedelta

import pytest

from outbox.errors import DataError
from outbox.record import Record
from outbox.runs import note_clock, recorded
from tests.snowflake.sabotage import Scene, recipe, sabotage
from tests.snowflake.sabotage_agents import bring_new, damage
from tests.snowflake.world import START, weather

LAST_EVENING = START + timedelta(days=2, hours=18)
FAHRENHEIT = {"values": {"temperature_2m": 38.3}, "units": {"temperature_2m": "°F"}}


def reading(scene: Scene, *records: Record, source: str = "weather") -> None:
    """One more run of acme's agent, sent at once."""
    with scene.agent() as sender:
        sender.collect(*records, source=source)
        sender.tell()
        sender.upload()
    bring_new(scene)


@sabotage("SELECT problem, detail LIKE 'ahead%' FROM problems", [("clock", True)], "clock")
def clock_a_day_ahead(scene: Scene) -> None:
    right = scene.world.clock()
    scene.world.clock.advance(days=1)
    with scene.agent() as sender:
        sender.collect(weather(scene.world.clock()))
        sender.upload()
    scene.world.clock.moment = right
    late = [each for each in scene.world.objects if each not in {found for found, _ in scene.landing}]
    scene.bring([each._replace(stored_at=right) for each in late])


@sabotage("SELECT clock_offset_s FROM agents WHERE customer = 'acme'", [(300.0,)], "clock")
def clock_that_differs_from_the_stores(scene: Scene) -> None:
    clock = scene.world.clock
    with scene.agent() as sender:
        with recorded(sender.database, "upload", now=clock) as run_id:
            note_clock(sender.database, run_id, clock() - timedelta(minutes=5), now=clock)
        sender.tell()
        sender.upload()
    bring_new(scene)


@sabotage(
    "SELECT unit, units FROM datapoints WHERE datapoint = 'temperature_2m' AND customer = 'acme' ORDER BY unit",
    [("°C", 2), ("°F", 2)], "unit",
)  # fmt: skip
def unit_changed(scene: Scene) -> None:
    reading(scene, weather(scene.world.clock(), **FAHRENHEIT))


@sabotage(
    "SELECT datapoint, number, unit FROM observations WHERE observed_at = '2026-11-22 18:00:00' AND customer = 'acme' "
    "AND entity = 'Jyväskylä' ORDER BY datapoint",
    [("is_day", 1, None), ("temperature_2m", -5, "°C"), ("wind_speed_10m", 4.25, "km/h")],
)  # fmt: skip
def datapoint_removed_from_the_configuration(scene: Scene) -> None:
    moment = LAST_EVENING
    short = {"values": {"temperature_2m": -5}, "units": {"temperature_2m": "°C"}}
    reading(scene, weather(moment, "Jyväskylä", **short))


@sabotage(
    "SELECT (SELECT COUNT(*) FROM records WHERE source = 'weather' AND observed_at = '2026-11-22 18:00:00'),"
    " (SELECT COUNT(*) FROM observations WHERE observed_at = '2026-11-22 18:00:00' AND customer = 'acme'),"
    " (SELECT COUNT(*) FROM record_history WHERE deleted)",
    [(3, 3, 1)],
)  # fmt: skip
def record_deleted(scene: Scene) -> None:
    moment = LAST_EVENING
    reading(scene, weather(moment, "Helsinki", values={}, units={}, deleted=True))


@sabotage(
    "SELECT datapoint, number FROM observations WHERE observed_at = '2026-11-22 18:00:00' AND customer = 'acme' "
    "AND entity = 'Helsinki'",
    [("humidity", 80)],
)  # fmt: skip
def record_deleted_and_made_anew(scene: Scene) -> None:
    moment = LAST_EVENING
    reading(scene, weather(moment, "Helsinki", values={}, units={}, deleted=True))
    reading(scene, weather(moment, "Helsinki", values={"humidity": 80}, units={}))


@sabotage("SELECT state, landed, new_count FROM reconciliation WHERE state <> 'agrees'", [("not all landed", 8, 9)],
          "gap", "short file", "reconciliation")  # fmt: skip
def new_record_that_did_not_land(scene: Scene) -> None:
    scene.edit(4, lambda lines: lines[1:])


@sabotage(
    "SELECT state, read_count, new_count FROM reconciliation WHERE state <> 'agrees'",
    [("counts disagree", 14, 9)], "reconciliation",
)  # fmt: skip
def run_whose_counts_disagree(scene: Scene) -> None:
    def more_read(lines: list[dict]) -> list[dict]:  # type: ignore[type-arg]
        return [*lines[:-1], lines[-1] | {"values": lines[-1]["values"] | {"read": 5}}]

    scene.edit(5, more_read)


@sabotage(
    "SELECT state, landed - new_count FROM reconciliation WHERE state <> 'agrees'",
    [("more landed than runs say", 2)], "gap", "reconciliation",
)  # fmt: skip
def run_that_was_never_told(scene: Scene) -> None:
    scene.drop(scene.acme()[5])


@sabotage(
    "SELECT state, missing, erased > 50, (SELECT COUNT(*) FROM records WHERE customer = 'acme') FROM completeness "
    "WHERE customer = 'acme'",
    [("erased", 0, True, 0)], "unexpected",
)  # fmt: skip
def customer_erased(scene: Scene) -> None:
    scene.scripts.append(recipe("erase", customer="acme"))


@sabotage(
    "SELECT state, missing, erased, (SELECT COUNT(*) FROM entities WHERE entity = 'Helsinki'),"
    " (SELECT COUNT(*) > 0 FROM entities WHERE entity = 'Jyväskylä') FROM completeness WHERE customer = 'acme'",
    [("erased", 0, 15, 0, True)],
)  # fmt: skip
def entity_erased(scene: Scene) -> None:
    scene.scripts.append(recipe("erase", customer="acme", entity="Helsinki"))


@sabotage("SELECT (SELECT COUNT(*) FROM records WHERE customer = 'bolt') > 50, COUNT(*) FROM violations", [(True, 1)],
          "violation file", "short file", "gap", "reconciliation")  # fmt: skip
def stolen_key_that_names_another_customers_record(scene: Scene) -> None:
    """The line says bolt, with bolt's record and a later agent_since; its path says acme."""
    (theirs,) = [each for each, _ in scene.landing if "customer=bolt/" in each.key][:1]
    line = json.loads(theirs.ndjson.splitlines()[0])
    scene.edit(
        4, lambda lines: [line | {"agent_since": "2030-01-01T00:00:00.000Z", "sequence": 14}, *lines[1:]]
    )


@sabotage(
    "SELECT customer, record_values:temperature_2m::VARCHAR FROM records WHERE record_id = (SELECT MIN(record_id) "
    "FROM records WHERE customer = 'bolt' AND source = 'weather') ORDER BY customer",
    [("acme", "3.5"), ("bolt", "3.5")],
)  # fmt: skip
def record_id_of_another_customers_record(scene: Scene) -> None:
    """A stolen key may say anything of its own customer, a record_id too: the other's record stays as it is."""
    theirs = [
        json.loads(line)
        for each, _ in scene.landing
        if "=bolt/" in each.key
        for line in each.ndjson.splitlines()
    ]
    lowest = min(line["record_id"] for line in theirs if line["source"] == "weather")
    later = {"record_id": lowest, "agent_since": "2030-01-01T00:00:00.000Z"}
    scene.edit(4, lambda lines: [lines[0] | later, *lines[1:]])


@sabotage(
    "SELECT record_values:temperature_2m::VARCHAR, (SELECT MIN(lost) IS NOT NULL FROM lost_lines),"
    " (SELECT SUM(landed) FROM reconciliation WHERE source = 'orders' AND state = 'agrees') FROM records "
    "WHERE source = 'orders'",
    [("1.5", True, 2)], "lost",
)  # fmt: skip
def correction_lost_on_the_agents_disk(scene: Scene) -> None:
    """What was true before stands: a lost line says nothing of its record."""
    moment = scene.world.clock()
    reading(scene, weather(moment, values={"temperature_2m": 1.5}), source="orders")
    with scene.agent() as sender:
        sender.collect(weather(moment, values={"temperature_2m": 3.5}), source="orders")
        damage(scene, sender)
        with pytest.raises(DataError, match="damaged"):
            sender.upload()
        sender.world.note_new()
        scene.world.clock.advance(hours=1)
        sender.tell()
        sender.upload()
    bring_new(scene)
