"""The identity of a database: made with it, in every object's name and in every line."""

import secrets
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Literal, NamedTuple

from outbox.database import Database
from outbox.errors import DataError, SchemaError
from outbox.host import fingerprint
from outbox.migrate import upgrade
from outbox.record import timestamp
from outbox.witness import Witnessed, read_witness, write_witness

_INSERT = """
INSERT INTO agents (agent_id, customer, site, host, first_sequence, since, reason)
VALUES (?, ?, ?, ?, ?, ?, ?)
"""
_CURRENT = """
SELECT agent_id, customer, site, host, first_sequence, since FROM agents ORDER BY id DESC LIMIT 1
"""
_NEXT_UNSEALED = """
SELECT coalesce((SELECT max(last_sequence) + 1 FROM batches), (SELECT min(first_sequence) FROM agents))
"""
_BY_ID = """
SELECT agent_id, customer, site, host, first_sequence, since FROM agents WHERE agent_id = ?
"""


Reason = Literal["restored", "cloned", "moved"]


class Agent(NamedTuple):
    """One identity of one database; `since` is RFC 3339 text, `host` a fingerprint."""

    agent_id: str
    customer: str
    site: str
    host: str
    first_sequence: int
    since: str


def make_database(
    path: Path,
    *,
    customer: str,
    site: str,
    now: Callable[[], datetime],
    token: Callable[[], str] = lambda: secrets.token_hex(8),
) -> None:
    """Make the database of a new agent, whole or not at all; PermanentError where `path` exists."""

    def fill(database: Database) -> None:
        upgrade(database, now=now)
        agent_id = f"{token()}-{1:012d}"
        since = timestamp(now())
        with database.transaction():
            database.execute(_INSERT, (agent_id, customer, site, fingerprint(), 1, since, "made"))

    Database.create(path, fill)


def renew(
    database: Database,
    reason: Reason,
    *,
    now: Callable[[], datetime],
    token: Callable[[], str] = lambda: secrets.token_hex(8),
) -> Agent:
    """Give the database a new identity from its next unsealed sequence on, and return it.

    Bookmarks and pending records stay; batches that are sealed keep the old identity. `since` is never
    earlier than the predecessor's, whatever the clock says: revisions are ordered by it.
    """
    with database.transaction():
        previous = current_agent(database)
        first = database.value(_NEXT_UNSEALED)
        since = max(timestamp(now()), previous.since)
        row = (
            f"{token()}-{first:012d}",
            previous.customer,
            previous.site,
            fingerprint(),
            first,
            since,
            reason,
        )
        database.execute(_INSERT, row)
    agent = current_agent(database)
    write_witness(database.path, Witnessed(agent.agent_id, first - 1))
    return agent


def require_own(database: Database) -> None:
    """Raise DataError when the database was made on another machine, or was put back from a backup."""
    agent = current_agent(database)
    if agent.host != fingerprint():
        raise DataError(
            f"{database.path} was last used on another machine: nothing was read or sent",
            hint="if that one has stopped for good: outbox agent renew --moved; else outbox agent renew",
        )
    known, sealed = read_witness(database.path), (database.value(_NEXT_UNSEALED) or 1) - 1
    if known and (known.agent_id != agent.agent_id or known.last_sequence > sealed):
        raise DataError(
            f"{database.path} had sealed up to sequence {known.last_sequence:,} and now knows of {sealed:,}: "
            "it was put back from a backup",
            hint="outbox agent renew; what was collected since is read again, where sources have it",
        )


def current_agent(database: Database) -> Agent:
    """Return the identity in force; SchemaError where the database has none."""
    rows = database.execute(_CURRENT)
    if not rows:
        raise SchemaError(f"{database.path} has no agent: it was never finished")
    return Agent(*rows[0])


def agent_by_id(database: Database, agent_id: str) -> Agent:
    """Return the identity that sealed a batch; DataError where the database has no such one."""
    rows = database.execute(_BY_ID, (agent_id,))
    if not rows:
        raise DataError(f"{database.path} has no agent {agent_id}: the row of a batch is damaged")
    return Agent(*rows[0])
