"""JSON: what RFC 8259 leaves open is refused, wherever it stands."""

import json

import pytest

ROW = '{"id":"a","at":"2026-11-23T05:00:00Z",%s}\n'
GOOD = '{"id":"ok","at":"2026-11-23T05:00:00Z","v":1,"m":{"v":1}}\n'


def nested(levels):
    return "[" * levels + "]" * levels


@pytest.mark.parametrize("members", ['"m":{"v":1,"v":2}', '"m":{"v":1},"x":[[{"y":1,"\\u0079":2}]]'])
def test_a_key_that_stands_twice_at_any_depth(journey, members):
    """Reported as duckdb/duckdb#11152 and jqlang/jq#1636: the later one counts, and nothing is said."""
    journey.files("entity = id\ntime = at\nvalues = v: m.v")
    journey.write("a.ndjson", GOOD + ROW % members)
    journey.collect()
    assert journey.values() == [("ok", "2026-11-23T05:00:00Z", {"v": 1})]
    (reason,) = journey.rejected()
    assert "has a key that stands twice: " in reason


def test_a_key_that_stands_twice_in_the_document(journey):
    """Reported as duckdb/duckdb#11152: of two lists under one name the first is gone."""
    journey.files("entity = id\ntime = at\nvalues = v\nrecords = data")
    row = '{"id":"%s","at":"2026-11-23T05:00:00Z","v":1}'
    journey.write("a.json", f'{{"data":[{row % "a"}],"data":[{row % "b"}]}}')
    done = journey.collect()
    assert done.code != 0
    assert "has a key that stands twice: 'data'" in done.err + done.out
    assert journey.stored() == []


@pytest.mark.parametrize("levels", [65, 400, 600, 950, 100_000])
@pytest.mark.parametrize("at", ["2026-11-23T05:00:00Z", "bad"])
def test_a_row_that_is_nested_deeply(journey, levels, at):
    """The depth is no crash, whether the row is good or not, and no row behind it is lost."""
    journey.files("entity = id\ntime = at\nvalues = v")
    deep = f'{{"id":"n","at":"{at}","v":1,"x":{nested(levels)}}}\n'
    journey.write("a.ndjson", deep + GOOD)
    assert "a bug" not in journey.preview().err
    journey.collect()
    assert journey.values() == [("ok", "2026-11-23T05:00:00Z", {"v": 1})]
    (reason,) = journey.rejected()
    assert "is nested deeper than 64 levels" in reason
    assert len(reason) <= 500
    journey.outbox("rejected", "retry", "--source", "s")
    assert len(journey.rejected()) == 1


def test_the_deepest_row_that_a_record_can_hold_is_read(journey):
    journey.files("entity = id\ntime = at\nvalues = v, x (json)")
    journey.write("a.ndjson", ROW % f'"v":1,"x":{nested(63)}' + ROW % f'"v":1,"x":{nested(64)}')
    journey.collect()
    assert [json.dumps(values["x"]) for _, _, values in journey.values()] == [nested(63)]
    assert len(journey.rejected()) == 1
