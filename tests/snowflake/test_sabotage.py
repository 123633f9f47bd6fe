"""Sabotage: each deed is found by the view that should find it, and raises no problem but its own."""

import shutil
from datetime import date

import pytest

from tests.snowflake import sabotage_agents, sabotage_data, sabotage_objects, sabotage_times
from tests.snowflake.sabotage import DAYS, PLACES, SABOTAGES, Scene
from tests.snowflake.stand_in import Warehouse
from tests.snowflake.world import START, World, days_of

pytestmark = pytest.mark.xdist_group("sabotage")


@pytest.fixture(scope="module")
def right(folder):
    (folder / "right").mkdir()
    world = World(folder / "right")
    with world.agent() as acme, world.agent("bolt", "tampere") as bolt:
        days_of(world, {acme: PLACES, bolt: ("Tampere", "Turku")}, days=DAYS)
    world.clock.advance(hours=2)
    return world


@pytest.fixture(scope="module")
def warehouse():
    return Warehouse(START)


@pytest.fixture
def scene(right, folder):
    yield Scene(right.copied(folder / "scene"))
    shutil.rmtree(folder / "scene")


def problems(warehouse):
    return warehouse.query("SELECT problem, customer, site, agent_id, subject, detail FROM problems")


def test_the_world_that_was_not_sabotaged_has_no_finding(scene, warehouse):
    scene.fill(warehouse)
    assert problems(warehouse) == []
    assert {row["state"] for row in warehouse.query("SELECT state FROM completeness")} == {"complete"}


@pytest.mark.parametrize("sabotage", SABOTAGES, ids=lambda sabotage: sabotage.name)
def test_it_is_found_and_nothing_else_is(scene, warehouse, sabotage):
    sabotage.deed(scene)
    scene.fill(warehouse)
    found = [tuple(map(plain, row.values())) for row in warehouse.query(sabotage.query)]
    raised = problems(warehouse)
    assert (found, {row["problem"] for row in raised}) == (sabotage.finding, sabotage.problems), raised


def plain(value):
    return value.isoformat() if isinstance(value, date) else value


def test_there_are_many_kinds():
    assert len({sabotage.name for sabotage in SABOTAGES}) == len(SABOTAGES) >= 60
    assert all((sabotage_agents, sabotage_data, sabotage_objects, sabotage_times))
