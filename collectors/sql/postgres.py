"""How PostgreSQL's driver waits, and reads what Python has no value for; the only file that knows psycopg.

Invariant: a time before the year 1 or after 9999, `infinity`, `24:00`, an interval of months or years, and
text in no known encoding become text instead of ending the query. Numbers inside of JSON are exact.
"""

from collections.abc import Callable, Generator
from typing import Any, Literal

from psycopg import DataError, OperationalError
from psycopg.abc import AdaptContext, Buffer
from psycopg.adapt import Loader
from psycopg.pq import Format
from psycopg.types.json import set_json_loads

from collectors.exact_json import ExactReader, Refused

# Types of a fixed and small size, whose cells need no look at how large they are (pg_type.oid).
TIME_TYPES = frozenset({1082, 1083, 1114, 1184, 1266})
SMALL_TYPES = TIME_TYPES | {16, 20, 21, 23, 26, 700, 701, 790, 1186, 1700, 2950}
FORMS: dict[Any, Literal["real", "money"]] = {700: "real", 790: "money"}
"""What has to be asked for in another form; see server.Column."""

_TIMES = ("date", "time", "timetz", "timestamp", "timestamptz", "interval")
_TEXTS = ("text", "varchar", "bpchar", "name", "json", "jsonb", "xml")


def prepare(connection: Any, silence_s: float, monotonic: Callable[[], float]) -> None:
    """Prepare a new connection: how it reads, and how long it waits for one answer."""
    _read_leniently(connection)
    wait = connection.wait

    def limited(answer: Any, *args: Any, **kwargs: Any) -> Any:
        return wait(_until(answer, connection, silence_s, monotonic), *args, **kwargs)

    connection.wait = limited


def _until(
    answer: Any, connection: Any, silence_s: float, monotonic: Callable[[], float]
) -> Generator[Any, Any, Any]:
    """Go on with what the driver waits for, which it looks at every moment, until the time is over.

    A server that stands still holds its connection, and no limit of its own ends a statement there.
    """
    end = monotonic() + silence_s
    try:
        wanted = next(answer)
        while True:
            ready = yield wanted
            if not ready and monotonic() > end:
                connection.pgconn.finish()
                raise OperationalError(f"the server has not answered for {silence_s:.0f} s")
            wanted = answer.send(ready)
    except StopIteration as stop:
        return stop.value


def _read_leniently(connection: Any) -> None:
    adapters = connection.adapters
    for name in _TIMES:
        strict = adapters.get_loader(adapters.types[name].oid, Format.TEXT)
        adapters.register_loader(name, _lenient(strict, has_months=name == "interval"))
    for name in ("bit", "varbit"):
        adapters.register_loader(name, _Bits)
    set_json_loads(_json, connection)
    if connection.info.parameter_status("client_encoding") == "SQL_ASCII":
        for name in _TEXTS:
            adapters.register_loader(name, _AnyText)


def _json(data: str | bytes) -> Any:
    """Return a JSON cell; what cannot be read exactly becomes `Refused`, which no record holds."""
    text = data if isinstance(data, str) else data.decode("utf-8", "surrogateescape")
    found, problem = ExactReader().read(text)
    return Refused(problem, found) if problem else found


def _lenient(strict: Any, *, has_months: bool) -> type[Loader]:
    class Lenient(Loader):
        def __init__(self, oid: int, context: AdaptContext | None = None) -> None:
            super().__init__(oid, context)
            self._strict = strict(oid, context)

        def load(self, data: Buffer) -> Any:
            if has_months and (b"mon" in bytes(data) or b"year" in bytes(data)):
                return bytes(data).decode("ascii")  # how many days a month has, nobody says
            try:
                return self._strict.load(data)
            except (DataError, OverflowError, ValueError):
                return bytes(data).decode("utf-8", "surrogateescape")

    return Lenient


class _Bits(Loader):
    """Bits as the number that they are; as text they would look like another, in tens."""

    def load(self, data: Buffer) -> int:
        return int(bytes(data) or b"0", 2)


class _AnyText(Loader):
    """Text whose encoding nobody knows; what is not UTF-8 becomes lone surrogates, which no record holds."""

    def load(self, data: Buffer) -> str:
        return bytes(data).decode("utf-8", "surrogateescape")
