"""agent: the identity of this database, and a new one after a restore, a copy, a move or damage."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from outbox.agent_id import short
from outbox.agents import current_agent
from outbox.audit.finding import span
from outbox.cli.app import WHEN_WRONG, ConfigOption, app, config_path, now, tell
from outbox.cli.text import number
from outbox.config.file import load
from outbox.database import Database
from outbox.errors import TransientError
from outbox.machine.host import fingerprint
from outbox.machine.private import require_own_folder
from outbox.migrate import upgrade

if TYPE_CHECKING:
    from outbox.salvage.build import Built
    from outbox.salvage.salvage import Salvaged

MAX_SPANS = 20

agent_app = typer.Typer(no_args_is_help=True, help="The identity of this database.")
app.add_typer(agent_app, name="agent", rich_help_panel=WHEN_WRONG)


@agent_app.command()
def renew(
    context: typer.Context,
    moved: Annotated[
        bool, typer.Option("--moved", help="The old machine has stopped for good; this one takes over.")
    ] = False,
    salvage: Annotated[
        bool,
        typer.Option(
            "--salvage", help="It is damaged: make a sound one of what can be read. Deletes nothing."
        ),
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Give the database a new identity: after a restore, on a copy, after a move, or when it is damaged.

    Bookmarks and what waits stay; what was sealed keeps the old identity.
    Needed only when collect and upload ask for it.
    While it salvages, no other command may run.
    """
    from outbox import agents

    if moved and salvage:
        raise typer.BadParameter("goes without --moved", param_hint="--salvage")
    settings = load(config_path(context, config))
    if salvage:
        _salvage(settings.database, settings.agent.customer, settings.agent.site)
        return
    require_own_folder(settings.folder)
    with Database.open(settings.database) as database:
        upgrade(database, now=now)
        before = current_agent(database)
        elsewhere = before.host != fingerprint()
        reason: agents.Reason = "moved" if moved else "cloned" if elsewhere else "restored"
        after = agents.renew(database, reason, now=now)
    tell(f"Renewed  agent {short(after.agent_id)} ({reason}), formerly {short(before.agent_id)}")
    tell(f"         from sequence {after.first_sequence:,} on")
    tell("Next  outbox collect")


def _salvage(path: Path, customer: str, site: str) -> None:
    from filelock import FileLock, Timeout

    from outbox.salvage.salvage import salvage

    try:
        held = FileLock(path.with_name("upload.lock")).acquire(timeout=0)
    except Timeout as error:
        raise TransientError("an upload of this outbox is under way: nothing was done") from error
    with held:
        done = salvage(path, customer=customer, site=site, now=now)
    if done.built:
        _tell(done, done.built)
    else:
        tell("Finished  a salvage that was interrupted")
    for source in done.unmarked:
        tell(f"Anew      {source} is read from its beginning: its bookmark could not be read")
    tell(f"Renewed   agent {short(done.agent.agent_id)}, from sequence {done.agent.first_sequence:,} on")
    if done.aside:
        tell(f"Aside     {done.aside}, as it was: keep it until head office has seen it")
    tell("Next  outbox audit, then outbox upload")


def _tell(done: "Salvaged", built: "Built") -> None:
    remade = f"; the ledger's row of {done.remade:,} was made anew from the text" if done.remade else ""
    tell(f"Saved     {number(built.waiting, 'record')} that no store has confirmed yet{remade}")
    unnamed = f"; of {built.unnamed:,} the objects' names are gone" if built.unnamed else ""
    tell(f"Kept      the proof of {number(built.sent, 'sent object')}{unnamed}")
    if built.resealed:
        again = "records may arrive a second time, under another name"
        tell(f"Sealed    {number(built.resealed, 'object')} again, where a seal is gone: {again}")
    if built.lost:
        count = sum(last - first + 1 for first, last in built.lost)
        shown = ", ".join(span(*each) for each in built.lost[:MAX_SPANS])
        more = f" and {len(built.lost) - MAX_SPANS} more spans" if len(built.lost) > MAX_SPANS else ""
        tell(f"Lost      {number(count, 'record')}, and their lines will say so: {shown}{more}")
        again = "outbox collect --since reads a stretch of the past again, where a source has it"
        tell(f"          {again}")
    else:
        tell("Lost      nothing")
