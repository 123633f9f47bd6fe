"""What an SQL source promises, on SQLite, a real PostgreSQL and a real MariaDB."""

import json
from datetime import date

import pytest
from pydantic import ValidationError

from collectors.collector import Window
from collectors.portion import FULL_BYTES
from outbox.errors import DataError, PermanentError
from tests.collectors.sql_database import Cluster, File, Maria, entities, numbers, sql

CHANGED = {"bookmark": "changed"}
TIED = {"bookmark": "changed", "tie_breaker": "id"}

pytestmark = pytest.mark.xdist_group("postgres")


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def database(request, tmp_path):
    """An empty database; database.make() makes the table."""
    if request.param == "sqlite":
        return File(tmp_path)
    if request.param == "mariadb":
        return Maria(request.getfixturevalue("mariadb"))
    return Cluster(request.getfixturevalue("postgres"))


@pytest.fixture
def small_pages(monkeypatch):
    """Pages of a hundred records, so that a few rows make several."""
    monkeypatch.setattr("collectors.portion.MAX_PAGE_RECORDS", 100)
    return 100


def test_rows_become_records(database):
    database.make(3)
    (page,) = sql(database, attributes="customer").collect({})
    record = page.records[2]
    assert (record.stream, record.entity, record.observed_at.isoformat()) == (
        "orders",
        "2",
        "2026-11-22T00:02:00+00:00",
    )
    assert (float(record.values["total"]), record.units, record.attributes) == (
        3.0,
        {"total": "EUR"},
        {"customer": "c2"},
    )
    assert record.origin["from"] == "orders"
    assert "reader" not in record.origin["database"]


def test_a_query_is_read_like_a_table(database):
    database.make(5)
    query = "SELECT id AS number, changed AS at, total * 2 AS twice FROM orders WHERE customer <> 'c1:x %s' AND id > 2;"
    source = sql(database, query=query, entity="number", time="at", values="twice", bookmark="at")
    pages = list(source.collect({}))
    assert entities(pages) == numbers(3, 4)
    assert pages[0].records[0].stream == "rows"
    assert entities(source.collect({"": pages[-1].bookmark})) == numbers(4)


def test_names_are_found_whatever_the_case_of_their_letters(database):
    database.make(2)
    assert entities(
        sql(database, entity="ID", time="Changed", values="t: TOTAL", bookmark="CHANGED").collect({})
    ) == numbers(0, 1)


def test_odd_names_are_quoted(database):
    database.make(2)
    query = 'SELECT id AS "Order No; --", changed AS "from", total AS "Total ""%"" (€)" FROM orders'
    values = 't: "Total ""%"" (€)"' if False else "from"
    source = sql(
        database,
        query=query,
        entity='"Order No; --"',
        time="from",
        values=f'x: "Order No; --", y: {values} (text)',
        bookmark="Order No; --",
    )
    assert entities(source.collect({})) == numbers(0, 1)


@pytest.mark.parametrize("options", [{}, CHANGED, TIED], ids=["whole", "bookmark", "tie-breaker"])
@pytest.mark.parametrize("count", [0, 1, 7])
def test_every_row_is_read(database, options, count):
    database.make(count)
    assert entities(sql(database, **options).collect({})) == numbers(*range(count))


@pytest.mark.parametrize(
    ("options", "again"),
    [(CHANGED, [6]), (TIED, []), ({**CHANGED, "overlap": "2m"}, [4, 5, 6]), ({}, range(7))],
)
def test_the_next_run_goes_on_at_the_bookmark(database, options, again):
    database.make(7)
    source = sql(database, **options)
    bookmark = list(source.collect({}))[-1].bookmark
    assert entities(source.collect({"": bookmark})) == numbers(*again)
    database.add(7, 8)
    assert entities(source.collect({"": bookmark})) == numbers(*again, 7, 8)


@pytest.mark.parametrize("options", [{"bookmark": "id"}, {"bookmark": "id", "overlap": "2"}])
def test_a_number_is_a_bookmark_too(database, options):
    database.make(7)
    source = sql(database, **options)
    bookmark = list(source.collect({}))[-1].bookmark
    assert json.loads(bookmark) == {"of": "orders id", "value": 6}
    assert entities(source.collect({"": bookmark})) == (
        numbers(4, 5, 6) if "overlap" in options else numbers(6)
    )


@pytest.mark.parametrize("options", [CHANGED, TIED])
def test_a_crash_between_two_pages_skips_nothing(database, small_pages, options):
    """All rows have one bookmark, and a page ends among them."""
    database.make()
    count = small_pages + 50
    fill(database, count, same=True)
    source = sql(database, **options)
    pages = source.collect({})
    first = next(pages)
    pages.close()
    assert len(first.records) == small_pages
    rest = entities(source.collect({"": first.bookmark}))
    assert set(entities([first]) + rest) == set(numbers(*range(count)))
    assert len(rest) == (50 if "tie_breaker" in options else count)


