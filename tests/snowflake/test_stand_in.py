"""The shims: what bridges Snowflake and DuckDB answers as Snowflake's documentation says."""

from datetime import timedelta

import pytest

from tests.snowflake.stand_in import Object, Warehouse, objects_below, statements
from tests.snowflake.world import START

RECORD = """'{"a": "x", "n": 5, "d": 1.5, "t": true, "o": {"k": [1]}, "z": null, "s": "5"}'"""


@pytest.fixture
def warehouse():
    return Warehouse(START)


def value(warehouse, expression):
    (row,) = warehouse.query(f"SELECT {expression} AS v FROM (SELECT PARSE_JSON({RECORD}) AS r) AS t")
    return row["v"]


@pytest.mark.parametrize(
    ("path", "text"),
    [("a", "x"), ("n", "5"), ("d", "1.5"), ("t", "true"), ("o", '{"k":[1]}'), ("z", None), ("none", None)],
)
def test_variant_cast_takes_text_out_of_its_quotation_marks(warehouse, path, text):
    assert value(warehouse, f"r:{path}::VARCHAR") == text
    assert value(warehouse, f"GET(r, '{path}')::VARCHAR") == text


def test_flatten_gives_a_row_per_member_and_none_for_null(warehouse):
    rows = warehouse.query(
        f"SELECT f.key AS key, f.value::VARCHAR AS value FROM (SELECT PARSE_JSON({RECORD}) AS r) AS t, "
        "LATERAL FLATTEN(input => t.r) AS f ORDER BY key"
    )
    assert [row["key"] for row in rows] == ["a", "d", "n", "o", "s", "t", "z"]
    assert rows[0]["value"] == "x"
    none = "SELECT f.key FROM (SELECT NULL::VARIANT AS r) AS t, LATERAL FLATTEN(input => t.r) AS f"
    assert warehouse.query(none) == []


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a", "VARCHAR"),
        ("n", "INTEGER"),
        ("d", "DOUBLE"),
        ("t", "BOOLEAN"),
        ("o", "OBJECT"),
        ("z", "NULL_VALUE"),
    ],
)
def test_type_of_variant_has_snowflakes_names(warehouse, path, name):
    assert value(warehouse, f"TYPEOF(r:{path})") == name


def test_sysdate_is_what_the_test_says(warehouse):
    assert value(warehouse, "SYSDATE()") == START.replace(tzinfo=None)
    warehouse.set_now(START + timedelta(days=1))
    assert value(warehouse, "DATEADD(DAY, -1, SYSDATE())") == START.replace(tzinfo=None)


def an_object(ndjson, name="raw/anything.ndjson"):
    return Object(name, ndjson, START)


def test_a_file_with_a_bad_line_is_skipped_whole_and_copy_history_says_so(warehouse):
    assert not warehouse.land(an_object(b'{"a": 1}\n{"a": \n'))
    assert warehouse.query("SELECT * FROM landing") == []
    (row,) = warehouse.query("SELECT * FROM load_problems")
    assert (row["status"], row["row_count"], row["first_error_line_number"]) == ("Load failed", 0, 2)


def test_a_line_lands_with_its_place(warehouse):
    assert warehouse.land(an_object(b'{"a": 1}\n{"a": 2}\n'))
    rows = warehouse.query("SELECT file, file_row, record:a::VARCHAR AS a FROM landing ORDER BY file_row")
    assert [(row["file"], row["file_row"], row["a"]) for row in rows] == [
        ("raw/anything.ndjson", 1, "1"),
        ("raw/anything.ndjson", 2, "2"),
    ]
    assert warehouse.query("SELECT * FROM load_problems") == []


def test_the_stream_gives_each_line_once(warehouse):
    warehouse.land(an_object(b'{"a": 1}\n'))
    warehouse.take()
    warehouse.take()
    assert len(warehouse.query("SELECT * FROM lines")) == 1


def test_nothing_in_a_line_can_stop_the_task(warehouse):
    bad = [
        '{"sequence": "x", "agent_since": [], "observed_at": 5, "deleted": "maybe", "values": 3}',
        "[1]",
        "5",
        '"x"',
        "null",
    ]
    warehouse.land(an_object("\n".join(bad).encode()))
    warehouse.land(
        an_object(
            b'{"a": 1}\n',
            "raw/data/customer=a/site=b/agent=0123456789abcdef-000000000001/date=2026-99-99/000000000001-000000000001-0123456789abcdef.ndjson",
        )
    )
    warehouse.take()
    assert len(warehouse.query("SELECT * FROM violations")) == len(bad) + 1
    assert warehouse.query("SELECT * FROM records") == []


def test_a_script_is_split_as_a_client_would():
    assert statements("SELECT 1;\n-- a; b\nSELECT\n2;\nCREATE X AS\n$$\nA;\nB;\n$$;\n") == [
        "SELECT 1",
        "-- a; b\nSELECT\n2",
        "CREATE X AS\n$$\nA;\nB;\n$$",
    ]


def test_an_empty_folder_holds_no_object(tmp_path):
    assert list(objects_below(tmp_path, START)) == []


def test_octet_length_counts_bytes(warehouse):
    assert value(warehouse, "OCTET_LENGTH('å')") == 2


def test_retention_is_what_the_tables_keep(warehouse):
    asked = (
        "SELECT MAX(retention_time) AS days FROM OUTBOX.INFORMATION_SCHEMA.TABLES WHERE table_schema = 'CORE'"
    )
    assert warehouse.query(asked) == [{"days": 14}]
