"""sources: the kinds of source that are installed, and those that are configured."""

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from outbox.cli.app import SETTING_UP, ConfigOption, app, config_path_if_any, now, open_database, say
from outbox.cli.expected import examined, expected_s
from outbox.cli.tables import columns, show
from outbox.cli.text import age
from outbox.config.file import OWN_SOURCE, SOURCE, Config, load
from outbox.config.options import format_duration
from outbox.errors import OutboxError


@app.command(rich_help_panel=SETTING_UP)
def sources(
    context: typer.Context,
    installed: Annotated[bool, typer.Option("--installed", help="Only the kinds; no configuration.")] = False,
    config: ConfigOption = None,
) -> None:
    """List the kinds of source that are installed and what each reads, then those that are configured."""
    from collectors.registry import described

    kinds = columns("kind", "reads", "package", whole=("kind",))
    for kind in described():
        reads = [kind.reads, f"MISSING  {kind.problem}"] if kind.problem else [kind.reads]
        kinds.add_row(kind.name, Text("\n".join(filter(None, reads))), f"{kind.package} {kind.version}")
    show(kinds)
    say("\nThe options of each: outbox options")
    if installed:
        return
    path = config_path_if_any(context, config)
    if path is None:
        say("There is no configuration yet: outbox init makes one.")
        return
    typer.echo()
    show(_configured(load(path)))


def _configured(config: Config) -> Table:
    table = columns("source", "kind", "every", "last good", whole=("source", "kind"))
    last_good = _last_good(config)
    every_s = expected_s(config)
    for name in (*config.sources, OWN_SOURCE):
        kind = "built in" if name == OWN_SOURCE else config.file.text(SOURCE + name, "collector") or "none"
        every = format_duration(every_s[name]) if name in every_s else "switched off"
        table.add_row(name, kind, every, last_good.get(name, "never"))
    return table


def _last_good(config: Config) -> dict[str, str]:
    """When each source was last read well; a database that cannot be read is said, and the rest is shown."""
    moment = now()
    try:
        with open_database(config, readonly=True) as database:
            health = examined(config, database)
    except OutboxError as error:
        say(f"The database cannot be read: {error}")
        return {}
    return {found.name: f"{age(found.last_good, moment)} ago" for found in health.sources if found.last_good}