def fill(database, count, *, same=False):
    """Many rows, a second apart or all at once."""
    series = f"WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {count - 1}) "
    step = "0" if same else "i"
    moment = {
        "sqlite": f"datetime('2026-11-01', ({step}) || ' seconds')",
        "postgresql": f"timestamptz '2026-11-01 00:00Z' + ({step}) * interval '1 s'",
        "mariadb": f"date_add('2026-11-01', INTERVAL ({step}) SECOND)",
    }[database.kind]
    if database.kind == "mariadb":
        series = f"SELECT seq, {moment.replace('(i)', '(seq)')}, seq * 1.5, concat('c', seq % 3)"
        database.execute(f"INSERT INTO orders {series} FROM seq_0_to_{count - 1}")
        return
    database.execute(f"INSERT INTO orders {series} SELECT i, {moment}, i * 1.5, 'c' || i % 3 FROM n")


@pytest.mark.parametrize("options", [CHANGED, TIED, {**CHANGED, "overlap": "1h"}])
def test_each_page_is_a_place_to_go_on_from(database, small_pages, options):
    database.make()
    fill(database, 2 * small_pages + 5)
    source = sql(database, **options)
    pages = list(source.collect({}))
    assert [len(page.records) for page in pages] == [small_pages, small_pages, 5]
    for number, page in enumerate(pages):
        found = entities(pages[: number + 1]) + entities(source.collect({"": page.bookmark}))
        assert set(found) == set(numbers(*range(2 * small_pages + 5)))


def test_an_overlap_never_moves_the_bookmark_back(database, small_pages):
    database.make()
    fill(database, small_pages + 10)
    source = sql(database, overlap="7d", **CHANGED)
    bookmark = list(source.collect({}))[-1].bookmark
    assert {page.bookmark for page in source.collect({"": bookmark})} == {bookmark}


def test_a_row_that_is_committed_late_is_found_within_the_overlap(database):
    database.make(7)
    database.execute("DELETE FROM orders WHERE id = 5")
    strict, patient = sql(database, **TIED), sql(database, overlap="3m", **TIED)
    bookmark = list(patient.collect({}))[-1].bookmark
    database.add(5)
    assert entities(strict.collect({"": bookmark})) == []
    assert entities(patient.collect({"": bookmark})) == numbers(3, 4, 5, 6)


def test_a_changed_row_comes_again(database):
    database.make(4)
    source = sql(database, **TIED)
    bookmark = list(source.collect({}))[-1].bookmark
    database.add(1, minute=60)
    assert entities(source.collect({"": bookmark})) == ["1"]


@pytest.mark.parametrize(
    ("start", "bookmark", "expected"),
    [
        ("2026-11-22 00:03", "changed", [3, 4]),
        ("2026-11-22T00:03:00", "changed", [3, 4]),
        ("3", "id", [3, 4]),
    ],
)
def test_it_may_begin_later(database, start, bookmark, expected):
    if database.kind == "sqlite" and "T" in start:
        pytest.skip("SQLite compares text")
    database.make(5)
    assert entities(sql(database, start=start, bookmark=bookmark).collect({})) == numbers(*expected)


def test_a_start_of_another_kind_is_an_error(database):
    database.make(5)
    with pytest.raises(PermanentError, match="start = soon does not fit"):
        list(sql(database, start="soon", bookmark="id").collect({}))
    database.execute("DELETE FROM orders")
    assert list(sql(database, start="soon", bookmark="id").collect({})) == []


def test_days_are_back_filled_by_the_bookmark(database):
    database.make()
    database.add(0, 1_439, 1_440, 2_879, 2_880)
    source = sql(database, **TIED)
    window = Window(date(2026, 11, 23), date(2026, 11, 23))
    pages = list(source.collect({}, window))
    assert entities(pages) == numbers(1_440, 2_879)
    assert list(source.collect({"": pages[-1].bookmark}, window)) == []


def test_days_need_a_bookmark_that_is_a_time(database):
    database.make(5)
    window = Window(date(2026, 11, 23), date(2026, 11, 23))
    for options in ({}, {"bookmark": "id"}):
        with pytest.raises(PermanentError, match="back-fill"):
            list(sql(database, **options).collect({}, window))


