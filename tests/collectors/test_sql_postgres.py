"""An SQL source on a real PostgreSQL: logins, outages, late commits, types, and memory."""

import json
import socket
import threading
import time
import traceback
from contextlib import closing, suppress
from datetime import UTC, date, datetime
from decimal import Decimal

import psutil
import pytest

from collectors.sql.bookmark import decode
from outbox.config.sections import NetworkOptions
from outbox.errors import LoginRefusedError, PermanentError, TransientError
from outbox.record.page import normalise_page
from tests.collectors.sql_database import Cluster, at, entities, numbers, sql
from tests.support.postgres import OWNER, PASSWORD, READER_PASSWORD

TIED = {"bookmark": "changed", "tie_breaker": "id"}

pytestmark = pytest.mark.xdist_group("postgres")


@pytest.fixture
def database(postgres):
    return Cluster(postgres)


# Who may read.


@pytest.mark.parametrize(
    ("user", "word"), [("reader", "CANARY-wrong"), ("nobody", "CANARY-wrong"), ("locked", PASSWORD)]
)
def test_a_refused_login_is_told_as_such(database, user, word):
    database.execute(
        f"DO $$BEGIN IF to_regrole('locked') IS NULL THEN CREATE ROLE locked PASSWORD '{PASSWORD}'; END IF; END$$"
    )
    source = sql(database, word=word, url=database.server.url(user))
    with pytest.raises(LoginRefusedError, match=user) as caught:
        list(source.collect({}))
    told = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert "CANARY" not in told
    assert PASSWORD not in told


def test_a_login_without_a_password_is_refused_too(database):
    source = sql(database, password="", url=database.url)
    with pytest.raises(LoginRefusedError):
        list(source.collect({}))


def test_a_database_that_does_not_exist_is_no_refused_login(database):
    with pytest.raises(PermanentError, match="nowhere") as caught:
        list(sql(database, url=database.server.url(database="nowhere")).collect({}))
    assert not isinstance(caught.value, LoginRefusedError)


def test_a_missing_right_is_named(database):
    database.make(1)
    database.execute("REVOKE ALL ON orders FROM reader")
    with pytest.raises(PermanentError, match="orders") as caught:
        list(sql(database).collect({}))
    assert "grant SELECT" in caught.value.hint


def test_a_password_with_any_letters_is_sent_whole_and_shown_nowhere(database):
    database.make(1)
    (page,) = sql(database).collect({})
    assert READER_PASSWORD not in repr(page)
    with pytest.raises(PermanentError) as caught:
        list(sql(database, query="SELECT 1/0 AS id, 1 AS changed, 1 AS total").collect({}))
    assert READER_PASSWORD not in "".join(traceback.format_exception(caught.value))


# Outages.


def test_a_server_that_is_not_there_is_an_outage(database):
    url = database.url.replace(str(database.server.port), "1")
    with pytest.raises(TransientError, match="refused"):
        list(sql(database, url=url).collect({}))


def test_a_server_that_is_full_is_an_outage(database):
    with closing(database.connect()) as admin:
        admin.execute("ALTER ROLE reader CONNECTION LIMIT 0")
        try:
            with pytest.raises(TransientError, match="too many connections"):
                list(sql(database).collect({}))
        finally:
            admin.execute("ALTER ROLE reader CONNECTION LIMIT -1")


def many(database, count):
    database.make()
    database.execute(
        "INSERT INTO orders SELECT i, timestamptz '2026-11-01 00:00Z' + i * interval '1 s', i * 1.5, 'c' || i % 3 "
        f"FROM generate_series(0, {count - 1}) i"
    )


def test_a_connection_that_is_killed_between_two_pages_is_an_outage(database):
    many(database, 30_000)
    source = sql(database, **TIED)
    pages = source.collect({})
    first = next(pages)
    database.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'reader'")
    with pytest.raises(TransientError):
        list(pages)
    found = entities([first]) + entities(source.collect({"": first.bookmark}))
    assert found == numbers(*range(30_000))


