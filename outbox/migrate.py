"""Migrations: files of migrations/outbox, applied in order, one transaction each.

Invariants: the count is `PRAGMA user_version`, set in the transaction of the file itself; the SHA-256 of
each applied file is kept, and a released file that was edited is refused; a newer database is refused
with both numbers; before an upgrade an online backup is made, and going back means restoring it.
"""

import hashlib
from collections.abc import Callable
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import apsw

from outbox import __version__
from outbox.database import Database, connected, translated
from outbox.errors import SchemaError
from outbox.record import timestamp


class Migration(NamedTuple):
    """One file of SQL and the schema version that it leads to."""

    version: int
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        """The digest by which an edited file is found out."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations() -> list[Migration]:
    """Return the migrations of this program, in order."""
    found = sorted(
        (file for file in (files("migrations") / "outbox").iterdir() if file.name[:4].isdigit()),
        key=lambda file: file.name,
    )
    return [Migration(n, file.name, file.read_text("utf-8")) for n, file in enumerate(found, start=1)]


def upgrade(database: Database, *, now: Callable[[], datetime]) -> Path | None:
    """Bring the database to this program's schema; return the backup that was made, None if none was.

    SchemaError where the database is newer than the program, or was made by other files than these.
    """
    known = migrations()
    _require_same_history(database, known)
    if database.version == len(known):
        return None
    backup = _back_up(database, now()) if database.version else None
    for migration in known[database.version :]:
        with database.transaction():
            with translated(database.path):
                for _ in database.connection.execute(migration.sql):
                    pass
            database.execute(
                "INSERT INTO migrations (version, name, sha256, program, applied_at) VALUES (?, ?, ?, ?, ?)",
                (migration.version, migration.name, migration.sha256, __version__, timestamp(now())),
            )
            database.connection.pragma("user_version", migration.version)
        database.version = migration.version
    return backup


def require_current(database: Database) -> None:
    """Raise SchemaError unless the database has exactly this program's schema."""
    known = migrations()
    _require_same_history(database, known)
    if database.version != len(known):
        raise SchemaError(
            f"{database.path} has schema {database.version}, this program schema {len(known)}",
            hint="any writing command upgrades it: outbox collect, outbox upload",
        )


def _require_same_history(database: Database, known: list[Migration]) -> None:
    if database.version > len(known):
        raise SchemaError(
            f"{database.path} has schema {database.version}; this program knows {len(known)}",
            hint="install the newer program again; nothing was changed",
        )
    if database.version == 0 and database.value("SELECT count(*) FROM sqlite_schema") == 0:
        return
    applied = database.execute("SELECT version, name, sha256 FROM migrations ORDER BY version")[
        : database.version
    ]
    if applied != [
        (migration.version, migration.name, migration.sha256) for migration in known[: database.version]
    ]:
        raise SchemaError(f"{database.path} was made by other migrations than this program's, or is damaged")


def _back_up(database: Database, moment: datetime) -> Path:
    stamp = timestamp(moment).translate(str.maketrans("", "", "-:."))
    path = database.path.with_name(f"{database.path.name}.schema{database.version}-{stamp}.backup")
    with translated(path):
        copy = connected(path, apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE)
        try:
            with copy.backup("main", database.connection, "main") as backup:
                backup.step(-1)
        finally:
            copy.close()
    return path
