"""One SQLite file: opened the one safe way, changed by the one transaction helper, upgraded by migrations.

Invariants:
- WAL with synchronous=FULL, read back at every open: what was committed survives a power cut (I1).
- Every write is one BEGIN IMMEDIATE transaction, and inside it the schema's version is read again: a
  program that was upgraded under our feet is noticed before anything is written.
- No transaction is open while anything else than the database is waited for.
- Opening never makes a database; `create` makes it whole or not at all.
- No database is opened through a link, nor its -wal or -shm.
- SQLite's exceptions are translated here, once.

SQLite before 3.51.3 can corrupt a WAL file that two processes write (the WAL-reset bug), which is this
agent's very shape; apsw brings its own, newer one, and the version is checked all the same.
"""

import ctypes
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self, TypeVar

import apsw

from outbox.agent_id import short
from outbox.errors import (
    DataError,
    DiskFullError,
    OutboxError,
    PermanentError,
    SchemaError,
    TransientError,
)
from outbox.machine.disk import network_drive
from outbox.machine.private import require_no_link
from outbox.witness import read_witness

APPLICATION_ID = 0x4F757462  # "Outb"
MIN_SQLITE = 3_051_003
BUSY_TIMEOUT_MS = 30_000
JOURNAL_SIZE_LIMIT_BYTES = 16 * 1024 * 1024
CACHE_KIB = 16 * 1024
_HEADER = b"SQLite format 3\x00"
_FULL, _INCREMENTAL, _MEMORY = 2, 2, 2

Row = tuple[Any, ...]
T = TypeVar("T")


class BusyError(TransientError):
    """Another program has been writing into the database for too long."""


