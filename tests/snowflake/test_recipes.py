"""The recipes, run: has it arrived, erase, replay, and does an object hold what was sealed."""

from datetime import timedelta

import pytest

from outbox.snowflake import parts
from tests.snowflake.sabotage import recipe
from tests.snowflake.stand_in import PREFIX, statements
from tests.snowflake.world import World, days_of, landed

PLACES = ("Helsinki", "O'Brien's \\ yard")


@pytest.fixture(scope="module")
def sent(folder):
    world = World(folder)
    with world.agent() as acme, world.agent("bolt", "tampere") as bolt:
        days_of(world, {acme: PLACES, bolt: ("Tampere", "Turku")})
    return world


@pytest.fixture
def warehouse(sent):
    return landed(sent.objects, sent.clock())


def of(customer, sent):
    return [each for each in sent.objects if f"customer={customer}/" in each.key]


def arrived(warehouse, sent_to):
    words = {"customer": "acme", "site": "helsinki", "agent_id": "0000000000000001-000000000001"}
    (row,) = warehouse.run(recipe("arrived", **words, last_sequence=str(sent_to)))
    return row


def test_it_has_arrived_once_everything_that_was_sent_is_there(sent, warehouse):
    (row,) = warehouse.query("SELECT complete_to FROM completeness WHERE customer = 'acme'")
    last = row["complete_to"]
    assert arrived(warehouse, last)["has_arrived"]
    assert not arrived(warehouse, last + 1)["has_arrived"]
    behind = landed(of("acme", sent)[:-1], sent.clock())
    answer = arrived(behind, last)
    assert (answer["has_arrived"], answer["sent_to"], answer["complete_to"] < last) == (False, last, True)


def test_of_an_agent_that_has_sent_nothing_all_of_it_has_arrived(sent):
    empty = landed([], sent.clock())
    assert arrived(empty, 0)["has_arrived"]
    assert not arrived(empty, 1)["has_arrived"]


def test_an_erased_customer_leaves_the_proof_and_no_content(sent, warehouse):
    before = warehouse.query("SELECT * FROM completeness WHERE customer = 'bolt'")
    answer = warehouse.run(recipe("erase", customer="acme"))
    now = sent.clock().replace(tzinfo=None)
    assert answer == [
        {
            "customer": "acme",
            "entity_sha256": None,
            "erased_at": now,
            "time_travel_ends": now + timedelta(days=14),
            "fail_safe_ends": now + timedelta(days=21),
        }
    ]
    for table in ("records", "record_history", "observations", "entities", "current_weather", "expected"):
        assert warehouse.query(f"SELECT * FROM {table} WHERE customer = 'acme'") == []
    (row,) = warehouse.query("SELECT state, missing, lost FROM completeness WHERE customer = 'acme'")
    assert (row["state"], row["missing"], row["lost"]) == ("erased", 0, 0)
    assert warehouse.query("SELECT * FROM completeness WHERE customer = 'bolt'") == before
    assert "Helsinki" not in everything(warehouse)
    assert "Tampere" in everything(warehouse)


def test_an_erased_entity_is_gone_from_every_table_and_the_others_stay(warehouse):
    assert "Brien" in everything(warehouse)
    (row,) = warehouse.run(recipe("erase", customer="acme", entity=PLACES[1]))
    assert len(row["entity_sha256"]) == 64
    assert "Brien" not in everything(warehouse)
    assert "Helsinki" in everything(warehouse)
    (row,) = warehouse.query("SELECT state, missing FROM completeness WHERE customer = 'acme'")
    assert row == {"state": "erased", "missing": 0}


def everything(warehouse):
    """Every table as text."""
    tables = [row["table_name"] for row in warehouse.query("SELECT table_name FROM duckdb_tables()")]
    kept = [table for table in tables if table != "copy_history"]
    assert {"landing", "lines", "records", "observations", "objects", "erasures"} <= set(kept)
    rows = (
        warehouse.duckdb.execute(f"SELECT CAST(t AS VARCHAR) FROM {table} AS t").fetchall() for table in kept
    )
    return str(list(rows))