@pytest.mark.parametrize("options", [CHANGED, TIED, {**CHANGED, "overlap": "1m"}])
def test_a_long_first_load_takes_several_runs(database, small_pages, clock, options):
    database.make()
    fill(database, 4 * small_pages)

    def late():
        clock.sleep(70)  # each page takes longer than a run may
        return clock()

    source = sql(database, now=late, max_time="60s", **options)
    found, bookmark, runs = set(), "", 0
    while len(found) < 4 * small_pages and runs < 10:
        pages = list(source.collect({"": bookmark} if bookmark else {}))
        found |= set(entities(pages))
        bookmark = pages[-1].bookmark
        runs += 1
    assert found == set(numbers(*range(4 * small_pages)))
    assert runs > 2


def test_rows_of_one_bookmark_are_read_to_their_end_however_long_it_takes(database, small_pages, clock):
    database.make()
    fill(database, 4 * small_pages, same=True)

    def late():
        clock.sleep(70)
        return clock()

    source = sql(database, now=late, max_time="60s", **CHANGED)
    bookmark = next(source.collect({})).bookmark
    assert len(entities(source.collect({"": bookmark}))) == 4 * small_pages


@pytest.mark.parametrize("options", [{"bookmark": "id"}, {"bookmark": "changed"}, {"table": "other", **TIED}])
def test_a_bookmark_of_another_column_or_table_is_none_of_this_one(database, options):
    database.make(3)
    bookmark = list(sql(database, **TIED).collect({}))[-1].bookmark
    database.execute("DROP TABLE IF EXISTS other")
    database.execute("CREATE TABLE other AS SELECT * FROM orders")
    assert entities(sql(database, **options).collect({"": bookmark})) == numbers(0, 1, 2)


# What goes wrong.


def test_a_missing_table_is_named(database):
    database.make()
    with pytest.raises(PermanentError, match="nowhere"):
        list(sql(database, table="nowhere").collect({}))


@pytest.mark.parametrize(
    "options",
    [
        {"values": "weight"},
        {"entity": "weight"},
        {"time": "weight"},
        {"attributes": "weight"},
        {"bookmark": "weight"},
        {"bookmark": "id", "tie_breaker": "weight"},
    ],
)
def test_a_missing_column_is_named_with_those_that_are_there(database, options):
    database.make()
    with pytest.raises(PermanentError, match="orders has no column weight.*id, changed, total, customer"):
        list(sql(database, **options).collect({}))


@pytest.mark.parametrize(
    "query", ["SELECT id FROM", "SELECT nope FROM orders", "SELECT * FROM orders WHERE", "SELECT (1"]
)
def test_a_query_that_is_none_is_an_error(database, query):
    database.make()
    with pytest.raises(PermanentError) as caught:
        list(sql(database, query=query).collect({}))
    assert len(str(caught.value)) < 1_000


def test_a_column_that_is_there_twice_is_named(database):
    database.make(1)
    query = "SELECT id, changed, total, total FROM orders"
    with pytest.raises(PermanentError, match="column total more than once|Duplicate column name 'total'"):
        list(sql(database, query=query).collect({}))
    if database.kind == "mariadb":
        return  # it refuses any column twice
    query = "SELECT id, changed, total, customer AS x, customer AS x FROM orders"
    assert entities(sql(database, query=query).collect({})) == ["0"]


WRITES = [
    "WITH gone AS (DELETE FROM orders RETURNING *) SELECT * FROM gone",
    "SELECT * FROM orders) q; DELETE FROM orders; SELECT * FROM (SELECT * FROM orders",
    "SELECT * FROM orders) q; COMMIT; DELETE FROM orders; SELECT * FROM (SELECT * FROM orders",
    "SELECT * FROM orders) q WHERE 1 = :never; DELETE FROM orders; --",
    "SELECT * FROM orders INTO TEMP x",
    "SELECT * FROM orders FOR UPDATE",
]


@pytest.mark.parametrize("query", WRITES)
def test_nothing_can_be_written(database, query):
    database.make(3)
    with pytest.raises(PermanentError):
        list(sql(database, query=query).collect({}))
    assert entities(sql(database).collect({})) == numbers(0, 1, 2)


@pytest.mark.parametrize("text", ["{", "[]", '{"cursor": "x"}', "null", "5"])
def test_a_bookmark_of_another_kind_of_source_is_told(database, text):
    database.make()
    with pytest.raises(DataError, match="bookmark"):
        list(sql(database, **CHANGED).collect({"": text}))


# Rows that a bookmark cannot follow.


def test_rows_without_a_bookmark_are_reported_and_not_read(database):
    database.make(3)
    database.execute("INSERT INTO orders VALUES (7, NULL, 5, 'c')")
    source = sql(database, **CHANGED)
    pages = list(source.collect({}))
    assert entities(pages) == numbers(0, 1, 2)
    (note,) = pages[-1].rejected
    assert "rows of orders without changed are not read" in note.reason
    assert [page.rejected for page in source.collect({"": pages[-1].bookmark})] == [[note]]