def test_a_server_that_stops_between_two_pages_is_an_outage(database):
    many(database, 30_000)
    source = sql(database, **TIED)
    pages = source.collect({})
    first = next(pages)
    database.server.stop()
    try:
        with pytest.raises(TransientError):
            list(pages)
        with pytest.raises(TransientError):
            list(source.collect({"": first.bookmark}))
    finally:
        database.server.start()
    assert len(entities(source.collect({"": first.bookmark}))) == 20_000


def test_a_statement_ends_after_its_time(database):
    query = "SELECT 1 AS id, now() AS changed, 1 AS total FROM pg_sleep(30)"
    started = time.monotonic()
    with pytest.raises(TransientError, match="statement timeout") as caught:
        list(sql(database, query=query, statement_timeout="1s").collect({}))
    assert time.monotonic() - started < 10
    assert "statement_timeout" in caught.value.hint


def test_silence_while_connecting_ends_too(database):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://reader@127.0.0.1:{silent.getsockname()[1]}/postgres"
        network = NetworkOptions(connect_timeout="2s")
        with pytest.raises(TransientError):
            list(sql(database, url=url, network=network).collect({}))


def test_a_locked_table_is_waited_for_and_no_longer_than_the_statements_time(database):
    database.make(1)
    with database.connect() as other, other.transaction():
        other.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(TransientError):
            list(sql(database, statement_timeout="1s").collect({}))
    assert entities(sql(database).collect({})) == ["0"]


def test_nothing_stays_open(database):
    many(database, 20_000)
    pages = sql(database, **TIED).collect({})
    next(pages)
    pages.close()
    list(sql(database).collect({}))
    with database.connect() as admin:
        found = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'reader'"
        end = time.monotonic() + 10
        while admin.execute(found).fetchone() != (0,) and time.monotonic() < end:
            time.sleep(0.05)
        assert admin.execute(found).fetchone() == (0,)


# Reading only.


@pytest.mark.parametrize(
    "query",
    [
        "SELECT nextval('counter') AS id, now() AS changed, 1 AS total",
        "SELECT add_one() AS id, now() AS changed, 1 AS total",
        "SELECT id, changed, total FROM orders WHERE add_one() > 0",
        "SELECT set_config('transaction_read_only', 'off', false) AS id, now() AS changed, add_one() AS total",
    ],
)
def test_a_function_that_writes_is_refused(database, query):
    """The reader has every right on the table: it is the transaction that refuses."""
    database.make(3)
    database.execute("CREATE SEQUENCE counter")
    database.execute("GRANT ALL ON SEQUENCE counter TO reader")
    database.execute(
        "CREATE FUNCTION add_one() RETURNS bigint LANGUAGE sql AS "
        "'INSERT INTO orders VALUES (99, now(), 1, ''x'') RETURNING id'"
    )
    with pytest.raises(PermanentError, match="read-only|read-write"):
        list(sql(database, query=query).collect({}))
    assert entities(sql(database).collect({})) == numbers(0, 1, 2)


def test_what_a_server_lets_through_is_rolled_back(database):
    """PostgreSQL before 16 makes large objects in read-only transactions, too."""
    query = "SELECT 1 AS id, now() AS changed, lo_create(4711)::bigint AS total"
    with suppress(PermanentError):
        list(sql(database, query=query).collect({}))
    with database.connect() as admin:
        assert admin.execute("SELECT count(*) FROM pg_largeobject_metadata").fetchone() == (0,)


# Late commits.


def test_what_commits_late_is_found_within_the_overlap_and_only_there(database):
    """Order 5 gets its number and time, order 6 the next ones; 6 commits first, and is read."""
    database.make(5)
    source, strict = sql(database, overlap="2m", **TIED), sql(database, **TIED)
    with database.connect() as late:
        late.autocommit = False
        late.execute("INSERT INTO orders VALUES (5, %s, 1, 'late')", [at(5)])
        database.add(6)
        pages = list(source.collect({}))
        assert entities(pages) == numbers(0, 1, 2, 3, 4, 6)
        late.commit()
    assert "5" in entities(source.collect({"": pages[-1].bookmark}))
    assert "5" not in entities(strict.collect({"": pages[-1].bookmark}))


