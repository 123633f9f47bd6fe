"""Every kind of source that is shipped keeps what any collector must; and the suite catches what does not."""

import json
import os
from datetime import UTC, datetime

import pytest

from collectors.files.collector import Files
from collectors.open_meteo.collector import OpenMeteo
from collectors.open_meteo.simulator import Reply, WeatherSimulator
from collectors.rest.collector import Rest
from collectors.sql.collector import Sql
from collectors.testing import CHECKS, Subject, lent, memory_is_bounded
from tests.collectors.loopback import reply
from tests.collectors.rest_api import CURSOR, Cursors, order, since
from tests.collectors.sql_database import File
from tests.collectors.tables_support import HEADER, ROW, gz

NOW = datetime(2026, 11, 23, 5, 6, tzinfo=UTC)
SECRET = "CANARY-7f3a19c2-conformance"
PLACES = "\n".join(f"Place {n}, {n % 60}.5, {n % 90}.25" for n in range(1, 160))


@pytest.fixture
def open_meteo(stack):
    context = stack.enter_context(
        lent(source="weather", secret=SECRET, timezone="Europe/Helsinki", now=lambda: NOW)
    )

    def made(fault=lambda _request, reply: reply, **options):
        weather = stack.enter_context(WeatherSimulator(now=lambda: NOW, fault=fault))
        given = {
            "places": PLACES,
            "current": "temperature_2m",
            "hourly": "wind_speed_10m",
            "api_key": "env:KEY",
        }
        chosen = OpenMeteo.Options(collector="open_meteo", url=weather.url, **(given | options))
        return weather, lambda: OpenMeteo(chosen, context)

    def answers(status, body):
        return made(lambda _request, _reply: Reply(status, {}, body))[1]

    def spoil(request, reply):
        document = json.loads(reply.body)
        document[0]["hourly"]["time"][0] = "yesterday"
        return reply._replace(body=json.dumps(document).encode())

    def big():
        return made(past_days=4)[1]()

    weather, make = made()
    return Subject(
        OpenMeteo.Options,
        make,
        spoilt={
            "no JSON": answers(200, b"<html>"),
            "another shape": answers(200, b'{"hourly": 17}'),
            "an empty answer": answers(200, b""),
            "a refusal that repeats the key": answers(
                400, f'{{"error":true,"reason":"key {SECRET}"}}'.encode()
            ),
            "a refused login": answers(401, f'{{"error":true,"reason":"key {SECRET}"}}'.encode()),
            "a server that is down": answers(503, b""),
            "one place that is wrong": made(spoil)[1],
        },
        big=big,
        max_memory_bytes=12_000_000,
        asked=lambda: len(weather.requests),
        secrets=(SECRET,),
    )


@pytest.fixture
def files(tmp_path, stack):
    context = stack.enter_context(lent(source="orders", now=lambda: NOW))
    given = {"entity": "Place", "time": "Time", "values": "t: Temp [°C]", "settle": "0s"}

    def made(name, contents, **options):
        folder = tmp_path / name
        folder.mkdir()
        for file, content in contents.items():
            (folder / file).write_bytes(content.encode() if isinstance(content, str) else content)
            os.utime(folder / file, (NOW.timestamp() - 3_600,) * 2)
        chosen = Files.Options(**{"collector": "files", "path": str(folder), **given, **options})
        return lambda: Files(chosen, context)

    def table(lines, place="Oulu"):
        rows = (
            f"2026-{n % 12 + 1:02}-{n // 12 % 28 + 1:02}T{n // 336 % 24:02}:{n // 8064:02},{place},{n}\n"
            for n in lines
        )
        return HEADER + "".join(rows)

    def big():
        return made("big", {"a.csv": table(range(30_000))})()

    good = {
        "a.csv": table(range(25)) + ROW.replace("1.5", "x"),
        "b.csv": table(range(30), "Turku"),
        "c.csv.gz": gz(table(range(9), "Kemi")),
    }
    return Subject(
        Files.Options,
        made("good", good),
        spoilt={
            "no such folder": made("gone", {}, path=str(tmp_path / "nowhere")),
            "a missing column": made("column", {"a.csv": "Time,Temp\n2026-01-01,1\n"}),
            "another encoding": made(
                "latin", {"a.csv": (HEADER + ROW).replace("Oulu", "Jyväskylä").encode("latin-1")}
            ),
            "a broken gzip": made("gzip", {"a.csv.gz": gz(HEADER + ROW)[:-9]}),
            "a workbook that is none": made("excel", {"a.xlsx": b"PK\x03\x04" + bytes(100)}),
            "rows that are none": made("ragged", {"a.csv": HEADER + "1,2\n,,,,,\n"}),
        },
        big=big,
        max_memory_bytes=18_000_000,
    )


