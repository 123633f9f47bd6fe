"""Numbers: what is written is what is stored, or it is refused."""


def test_whole_numbers_beyond_2_to_the_53_keep_their_digits(journey):
    """Reported as python-excel/xlrd#309 and others: readers that go through binary floats."""
    journey.files("time = at\nvalues = v")
    journey.write("a.ndjson", '{"at":"2026-11-23T05:00:00Z","v":9007199254740993}\n')
    assert journey.collect().code == 0
    assert journey.values() == [("s", "2026-11-23T05:00:00Z", {"v": 9007199254740993})]
