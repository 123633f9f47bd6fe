"""Damage that no statement may do: what a disk does to a database, done by SQL."""

import apsw

from outbox.checksums import row_checksum
from tests.support.agent import Agent


def sabotage(agent: Agent, *statements: str) -> None:
    """Do what triggers and checks forbid, and put them back: only the damage shall be seen."""
    connection = apsw.Connection(str(agent.database.path))
    connection.pragma("ignore_check_constraints", 1)
    connection.create_scalar_function("row_checksum", row_checksum)
    triggers = list(connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'"))
    for name, _ in triggers:
        connection.execute(f"DROP TRIGGER {name}")
    for statement in statements:
        connection.execute(statement)
    for _, sql in triggers:
        connection.execute(sql)
    connection.close()
