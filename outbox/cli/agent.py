"""agent: the identity of this database, and a new one after a restore, a copy or a move."""

from typing import Annotated

import typer

from outbox.agents import current_agent
from outbox.cli.app import WHEN_WRONG, ConfigOption, app, config_path, now
from outbox.config import load
from outbox.database import Database
from outbox.host import fingerprint
from outbox.migrate import upgrade

agent_app = typer.Typer(no_args_is_help=True, help="The identity of this database.")
app.add_typer(agent_app, name="agent", rich_help_panel=WHEN_WRONG)


@agent_app.command()
def renew(
    context: typer.Context,
    moved: Annotated[
        bool, typer.Option("--moved", help="The old machine has stopped for good; this one takes over.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Give the database a new identity: after a restore from a backup, on a copy, or after a move.

    Bookmarks and what waits stay; what was sealed keeps the old identity. Needed only when collect and
    upload ask for it.
    """
    from outbox import agents

    settings = load(config_path(context, config))
    with Database.open(settings.database) as database:
        upgrade(database, now=now)
        before = current_agent(database)
        elsewhere = before.host != fingerprint()
        reason: agents.Reason = "moved" if moved else "cloned" if elsewhere else "restored"
        after = agents.renew(database, reason, now=now)
    typer.echo(f"Renewed  agent {after.agent_id[:8]} ({reason}), formerly {before.agent_id[:8]}")
    typer.echo(f"         from sequence {after.first_sequence:,} on")
    typer.echo("Next  outbox collect")
