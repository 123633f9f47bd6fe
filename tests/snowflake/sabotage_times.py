"""What can go wrong with days and hours: entities that are missing, thin days, time zones; and what is right."""

from datetime import timedelta

from tests.snowflake.sabotage import PLACES, Scene, sabotage
from tests.snowflake.sabotage_agents import a_day, bring_new
from tests.snowflake.sabotage_data import reading
from tests.snowflake.world import START, days_of, weather


@sabotage(
    "SELECT entity, day, records, state FROM coverage WHERE state = 'missing'",
    [("Helsinki", "2026-11-23", 0, "missing")], "coverage",
)  # fmt: skip
def entity_missing_on_a_day(scene: Scene) -> None:
    with scene.agent() as acme, scene.agent(2) as bolt:
        days_of(scene.world, {acme: ("Jyväskylä", "Jyväskylä"), bolt: ("Tampere", "Turku")}, days=1)
    bring_new(scene)
    scene.world.clock.advance(hours=1)


@sabotage(
    "SELECT entity, records, usual FROM coverage WHERE state = 'fewer than usual' AND customer = 'acme' ORDER BY entity",
    [("Helsinki", 1, 4), ("Jyväskylä", 1, 4)], "coverage",
)  # fmt: skip
def fewer_records_than_usual(scene: Scene) -> None:
    reading(scene, *[weather(scene.world.clock(), place) for place in PLACES])
    a_day(scene)
    scene.world.clock.advance(hours=1)
    scene.expected = {key: text.replace("21600", "86400") for key, text in scene.expected.items()}


@sabotage(
    "SELECT DISTINCT stream, whole_hours, suspicion IS NOT NULL FROM latency WHERE source = 'meters'",
    [("current", 2, True)], "time zone",
)  # fmt: skip
def source_two_hours_off(scene: Scene) -> None:
    for _ in range(4):
        scene.world.clock.advance(hours=1)
        reading(scene, weather(scene.world.clock() - timedelta(hours=2, minutes=2)), source="meters")


@sabotage(
    "SELECT whole_hours FROM latency WHERE source = 'meters' AND suspicion IS NOT NULL",
    [(-3,)] * 4,
    "time zone",
)
def source_three_hours_in_the_future(scene: Scene) -> None:
    for _ in range(4):
        scene.world.clock.advance(hours=1)
        reading(scene, weather(scene.world.clock() + timedelta(hours=3, minutes=-1)), source="meters")


@sabotage("SELECT DISTINCT whole_hours, suspicion FROM latency WHERE source = 'export'", [(5, None)])
def export_of_every_midnight_collected_at_five(scene: Scene) -> None:
    """No sabotage: a steady whole number of hours that is right, and must not be suspected."""
    scene.world.clock.moment = START + timedelta(days=3, hours=5, minutes=4)
    for _ in range(4):
        midnight = scene.world.clock().replace(hour=0, minute=0)
        with scene.agent() as acme, scene.agent(2) as bolt:
            for sender, places in ((acme, PLACES), (bolt, ("Tampere", "Turku"))):
                for hour in range(4):
                    sender.collect(*[weather(midnight + timedelta(hours=hour), place) for place in places])
                sender.collect(weather(midnight, places[0]), source="export")
                sender.tell()
                sender.upload()
        bring_new(scene)
        scene.world.clock.advance(days=1)
    scene.world.clock.advance(hours=-22)


@sabotage("SELECT COUNT(*) FROM coverage WHERE day > '2026-11-23'", [(0,)])
def forecast_of_the_days_to_come(scene: Scene) -> None:
    """No sabotage: what is foretold is not missing, and no day is thin before it is over."""
    moment = scene.world.clock()
    reading(scene, *[weather(moment + timedelta(hours=n), stream="hourly") for n in range(72)])


@sabotage(
    "SELECT entity, day, records, usual FROM coverage WHERE state = 'fewer than usual'",
    [("Oulu", "2026-11-24", 1, 4)], "coverage",
)  # fmt: skip
def new_entity_thin_on_its_second_day(scene: Scene) -> None:
    """What is usual is counted from an entity's first day on."""
    with scene.agent() as acme, scene.agent(2) as bolt:
        days_of(scene.world, {acme: (*PLACES, "Oulu"), bolt: ("Tampere", "Turku")}, days=1)
        acme.collect(weather(scene.world.clock(), "Oulu"))
        days_of(scene.world, {acme: PLACES, bolt: ("Tampere", "Turku")}, days=1)
    bring_new(scene)


@sabotage(
    "SELECT DISTINCT collected_median_s, suspicion FROM latency WHERE source = 'meters'", [(7200, None)]
)
def readings_of_several_ages(scene: Scene) -> None:
    """No sabotage: the median is a whole number of hours, but the hours are not steady."""
    for _ in range(4):
        scene.world.clock.advance(hours=1)
        moment = scene.world.clock()
        ages = [timedelta(hours=1), timedelta(hours=2), timedelta(hours=3)]
        reading(scene, *[weather(moment - age, f"place {age}") for age in ages], source="meters")


@sabotage(
    "SELECT DISTINCT whole_hours, suspicion FROM latency WHERE stream = 'runs' AND whole_hours = 1",
    [(1, None)],
)
def runs_that_are_told_an_hour_later(scene: Scene) -> None:
    """No sabotage: the agent tells of its last runs when it looks at itself, an hour later here."""
    for _ in range(5):
        with scene.agent() as sender:
            sender.tell()
            sender.upload()
            sender.collect(weather(scene.world.clock()))
        scene.world.clock.advance(hours=1)
    bring_new(scene)
