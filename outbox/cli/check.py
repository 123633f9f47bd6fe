"""check: every mistake in the configuration at once, then the database, the disk and the secrets."""

import os
import stat
from collections.abc import Callable, Iterator
from typing import NamedTuple

import typer

from outbox import __version__
from outbox.agents import current_agent
from outbox.cli.app import EVERY_DAY, ConfigOption, app, config_path
from outbox.cli.text import number, size
from outbox.config import Config, load
from outbox.database import Database
from outbox.disk import free_bytes, require_room
from outbox.errors import ConfigError, DataError, Exit, OutboxError, PermanentError, worst
from outbox.host import host_name
from outbox.migrate import migrations

_INTEGRITY = "PRAGMA quick_check(5)"
_SQLITE = "SELECT sqlite_version()"
_COLLECTED_SOURCES = "SELECT DISTINCT source FROM bookmarks"


class Finding(NamedTuple):
    """One line of the report; `code` is OK for what is right and for warnings."""

    state: str
    name: str
    text: str
    code: Exit = Exit.OK


@app.command(rich_help_panel=EVERY_DAY)
def check(context: typer.Context, config: ConfigOption = None) -> None:
    """Find what is wrong before a scheduled run does. Nothing is stored, nothing leaves this machine."""
    path = config_path(context, config)
    typer.echo(f"outbox {__version__}   {host_name()}\n{path.absolute()}\n")
    findings: list[Finding] = []
    for finding in _findings(context, config):
        findings.append(finding)
        first, *rest = finding.text.splitlines()
        typer.echo(f"{finding.state:8} {finding.name:13} {first}".rstrip())
        for line in rest:
            typer.echo(f"{'':8} {line}")
    counts = [sum(finding.state == state for finding in findings) for state in ("ok", "WARNING", "FAILED")]
    typer.echo(f"\n{counts[0]} ok, {number(counts[1], 'warning')}, {counts[2]} failed. Nothing was stored.")
    raise typer.Exit(int(worst(finding.code for finding in findings)))


def _findings(context: typer.Context, option: ConfigOption) -> Iterator[Finding]:
    from outbox.cli.wiring import Configured, configured_sources

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
            yield Finding("FAILED", source.name, str(source.error), source.error.exit_code)
    yield _finding("database", lambda: _database(config))
    yield _finding("disk", lambda: _disk(config))
    yield _finding("destination", lambda: _destination(config))
    yield from _secrets(config)
    yield from _renamed(config)


def _finding(name: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding("ok", name, look())
    except OutboxError as error:
        return Finding("FAILED", name, str(error), error.exit_code)


def _database(config: Config) -> str:
    with Database.open(config.database, readonly=True) as database:
        damage = [row[0] for row in database.rows(_INTEGRITY) if row[0] != "ok"]
        if damage:
            raise DataError(
                f"{config.database} is damaged: {damage[0]}", hint="ask head office; delete nothing"
            )
        agent = current_agent(database)
        wanted = (config.agent.customer, config.agent.site)
        if (agent.customer, agent.site) != wanted:
            raise ConfigError(
                [f"belongs to {agent.customer} / {agent.site}, the configuration to {' / '.join(wanted)}"],
                hint="correct [agent]; while nothing was sealed: outbox init --start-over",
            )
        bytes_used = config.database.stat().st_size
        upgrade = "" if database.version == len(migrations()) else ", to be upgraded by the next collect"
        return (
            f"{size(bytes_used)}, agent {agent.agent_id[:8]}, schema {database.version}{upgrade}, "
            f"integrity ok, SQLite {database.value(_SQLITE)}"
        )


def _disk(config: Config) -> str:
    require_room(config.folder, config.agent.disk_floor)
    return f"{size(free_bytes(config.folder))} free, floor {size(config.agent.disk_floor)}"


def _destination(config: Config) -> str:
    from uploader.credentials import read_credentials

    to, reference = config.upload.to, config.upload.credentials
    if to.startswith("file:"):
        return _directory(to)
    credentials = read_credentials(reference, folder=config.folder)
    key = f"key {credentials.shown}" if credentials else reference or "credentials of this machine"
    return f"{to}, {key}; not contacted"


def _directory(to: str) -> str:
    from uploader.directory import folder_of

    folder = folder_of(to)
    if not folder.is_dir():
        raise PermanentError(f"there is no folder {folder}", hint="make it, or correct [upload] to")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermanentError(f"{folder} may not be written", hint="let the account that runs outbox write it")
    return to


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


def _renamed(config: Config) -> Iterator[Finding]:
    try:
        with Database.open(config.database, readonly=True) as database:
            collected = {row[0] for row in database.rows(_COLLECTED_SOURCES)}
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
