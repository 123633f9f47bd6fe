"""check: every mistake in the configuration at once, then whatever else would stop a scheduled run."""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from outbox import __version__
from outbox.agent_id import short
from outbox.agents import current_agent, require_own
from outbox.cli.app import EVERY_DAY, ConfigOption, app, config_path, open_database, tell
from outbox.cli.commands.status import room_offline
from outbox.cli.destination import destination
from outbox.cli.expected import examined
from outbox.cli.findings import Finding, failed, found, show
from outbox.cli.text import number, quoted, size
from outbox.config.file import OWN_SOURCE, SOURCE, Config, load
from outbox.database import BusyError, Database
from outbox.errors import ConfigError, DataError, Exit, OutboxError, TransientError, worst
from outbox.machine.account import is_root_elsewhere, unusable_files
from outbox.machine.disk import free_bytes, require_room
from outbox.machine.host import host_name
from outbox.machine.private import open_to_others, require_own_folder
from outbox.migrate import migrations
from outbox.sequences import SALVAGE

if TYPE_CHECKING:
    from outbox.cli.wiring import Configured

_WRITE_LIMIT_MS = 5_000
_MAX_NAMED = 5
_SQLITE = "SELECT sqlite_version()"
_COLLECTED_SOURCES = "SELECT DISTINCT source FROM bookmarks"


@app.command(rich_help_panel=EVERY_DAY)
def check(
    context: typer.Context,
    sources: Annotated[
        list[str] | None,
        typer.Argument(metavar="SOURCE", help="Only try these sources; default: all that are enabled."),
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Contact nobody: neither the destination nor a source.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Find what is wrong before a scheduled run does. No record is stored or sent.

    Of each source the first page is read. What leaves this machine, unless
    --offline, besides what sources are asked: the time and this program's
    version, put as a trial object below check/ at the destination. Reading,
    listing, overwriting and deleting it is tried, too: an agent's
    credentials should not be able to.
    """
    path = config_path(context, config)
    tell(f"outbox {__version__}   {host_name()}\n{path.absolute()}\n")
    findings: list[Finding] = []
    for finding in _findings(path, sources or [], offline=offline):
        findings.append(finding)
        show(finding)
    counts = [sum(finding.state == state for finding in findings) for state in ("ok", "WARNING", "FAILED")]
    tell(
        f"\n{counts[0]} ok, {number(counts[1], 'warning')}, {counts[2]} failed. No record was stored or sent."
    )
    raise typer.Exit(int(worst(finding.code for finding in findings)))


def _findings(path: Path, wanted: "Sequence[str]", *, offline: bool) -> Iterator[Finding]:
    from outbox.cli.probe import tried
    from outbox.cli.wiring import configured_sources

    sources: list[Configured] = []
    try:
        config = load(path, also=lambda file: sources.extend(configured_sources(file)))
        config.file.require_valid()
    except ConfigError as error:
        text = f"{number(len(error.problems), 'mistake')}\n{error}"
        yield Finding("FAILED", "config", text, error.exit_code)
        return
    yield Finding("ok", "config", f"{number(len(config.sources), 'source')}, no mistakes")
    yield from _account(config)
    if not offline:
        yield from tried(config, wanted)
        if wanted:
            return
    yield from _examples(config)
    for source in sources if offline else []:
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
        damage = [row[0] for row in database.rows("PRAGMA quick_check(5)") if row[0] != "ok"]
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
        _require_writable(config)
        bytes_used = config.database.stat().st_size
        upgrade = "" if database.version == len(migrations()) else ", to be upgraded by the next collect"
        return (
            f"{size(bytes_used)}, intact, agent {short(agent.agent_id)}, schema {database.version}{upgrade}, "
            f"SQLite {database.value(_SQLITE)}"
        )


def _require_writable(config: Config) -> None:
    """Begin to write and give it up; TransientError where another program writes, and says so at once."""
    with Database.open(config.database) as database:
        database.connection.set_busy_timeout(_WRITE_LIMIT_MS)
        try:
            database.execute("BEGIN IMMEDIATE")
        except BusyError as error:
            raise TransientError(
                f"another program is writing into {config.database} and held it for "
                f"{_WRITE_LIMIT_MS // 1_000} s: collect and upload would wait",
                hint=error.hint,
            ) from error
        database.execute("ROLLBACK")


def _account(config: Config) -> Iterator[Finding]:
    """Who runs this, and what that account, or another, may do with the files that it should not."""
    folder = config.folder
    try:
        require_own_folder(folder)
        exposed = open_to_others(folder) if folder.is_dir() else []
    except OutboxError as error:
        yield failed("account", error)
        return
    except OSError as error:
        yield Finding("WARNING", "account", f"{folder} cannot be looked into: {error.strerror}")
        return
    if unusable := unusable_files(folder):
        yield Finding("FAILED", "account", f"{unusable.what}\nHint: {unusable.hint}", Exit.PERMANENT)
    if owner := is_root_elsewhere(folder):
        text = f"this runs as root, and {folder} is {owner}'s: what root makes there {owner} may not write"
        yield Finding("WARNING", "account", f"{text}\nHint: sudo -u {owner} outbox ...")
    if exposed:
        names = ", ".join(path.name for path in exposed[:_MAX_NAMED])
        more = f" and {len(exposed) - _MAX_NAMED} more" if len(exposed) > _MAX_NAMED else ""
        yield Finding(
            "WARNING", "account", f"others may use {names}{more}\nHint: chmod -R o= {quoted(folder)}"
        )


def _examples(config: Config) -> Iterator[Finding]:
    """What still stands in the configuration as in the example, and would be collected so."""
    from outbox.cli.commands.init import still_as_in_the_example

    for section, option, hint in still_as_in_the_example(config.file):
        name = section.removeprefix(SOURCE)
        yield Finding("WARNING", name, f"{config.file.where(section, option)} {hint}")


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
