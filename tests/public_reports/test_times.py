"""Times: what a text says is what is stored, or it is refused; nothing that it says is dropped."""

import pytest

AT = "2026-11-23T05:00:00Z"


def one(journey, text, **options):
    """Collect one row whose time is the text; its observed_at, or the reason for which it was rejected."""
    given = {"entity": "id", "time": "at", "values": "v"} | options
    journey.files("\n".join(f"{name} = {value}" for name, value in given.items()))
    journey.write("a.csv", f'id,at,v\nm,"{text}",1\n')
    assert journey.collect().code == 0
    stored = journey.values()
    return stored[0][1] if stored else journey.rejected()[0]


def refused(journey, **options):
    given = {"entity": "id", "time": "at", "values": "v"} | options
    journey.files("\n".join(f"{name} = {value}" for name, value in given.items()))
    result = journey.outbox("check", "--offline")
    assert result.code == 78
    return " ".join(result.err.split() + result.out.split())


def test_a_zones_name_that_would_be_forgotten_is_refused(journey):
    """Reported as python/cpython#76678 and fail2ban/fail2ban#1575: strptime reads %Z and forgets it."""
    assert "reads the name of a time zone with %Z" in refused(journey, time_format="%Y-%m-%d %H:%M:%S %Z")


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("%Y-%m-%d %H:%M:%S GMT", "2026-11-23 05:00:00 GMT"),
        ("%Y-%m-%dT%H:%M:%SZ", "2026-11-23T05:00:00Z"),
        ("%a, %d %b %Y %H:%M:%S UTC", "Mon, 23 Nov 2026 05:00:00 UTC"),
        ("%Y-%m-%d %H:%M:%S %z", "2026-11-23 07:00:00 +0200"),
    ],
)
def test_a_zones_name_in_the_pattern_is_the_zone(journey, pattern, text):
    assert one(journey, text, time_format=pattern) == AT


def test_morning_and_evening_are_told_apart_or_the_pattern_is_refused(journey):
    """Reported as pandas-dev/pandas#46038 and python/cpython#94073: %p is ignored beside %H."""
    assert "ignores AM and PM" in refused(journey, time_format="%m/%d/%Y %H:%M %p")
    assert "%I without %p" in refused(journey, time_format="%m/%d/%Y %I:%M")
    assert one(journey, "11/23/2026 07:00 PM", time_format="%m/%d/%Y %I:%M %p") == "2026-11-23T17:00:00Z"


@pytest.mark.parametrize(
    ("form", "text", "advice"),
    [
        ("unix_ms", "1767225600", "unix is more likely"),
        ("unix", "1767225600123", "unix_ms is more likely"),
        ("unix", "1767225600123456", "unix_us is more likely"),
        ("unix_us", "1767225600123456789", "unix_ns is more likely"),
    ],
)
def test_seconds_and_their_parts_are_not_taken_for_each_other(journey, form, text, advice):
    """Reported as influxdata/telegraf#5149: an epoch in another unit gives a day of 1970, or of 57968."""
    assert advice in one(journey, text, time_format=form)


@pytest.mark.parametrize(
    ("form", "text", "stored"),
    [
        ("unix", "0", "1970-01-01T00:00:00Z"),
        ("unix", "1767225600.1234567", "2026-01-01T00:00:00.123457Z"),
        ("unix_us", "1767225600123456", "2026-01-01T00:00:00.123456Z"),
        ("unix_ns", "1767225600123456000", "2026-01-01T00:00:00.123456Z"),
    ],
)
def test_epochs_are_exact(journey, form, text, stored):
    assert one(journey, text, time_format=form) == stored


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("iso", "2026-11-22T24:00+00:00"),
        ("iso", "2026-11-22 24:00:00Z"),
        ("%d.%m.%Y %H:%M %z", "22.11.2026 24:00 +00:00"),
    ],
)
def test_midnight_may_be_the_end_of_a_day(journey, form, text):
    """Reported as springfall2008/batpred#3651: 24:00 is the next day's beginning, on every Python."""
    assert one(journey, text, time_format=form) == "2026-11-23T00:00:00Z"


@pytest.mark.parametrize(
    "text", ["2026-11-22T24:01Z", "1770012812345", "2026-11-23X05:00", "20261123 0500Z5", "05:00"]
)
def test_what_only_resembles_a_time_is_refused(journey, text):
    """1770012812345, milliseconds, was read as a day of 1770 by a reader of ISO times."""
    assert "is not a time" in one(journey, text)


def test_more_digits_than_a_record_holds_are_refused_or_cut_on_purpose(journey):
    """Reported as dotnet and Go texts of 7 and 9 digits that readers cut without a word."""
    text = "2026-11-23T05:00:00.1234567Z"
    assert "finer_times = cut" in one(journey, text)
    assert one(journey, "2026-11-23T05:00:00.1200000Z", finer_times="reject") == "2026-11-23T05:00:00.120000Z"


def test_more_digits_can_be_cut(journey):
    text = "2026-11-23T05:00:00.1234567Z"
    assert one(journey, text, finer_times="cut") == "2026-11-23T05:00:00.123456Z"


LOG = "id,at,v\nm,2026-10-25 02:00,2\nm,2026-10-25 03:00,31\n"
LATER = "m,2026-10-25 03:00,32\nm,2026-10-25 04:00,4\n"
NAMED = "entity = id\ntime = at\nvalues = v\n"


def test_an_hour_that_comes_twice_is_refused_until_the_section_decides(journey):
    """Reported as SEED-platform/seed#4286: read hourly, the second hour replaced the first."""
    journey.files(NAMED)
    journey.write("log.csv", LOG)
    journey.collect()
    journey.append("log.csv", LATER)
    journey.collect()
    assert [values["v"] for _, _, values in journey.values()] == [2, 4]
    assert all("occurs twice" in reason and "repeated_hour" in reason for reason in journey.rejected())
    assert len(journey.rejected()) == 2


def test_rows_in_order_tell_the_two_hours_apart_also_across_runs(journey):
    journey.files(NAMED + "repeated_hour = in_order")
    journey.write("log.csv", LOG)
    journey.collect()
    journey.append("log.csv", LATER)
    journey.collect()
    assert journey.values() == [
        ("m", "2026-10-24T23:00:00Z", {"v": 2}),
        ("m", "2026-10-25T00:00:00Z", {"v": 31}),
        ("m", "2026-10-25T01:00:00Z", {"v": 32}),
        ("m", "2026-10-25T02:00:00Z", {"v": 4}),
    ]


def test_a_file_that_begins_in_the_repeated_hour_decides_nothing(journey):
    journey.files(NAMED + "repeated_hour = in_order")
    journey.write("log.csv", "id,at,v\nm,2026-10-25 03:30,1\nm,2026-10-25 04:00,2\n")
    journey.collect()
    assert [values["v"] for _, _, values in journey.values()] == [2]
    assert "no earlier row tells which" in journey.rejected()[0]


@pytest.mark.parametrize(("said", "hour"), [("first", "00"), ("second", "01")])
def test_a_section_may_say_which_hour_is_meant(journey, said, hour):
    assert one(journey, "2026-10-25 03:30", repeated_hour=said) == f"2026-10-25T{hour}:30:00Z"
