"""A connection that only reads; of the files that know SQLAlchemy, the one that connects.

Invariants:
- Nothing is changed: PostgreSQL, MySQL and MariaDB read in a read-only transaction, SQLite opens the file
  read-only. SQL Server knows no such transaction: there the rights of the login decide.
- A statement ends after `statement_timeout`, a connection attempt after [network] connect_timeout, and a
  network that falls silent is noticed.
- Rows come a few at a time, however many there are.
- What a view or a query makes of an instant, it makes in the source's zone, in which a time without one is
  read: the session is in that zone. An instant of MySQL and MariaDB (TIMESTAMP) is asked for as a number of
  seconds, so that the hour which comes twice stays two.
- A cell that a driver cannot read (a time beyond the year 9999, text in no known encoding) stays text, so
  that the mapping rejects its row; it does not end the query.
"""

import logging
import re
import sqlite3
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo

import sqlalchemy
from sqlalchemy.engine import Connection, CursorResult, Engine
from sqlalchemy.exc import DBAPIError, NoSuchModuleError, SQLAlchemyError

from collectors.collector import Context
from collectors.sql.errors import translated
from collectors.sql.options import SqlOptions, shown_address
from outbox.errors import OutboxError, PermanentError
from outbox.redaction import Secrets

# What goes wrong while it closes a broken connection comes after what broke it, which is raised.
logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)

Form = Literal["", "instant", "float", "bits", "money", "real"]
MAX_FETCHED_CELLS = 2_000
ANSWER_S = 30
"""A server that has not answered for so long after a statement's own limit is given up."""
_DRIVERS = {
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
    "mssql": "mssql+mssqlpython",
    "sqlite": "sqlite",
}
_EXTRAS = {"postgresql": "postgres", "mysql": "mysql", "mariadb": "mysql", "mssql": "mssql", "sqlite": "sql"}
# MySQL and MariaDB have names of their own for the time, and each reads its own of these comments.
_MYSQL_TIME = (
    "SET @outbox = 0 /*!50701 , SESSION max_execution_time = {ms} */ "
    "/*M!100101 , SESSION max_statement_time = {s} */"
)
_MYSQL = (_MYSQL_TIME, "START TRANSACTION READ ONLY")
_BEGIN = {
    "postgresql": (
        "SET LOCAL statement_timeout = {ms}",
        "SET LOCAL TIME ZONE '{zone}'",
        "SET LOCAL datestyle TO ISO",
        "SET LOCAL intervalstyle TO postgres",
    ),
    "mysql": _MYSQL,
    "mariadb": _MYSQL,
    "mssql": ("SET LOCK_TIMEOUT {ms}",),
    "sqlite": ("PRAGMA query_only = 1", "PRAGMA trusted_schema = 0"),
}
_MYSQL_TIMES = frozenset({7, 10, 12})  # TIMESTAMP, DATE, DATETIME: of the protocol's types of columns
_MYSQL_FORMS: dict[Any, Form] = {4: "float", 7: "instant", 16: "bits"}
_MYSQL_UNKNOWN_ZONE = 1298
# What may make a local time of an instant, or compare it with one: whatever is not known to leave it alone.
_MYSQL_LOCAL = re.compile(
    r"(?<![\w`])(?!(?:count|sum|avg|min|max|round|abs|in|and|or|on|where|not|exists|from|join|as|using|over|by"
    r"|row_number|utc_timestamp)\b)\w+\s*\(|\b(?:case|union|interval|current_\w+|localtime\w*)\b|['\"]\d{4}-\d",
    re.IGNORECASE,
)
_MYSQL_IS_VIEW = (
    "SELECT 1 FROM information_schema.views "
    "WHERE table_name = :name AND table_schema = coalesce(nullif(:schema, ''), database())"
)
_UTC = ("UTC", "Etc/UTC", "GMT", "Etc/GMT")
_SINGLE = struct.Struct("f")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_KEEPALIVE = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
_STEPS_PER_LOOK = 10_000


