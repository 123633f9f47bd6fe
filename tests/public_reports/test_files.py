"""Files: what cannot be read leaves a trace, and what was read before does not come back as news."""

import gzip
import os

import pytest

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


DAY = 1_767_312_000
HEADER = "id,at,v\n"
SECTION = "pattern = *.csv, *.csv.gz\nentity = id\ntime = at\ntime_format = %Y-%m-%d\nvalues = v\n"


def write(journey, name, content, day):
    path = journey.write(name, content)
    os.utime(path, (DAY + day * 86_400,) * 2)
    return path


def stored(journey):
    return [values["v"] for _, _, values in journey.values()]


@pytest.fixture
def corrected(journey):
    """Day 2 has corrected what day 1 said: 1, then 2."""
    journey.files(SECTION)
    write(journey, "day1.csv", f"{HEADER}A,2026-01-01,1\n", 1)
    write(journey, "day2.csv", f"{HEADER}A,2026-01-01,2\n", 2)
    assert journey.collect().code == 0
    assert stored(journey) == [1, 2]
    return journey


def test_an_old_file_that_is_packed_undoes_no_correction(corrected):
    """open-telemetry/opentelemetry-collector-contrib#40523: a log that was packed was read a second time."""
    (corrected.export / "day1.csv").unlink()
    write(corrected, "day1.csv.gz", gzip.compress(f"{HEADER}A,2026-01-01,1\n".encode()), 1)
    assert corrected.collect().code == 0
    assert (stored(corrected), corrected.rejected()) == ([1, 2], [])


def test_an_old_file_whose_line_ends_are_converted_undoes_no_correction(corrected):
    """vectordotdev/vector#7990: a file that is written anew is taken for another."""
    write(corrected, "day1.csv", "id,at,v\r\nA,2026-01-01,1\r\n", 1)
    assert corrected.collect().code == 0
    assert (stored(corrected), corrected.rejected()) == ([1, 2], [])


def test_what_an_old_file_says_otherwise_is_rejected_and_what_is_new_in_it_is_stored(corrected):
    """vectordotdev/vector#7990: the same, with other content under its old time."""
    write(corrected, "day1.csv", f"{HEADER}A,2026-01-01,7\nB,2026-01-01,8\n", 1)
    corrected.collect()
    assert stored(corrected) == [1, 2, 8]
    assert corrected.rejected() == [
        "the older file day1.csv was read again, and contradicts what was read since"
    ]


def test_what_is_appended_later_to_an_old_file_that_was_rewritten_is_a_revision(corrected):
    text = "id,at,v\r\nA,2026-01-01,1\r\n"
    write(corrected, "day1.csv", text, 1)
    assert corrected.collect().code == 0
    write(corrected, "day1.csv", f"{text}A,2026-01-01,3\r\n", 3)
    assert corrected.collect().code == 0
    assert (stored(corrected), corrected.rejected()) == ([1, 2, 3], [])


def test_a_newer_file_is_a_revision_also_one_that_returns_to_an_old_value(corrected):
    write(corrected, "day3.csv", f"{HEADER}B,2026-01-01,5\nA,2026-01-01,1\n", 3)
    assert corrected.collect().code == 0
    assert stored(corrected) == [1, 2, 5, 1]


def test_an_old_file_that_was_corrected_later_is_a_revision(corrected):
    write(corrected, "day1.csv", f"{HEADER}A,2026-01-01,3\n", 3)
    assert corrected.collect().code == 0
    assert stored(corrected) == [1, 2, 3]


def test_a_section_that_was_fixed_reads_every_file_anew(corrected):
    corrected.files(f"{SECTION}attributes = id\n")
    assert corrected.collect().code == 0
    assert stored(corrected) == [1, 2, 1, 2]


def test_a_copy_of_what_was_read_before_is_not_read_again_and_that_is_said(journey):
    """A copy of an old export, and one that says the same again after a correction, cannot be told apart."""
    journey.files(GIVEN)
    journey.write("day1.csv", GOOD)
    assert journey.collect().code == 0
    journey.write("day3.csv", GOOD + "b,2026-11-23T06:00:00Z,2\n")
    result = journey.collect()
    assert "day3.csv begins with the content of day1.csv: that part is not read again" in " ".join(
        result.err.split()
    )
    assert [values["v"] for _, _, values in journey.values()] == [1, 2]
