"""The typer application, and what all commands share: where the configuration is, and the open outbox."""

import logging
import logging.handlers
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer

from outbox import __version__
from outbox.agents import Agent, current_agent, require_own
from outbox.cli.text import folded, quoted, state_of
from outbox.config.file import Config
from outbox.database import Database
from outbox.errors import ConfigError
from outbox.machine.account import chown_hint, is_root_elsewhere
from outbox.machine.private import (
    foreign_owner,
    open_without_link,
    require_no_link,
    require_own_folder,
    require_safe_folder,
)
from outbox.migrate import require_current, upgrade

EVERY_DAY, SETTING_UP, HOUSEKEEPING, WHEN_WRONG = (
    "Every day",
    "Setting up",
    "Housekeeping",
    "When something is wrong",
)
LOG_BYTES, LOG_FILES = 1_000_000, 5

app = typer.Typer(
    name="outbox",
    help="Collects a customer's data into a SQLite outbox and delivers it, exactly once, for Snowflake.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["--help", "-h"]},
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="The configuration; else $OUTBOX_CONFIG, else ./config.ini, else the one in the default folder.",
    ),
]


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"outbox {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    config: ConfigOption = None,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and stop."),
    ] = False,
) -> None:
    context.obj = config


def default_folder() -> Path:
    """Return where an agent lives when nobody says otherwise."""
    if sys.platform == "win32":  # pragma: no cover - Windows only
        return Path(os.environ.get("PROGRAMDATA", r"C:\ProgramData")) / "Outbox"
    if os.geteuid() == 0:
        return Path("/var/lib/outbox")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "outbox"


def config_path(context: typer.Context, option: Path | None) -> Path:
    """Return the configuration's path: --config, or where it is found without.

    ConfigError where there is none, and where ./config.ini is another account's: it says what is sent where.
    """
    if not (option or context.obj):
        context.obj = _found_config_path()
    return option or Path(context.obj)


def config_path_if_any(context: typer.Context, option: Path | None) -> Path | None:
    """Return the configuration's path; None where nobody named one and none is found."""
    if option or context.obj or os.environ.get("OUTBOX_CONFIG") or implicit_config_path().exists():
        return config_path(context, option)
    return None


def _found_config_path() -> Path:
    path, default = implicit_config_path(), default_folder() / "config.ini"
    if os.environ.get("OUTBOX_CONFIG"):
        return path
    if not path.exists():
        raise ConfigError(
            [f"no configuration found: looked at $OUTBOX_CONFIG (not set), ./config.ini and {default}"],
            hint="name it with --config, or make one with: outbox init",
        )
    if path == default or (default.exists() and path.samefile(default)):
        return path
    if owner := foreign_owner(path):
        raise ConfigError(
            [f"{path.absolute()} belongs to {owner}, and says what is read and where it is sent: not used"],
            hint=f"if it is the one that you mean: outbox --config {quoted(path.absolute())}",
        )
    if default.exists():
        say(f"Note: {path.absolute()} is used, not {default}")
    return path


def implicit_config_path() -> Path:
    """Return where it is when nobody names it: $OUTBOX_CONFIG, ./config.ini, the default folder's."""
    if named := os.environ.get("OUTBOX_CONFIG"):
        return Path(named)
    here, default = Path("config.ini"), default_folder() / "config.ini"
    return default if default.exists() and not here.exists() else here


def command_for(path: Path) -> str:
    """Return how the program is called so that it finds this configuration, from this folder."""
    found = implicit_config_path().absolute() == path.absolute()
    return "outbox" if found else f"outbox --config {quoted(path)}"


def now() -> datetime:
    """Return the time: the one clock of all commands."""
    return datetime.now(UTC)


@contextmanager
def open_database(config: Config, *, readonly: bool = False) -> Iterator[Database]:
    """Open the agent's database, upgraded; ConfigError when it belongs to another customer or site.

    PermanentError where users who are not the agent's could exchange its files.
    """
    (require_safe_folder if readonly else require_own_folder)(config.folder)
    if not readonly:
        warn_root(config.folder)
    with Database.open(config.database, readonly=readonly) as database:
        if readonly:
            require_current(database)
        elif backup := upgrade(database, now=now):
            say(f"The database was upgraded; what it was before is in {backup}")
        _require_same_identity(config, current_agent(database))
        if not readonly:
            require_own(database)
        yield database


def warn_root(folder: Path) -> None:
    """Say that root works in a folder of another account, which may be unable to use what is made now."""
    if account := is_root_elsewhere(folder):
        say(
            f"WARNING: this is root, and {folder} belongs to {account}, which may be unable to use the files "
            f"that are made now\nHint: run it as that account: sudo -u {account} outbox ..."
        )


def _require_same_identity(config: Config, agent: Agent) -> None:
    wrong = [
        (option, wanted, found)
        for option, wanted, found in (
            ("customer", config.agent.customer, agent.customer),
            ("site", config.agent.site, agent.site),
        )
        if wanted != found
    ]
    for option, wanted, found in wrong:
        config.file.problem("agent", option, f"{wanted!r}, but the database is {found!r}'s")
    if wrong and (error := config.file.mistakes_in("agent")):  # a source's mistakes stop no other
        error.hint = (
            "both are fixed when the database is made; while nothing was sealed: outbox init --start-over"
        )
        raise error


class _Log(logging.handlers.RotatingFileHandler):
    """Never writes through a link."""

    def _open(self) -> TextIOWrapper:
        return open(self.baseFilename, "a", encoding=self.encoding, opener=open_without_link)


def start_log(config: Config, command: str) -> None:
    """Keep a rotating log in the agent's folder, one file a command, since two processes cannot share one.

    Before the database is opened, so that the log says that too. A log that may not be written stops nothing;
    PermanentError where another user could have it written elsewhere.
    """
    folder = config.folder / "logs"
    path = folder / f"{command}.log"
    require_own_folder(config.folder)
    require_no_link(path)
    try:
        folder.mkdir(exist_ok=True)
        os.close(open_without_link(str(path), os.O_WRONLY | os.O_CREAT | os.O_APPEND))
    except FileNotFoundError:
        return  # there is no agent: opening its database says so
    except OSError as error:
        if isinstance(error, PermissionError):
            hint = f"Hint: {chown_hint(config.folder)}"
            say(f"WARNING: {path} cannot be written, and says nothing of this run: {error.strerror}\n{hint}")
    handler = _Log(path, maxBytes=LOG_BYTES, backupCount=LOG_FILES, encoding="utf-8", delay=True)
    logging.raiseExceptions = False  # a full disk is the commands' own to tell, not the log's in a traceback
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    for name in ("outbox", "collectors", "uploader"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        logger.addHandler(handler)


def say(text: str = "") -> None:
    """Talk to the person: on stderr, so that stdout stays data."""
    tell(text, err=True)


def tell(text: str = "", *, err: bool = False, hang: int | None = None) -> None:
    """Write lines on stdout or stderr; on a terminal in lines that fit, and states in colour unless NO_COLOR.

    `hang` indents what the first line goes on in.
    """
    stream = sys.stderr if err else sys.stdout
    if not stream.isatty():
        typer.echo(text, err=err)
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=err, highlight=False, soft_wrap=True)
    for line in folded(text, shutil.get_terminal_size().columns, hang=hang):
        state, style, rest = state_of(line)
        console.print(Text.assemble((state, style), rest))