def test_rows_that_are_written_while_the_table_is_read_come_with_the_next_run(database):
    many(database, 20_000)
    source = sql(database, **TIED)
    pages = source.collect({})
    found = [next(pages)]
    database.add(30_000, 30_001)
    database.execute("UPDATE orders SET changed = timestamptz '2026-11-22 10:00Z' WHERE id = 3")
    found += pages
    assert entities(found) == numbers(*range(20_000))
    assert set(entities(source.collect({"": found[-1].bookmark}))) == set(numbers(3, 30_000, 30_001))


# Types.

TYPES = [
    ("12345678901234567890.123456789", "numeric", "12345678901234567890.123456789"),
    ("0.1", "float8", 0.1),
    ("1e300", "float8", 1e300),
    ("9223372036854775807", "int8", 9223372036854775807),
    ("t", "bool", True),
    ("2026-11-23", "date", "2026-11-23"),
    ("10:30:00.5", "time", "10:30:00.500000"),
    ("2026-11-23 10:00:00", "timestamp", "2026-11-23T08:00:00Z"),
    ("2026-11-23 10:00:00+05", "timestamptz", "2026-11-23T05:00:00Z"),
    ("1 day 01:00:00.5", "interval", 90000.5),
    ("\\x00ff41", "bytea", "AP9B"),
    ("7f1c0a52-1c1a-4b52-9d3d-0c7a3a6c9a11", "uuid", "7f1c0a52-1c1a-4b52-9d3d-0c7a3a6c9a11"),
    ("{1,NULL,3}", "int[]", [1, None, 3]),
    ("{{a,b},{c,d}}", "text[]", [["a", "b"], ["c", "d"]]),
    (
        '{"a": [1.10000000000000000001, null], "b": {}}',
        "jsonb",
        {"a": ["1.10000000000000000001", None], "b": {}},
    ),
    ("10.1.2.3/8", "inet", "10.1.2.3/8"),
    ("[1,5)", "int4range", "[1, 5)"),
    ("101", "bit(3)", 5),
    ("<a/>", "xml", "<a/>"),
]


@pytest.mark.parametrize(("written", "kind", "expected"), TYPES, ids=[kind for _, kind, _ in TYPES])
def test_a_type_is_kept(database, written, kind, expected):
    database.execute(f"CREATE TABLE orders (id int, changed timestamptz, v {kind})")
    database.execute("INSERT INTO orders VALUES (1, '2026-11-23Z', %s)", [written])
    kept = "(text)" if kind in ("inet", "int4range", "xml", "uuid") else ""
    kept = (
        "(json)" if kind in ("bool", "date", "time", "timestamp", "timestamptz", "bytea", "jsonb") else kept
    )
    kept = "(json)" if kind.endswith("[]") else kept
    (page,) = sql(database, values=f"v {kept}", zone="Europe/Helsinki").collect({})
    assert page.rejected == []
    (entry,) = normalise_page(page, customer="c", site="s", source="orders").entries
    found = json.loads(entry.body, parse_float=str)["values"]["v"]
    if isinstance(expected, float):
        found = float(found)
    if kind in ("bool", "date"):
        assert type(page.records[0].values["v"]) is {"bool": bool, "date": date}[kind]
    assert found == expected


REFUSED = [
    ("NaN", "numeric", "is not a number: NaN"),
    ("Infinity", "numeric", "is not a number: Infinity"),
    ("-Infinity", "float8", "is not a number"),
    ("NaN", "float4", "is not a number"),
    ("1e400", "numeric", "beyond the range"),
    ("infinity", "timestamptz", "infinity"),
    ("-infinity", "date", "-infinity"),
    ("294276-12-31 00:00", "timestamp", "294276"),
    ("4713-01-01 BC", "timestamptz", "4713"),
    ("0001-01-01 BC", "date", "BC"),
    ("24:00", "time", "24:00"),
    ('{"a": {"b": 1, "b": 2}}', "json", "has a key that stands twice: 'b'"),
    ("[" * 600 + "]" * 600, "jsonb", "is nested deeper than 64 levels"),
]


