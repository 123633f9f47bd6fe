"""Databases: an instant is an instant and a wall time a wall time, and numbers are those that the database holds."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from outbox.config.sections import NetworkOptions
from outbox.errors import ConfigError, PermanentError, TransientError
from tests.collectors.conftest import mariadb, postgres
from tests.collectors.sql_database import NOW, Cluster, File, Maria, sql
from tests.support import mariadb as mariadb_server

__all__ = ["mariadb", "postgres"]  # the fixtures

pytestmark = pytest.mark.xdist_group("postgres")
HELSINKI = "Europe/Helsinki"
AT = datetime(2026, 11, 20, 5, tzinfo=UTC)


@pytest.fixture
def maria(mariadb):
    """A MariaDB that knows no time zones by name, as it is installed: it never hears of Tallinn's."""
    database = Maria(mariadb)
    database.zone = "Europe/Tallinn"  # whose clocks are Helsinki's
    yield database
    database.execute("DROP VIEW IF EXISTS seen")


@pytest.fixture
def zoned(maria):
    """The same with Helsinki's rules loaded."""
    told = subprocess.run(
        ["mariadb-tzinfo-to-sql", "/usr/share/zoneinfo/Europe/Helsinki", HELSINKI],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    maria.zone = HELSINKI
    maria.execute("TRUNCATE time_zone_name", database="mysql")
    with closing(maria.connect("mysql")) as connection, connection.cursor() as cursor:
        for statement in told.stdout.split(";"):
            if statement.strip().upper().startswith(("INSERT", "SET @")):
                cursor.execute(statement)
    return maria


def found(source, bookmark=""):
    pages = list(source.collect({"": bookmark} if bookmark else {}))
    assert [each.reason for page in pages for each in page.rejected] == []
    return [record for page in pages for record in page.records], pages[-1].bookmark if pages else bookmark


def made(maria):
    maria.execute("CREATE TABLE orders (id int, ts timestamp(3) NULL, dt datetime(3), v int)")
    with closing(maria.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("SET time_zone = '+02:00'")
        cursor.execute("INSERT INTO orders VALUES (1, '2026-11-20 07:00', '2026-11-20 07:00', 1)")


@pytest.mark.parametrize("server", ["maria", "zoned"])
def test_timestamp_is_an_instant_and_datetime_a_wall_time_in_one_table(request, server):
    """Reported as airbytehq/airbyte#52656 and metabase/metabase#3584: TIMESTAMP off by the zone."""
    maria = request.getfixturevalue(server)
    made(maria)
    for column in ("ts", "dt"):
        source = sql(maria, zone=maria.zone, time=column, values="v", attributes="ts, dt")
        (record,), _ = found(source)
        assert record.observed_at == AT
        assert record.attributes == {"ts": AT, "dt": AT}


def test_what_a_query_makes_of_an_instant_is_as_the_servers_own_client_shows_it(zoned):
    made(zoned)
    query = "SELECT id, v, from_unixtime(1767225600) AS at, cast(ts AS datetime) AS cast_at FROM orders"
    (record,), _ = found(sql(zoned, zone=HELSINKI, query=query, time="at", values="v", attributes="cast_at"))
    assert record.observed_at == datetime(2026, 1, 1, tzinfo=UTC)
    assert record.attributes["cast_at"] == AT


@pytest.mark.parametrize(
    "computed",
    [
        "from_unixtime(1767225600)",
        "ts + INTERVAL 1 HOUR",
        "date_format(ts, '%Y-%m-%d %H:%i')",
        "CAST(ts AS datetime)",
        "date (ts)",
        "CASE WHEN ts > '2026-11-20 06:00' THEN dt END",
        "coalesce(ts, dt)",
        "if(v = 1, ts, dt)",
        "CURRENT_TIMESTAMP",
    ],
)
def test_a_query_that_computes_times_in_a_zone_that_the_server_does_not_know_is_refused(maria, computed):
    made(maria)
    query = f"SELECT id, v, {computed} AS at FROM orders"
    with pytest.raises(PermanentError, match="does not know the time zone Europe/Tallinn"):
        list(sql(maria, zone=maria.zone, query=query, time="at", values="v").collect({}))
    plain = "SELECT id, max(v) AS v, max(ts) AS at FROM orders WHERE (id IN (1, 2) AND v > 0) GROUP BY id"
    (record,), _ = found(sql(maria, zone=maria.zone, query=plain, time="at", values="v"))
    assert record.observed_at == AT


def test_a_view_in_a_zone_that_the_server_does_not_know_is_noted_and_a_table_is_not(maria):
    made(maria)
    maria.execute("CREATE OR REPLACE VIEW seen AS SELECT * FROM orders")
    for table, expected in [("orders", 0), ("test.orders", 0), ("`seen`", 1), ("test.seen", 1)]:
        notes = []
        found(sql(maria, zone=maria.zone, table=table, time="ts", values="v", note=notes.append))
        assert len(notes) == expected
        assert all("what a view makes of a TIMESTAMP is in UTC" in note for note in notes)


def test_a_server_whose_own_clocks_are_the_zones_needs_no_names_of_zones(monkeypatch):
    """As most are installed: MariaDB knows no zone by name, and its machine stands where the source does."""
    if reason := mariadb_server.reason_not_to_run():
        pytest.skip(reason)
    monkeypatch.setenv("TZ", HELSINKI)
    with mariadb_server.serving() as server:
        maria = Maria(server)
        made(maria)
        query = "SELECT id, v, cast(ts AS datetime) AS at, date_format(ts, '%H:%i') AS h FROM orders"
        source = sql(maria, zone=HELSINKI, query=query, time="at", values="v", attributes="h")
        (record,), _ = found(source)
        assert (record.observed_at, record.attributes) == (AT, {"h": "07:00"})
        with pytest.raises(PermanentError, match="does not know the time zone Africa/Cairo"):
            list(sql(maria, zone="Africa/Cairo", query=query, time="at", values="v").collect({}))


@pytest.mark.parametrize("server", ["maria", "zoned"])
def test_both_hours_of_the_night_in_which_clocks_go_back_are_read_and_followed(request, server):
    maria = request.getfixturevalue(server)
    maria.execute("CREATE TABLE orders (id int, ts timestamp NULL, v int)")
    begin = datetime(2026, 10, 24, 23, tzinfo=UTC)
    moments = [begin + timedelta(minutes=30 * n) for n in range(8)]

    def add(*which):
        with closing(maria.connect()) as connection, connection.cursor() as cursor:
            cursor.execute("SET time_zone = '+00:00'")
            for n in which:
                cursor.execute("INSERT INTO orders VALUES (%s, %s, 1)", (n, moments[n].replace(tzinfo=None)))

    read, bookmark, now = {}, "", lambda: NOW
    for n in range(8):
        add(n)
        source = sql(maria, zone=maria.zone, time="ts", values="v", bookmark="ts", tie_breaker="id", now=now)
        records, bookmark = found(source, bookmark)
        read |= {int(record.entity): record.observed_at for record in records}
        assert len(records) == 1
    assert read == dict(enumerate(moments))


def test_a_float_is_the_number_that_the_database_holds(maria):
    """Reported as apache/flink-cdc#284 and ThingEngineer/PHP-MySQLi-Database-Class#751: six digits of it."""
    maria.execute("CREATE TABLE orders (id int, at datetime, f float)")
    for number, text in enumerate(["1234567.8", "8.123456789", "16777216", "21.3"]):
        maria.execute(f"INSERT INTO orders VALUES ({number}, '2026-11-20', {text})")
    records, _ = found(sql(maria, time="at", values="f"))
    assert [float(record.values["f"]) for record in records] == [
        1234567.75,
        8.123456954956055,
        16777216,
        21.3,
    ]


def test_a_float_that_is_the_bookmark_skips_no_row(maria):
    """Reported as airbytehq/airbyte#26017."""
    maria.execute("CREATE TABLE orders (id int, at datetime, f float)")
    maria.execute("INSERT INTO orders VALUES (1, '2026-11-20', 1234567.8)")
    source = sql(maria, time="at", values="f", bookmark="f", tie_breaker="id")
    _, bookmark = found(source)
    maria.execute("INSERT INTO orders VALUES (2, '2026-11-20', 1234568.9)")
    records, bookmark = found(source, bookmark)
    assert [record.entity for record in records] == ["2"]
    assert list(source.collect({"": bookmark})) == []


def test_a_real_that_is_the_bookmark_skips_no_row_of_the_same_value(postgres):
    """Reported as airbytehq/airbyte#44402: rows that share the cursor's value; 0.7 as a real is less than 0.7."""
    database = Cluster(postgres)
    database.execute("CREATE TABLE orders (id int, at timestamptz, f real)")
    database.execute("INSERT INTO orders VALUES (1, '2026-11-20', 0.7)")
    source = sql(database, time="at", values="f", bookmark="f", tie_breaker="id")
    _, bookmark = found(source)
    database.execute("INSERT INTO orders VALUES (2, '2026-11-20', 0.7)")
    (record,), bookmark = found(source, bookmark)
    assert (record.entity, record.values) == ("2", {"f": Decimal("0.7")})
    assert list(source.collect({"": bookmark})) == []


def test_money_is_its_number_whatever_signs_the_server_writes(postgres):
    """Reported as pgjdbc/pgjdbc#3105 and graphile/postgraphile#800: as text it has signs of a locale's own."""
    database = Cluster(postgres)
    database.execute("CREATE TABLE orders (id int, at timestamptz, m money)")
    database.execute("INSERT INTO orders VALUES (1, '2026-11-20', -1234567.89)")
    source = sql(database, time="at", values="m", attributes="said: m", bookmark="m", tie_breaker="id")
    (record,), bookmark = found(source)
    assert (record.values, record.attributes) == (
        {"m": Decimal("-1234567.89")},
        {"said": Decimal("-1234567.89")},
    )
    database.execute("INSERT INTO orders VALUES (2, '2026-11-20', 3), (3, '2026-11-20', -1234567.89)")
    records, _ = found(source, bookmark)
    assert [record.entity for record in records] == ["3", "2"]


def test_a_day_and_a_time_of_mariadb_are_one_time_and_a_duration_a_name(maria):
    """Reported as duckdb/duckdb-mysql#178: a TIME of 00:00:00 taken for nothing."""
    maria.execute("CREATE TABLE orders (id int, d date, t time, v time(1))")
    maria.execute(
        "INSERT INTO orders VALUES (1, '2026-11-20', '00:00', '-100:00:00.5'), (2, '2026-11-20', '24:00', 0)"
    )
    records, _ = found(
        sql(maria, zone=HELSINKI, time="d, t", values="v", attributes="said: v (text)", entity="t")
    )
    assert [(record.entity, record.observed_at.hour, record.values["v"]) for record in records] == [
        ("00:00:00", 22, Decimal("-360000.5")),
        ("24:00:00", 22, 0),
    ]
    assert [record.attributes["said"] for record in records] == ["-100:00:00.5", "00:00:00"]


def test_bits_are_numbers_and_a_zero_date_is_refused(maria):
    maria.execute("CREATE TABLE orders (id int, at datetime, b bit(4))")
    maria.execute("INSERT INTO orders VALUES (1, '2026-11-20', b'0101')")
    (record,), _ = found(sql(maria, time="at", values="b"))
    assert record.values == {"b": 5}
    maria.execute("CREATE OR REPLACE TABLE orders (id int, ts timestamp NULL, v int)")
    maria.execute("SET STATEMENT sql_mode = '' FOR INSERT INTO orders VALUES (1, '0000-00-00', 1)")
    (page,) = sql(maria, time="ts", values="v").collect({})
    assert "0000-00-00" in page.rejected[0].reason


def test_a_cast_in_a_view_is_as_the_servers_own_client_shows_it(postgres):
    """Reported as metabase/metabase#3744, #4495 and npgsql/npgsql#3171: a session forced to UTC."""
    database = Cluster(postgres)
    database.execute("CREATE TABLE a (id int, ts timestamptz)")
    database.execute("INSERT INTO a VALUES (1, '2026-11-20 07:00+02')")
    database.execute("CREATE VIEW orders AS SELECT id, ts::timestamp AS at, ts, id AS v FROM a")
    (record,), _ = found(sql(database, zone=HELSINKI, time="at", values="v", attributes="ts"))
    assert (record.observed_at, record.attributes["ts"]) == (AT, AT)


def test_a_day_of_the_zone_is_one_day(postgres):
    database = Cluster(postgres)
    query = (
        "SELECT date_trunc('day', ts) AS day, count(*) AS n FROM "
        "(VALUES (timestamptz '2026-11-20 00:30+02'), ('2026-11-20 12:00+02')) t(ts) GROUP BY 1"
    )
    (record,), _ = found(sql(database, zone=HELSINKI, query=query, time="day", values="n", entity=""))
    assert (record.observed_at, record.values) == (datetime(2026, 11, 19, 22, tzinfo=UTC), {"n": 2})


def test_how_long_a_month_is_nobody_says(postgres):
    """Reported as psycopg/psycopg#1073: a month of 30 days, a year of 365."""
    database = Cluster(postgres)
    query = "SELECT n AS id, now() AS at, v FROM (VALUES (1, interval '1 month'), (2, '1 year 1 day'), (3, '36:00')) t(n, v)"
    (page,) = sql(database, query=query, time="at", values="v").collect({})
    assert [(record.entity, record.values["v"]) for record in page.records] == [("3", Decimal(129600))]
    assert ["1 mon" in page.rejected[0].reason, "1 year" in page.rejected[1].reason] == [True, True]


def test_a_number_of_the_future_hides_nothing_behind_it(postgres):
    """Reported as singer-io/tap-salesforce#10: a bookmark in the future."""
    database = Cluster(postgres)
    database.execute("CREATE TABLE orders (id int, upd bigint, v int)")
    database.execute("INSERT INTO orders VALUES (1, 1767225600, 1), (2, 4102444799, 2)")
    source = sql(database, time="upd", time_format="unix", values="v", bookmark="upd", tie_breaker="id")
    _, bookmark = found(source)
    database.execute("INSERT INTO orders VALUES (3, 1767229200, 3)")
    records, _ = found(source, bookmark)
    assert "3" in [record.entity for record in records]


def test_rows_in_order_tell_two_hours_apart_across_runs(postgres):
    database = Cluster(postgres)
    database.execute("CREATE TABLE orders (id int, at timestamp, v int)")
    hours = ["02:30", "03:00", "03:30", "03:00", "03:30", "04:00"]
    source = sql(
        database, zone=HELSINKI, time="at", values="v", entity="", bookmark="id", repeated_hour="in_order"
    )
    read, bookmark = {}, ""
    for number, hour in enumerate(hours):
        database.execute(f"INSERT INTO orders VALUES ({number}, '2026-10-25 {hour}', {number})")
        records, bookmark = found(source, bookmark)
        read |= {record.values["v"]: record.observed_at for record in records}
    begin = datetime(2026, 10, 24, 23, 30, tzinfo=UTC)
    assert read == {n: begin + timedelta(minutes=30 * n) for n in range(6)}


@pytest.mark.parametrize(
    ("server", "kind"),
    [
        ("postgres", "timestamp"),
        ("maria", "datetime"),
        ("sqlite", "text"),
        ("sqlite", "T"),
        ("maria", "date"),
    ],
)
@pytest.mark.parametrize("overlap", ["", "5m"])
def test_a_local_time_as_the_bookmark_hides_nothing_of_the_hour_that_comes_twice(
    request, tmp_path, server, kind, overlap
):
    """Reported as SEED-platform/seed#4286 of series in local time; as a bookmark it hid the second hour."""
    if server == "sqlite":
        database = File(tmp_path)
    else:
        database = request.getfixturevalue(server)
        database = Cluster(database) if server == "postgres" else database
    if kind == "date":
        overlap = overlap and "1d"
    between = "T" if kind == "T" else " "
    column = "text" if kind in "T+" else kind
    database.execute(f"CREATE TABLE orders (id int, changed {column}, v int)")
    hours = ["02:50", "03:00", "03:59", "03:00", "03:30", "03:59", "04:00", "04:10"]
    given = {"overlap": overlap} if overlap else {"tie_breaker": "id"}
    source = sql(
        database, zone=HELSINKI, time="v", time_format="unix", values="id", bookmark="changed", **given
    )
    read, bookmark = [], ""
    for number, hour in enumerate(hours):
        changed = f"2026-10-25{between}{hour}:00" if kind != "date" else "2026-10-25"
        changed += ("+03:00" if number < 3 else "+02:00") if kind == "+" else ""
        database.execute(f"INSERT INTO orders VALUES ({number}, '{changed}', {1795150800 + number})")
        records, bookmark = found(source, bookmark)
        read += [record.entity for record in records if record.entity not in read]
        assert len(records) <= 6 or overlap
    assert read == [str(number) for number in range(8)]


def test_a_local_time_as_the_bookmark_gives_rows_no_order_in_the_hour_that_comes_twice(postgres):
    database = Cluster(postgres)
    database.execute("CREATE TABLE orders (id int, changed timestamp, at timestamp)")
    database.execute("INSERT INTO orders VALUES (1, '2026-10-25 03:30', '2026-10-25 03:30')")
    source = sql(
        database, zone=HELSINKI, time="at", values="id", bookmark="changed", repeated_hour="in_order"
    )
    with pytest.raises(PermanentError, match="in an hour that comes twice"):
        list(source.collect({}))


@pytest.mark.parametrize("changes", [{"overlap": "5"}, {"bookmark": "at"}])
def test_rows_that_are_read_twice_have_no_order(changes):
    given = {
        "time": "at",
        "values": "v",
        "bookmark": "id",
        "repeated_hour": "in_order",
        "url": "sqlite:////tmp/x",
    }
    with pytest.raises((ConfigError, ValueError), match="in_order needs rows"):
        sql(None, **(given | changes))


@pytest.mark.parametrize("kind", ["mysql", "postgresql"])
def test_a_server_that_never_speaks_is_given_up_after_the_connect_timeout(kind):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        held = []
        accept = threading.Thread(target=lambda: held.append(silent.accept()), daemon=True)
        accept.start()
        url = f"{kind}://u@127.0.0.1:{silent.getsockname()[1]}/d"
        network = NetworkOptions(connect_timeout="2s")
        source = sql(None, url=url, word="secret-word", network=network, time="at", values="v")
        began = time.monotonic()
        with pytest.raises(TransientError):
            list(source.collect({}))
        assert time.monotonic() - began < 60  # its statements may take 330 s
        for connection, _ in held:
            connection.close()


@pytest.mark.skipif(sys.platform == "win32", reason="nothing stops a process there and lets it go on")
def test_a_server_that_stands_still_between_two_answers_is_given_up(postgres, monkeypatch):
    """Reported as lib/pq#450 and ged/ruby-pg#509: the connection stands, and nobody answers."""
    monkeypatch.setattr("collectors.sql.server.ANSWER_S", 1)
    database = Cluster(postgres)
    database.execute("CREATE TABLE orders (id int, at timestamptz, v int)")
    database.execute("INSERT INTO orders SELECT n, now(), n FROM generate_series(1, 30000) n")
    pages = sql(database, time="at", values="v", statement_timeout="1s").collect({})
    next(pages)
    with database.connect() as admin:
        seen = "SELECT pid FROM pg_stat_activity WHERE usename = 'reader'"
        stopped = [pid for (pid,) in admin.execute(seen)]
    began = time.monotonic()
    try:
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        with pytest.raises(TransientError, match="has not answered for 2 s"):
            list(pages)
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    assert time.monotonic() - began < 30


def test_what_commits_late_is_told_of_at_the_first_reading(postgres, tmp_path):
    """Reported as dlt-hub/dlt#2269 and airbytehq/airbyte#9668: a row committed behind the cursor is never read."""
    notes = []
    database, file = Cluster(postgres), File(tmp_path)
    for each in (database, file):
        each.make(1)
    _, bookmark = found(sql(database, bookmark="changed", note=notes.append))
    assert "overlap = 10m" in notes.pop()
    found(sql(database, bookmark="changed", note=notes.append), bookmark)
    found(sql(database, bookmark="changed", overlap="10m", note=notes.append))
    found(sql(database, note=notes.append))
    found(sql(file, bookmark="changed", note=notes.append))
    assert notes == []


@pytest.mark.parametrize(
    "later", ["2026-11-20T05:30:00Z", "2026-11-20T07:30:00", "2026-11-20 07:30:00+02:00"]
)
def test_texts_that_do_not_sort_as_times_are_refused_as_a_bookmark(tmp_path, later):
    """Reported as dlt-hub/dlt#2269 of cursors that rows are below of: a space sorts before T."""
    file = File(tmp_path)
    file.execute("CREATE TABLE orders (id int, changed text, v int)")
    source = sql(file, zone=HELSINKI, time="changed", values="v", bookmark="changed")
    file.execute("INSERT INTO orders VALUES (1, '2026-11-20 07:00:00', 1), (2, '2026-11-20 07:00:00.5', 1)")
    _, bookmark = found(source)
    file.execute(f"INSERT INTO orders VALUES (3, '{later}', 1)")
    with pytest.raises(PermanentError, match="in two forms"):
        list(source.collect({"": bookmark}))


def test_a_password_that_drivers_would_cut_is_refused():
    source = sql(None, url="postgresql://u@127.0.0.1:1/d", word="secret\0word", time="at", values="v")
    with pytest.raises(PermanentError, match="holds a NUL character"):
        list(source.collect({}))
