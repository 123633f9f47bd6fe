"""Files: what cannot be read leaves a trace, and what was read before does not come back as news."""

GIVEN = "entity = id\ntime = at\nvalues = v"
GOOD = "id,at,v\na,2026-11-23T05:00:00Z,1\n"
BAD = "id,changed,v\nb,2026-11-23T05:00:00Z,2\n"


def kept(journey):
    return journey.agent.query("SELECT reason, raw, resolved_at IS NULL FROM rejected ORDER BY id")


def test_a_file_that_cannot_be_read_leaves_a_trace_when_it_is_cleaned_up(journey):
    """Files with a wrong header that a nightly clean-up deletes were named nowhere."""
    journey.files(GIVEN)
    journey.write("a.csv", GOOD)
    bad = journey.write("b.csv", BAD)
    for _ in range(2):
        result = journey.collect()
        assert result.code == 69
        assert "b.csv has no column at" in result.err
    bad.unlink()
    assert journey.collect().code == 0
    ((reason, raw, is_open),) = kept(journey)
    assert reason.startswith("b.csv cannot be read: it has no column at; its columns are id, changed, v")
    assert "2026-11-23T05:00:00Z,2" in raw
    assert is_open
    assert [values["v"] for _, _, values in journey.values()] == [1]


def test_a_file_that_was_exported_again_resolves_what_was_kept_of_it(journey):
    journey.files(GIVEN)
    journey.write("b.csv", BAD)
    assert journey.collect().code == 69
    journey.write("b.csv", BAD.replace("changed", "at"))
    assert journey.collect().code == 0
    assert [is_open for _, _, is_open in kept(journey)] == [0]
    assert [values["v"] for _, _, values in journey.values()] == [2]


def test_a_section_that_was_corrected_resolves_what_was_kept_of_a_file(journey):
    journey.files(GIVEN)
    journey.write("b.csv", BAD)
    assert journey.collect().code == 69
    journey.files(GIVEN.replace("time = at", "time = changed"))
    assert journey.collect().code == 0
    assert [is_open for _, _, is_open in kept(journey)] == [0]


def test_a_file_that_grows_and_still_cannot_be_read_is_kept_once(journey):
    journey.files(GIVEN)
    journey.write("b.csv", BAD)
    for _ in range(3):
        assert journey.collect().code == 69
        journey.append("b.csv", "c,2026-11-23T06:00:00Z,3\n")
    assert sum(is_open for _, _, is_open in kept(journey)) == 1


def test_what_was_dismissed_stays_so_while_the_file_is_the_same(journey):
    journey.files(GIVEN)
    journey.write("b.csv", BAD)
    journey.collect()
    assert journey.outbox("rejected", "dismiss", "1").code == 0
    assert journey.collect().code == 69
    assert [is_open for _, _, is_open in kept(journey)] == [0]


def test_a_file_that_is_damaged_behind_good_rows_keeps_these_and_a_trace(journey):
    journey.files(GIVEN)
    journey.write("a.csv", GOOD + "id,v,at,w\nb,2026-11-23T06:00:00Z,2\n")
    assert journey.collect().code == 69
    assert [values["v"] for _, _, values in journey.values()] == [1]
    assert "another header in line 3" in kept(journey)[-1][0]
