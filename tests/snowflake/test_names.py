"""What the task reads in an object's path is what the agent's own code reads there."""

import pytest

from outbox.object_name import ObjectName
from tests.snowflake.stand_in import Object, Warehouse
from tests.snowflake.world import START

AGENT = "0123456789abcdef-000000000003"
GOOD = f"raw/data/customer=acme/site=oulu-2/agent={AGENT}/date=2026-11-23/000000000003-000000000012-0123456789abcdef.ndjson"
KEYS = [
    GOOD,
    GOOD + ".zst",
    GOOD + ".gz",
    GOOD.removeprefix("raw/"),
    "a/b/data/c/" + GOOD,
    "raw/data/customer=bolt/" + GOOD,
    "a=b/" + GOOD,
    GOOD.replace("000000000012", "1000000000012"),
    GOOD.replace("000000000012", "000000000003"),
    GOOD.replace("000000000012", "000000000002"),
    GOOD.replace("000000000003-000000000012", "000000000002-000000000012"),
    GOOD.replace("-000000000003/", "-000000000000/"),
    GOOD.replace("-000000000003/", "-00000000000x/"),
    GOOD.replace(AGENT, AGENT[1:]),
    GOOD.replace("customer=acme", "customer="),
    GOOD.replace("customer=acme", "customer=a=b"),
    GOOD.replace("customer=acme", "Customer=acme"),
    GOOD.replace("customer=acme/", ""),
    GOOD.replace("site=oulu-2/", "site=oulu-2/x/"),
    GOOD.replace("2026-11-23", "2026-1-23"),
    GOOD.replace("000000000012", "12"),
    GOOD.replace("cdef.ndjson", "cdeF.ndjson"),
    GOOD.replace("cdef.ndjson", "cde.ndjson"),
    GOOD.replace("cdef.ndjson", "cdef-1.ndjson"),
    GOOD + ".bz2",
    GOOD + "/",
    GOOD.replace("/data/", "/check/"),
    GOOD.replace("raw/data/", "raw-data/"),
    GOOD.replace("/", "\\"),
    "",
    "readme.txt",
]


@pytest.fixture(scope="module")
def found():
    warehouse = Warehouse(START)
    warehouse.land_all((Object(key, b'{"a":1}\n', START), START) for key in KEYS)
    warehouse.take()
    rows = warehouse.query(
        "SELECT file, customer, site, agent_id, sealed_on::VARCHAR AS date, first_sequence, last_sequence, digest, "
        "violation FROM lines"
    )
    return {row.pop("file"): row for row in rows}


@pytest.mark.parametrize("key", KEYS)
def test_a_path_says_the_same_to_both(found, key):
    name, row = ObjectName.parse(key), found[key]
    said = (
        (
            name.customer,
            name.site,
            name.agent_id,
            name.date,
            name.first_sequence,
            name.last_sequence,
            name.digest,
        )
        if name
        else (None,) * 7
    )
    assert tuple(row.values())[:7] == said
    assert (row["violation"] == "name") is (name is None)


@pytest.mark.parametrize("above", ["raw/data/customer=bolt/", "raw/data/customer=bolt/site=x/raw/", "a=b/"])
def test_a_stolen_key_cannot_nest_another_customers_path_in_its_own(above):
    warehouse = Warehouse(START)
    warehouse.land(Object(above + GOOD.removeprefix("raw/"), b'{"a":1}\n', START))
    warehouse.take()
    assert warehouse.query("SELECT violation, customer FROM lines") == [
        {"violation": "name", "customer": None}
    ]


def test_there_are_good_names_and_bad_ones():
    good = [key for key in KEYS if ObjectName.parse(key)]
    assert 6 <= len(good) < len(KEYS) - 15
