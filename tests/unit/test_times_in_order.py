"""Rows that ascend through a change of clocks, read in any pieces: each is the moment at which it was written."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from collectors.mapping.times import Order, TimeReader

NIGHTS = {
    "Europe/Helsinki": datetime(2026, 10, 25, 1, tzinfo=UTC),
    "Europe/Dublin": datetime(2026, 10, 25, 1, tzinfo=UTC),
    "Australia/Lord_Howe": datetime(2026, 4, 4, 15, tzinfo=UTC),
    "America/New_York": datetime(2026, 11, 1, 6, tzinfo=UTC),
    "Europe/Berlin": datetime(2026, 3, 29, 1, tzinfo=UTC),
}


@given(
    st.sampled_from(sorted(NIGHTS)),
    st.integers(min_value=1, max_value=30),
    st.integers(min_value=1, max_value=3),
    st.sets(st.integers(min_value=0, max_value=300)),
    st.sets(st.integers(min_value=0, max_value=300)),
)
def test_a_log_is_read_as_it_was_written_wherever_reading_stopped(zone, step_min, entities, stops, spoilt):
    """Each step is shorter than the hour that repeats, so that the clock is seen to step back."""
    place = ZoneInfo(zone)
    reader = TimeReader("iso", place, repeated="in_order")
    begins = NIGHTS[zone] - timedelta(hours=4)
    written = [begins + timedelta(minutes=step_min * n) for n in range(int(8 * 60 / step_min))]
    order, wrong, undecided = Order(), [], 0
    for number, moment in enumerate(written):
        for entity in map(str, range(entities)):
            if number in spoilt and entity == "0":
                order.forget(entity)
                continue
            local = moment.astimezone(place).replace(tzinfo=None).isoformat()
            try:
                found = reader([local], order, entity)
            except ValueError as error:
                undecided += "occurs twice" in str(error)
                continue
            if found != moment:
                wrong.append((local, moment, found))
        order.commit()
        if number in stops:
            order = Order(order.text())
    assert wrong == []
    assert undecided == 0 or spoilt


def test_nothing_is_remembered_on_an_ordinary_day():
    order = Order()
    reader = TimeReader("iso", ZoneInfo("Europe/Helsinki"), repeated="in_order")
    assert reader(["2026-11-23T05:00"], order, "m") == datetime(2026, 11, 23, 3, tzinfo=UTC)
    order.commit()
    assert order.text() == ""


def test_a_row_of_an_unknown_entity_makes_what_came_before_decide_nothing():
    order = Order()
    reader = TimeReader("iso", ZoneInfo("Europe/Helsinki"), repeated="in_order")
    reader(["2026-10-25T02:00"], order, "m")
    order.commit()
    assert order.text() != ""
    order.lose()
    order.commit()
    assert order.text() == ""