def test_a_table_that_fell_behind_its_bookmark_is_reported(database):
    database.make(5)
    for options in (TIED, {"bookmark": "id"}, {"bookmark": "id", "overlap": "1"}):
        source = sql(database, **options)
        bookmark = list(source.collect({}))[-1].bookmark
        assert [page.rejected for page in source.collect({"": bookmark})] in ([], [[]])
        database.execute("DELETE FROM orders WHERE id > 1")
        (page,) = source.collect({"": bookmark})
        assert "was it emptied or restored" in page.rejected[0].reason
        assert page.bookmark == bookmark
        database.add(2, 3, 4)


def test_an_empty_table_is_no_reason_to_complain(database):
    database.make(5)
    source = sql(database, **TIED)
    bookmark = list(source.collect({}))[-1].bookmark
    database.execute("DELETE FROM orders")
    assert list(source.collect({"": bookmark})) == []


def test_a_column_that_goes_down_shows_itself(database):
    """Rows are added with ever smaller numbers: nothing is lost without a word."""
    database.make()
    database.add(100, 99)
    source = sql(database, bookmark="id")
    bookmark = list(source.collect({}))[-1].bookmark
    database.execute("DELETE FROM orders WHERE id = 100")
    database.add(98)
    (page,) = source.collect({"": bookmark})
    assert "What is added below it is not read" in page.rejected[0].reason


def test_a_time_that_cannot_have_come_yet_does_not_move_the_bookmark(database):
    database.make(3)
    database.execute("INSERT INTO orders VALUES (9, '9999-12-31 00:00:00', 5, 'c')")
    source = sql(database, **TIED)
    pages = list(source.collect({}))
    assert entities(pages) == numbers(0, 1, 2, 9)
    database.add(3)
    assert entities(source.collect({"": pages[-1].bookmark})) == numbers(3, 9)


# Limits.


def test_a_cell_that_is_too_large_rejects_its_row_unread(database):
    database.make(1)
    text = {
        "sqlite": "hex(zeroblob(4000000))",
        "postgresql": "repeat('x', 8000000)",
        "mariadb": "repeat('x', 8000000)",
    }[database.kind]
    database.execute(f"INSERT INTO orders SELECT 7, changed, total, {text} FROM orders")
    (page,) = sql(database, attributes="customer", max_cell="100kB", **TIED).collect({})
    assert entities([page]) == ["0"]
    (rejected,) = page.rejected
    assert "more than 100,000 bytes" in rejected.reason
    assert len(rejected.raw) < 1_000
    assert json.loads(rejected.raw)["row"]["id"] == 7


def test_pages_are_bounded_in_bytes(database):
    database.make()
    text = {
        "sqlite": "hex(zeroblob(250000))",
        "postgresql": "repeat('x', 500000)",
        "mariadb": "repeat('x', 500000)",
    }[database.kind]
    fill(database, 60)
    database.execute(f"UPDATE orders SET customer = {text}")
    sizes = [
        sum(len(r.attributes["customer"]) for r in page.records)
        for page in sql(database, attributes="customer", **TIED).collect({})
    ]
    assert sum(sizes) == 30_000_000
    assert max(sizes) <= FULL_BYTES + 500_000


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"table": ""}, "either table or query"),
        ({"table": "orders", "query": "SELECT 1"}, "either table or query"),
        ({"table": "orders; DROP TABLE x"}, "no table"),
        ({"table": "a.b.c.d"}, "no table"),
        ({"query": "DELETE FROM orders"}, "begins with SELECT"),
        ({"query": "DROP TABLE orders"}, "begins with SELECT"),
        ({"tie_breaker": "id"}, "belong to bookmark"),
        ({"start": "1"}, "belong to bookmark"),
        ({"overlap": "5m"}, "belong to bookmark"),
        ({"bookmark": "id", "tie_breaker": "id"}, "itself"),
        ({"bookmark": "id", "overlap": "five"}, "no overlap"),
        ({"url": "postgresql://me:word@host/db"}, "holds a password"),
        ({"url": "postgresql://me@host/db?password=word"}, "holds a password"),
        ({"url": "postgresql://host/db", "password": "file:x"}, "no user"),
        ({"url": "postgresql:///db"}, "no address"),
        ({"url": "oracle://me@host/db"}, "no address"),
        ({"url": "sqlite://"}, "no address"),
        ({"url": "orders.db"}, "no address"),
        ({"password": "hunter2"}, "never the secret"),
        ({"statement_timeout": "0s"}, "greater"),
    ],
)
def test_a_section_that_cannot_work_is_refused(tmp_path, options, reason):
    with pytest.raises(ValidationError) as caught:
        sql(File(tmp_path), **options)
    assert reason in str(caught.value)
