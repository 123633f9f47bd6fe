"""A database with a table of orders, SQLite or PostgreSQL, and an SQL source that reads it."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import psycopg

from collectors.collector import Context
from collectors.sql import Sql
from outbox.sections import NetworkOptions
from tests.support.postgres import OWNER, PASSWORD, READER, READER_PASSWORD

FIRST = datetime(2026, 11, 22, tzinfo=UTC)
NOW = datetime(2026, 11, 23, 5, tzinfo=UTC)


def at(minute):
    return FIRST + timedelta(minutes=minute)


class File:
    """SQLite in a file."""

    kind = "sqlite"

    def __init__(self, folder):
        self.path = folder / "orders.db"
        self.url = f"sqlite:///{self.path}"

    def execute(self, statement, *rows):
        with closing(sqlite3.connect(self.path)) as connection, connection:
            for row in rows or [()]:
                connection.execute(statement, row)

    def make(self, count=0):
        self.execute(
            "CREATE TABLE orders (id INTEGER PRIMARY KEY, changed TEXT, total NUMERIC, customer TEXT)"
        )
        self.add(*range(count))

    def add(self, *numbers, minute=None):
        if not numbers:
            return
        rows = [(n, self.written(at(n if minute is None else minute)), n * 1.5, f"c{n % 3}") for n in numbers]
        self.execute("INSERT OR REPLACE INTO orders VALUES (?, ?, ?, ?)", *rows)

    def written(self, moment):
        return moment.strftime("%Y-%m-%d %H:%M:%S")


class Cluster:
    """PostgreSQL; its schema is made anew, and the reader may read what is in it."""

    kind = "postgresql"

    def __init__(self, server, name="postgres"):
        self.server = server
        self.name = name
        self.url = server.url(READER, name)
        if name == "postgres":
            self._make_reader()
        self.execute("DROP SCHEMA public CASCADE")
        self.execute("CREATE SCHEMA public")
        self.execute(f"GRANT ALL ON SCHEMA public TO {READER}")
        self.execute(f"ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO {READER}")

    def _make_reader(self):
        word = READER_PASSWORD.replace("'", "''")
        made = f"CREATE ROLE {READER} LOGIN PASSWORD '{word}'"
        self.execute(f"DO $$BEGIN IF to_regrole('{READER}') IS NULL THEN {made}; END IF; END$$")

    def connect(self, name=None):
        return psycopg.connect(
            host="127.0.0.1", port=self.server.port, user=OWNER, password=PASSWORD, dbname=name or self.name,
            autocommit=True,
        )  # fmt: skip

    def execute(self, statement, *rows):
        with self.connect() as connection:
            for row in rows or [None]:
                connection.execute(statement, row)

    def make(self, count=0):
        self.execute(
            "CREATE TABLE orders (id bigint PRIMARY KEY, changed timestamptz, total numeric, customer text)"
        )
        self.add(*range(count))

    def add(self, *numbers, minute=None):
        rows = [(n, at(n if minute is None else minute), n * 1.5, f"c{n % 3}") for n in numbers]
        statement = "INSERT INTO orders VALUES (%s, %s, %s, %s) ON CONFLICT (id) DO UPDATE SET changed = EXCLUDED.changed"
        with self.connect() as connection:
            connection.cursor().executemany(statement, rows)


def sql(database, *, word=READER_PASSWORD, now=lambda: NOW, zone="UTC", network=None, **options):
    """An SQL source, with options as an INI file has them: as text."""
    url = options.pop("url", database.url if database else "")
    if url.startswith("postgresql"):
        options.setdefault("password", "file:secrets/db")
    if not options.keys() & {"table", "query"}:
        options["table"] = "orders"
    options = {"entity": "id", "time": "changed", "values": "total [EUR]", **options}
    model = Sql.Options(collector="sql", url=url, **options)
    context = Context(
        "orders", ZoneInfo(zone), None, lambda _reference: word, now, network or NetworkOptions()
    )
    return Sql(model, context)


def entities(pages):
    return [record.entity for page in pages for record in page.records]


def numbers(*wanted):
    return [str(number) for number in wanted]