@pytest.fixture
def rest(stack, serve):
    context = stack.enter_context(lent(source="orders", secret=SECRET, now=lambda: NOW))
    given = {
        **since(CURSOR), "entity": "id", "time": "changed", "values": "total [EUR], who: customer.name (text)",
        "headers": "Authorization: Bearer {secret}", "secret": "env:TOKEN",
    }  # fmt: skip

    def made(script, **options):
        chosen = Rest.Options(collector="rest", url=f"{serve(script).url}/orders", **(given | options))
        return lambda: Rest(chosen, context)

    def bad(status, body):
        return made(lambda _ask: reply(status, body))

    api = Cursors([order(n) for n in range(1, 40)] + [order(40, total="much")], 7)
    many = Cursors([order(n) for n in range(1, 1_440)] * 12, 500)
    return Subject(
        Rest.Options,
        made(api.script),
        spoilt={
            "no JSON": bad(200, b"<html>"),
            "another shape": bad(200, {"data": 17}),
            "a record that is none": bad(200, {"data": [17, {"id": 1}]}),
            "a refusal that repeats the secret": bad(400, f"Bearer {SECRET} is bad".encode()),
            "a refused login": bad(401, SECRET.encode()),
            "a server that is down": bad(503, SECRET.encode()),
            "a page that never ends": bad(200, {"data": [{"id": 1}], "next": "c1"}),
        },
        big=made(many.script),
        max_memory_bytes=4_000_000,
        asked=lambda: len(api.asked),
        secrets=(SECRET,),
    )


@pytest.fixture
def sql(tmp_path, stack):
    context = stack.enter_context(lent(source="orders", secret=SECRET, now=lambda: NOW))
    given = {
        "table": "orders", "bookmark": "changed", "tie_breaker": "id",
        "entity": "id", "time": "changed", "values": "total [EUR]",
    }  # fmt: skip

    def made(name, count, *statements, **options):
        (tmp_path / name).mkdir()
        database = File(tmp_path / name)
        database.make(count)
        for statement in statements:
            database.execute(statement)
        chosen = Sql.Options(**{"collector": "sql", "url": database.url, **given, **options})
        return lambda: Sql(chosen, context)

    def big():
        rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30000)"
        filled = f"INSERT INTO orders {rows} SELECT i, datetime(1.7e9 + i, 'unixepoch'), i, 'c' FROM n"
        return made("big", 0, filled)()

    wrong = "UPDATE orders SET total = 'much' WHERE id = 7"
    return Subject(
        Sql.Options,
        made("good", 35, wrong),
        spoilt={
            "no such table": made("table", 1, table="nowhere"),
            "a missing column": made("column", 1, values="nothing"),
            "a time that is none": made("time", 1, "UPDATE orders SET changed = 'never'"),
            "a number that is none": made("number", 1, "UPDATE orders SET total = 'much'"),
            "no such file": made("file", 1, url=f"sqlite:///{tmp_path}/nowhere.db"),
        },
        big=big,
        max_memory_bytes=18_000_000,
        secrets=(SECRET,),
    )


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("kind", ["open_meteo", "files", "rest", "sql"])
def test_it_conforms(check, kind, request, monkeypatch):
    if check is not memory_is_bounded:  # small pages, so that there are many places to crash at
        monkeypatch.setattr("collectors.portion.MAX_PAGE_RECORDS", 10)
    check(request.getfixturevalue(kind))
