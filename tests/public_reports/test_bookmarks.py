"""Bookmarks: one wrong value hides nothing that follows."""

import sqlite3
from contextlib import closing

import pytest


@pytest.mark.parametrize(
    ("form", "values"),
    [
        ("unix", [1767225600, 4102444800, 1767229200]),
        ("unix_ms", [1767225600000, 4102444800000, 1767229200000]),
        ("%Y%m%d%H%M%S", ["20260101000000", "21000101000000", "20260101010000"]),
    ],
)
def test_one_time_of_the_future_in_a_table_hides_nothing(journey, form, values):
    """Reported as singer-io/tap-salesforce#10, here with an epoch number as the bookmark of a table."""
    file = journey.export / "t.db"
    journey.configure(
        f"collector = sql\nurl = sqlite:///{file.as_posix()}\ntable = e\nentity = id\ntime = upd\n"
        f"time_format = {form}\ntimezone = UTC\nvalues = v\nbookmark = upd"
    )
    with closing(sqlite3.connect(file)) as database:
        database.execute(f"CREATE TABLE e(id INT, upd {'TEXT' if '%' in form else 'BIGINT'}, v INT)")
    for new in ([0, 1], [2]):
        with closing(sqlite3.connect(file)) as database, database:
            database.executemany("INSERT INTO e VALUES (?, ?, ?)", [(n, values[n], n) for n in new])
        done = journey.collect()
        assert done.code == 0, done.err
    assert sorted(entity for entity, _, _ in journey.values()) == ["0", "1", "2"]