class Database:
    """An open outbox database; close it, or use it as a context manager."""

    def __init__(self, path: Path, connection: apsw.Connection, version: int) -> None:
        self.path = path
        self.connection = connection
        self.version = version
        self._waited = False

    @classmethod
    def open(cls, path: Path, *, readonly: bool = False) -> Self:
        """Open an existing database of ours; SchemaError or PermanentError says why it cannot be."""
        _require_ours(path)
        flags = apsw.SQLITE_OPEN_READONLY if readonly else apsw.SQLITE_OPEN_READWRITE
        with translated(path):
            connection = connected(path, flags)
            try:
                _configure(connection, readonly=readonly)
                version = connection.pragma("user_version")
                if connection.pragma("application_id") != APPLICATION_ID:
                    raise SchemaError(f"{path} is another program's database")
            except BaseException:
                connection.close()
                raise
        return cls(path, connection, version)

    @classmethod
    def create(cls, path: Path, fill: Callable[[Self], T]) -> T:
        """Make a new database at `path`, let `fill` put its first rows in, and return what that returns.

        Whole or not at all: it is made under another name. PermanentError where `path` exists.
        """
        _require_local(path)
        unfinished = path.with_name(path.name + ".new")
        unfinished.unlink(missing_ok=True)
        with translated(path):
            connection = connected(unfinished, apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE)
            try:
                _require_pragma(connection, "auto_vacuum", _INCREMENTAL)  # only the very first statement can
                _require_pragma(connection, "application_id", APPLICATION_ID)
                _require_pragma(connection, "synchronous", _FULL)
                filled = fill(cls(path, connection, 0))
                _require_pragma(connection, "journal_mode", "wal")  # else two first openings would race to it
            finally:
                connection.close()
        _give_name(unfinished, path)
        return filled

    def close(self) -> None:
        """Close the connection; the WAL file stays, so that no operator's read can lock the agent out."""
        with translated(self.path):
            self.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> Iterator[Row]:
        """Yield the rows of one statement; the read is over when the iterator is."""
        with translated(self.path):
            yield from self.connection.execute(sql, parameters)

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Run one statement to its end and return its rows."""
        return list(self.rows(sql, parameters))

    def executemany(self, sql: str, parameters: Sequence[Sequence[Any]]) -> None:
        """Run one statement for each of the parameters."""
        with translated(self.path):
            for _ in self.connection.executemany(sql, parameters):
                pass

    def value(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        """Return the first column of the first row, or None where there is no row."""
        rows = self.execute(sql, parameters)
        return rows[0][0] if rows else None

    def changes(self) -> int:
        """Return how many rows the last statement changed."""
        return self.connection.changes()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let everything that the block reads be of one moment, whatever is written meanwhile."""
        if self.connection.in_transaction:
            yield
            return
        self.execute("BEGIN")
        try:
            yield
        finally:
            with suppress(apsw.Error):  # the block's own error says more; nothing was written
                self.connection.execute("ROLLBACK")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run the block as one BEGIN IMMEDIATE transaction; any exception rolls it back and comes through.

        Another writer is waited for, for 30 s; once in vain, no longer until it was let in again: BusyError.
        """
        self._begin()
        try:
            version = self.value("PRAGMA user_version")
            if version != self.version:
                raise SchemaError(
                    f"{self.path} was upgraded to schema {version} while a program for {self.version} ran",
                    hint="start the command again, with the upgraded program",
                )
            yield
            self.execute("COMMIT")
        except BaseException:
            if self.connection.in_transaction:
                with suppress(apsw.Error):  # what failed first says why; closing rolls back, too
                    self.connection.execute("ROLLBACK")
            raise

    def _begin(self) -> None:
        try:
            self.execute("BEGIN IMMEDIATE")
        except BusyError:
            self.connection.set_busy_timeout(0)  # who comes next need not wait for the same program again
            self._waited = True
            raise
        if self._waited:
            self.connection.set_busy_timeout(BUSY_TIMEOUT_MS)
            self._waited = False


def connected(path: Path, flags: int) -> apsw.Connection:
    """Return a connection to a file that is no link: its folder may be reached through one, it may not."""
    return apsw.Connection(str(path.parent.resolve() / path.name), flags=flags | apsw.SQLITE_OPEN_NOFOLLOW)


def _require_ours(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        require_no_link(path.with_name(path.name + suffix))
    if not path.exists():
        if known := read_witness(path):
            raise PermanentError(
                f"there is no database at {path}, and there was one: its witness knows that agent "
                f"{short(known.agent_id)} had sealed up to sequence {known.last_sequence:,}",
                hint="put outbox.db back from a backup, then run: outbox agent renew; without a backup: "
                "outbox init, then outbox agent renew",
            )
        raise PermanentError(
            f"there is no database at {path}",
            hint="make one with: outbox init; or correct [agent] folder",
        )
    _require_local(path)
    try:
        with path.open("rb") as file:
            header = file.read(100)
    except OSError as error:
        raise PermanentError(f"{path} cannot be read: {error.strerror}") from error
    if not header:
        raise SchemaError(f"{path} is empty: it is not an outbox, or its content was lost", hint=_RESTORE)
    if not header.startswith(_HEADER):
        raise SchemaError(f"{path} is not a SQLite database, or its beginning is damaged", hint=_RESTORE)
    if header[68:72] != APPLICATION_ID.to_bytes(4, "big"):
        raise SchemaError(f"{path} is another program's database: it was left alone")


_RESTORE = "outbox agent renew --salvage makes a sound database of what can be read, and deletes nothing"


def _require_local(path: Path) -> None:
    kind = network_drive(path.parent)
    if kind:
        raise PermanentError(
            f"{path} is on a network drive ({kind}), where SQLite cannot keep its promises",
            hint="set [agent] folder to a folder on a local disk",
        )


def _configure(connection: apsw.Connection, *, readonly: bool) -> None:
    if apsw.SQLITE_VERSION_NUMBER < MIN_SQLITE:
        raise SchemaError(
            f"SQLite {apsw.sqlite_lib_version()} is older than 3.51.3", hint="pip install --upgrade apsw"
        )
    connection.set_busy_timeout(BUSY_TIMEOUT_MS)
    _require_pragma(connection, "mmap_size", 0)
    _require_pragma(connection, "temp_store", _MEMORY)
    _require_pragma(connection, "cache_size", -CACHE_KIB)
    _require_pragma(connection, "recursive_triggers", 1)
    _require_pragma(connection, "foreign_keys", 1)
    _require_pragma(connection, "trusted_schema", 0)
    if readonly:
        _require_pragma(connection, "query_only", 1)
        return
    keep_wal = ctypes.c_int(1)
    connection.file_control("main", apsw.SQLITE_FCNTL_PERSIST_WAL, ctypes.addressof(keep_wal))
    _require_pragma(connection, "journal_mode", "wal")
    _require_pragma(connection, "synchronous", _FULL)
    _require_pragma(connection, "journal_size_limit", JOURNAL_SIZE_LIMIT_BYTES)


def _require_pragma(connection: apsw.Connection, name: str, wanted: int | str) -> None:
    connection.pragma(name, wanted)
    found = connection.pragma(name)
    if found != wanted:
        raise DataError(
            f"SQLite keeps {name} at {found!r} instead of {wanted!r}: its promises would not hold"
        )


def _give_name(unfinished: Path, path: Path) -> None:
    try:
        if os.name == "nt":
            unfinished.rename(path)  # refuses an existing target
        else:
            os.link(unfinished, path)  # so does link; rename would overwrite without a word
            unfinished.unlink()
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    except FileExistsError as error:
        unfinished.unlink(missing_ok=True)
        raise PermanentError(f"{path} exists already: it was left alone") from error


def _disk_full(path: Path) -> DiskFullError:
    return DiskFullError(f"no room left to write {path}; nothing was lost", hint="make room on this disk")


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn apsw's exceptions into ours; the rest comes through."""
    try:
        yield
    except (apsw.BusyError, apsw.LockedError) as error:
        raise BusyError(
            f"{path} is busy: another program has been writing for 30 s",
            hint="close what has it open for writing: DB Browser, a sqlite3 prompt within BEGIN, a backup",
        ) from error
    except apsw.FullError as error:
        raise _disk_full(path) from error
    except (apsw.CorruptError, apsw.NotADBError) as error:
        raise DataError(f"{path} is damaged: {error}", hint=_RESTORE) from error
    except (apsw.CantOpenError, apsw.ReadOnlyError, apsw.PermissionsError, apsw.AuthError) as error:
        raise PermanentError(
            f"{path} cannot be written: {error}",
            hint="the account that runs outbox needs to read and write this folder and its files",
        ) from error
    except apsw.IOError as error:
        if getattr(error, "extendedresult", None) == apsw.SQLITE_IOERR_SHMSIZE:  # no room for its -shm
            raise _disk_full(path) from error
        raise TransientError(
            f"the disk failed while {path} was used: {error}", hint="look at the disk"
        ) from error
    except apsw.ConstraintError as error:
        raise DataError(f"the database refused a change that would break a promise: {error}") from error
    except (apsw.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path} is damaged, or not of this program: {error}", hint=_RESTORE) from error


__all__ = ["Database", "OutboxError", "Row", "translated"]
