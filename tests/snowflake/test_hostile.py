"""What a stolen key may put below its own folder stops nobody else's data, no view and no mail."""

import json
from datetime import timedelta

import pytest

from tests.snowflake.stand_in import Object, Warehouse
from tests.snowflake.test_recipes import mailed
from tests.snowflake.world import START

AGENT = "0123456789abcdef-000000000001"
KEY = f"raw/data/customer={{}}/site=oulu/agent={AGENT}/date=2026-11-23/{{:012d}}-{{:012d}}-0123456789abcdef.ndjson"


def line(sequence, customer="acme", **said):
    told = {
        "agent_id": AGENT, "agent_since": "2026-11-20T00:00:00.000Z", "collected_at": "2026-11-20T00:00:00.000Z",
        "customer_id": customer, "site": "oulu", "sequence": sequence, "record_id": f"r{sequence}",
        "source": "weather", "stream": "current", "entity": "Oulu", "observed_at": "2026-11-20T00:00:00Z",
        "values": {"t": 1},
    }  # fmt: skip
    return told | said


def put(*lines, customer="acme"):
    first, last = lines[0]["sequence"], lines[-1]["sequence"]
    text = "".join(json.dumps(each) + "\n" for each in lines)
    return Object(KEY.format(customer, first, last), text.encode(), START)


@pytest.fixture(scope="module")
def made():
    return Warehouse(START)


@pytest.fixture
def warehouse(made):
    made.clear(START + timedelta(hours=1))
    return made


def taken(warehouse, *objects):
    for each in objects:
        warehouse.land(each)
    warehouse.take()
    return warehouse.query("SELECT customer, sequence, violation FROM lines ORDER BY customer, sequence")


def test_a_line_that_no_column_holds_is_kept_apart_and_the_others_go_on(warehouse):
    long = put(line(1, entity="x" * 17_000_000))
    assert taken(warehouse, long, put(line(1, "bolt"), customer="bolt")) == [
        {"customer": "acme", "sequence": None, "violation": "size"},
        {"customer": "bolt", "sequence": 1, "violation": None},
    ]


@pytest.mark.parametrize("missing", ["record_id", "agent_since", "observed_at"])
def test_a_null_is_no_reason_to_be_without_what_a_record_needs(warehouse, missing):
    (row,) = taken(warehouse, put(line(1, lost=None, **{missing: None})))
    assert row["violation"] == "record"


def test_figures_beyond_measure_break_no_sum(warehouse):
    runs = [
        line(
            number, source="agent", stream="runs", entity="weather", record_id=f"run{number}",
            values={"started_at": "2026-11-19T23:59:00Z", "finished_at": "2026-11-20T00:01:00Z",
                    "read": 9 * 10**37, "new": 0, "unchanged": 0, "rejected": 0},
        )
        for number in (1, 2, 3)
    ]  # fmt: skip
    taken(warehouse, put(*runs))
    assert len(warehouse.query("SELECT * FROM agent_runs")) == 3
    (row,) = warehouse.query("SELECT runs, read_count FROM reconciliation")
    assert row == {"runs": 3, "read_count": None}
    assert [row["problem"] for row in warehouse.query("SELECT problem FROM problems")] == ["unexpected"]


def test_a_flood_of_problems_is_one_mail_that_says_how_many_more(warehouse):
    for number in range(1, 502, 2):  # every second sequence is missing
        warehouse.land(put(line(number)))
    warehouse.land(put(line(2, "zinc"), customer="zinc"))
    warehouse.set_now(START + timedelta(days=1))
    warehouse.take()
    found = len(warehouse.query("SELECT problem_key FROM problems"))
    assert found > 250
    lines = mailed(warehouse, START + timedelta(days=1)).splitlines()
    assert len(lines) == 201
    assert lines[-1] == f"and {found - 200} more, in the view problems"
    assert max(map(len, lines)) <= 300
    assert {each.split()[1] for each in lines[:-1]} == {"acme", "zinc"}