class Column(NamedTuple):
    """A column of what is read; `small` says that no cell can be large, `time` that all are times.

    `form` names what a server has to be asked for in another form, to be told all of it: MySQL's protocol
    cuts a FLOAT to six digits and tells a TIMESTAMP in the zone of the session, PostgreSQL's tells money in
    the signs of a country. A real of PostgreSQL, as a bookmark, is compared as the double that it is.
    """

    name: str
    small: bool = False
    time: bool = False
    form: Form = ""


class Server:
    """Where a source reads; a connection exists only within `reading`."""

    def __init__(
        self, options: SqlOptions, context: Context, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._options = options
        self._context = context
        self._monotonic = monotonic
        self._where = shown_address(options.url)

    @contextmanager
    def reading(self) -> Iterator["Reading"]:
        """Connect for the length of a `with` block; typed errors say why it, or a read in it, fails."""
        password = self._context.secret(self._options.password) if self._options.password else ""
        if "\0" in password:
            raise PermanentError(
                f"{self._where}: the password holds a NUL character, at which drivers cut it off",
                hint="store the password anew: outbox secret set",
            )
        try:
            with self._translating(connecting=True):
                engine = self._engine(password)
            try:
                with self._translating(connecting=True):
                    connection = engine.connect()
                with connection:
                    yield Reading(self, connection, self._options, self._context, self._monotonic)
            finally:
                engine.dispose()
        except OutboxError as error:
            Secrets([password]).hide(error)
            raise

    @contextmanager
    def translating(self) -> Iterator[None]:
        """Turn what a statement raises into typed errors."""
        with self._translating(connecting=False):
            yield

    @contextmanager
    def _translating(self, *, connecting: bool) -> Iterator[None]:
        try:
            yield
        except (ModuleNotFoundError, NoSuchModuleError) as error:
            extra = _EXTRAS[self._options.kind]
            raise PermanentError(
                f"{self._where}: the driver is not installed ({error})",
                hint=f"install snowflake-datapipe[{extra}]",
            ) from error
        except DBAPIError as error:
            raise translated(error.orig, self._where, connecting=connecting) from error
        except SQLAlchemyError as error:
            raise PermanentError(f"{self._where}: {str(error).splitlines()[0][:300]}") from error
        except (UnicodeError, OverflowError, sqlite3.Error) as error:
            raise translated(error, self._where, connecting=connecting) from error

    def _engine(self, password: str) -> Engine:
        url = sqlalchemy.make_url(self._options.url).set(drivername=_DRIVERS[self._options.kind])
        shared: dict[str, Any] = {"poolclass": sqlalchemy.NullPool, "hide_parameters": True}
        if self._options.kind == "sqlite":
            return sqlalchemy.create_engine("sqlite://", creator=self._open_file, **shared)
        if password:
            url = url.set(password=password)
        seconds = max(2, int(self._context.network.connect_timeout))
        silence = int(self._options.statement_timeout) + ANSWER_S
        arguments: dict[str, Any] = {"connect_timeout": seconds}
        if self._options.kind == "postgresql":
            arguments |= {"application_name": "snowflake-datapipe", **_KEEPALIVE}
        elif self._options.kind in ("mysql", "mariadb"):
            # As text, its driver would send a password in Latin-1.
            arguments |= {"read_timeout": seconds, "charset": "utf8mb4", "password": password.encode()}
        else:
            arguments = {"timeout": int(self._options.statement_timeout)}
        engine = sqlalchemy.create_engine(url, connect_args=arguments, **shared)
        if self._options.kind == "postgresql":
            from collectors.sql.postgres import prepare  # noqa: PLC0415 - its driver is an extra

            def prepared(connection: Any, _record: Any) -> None:
                prepare(connection, silence, self._monotonic)

            # First of all: SQLAlchemy itself asks for texts while it connects.
            sqlalchemy.event.listen(engine, "connect", prepared, insert=True)
        elif self._options.kind in ("mysql", "mariadb"):

            def wait_longer(connection: Any, _record: Any) -> None:
                # Its driver has one limit for the greeting and for every answer after it.
                connection._read_timeout = silence

            sqlalchemy.event.listen(engine, "connect", wait_longer, insert=True)
        return engine

    def _open_file(self) -> sqlite3.Connection:
        path = Path(unquote(urlsplit(self._options.url).path).removeprefix("/"))
        if not path.is_absolute():
            path = Path("/") / path
        if not path.is_file():
            raise PermanentError(f"{self._where}: there is no file {path}", hint="correct url")
        connection = sqlite3.connect(
            path.as_uri() + "?mode=ro", uri=True, timeout=self._context.network.connect_timeout
        )
        connection.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
        return connection


class Reading:
    """What can be asked within `Server.reading`: one statement after the other."""

    def __init__(
        self,
        server: Server,
        connection: Connection,
        options: SqlOptions,
        context: Context,
        monotonic: Callable[[], float],
    ) -> None:
        self._server = server
        self._zone = options.timezone or context.timezone
        self._note = context.note
        self._options = options
        self._monotonic = monotonic
        self._deadline = 0.0
        self._connection = connection
        if options.kind == "postgresql":
            self._connection = connection.execution_options(postgresql_readonly=True)
        with server.translating():
            self._begin()

    def columns(self, query: str) -> list[Column]:
        """Return the columns of a query, as the database names them."""
        probe = sqlalchemy.text(f"SELECT * FROM ({escaped(query)}) q WHERE 1 = :never")  # noqa: S608
        small: frozenset[int] = frozenset()
        times: frozenset[int] = frozenset()
        forms: dict[Any, Form] = {}
        if self._options.kind == "postgresql":
            from collectors.sql import postgres  # noqa: PLC0415 - as above

            small, times, forms = postgres.SMALL_TYPES, postgres.TIME_TYPES, {**postgres.FORMS}
        with self._server.translating():
            # The parameter has the driver send one statement and no more.
            found = self._execute(probe.bindparams(never=0))
            described = found.cursor.description if found.cursor else None
            found.close()
        found_names = {name for name, *_ in described or ()}
        if self._options.kind in ("mysql", "mariadb"):
            times, forms = _MYSQL_TIMES, _MYSQL_FORMS
        return [
            Column(_as_written(name, found_names), kind in small, kind in times, forms.get(kind, ""))
            for name, kind, *_ in described or ()
        ]

    def value(self, statement: sqlalchemy.Select[Any]) -> Any:
        """Return the one cell of a statement's first row."""
        with self._server.translating():
            return self._execute(statement).scalar()

    def rows(self, statement: sqlalchemy.Select[Any]) -> Iterator[sqlalchemy.Row[Any]]:
        """Yield the rows of a statement, a few at a time."""
        count = max(10, MAX_FETCHED_CELLS // len(statement.selected_columns))
        with self._server.translating():
            result = self._execute(statement.execution_options(yield_per=count))
            parts = result.partitions()
        try:
            while True:
                with self._server.translating():
                    self._restart_clock()
                    part = next(parts, None)
                if part is None:
                    return
                yield from part
        finally:
            with suppress(SQLAlchemyError):  # of a connection that is gone
                result.close()

    def _begin(self) -> None:
        seconds = int(self._options.statement_timeout)
        for statement in _BEGIN[self._options.kind]:
            said = statement.format(s=seconds, ms=seconds * 1_000, zone=self._zone.key)
            self._connection.execute(sqlalchemy.text(said))
        if self._options.kind in ("mysql", "mariadb"):
            self._enter_zone()
        if self._options.kind == "sqlite":
            file = self._connection.connection.driver_connection
            if isinstance(file, sqlite3.Connection):
                file.set_progress_handler(lambda: self._monotonic() > self._deadline, _STEPS_PER_LOOK)

    def _enter_zone(self) -> None:
        """Have MySQL compute local times in the source's zone, by name or as its own; else in UTC."""
        enter = sqlalchemy.text("SET time_zone = :zone")
        for name in () if self._zone.key in _UTC else (self._zone.key, "SYSTEM"):
            try:
                self._connection.execute(enter, {"zone": name})
            except DBAPIError as error:
                if not error.orig or error.orig.args[:1] != (_MYSQL_UNKNOWN_ZONE,):
                    raise
            else:
                if name != "SYSTEM" or self._has_clocks_of_its_own():
                    return
        self._connection.execute(enter, {"zone": "+00:00"})
        if self._zone.key not in _UTC:
            self._refuse_local_times()

    def _has_clocks_of_its_own(self) -> bool:
        """Return whether the session's clocks, the server's own, are those of the source's zone."""
        seconds = _probes(self._zone)
        asked = ", ".join(f"from_unixtime({second})" for second in seconds)
        found = self._connection.execute(sqlalchemy.text(f"SELECT {asked}")).one()
        return list(found) == [
            datetime.fromtimestamp(second, self._zone).replace(tzinfo=None, fold=0) for second in seconds
        ]

    def _refuse_local_times(self) -> None:
        """Raise PermanentError for a query that may compute in a zone unknown to the server; note a view."""
        said = f"the server does not know the time zone {self._zone.key}"
        advice = "load the server's time zone tables (mysql_tzinfo_to_sql)"
        if _MYSQL_LOCAL.search(self._options.query):
            raise PermanentError(f"{said}, in which the query computes times", hint=advice)
        schema, _, name = self._options.table.replace("`", "").replace('"', "").rpartition(".")
        is_view = self._connection.execute(
            sqlalchemy.text(_MYSQL_IS_VIEW), {"name": name, "schema": schema}
        ).first()
        if is_view:
            self._note(f"{said}: what a view makes of a TIMESTAMP is in UTC there; {advice}")

    def _execute(self, statement: Any) -> CursorResult[Any]:
        self._restart_clock()
        return self._connection.execute(statement)

    def _restart_clock(self) -> None:
        self._deadline = self._monotonic() + self._options.statement_timeout


@cache
def _probes(zone: ZoneInfo) -> tuple[int, ...]:
    """Return the seconds since 1970 at which a zone's clocks change, those before, and some between."""

    def offset(second: int) -> timedelta | None:
        return datetime.fromtimestamp(second, zone).utcoffset()

    found: list[int] = []
    for day in range(10_957, 24_800):  # from the year 2000
        low, high = day * 86_400, (day + 1) * 86_400
        if day % 60 == 0:
            found.append(low)
        if (before := offset(low)) != offset(high):
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if offset(middle) == before else (low, middle)
            found += [low, high]
    return tuple(found)


def told(value: Any, column: Column | None) -> Any:
    """Return what a cell says, from the form in which its column was asked for; 0 is MySQL's zero date."""
    if column is None or column.form != "instant" or not isinstance(value, (int, Decimal)):
        return value
    return _EPOCH + timedelta(microseconds=int(value * 1_000_000)) if value else "0000-00-00 00:00:00"


def shortened(value: Any) -> Any:
    """Return the six digits that MySQL's own client shows of a FLOAT, where they are all of it: 0.1."""
    if not isinstance(value, float):
        return value
    short = float(f"{value:.6g}")
    return short if short == value or _SINGLE.unpack(_SINGLE.pack(short)) == (value,) else value


def _as_written(name: str, names: set[str]) -> str:
    """SQLite calls the second column of a name `name:1`; every other name is its own."""
    plain, there, number = name.rpartition(":")
    return plain if there and number.isdigit() and plain in names else name


def escaped(query: str) -> str:
    """Return a query of which SQLAlchemy changes nothing: no colon begins a parameter."""
    kept = re.sub(r"\\(:\w*)(?![:\w])", r"\\\\\1", query)
    return re.sub(r"(?<![:\w\\]):(?=\w+(?![:\w]))", r"\\:", kept)
