"""check: every mistake in the configuration at once, then whatever else would stop a scheduled run."""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from outbox import __version__
from outbox.agents import current_agent, require_own
from outbox.cli.app import EVERY_DAY, ConfigOption, app, config_path, open_database
from outbox.cli.commands.status import room_offline
from outbox.cli.destination import destination
from outbox.cli.expected import examined
from outbox.cli.findings import Finding, failed, found, show
from outbox.cli.text import number, size
from outbox.config.file import OWN_SOURCE, Config, load
from outbox.database import Database
from outbox.errors import ConfigError, DataError, OutboxError, worst
from outbox.machine.disk import free_bytes, require_room
from outbox.machine.host import host_name
from outbox.migrate import migrations
from outbox.sequences import SALVAGE

if TYPE_CHECKING:
    from outbox.cli.wiring import Configured

_INTEGRITY = "PRAGMA quick_check(5)"
_SQLITE = "SELECT sqlite_version()"
_COLLECTED_SOURCES = "SELECT DISTINCT source FROM bookmarks"


@app.command(rich_help_panel=EVERY_DAY)
def check(
    context: typer.Context,
    offline: Annotated[bool, typer.Option("--offline", help="Contact nobody.")] = False,
    config: ConfigOption = None,
) -> None:
    """Find what is wrong before a scheduled run does. No record is read, stored or sent.

    What leaves this machine, unless --offline: the time and this program's
    version, put as a trial object below check/ at the destination. Reading,
    listing, overwriting and deleting it is tried, too: an agent's
    credentials should not be able to.
    """
    path = config_path(context, config)
    typer.echo(f"outbox {__version__}   {host_name()}\n{path.absolute()}\n")
    findings: list[Finding] = []
    for finding in _findings(context, config, offline=offline):
        findings.append(finding)
        show(finding)
    counts = [sum(finding.state == state for finding in findings) for state in ("ok", "WARNING", "FAILED")]
    typer.echo(
        f"\n{counts[0]} ok, {number(counts[1], 'warning')}, {counts[2]} failed. "
        "No record was read, stored or sent."
    )
    raise typer.Exit(int(worst(finding.code for finding in findings)))


def _findings(context: typer.Context, option: ConfigOption, *, offline: bool) -> Iterator[Finding]:
    from outbox.cli.wiring import configured_sources

    sources: list[Configured] = []
    try:
        config = load(
            config_path(context, option), also=lambda file: sources.extend(configured_sources(file))
        )
        config.file.require_valid()
    except ConfigError as error:
        text = f"{number(len(error.problems), 'mistake')}\n{error}"
        yield Finding("FAILED", "config", text, error.exit_code)
        return
    yield Finding("ok", "config", f"{number(len(config.sources), 'source')}, no mistakes")
    for source in sources:
        if source.error:  # a collector that is installed and cannot start
            yield failed(source.name, source.error)
    yield found("database", lambda: _database(config))
    yield found("disk", lambda: _disk(config))
    yield from destination(config, offline=offline)
    yield from _secrets(config)
    yield from _renamed(config)
    yield from _datapoints(config, sources)


def _database(config: Config) -> str:
    with Database.open(config.database, readonly=True) as database:
        damage = [row[0] for row in database.rows(_INTEGRITY) if row[0] != "ok"]
        if damage:
            raise DataError(f"{config.database} is damaged: {damage[0]}", hint=f"delete nothing: {SALVAGE}")
        agent = current_agent(database)
        wanted = (config.agent.customer, config.agent.site)
        if (agent.customer, agent.site) != wanted:
            raise ConfigError(
                [f"belongs to {agent.customer} / {agent.site}, the configuration to {' / '.join(wanted)}"],
                hint="correct [agent]; while nothing was sealed: outbox init --start-over",
            )
        require_own(database)
        bytes_used = config.database.stat().st_size
        upgrade = "" if database.version == len(migrations()) else ", to be upgraded by the next collect"
        return (
            f"{size(bytes_used)}, intact, agent {agent.agent_id[:8]}, schema {database.version}{upgrade}, "
            f"SQLite {database.value(_SQLITE)}"
        )


def _disk(config: Config) -> str:
    require_room(config.folder, config.agent.disk_floor)
    room = ""
    with suppress(OutboxError), open_database(config, readonly=True) as database:
        room = room_offline(config, examined(config, database))
    return f"{size(free_bytes(config.folder))} free{room}; floor {size(config.agent.disk_floor)}"


def _secrets(config: Config) -> Iterator[Finding]:
    folder = config.folder / "secrets"
    if os.name == "nt" or not folder.is_dir():
        return
    try:
        open_files = [
            path.name
            for path in [folder, *folder.iterdir()]
            if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)
        ]
    except OSError as error:
        yield Finding("WARNING", "secrets", f"{folder} cannot be looked into: {error.strerror}")
        return
    if open_files:
        names = ", ".join(open_files)
        yield Finding("WARNING", "secrets", f"others can read {names}\nHint: chmod -R go= {folder}")
    else:
        yield Finding("ok", "secrets", "only their owner may read them")


def _datapoints(config: Config, sources: "Sequence[Configured]") -> Iterator[Finding]:
    from collectors.mapping.options import MappingOptions, parse_column
    from outbox.cli.datapoints import load_datapoints, unknown_datapoints

    try:
        agreed = load_datapoints(config.folder)
    except OutboxError as error:
        yield failed("datapoints", error)
        return
    for source in sources:
        if agreed is not None and isinstance(source.options, MappingOptions):
            used = {column.name: column.unit for column in map(parse_column, source.options.values)}
            for sentence in unknown_datapoints(agreed, used):
                yield Finding("WARNING", source.name, sentence)


def _renamed(config: Config) -> Iterator[Finding]:
    try:
        with Database.open(config.database, readonly=True) as database:
            collected = {row[0] for row in database.rows(_COLLECTED_SOURCES)} - {OWN_SOURCE}
    except OutboxError:
        return  # said already
    gone, new = sorted(collected - set(config.sources)), sorted(set(config.sources) - collected)
    if gone and new:
        yield Finding(
            "WARNING",
            "sources",
            f"{', '.join(gone)} was collected and is not configured; {', '.join(new)} is new\n"
            "Hint: a source's name is part of its records' identity. Renamed? Then everything is read and "
            "sent again under the new name",
        )