@pytest.mark.parametrize(
    ("written", "kind", "reason"), REFUSED, ids=[f"{kind} {text[:30]}" for text, kind, _ in REFUSED]
)
def test_a_value_that_no_record_can_hold_rejects_its_row_alone(database, written, kind, reason):
    database.execute(f"CREATE TABLE orders (id int, changed timestamptz, v {kind})")
    database.execute("INSERT INTO orders VALUES (1, '2026-11-23Z', %s), (2, '2026-11-23Z', NULL)", [written])
    database.execute(f"INSERT INTO orders VALUES (3, '2026-11-23Z', {valid(kind)})")
    values = "v (json)" if kind.startswith("json") else "v"
    (page,) = sql(database, values=values).collect({})
    done = normalise_page(page, customer="c", site="s", source="orders")
    (rejected,) = done.rejected
    assert reason in rejected.reason
    assert len(done.entries) == (valid(kind) != "NULL")


def valid(kind):
    if "time" in kind or kind == "date":
        return "NULL"
    return "'7'" if kind.startswith("json") else "7"


@pytest.mark.parametrize("kind", ["timestamp", "timestamptz", "date"])
def test_times_without_end_never_become_the_bookmark(database, kind):
    database.execute(f"CREATE TABLE orders (id int, changed {kind}, total numeric)")
    moments = ["-infinity", "2026-11-20", "2026-11-21", "5000-01-01", "10000-01-01", "infinity"]
    database.execute("INSERT INTO orders VALUES (%s, %s, 1)", *enumerate(moments))
    source = sql(database, time="at", query="SELECT *, now() AS at FROM orders", **TIED)
    pages = list(source.collect({}))
    assert entities(pages) == numbers(*range(6))
    database.execute("INSERT INTO orders VALUES (7, '2026-11-22', 1)")
    assert entities(source.collect({"": pages[-1].bookmark})) == numbers(7, 3, 4, 5)


@pytest.mark.parametrize(
    ("kind", "values", "mark"),
    [
        ("numeric", ["1.5", "2.25", "NaN"], Decimal("2.25")),
        ("float8", ["1.5", "2.5", "NaN"], 2.5),
        ("uuid", ["00000000-0000-7000-8000-000000000001", "00000000-0000-7000-8000-000000000002"], None),
        ("bytea", ["\\x01", "\\x02ff"], b"\x02\xff"),
        ("text", ["a", "b"], "b"),
        ("date", ["2026-11-20", "2026-11-21"], date(2026, 11, 21)),
        (
            "timestamp",
            ["2026-11-20", "2026-11-21 10:00:00.123456"],
            datetime.fromisoformat("2026-11-21 10:00:00.123456"),
        ),
        ("timestamptz", ["2026-11-21 10:00+05"], datetime(2026, 11, 21, 5, tzinfo=UTC)),
        ("int2", ["-5", "7"], 7),
    ],
)
def test_a_bookmark_keeps_its_type(database, kind, values, mark):
    database.execute(f"CREATE TABLE orders (id int, changed {kind}, total numeric)")
    database.execute("INSERT INTO orders VALUES (%s, %s, 1)", *enumerate(values))
    source = sql(database, time="at", query="SELECT *, now() AS at FROM orders", bookmark="changed")
    pages = list(source.collect({}))
    found = decode(pages[-1].bookmark, "query changed", "orders").value
    assert mark is None or (found, type(found)) == (mark, type(mark))
    again = entities(source.collect({"": pages[-1].bookmark}))
    assert again == numbers(*range(len(values)))[-1 - (values[-1] == "NaN") :]


@pytest.mark.parametrize(
    ("kind", "value"), [("int[]", "{1}"), ("bool", "t"), ("text", "x" * 1_001), ("interval", "1 day")]
)
def test_a_bookmark_without_an_order_that_can_be_kept_is_an_error(database, kind, value):
    database.execute(f"CREATE TABLE orders (id int, changed {kind}, total numeric)")
    database.execute("INSERT INTO orders VALUES (1, %s, 1)", [value])
    source = sql(database, time="at", query="SELECT *, now() AS at FROM orders", bookmark="changed")
    with pytest.raises(PermanentError, match="bookmark holds"):
        list(source.collect({}))


