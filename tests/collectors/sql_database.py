"""Databases with a table of orders, SQLite, PostgreSQL and MariaDB, and an SQL source that reads them."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from importlib import import_module
from zoneinfo import ZoneInfo

import psycopg

from collectors.collector import Context
from collectors.sql.collector import Sql
from outbox.config.sections import NetworkOptions
from tests.support import mariadb
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

    def connect(self):
        return sqlite3.connect(self.path)

    def execute(self, statement, *rows):
        with closing(self.connect()) as connection, connection:
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
        self.word = READER_PASSWORD
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


class Maria:
    """MariaDB; its one table is made anew, and the reader may do anything in its database."""

    kind = "mariadb"

    def __init__(self, server):
        self.server = server
        self.url = server.url()
        self.word = mariadb.READER_PASSWORD
        self.execute("CREATE DATABASE IF NOT EXISTS test CHARACTER SET utf8mb4", database=None)
        self.execute("DROP TABLE IF EXISTS orders")
        for host in ("%", "localhost"):
            made = f"CREATE USER IF NOT EXISTS {mariadb.READER}@'{host}' IDENTIFIED BY '{self.word}'"
            self.execute(made)
            self.execute(f"GRANT ALL ON test.* TO {mariadb.READER}@'{host}'")

    def connect(self, database="test"):
        return import_module("pymysql").connect(
            host="127.0.0.1", port=self.server.port, user="root", database=database, autocommit=True
        )

    def execute(self, statement, *rows, database="test"):
        with closing(self.connect(database)) as connection, connection.cursor() as cursor:
            for row in rows or [None]:
                cursor.execute(statement, row)

    def make(self, count=0):
        self.execute(
            "CREATE TABLE orders (id bigint PRIMARY KEY, changed datetime(6), total decimal(30, 10), customer longtext)"
        )
        self.add(*range(count))

    def add(self, *numbers, minute=None):
        if numbers:
            moments = [at(n if minute is None else minute).replace(tzinfo=None) for n in numbers]
            rows = [(n, moment, n * 1.5, f"c{n % 3}") for n, moment in zip(numbers, moments, strict=True)]
            self.execute("REPLACE INTO orders VALUES (%s, %s, %s, %s)", *rows)


def sql(database, *, word="", now=lambda: NOW, zone="UTC", network=None, note=lambda _text: None, **options):
    """An SQL source, with options as an INI file has them: as text."""
    url = options.pop("url", database.url if database else "")
    if not url.startswith("sqlite"):
        options.setdefault("password", "file:secrets/db")
        word = word or getattr(database, "word", "")
    if not options.keys() & {"table", "query"}:
        options["table"] = "orders"
    options = {"entity": "id", "time": "changed", "values": "total [EUR]", **options}
    model = Sql.Options(collector="sql", url=url, **options)
    context = Context(
        "orders", ZoneInfo(zone), None, lambda _reference: word, now, network or NetworkOptions(), note
    )
    return Sql(model, context)


def entities(pages):
    return [record.entity for page in pages for record in page.records]


def numbers(*wanted):
    return [str(number) for number in wanted]