def test_an_entity_that_was_erased_is_erased_once_more_when_it_comes_again(sent, warehouse):
    script = recipe("erase", customer="acme", entity=PLACES[1])
    warehouse.run(script)
    warehouse.land_all((each, sent.clock()) for each in of("acme", sent))
    warehouse.take()
    assert "Brien" in everything(warehouse)
    assert len(warehouse.run(script)) == 2
    assert "Brien" not in everything(warehouse)


def test_a_replay_brings_over_again_what_the_task_had_not(sent, warehouse):
    before = warehouse.query("SELECT * FROM completeness ORDER BY agent_id")
    warehouse.run("DELETE FROM lines WHERE sequence > 20;")
    warehouse.refresh()
    assert warehouse.query("SELECT * FROM completeness ORDER BY agent_id") != before
    warehouse.run(recipe("replay"))
    assert warehouse.query("SELECT * FROM completeness ORDER BY agent_id") == before
    assert {row["loaded_twice"] for row in before} == {0}


def test_a_replay_brings_back_nothing_that_was_erased(sent, warehouse):
    warehouse.run(recipe("erase", customer="acme", entity=PLACES[1]))
    warehouse.run(recipe("replay"))
    assert "Brien" not in everything(warehouse)
    (row,) = warehouse.query("SELECT state, missing FROM completeness WHERE customer = 'acme'")
    assert row == {"state": "erased", "missing": 0}


@pytest.mark.parametrize(
    "change", [None, (b"3.5", b"3.7"), (b"\n", b"\n\n")], ids=["as sealed", "altered", "longer"]
)
def test_the_digest_tells_an_altered_object_from_the_one_that_was_sealed(sent, warehouse, change):
    found = of("acme", sent)[0]
    text = found.ndjson.replace(*change, 1) if change else found.ndjson
    warehouse.duckdb.execute("CREATE TABLE staged_file (line VARCHAR, place BIGINT, name VARCHAR)")
    lines = text.decode().removesuffix("\n").split("\n")
    warehouse.duckdb.executemany(
        "INSERT INTO staged_file VALUES (?, ?, ?)", [(line, n, found.key) for n, line in enumerate(lines, 1)]
    )
    key = found.key.removeprefix(PREFIX + "data/")
    (row,) = warehouse.run(recipe("digest", file=key))
    assert row["is_as_sealed"] is (change is None)


def test_a_problem_is_new_until_it_was_reported(sent, warehouse):
    found = warehouse.query("SELECT problem_key FROM new_problems")
    assert found == warehouse.query("SELECT problem_key FROM problems")
    assert {row["problem"] for row in warehouse.query("SELECT problem FROM problems")} == {"unexpected"}
    warehouse.run("INSERT INTO reported SELECT DISTINCT problem_key, SYSDATE() FROM new_problems;")
    assert warehouse.query("SELECT * FROM new_problems") == []
    warehouse.set_now(sent.clock() + timedelta(days=2))
    assert warehouse.query("SELECT * FROM new_problems") == []
    warehouse.run("INSERT INTO expected VALUES ('cord', 'oulu', NULL, 900, NULL);")
    assert [row["customer"] for row in warehouse.query("SELECT customer FROM new_problems")] == ["cord"]


def mailed(warehouse, moment):
    """The mail that the procedure would send, and its note of what was reported."""
    text = parts()["problems"].text
    inner = (
        text.split("$$")[1].partition("BEGIN TRANSACTION;")[2].partition("CALL ")[0].replace("INTO :body", "")
    )
    note, body = statements(inner.replace(":moment", f"'{moment:%Y-%m-%d}'::TIMESTAMP_NTZ"))
    warehouse.query(note)
    ((mail,),) = (row.values() for row in warehouse.query(body))
    return mail


def test_the_mail_names_each_new_problem_once(sent, warehouse):
    first, second = (mailed(warehouse, sent.clock() + timedelta(days=day)) for day in (0, 1))
    lines = first.splitlines()
    assert [line.split()[:3] for line in lines] == [
        ["unexpected", "acme", "helsinki"],
        ["unexpected", "bolt", "tampere"],
    ]
    assert all("no contact is known" in line for line in lines)
    assert second is None