def test_a_naive_time_is_of_the_sources_zone(database):
    database.execute("CREATE TABLE orders (id int, changed timestamp, total numeric)")
    database.execute("INSERT INTO orders VALUES (1, '2026-07-01 12:00', 1), (2, '2026-03-29 03:30', 1)")
    (page,) = sql(database, zone="Europe/Helsinki").collect({})
    assert page.records[0].observed_at == datetime(2026, 7, 1, 9, tzinfo=UTC)
    assert "does not exist" in page.rejected[0].reason


def test_a_day_and_a_time_of_day_are_one_time(database):
    database.execute("CREATE TABLE orders (id int, d date, t time, total numeric)")
    database.execute("INSERT INTO orders VALUES (1, '2026-07-01', '12:30', 1)")
    (page,) = sql(database, time="d, t", zone="Europe/Helsinki").collect({})
    assert page.records[0].observed_at == datetime(2026, 7, 1, 9, 30, tzinfo=UTC)


def test_text_in_no_known_encoding_rejects_its_row_alone(database):
    with closing(database.connect()) as admin:
        admin.execute("DROP DATABASE IF EXISTS ascii")
        admin.execute("CREATE DATABASE ascii ENCODING 'SQL_ASCII' TEMPLATE template0")
    old = Cluster(database.server, "ascii")
    old.make(3)
    old.execute("UPDATE orders SET customer = convert_from('\\xe4ff'::bytea, 'SQL_ASCII') WHERE id = 1")
    old.execute("UPDATE orders SET customer = convert_from('\\xc3a4'::bytea, 'SQL_ASCII') WHERE id = 2")
    (page,) = sql(old, attributes="customer", **TIED).collect({})
    done = normalise_page(page, customer="c", site="s", source="orders")
    assert [record.attributes["customer"] for record in page.records] == ["c0", "\udce4\udcff", "ä"]
    assert [rejected.reason for rejected in done.rejected] == ["text that is not Unicode: '\\udce4\\udcff'"]
    assert len(done.entries) == 2


@pytest.mark.parametrize("encoding", ["LATIN1", "EUC_JP", "WIN1251"])
def test_other_encodings_are_read(database, encoding):
    text = {"LATIN1": "äöü", "EUC_JP": "日本", "WIN1251": "Мир"}[encoding]
    with closing(database.connect()) as admin:
        admin.execute("DROP DATABASE IF EXISTS other")
        admin.execute(f"CREATE DATABASE other ENCODING '{encoding}' TEMPLATE template0")
    other = Cluster(database.server, "other")
    other.execute("SET client_encoding TO utf8")
    other.make(1)
    with other.connect() as connection:
        connection.execute("SET client_encoding TO utf8")
        connection.execute("UPDATE orders SET customer = %s", [text])
    (page,) = sql(other, attributes="customer").collect({})
    assert page.records[0].attributes == {"customer": text}


# Size.


def test_memory_does_not_grow_with_the_rows(database):
    database.make()
    rows = 200_000
    database.execute(
        "INSERT INTO orders SELECT i, timestamptz '2026-11-01 00:00Z' + i * interval '1 s', i, repeat('x', 250) "
        f"FROM generate_series(0, {rows - 1}) i"
    )
    pages = sql(database, attributes="customer", **TIED).collect({})
    seen = sum(len(next(pages).records) for _ in range(2))
    process = psutil.Process()
    before = most = process.memory_info().rss
    for page in pages:
        seen += len(page.records)
        most = max(most, process.memory_info().rss)
    assert seen == rows
    assert most - before < 25_000_000  # the texts alone are 50 MB


def test_two_sources_read_at_once(database):
    many(database, 3_000)
    found = {}

    def read(name):
        found[name] = len(entities(sql(database, **TIED).collect({})))

    threads = [threading.Thread(target=read, args=(name,)) for name in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {0: 3_000, 1: 3_000, 2: 3_000}


def test_the_owner_is_no_special_case(database):
    database.make(1)
    source = sql(database, url=database.server.url(OWNER), word=PASSWORD)
    assert entities(source.collect({})) == ["0"]
