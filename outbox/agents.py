"""The identity of a database: made with it, in every object's name and in every line."""

import secrets
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Literal, NamedTuple

from outbox.agent_id import make_agent_id, short
from outbox.checksums import row_checksum
from outbox.database import Database
from outbox.errors import DataError, PermanentError, SchemaError
from outbox.machine.host import fingerprint
from outbox.migrate import upgrade
from outbox.record import timestamp
from outbox.sequences import SALVAGE, next_unsealed
from outbox.witness import Witnessed, read_witness, write_witness

AGENT_ROWS = """
SELECT id, agent_id, customer, site, host, first_sequence, since, reason, checksum FROM agents ORDER BY id
"""
"""Every identity, its last two columns being why it was made and the checksum of all before it."""

SALVAGED = ".salvaged"
"""What the name of a database ends with while a salvage makes it."""

Reason = Literal["made", "restored", "cloned", "moved", "salvaged"]


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
    if path.with_name(path.name + SALVAGED).exists() and not path.exists():
        raise PermanentError(
            f"a salvage of {path} was interrupted: no other database was made",
            hint="outbox agent renew --salvage finishes it",
        )

    def fill(database: Database) -> None:
        upgrade(database, now=now)
        agent = Agent(make_agent_id(token(), 1), customer, site, fingerprint(), 1, timestamp(now()))
        with database.transaction():
            add_agent(database, 1, agent, "made")

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
        before = agents(database)
        previous, first = before[max(before)], next_unsealed(database)
        agent = previous._replace(
            agent_id=make_agent_id(token(), first),
            host=fingerprint(),
            first_sequence=first,
            since=max(timestamp(now()), previous.since),
        )
        add_agent(database, max(before) + 1, agent, reason)
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
    known, sealed = read_witness(database.path), next_unsealed(database) - 1
    if known and all(known.agent_id != each.agent_id for each in agents(database).values()):
        raise DataError(
            f"{database.path} does not know agent {short(known.agent_id)}, which had sealed up to sequence "
            f"{known.last_sequence:,} here: it was made anew, or put back from an old backup",
            hint="put the latest database back, if there is one; else: outbox agent renew. What the sources "
            "still have is read again",
        )
    if known and (known.agent_id != agent.agent_id or known.last_sequence > sealed):
        raise DataError(
            f"{database.path} had sealed up to sequence {known.last_sequence:,} and now knows of {sealed:,}: "
            "it was put back from a backup",
            hint="outbox agent renew; what was collected since is read again, where sources have it",
        )


def current_agent(database: Database) -> Agent:
    """Return the identity in force; SchemaError where the database has none, DataError for a damaged row."""
    known = agents(database)
    return known[max(known)]


def agent_by_id(database: Database, agent_id: str) -> Agent:
    """Return the identity that sealed a batch; DataError where the database has no such one."""
    for agent in agents(database).values():
        if agent.agent_id == agent_id:
            return agent
    raise DataError(f"{database.path} has no agent {agent_id}: the row of a batch is damaged", hint=SALVAGE)


def agents(database: Database) -> dict[int, Agent]:
    """Return every identity by its id, all of them whole; SchemaError where there is none."""
    rows = database.execute(AGENT_ROWS)
    if not rows:
        raise SchemaError(f"{database.path} has no agent: it was never finished")
    known = {}
    for number, *columns, reason, checksum in rows:
        agent = Agent(*columns)
        if row_checksum(number, *columns, reason) != checksum:
            raise DataError(
                f"{database.path} is damaged: the row of agent {agent.agent_id} was altered", hint=SALVAGE
            )
        known[number] = agent
    return known


def add_agent(database: Database, number: int, agent: Agent, reason: Reason) -> None:
    """Insert the row of an identity."""
    row = (number, *agent, reason)
    database.execute(
        """
        INSERT INTO agents (id, agent_id, customer, site, host, first_sequence, since, reason, checksum)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
        """,
        (*row, row_checksum(*row)),
    )
