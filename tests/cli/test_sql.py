"""sql: a look into the outbox on hosts without sqlite3, and no more than a look."""

import json

import pytest

from tests.cli.test_init import store_one


@pytest.fixture
def stored(agent):
    store_one(agent.folder, seal=True)
    return agent


def test_a_query_is_shown_as_a_table_on_stdout(stored, outbox):
    result = outbox("sql", 'SELECT source, entity, "values" FROM pending')
    assert (result.code, result.err) == (0, "")
    assert [word for word in ("source", "entity", "values", "x", '{"t":1}') if word not in result.out] == []


def test_json_is_an_object_a_row_and_bytes_are_hex(stored, outbox):
    result = outbox(
        "sql", "--json", "SELECT sequence, source, record_id, NULL AS void, 'ä' AS text FROM outbox"
    )
    (row,) = [json.loads(line) for line in result.out.splitlines()]
    assert (result.code, result.err) == (0, "")
    assert (row["sequence"], row["source"], row["void"], row["text"]) == (1, "x", None, "ä")
    assert len(bytes.fromhex(row["record_id"])) == 16


def test_json_has_no_infinity_and_takes_several_statements(stored, outbox):
    result = outbox("sql", "--json", "SELECT 9e999 AS x; SELECT 1 AS a, 2 AS b")
    assert result.code == 0
    found = [json.loads(line, parse_constant=pytest.fail) for line in result.out.splitlines()]
    assert found == [{"x": "inf"}, {"a": 1, "b": 2}]


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_no_rows_are_no_error(stored, outbox, form):
    assert outbox("sql", *form, "SELECT * FROM rejected").code == 0
    assert outbox("sql", *form, "SELECT * FROM rejected").err == ""


@pytest.mark.parametrize("form", [[], ["--json"]])
@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM runs",
        "UPDATE runs SET error = 'x'",
        "INSERT INTO bookmarks VALUES ('x', 0, 'y', 'z', 1, 'now')",
        "DROP TABLE outbox",
        "PRAGMA user_version = 9",
        "PRAGMA query_only = 0; DELETE FROM runs",
        "VACUUM",
    ],
)
def test_nothing_can_be_changed(stored, outbox, statement, form):
    def everything():
        return list(
            map(
                stored.query,
                (
                    "SELECT * FROM runs",
                    "SELECT * FROM outbox",
                    "PRAGMA user_version",
                    "SELECT * FROM bookmarks",
                ),
            )
        )

    before = everything()
    outbox("sql", *form, statement)
    assert everything() == before


@pytest.mark.parametrize("form", [[], ["--json"]])
@pytest.mark.parametrize(
    "statement", ["DELETE FROM runs", "SELEC 1", "SELECT * FROM nothing", "SELECT json('{')"]
)
def test_what_sqlite_refuses_is_said_in_its_words(stored, outbox, statement, form):
    result = outbox("sql", *form, statement)
    assert (result.code, result.out) == (69, "")
    assert result.err.startswith("outbox: SQLite says: ")


def test_without_a_query_statements_come_from_a_pipe_and_a_wrong_one_stops_no_other(stored, outbox):
    result = outbox("sql", "--json", stdin="SELECT 1\nAS a;\nSELEC 2;\nSELECT 3 AS c")
    assert result.code == 0
    assert [json.loads(line) for line in result.out.splitlines()] == [{"a": 1}, {"c": 3}]
    assert "SQLite says: " in result.err


def test_a_damaged_database_is_damage_and_no_mistake_in_the_query(stored, outbox):
    outbox("vacuum")
    data = bytearray(stored.database.read_bytes())
    data[8192:] = b"\xff" * (len(data) - 8192)
    stored.database.write_bytes(data)
    result = outbox("sql", "SELECT * FROM outbox, bodies, batches, runs, agents")
    assert result.code == 65
    assert "is damaged" in result.err


def test_what_goes_into_a_file_is_utf_8_whatever_the_machine_speaks(agent):
    result = agent.run(
        "sql", "SELECT 'Jyväskylä 21 °C'", env={"PYTHONIOENCODING": "cp437", "PYTHONUTF8": "0"}
    )
    assert result.code == 0
    assert "Jyväskylä 21 °C" in result.out
