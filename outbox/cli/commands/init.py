"""init: from nothing to an agent that can be checked."""

import re
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from outbox.agent_id import short
from outbox.agents import current_agent, make_database
from outbox.cli.app import (
    SETTING_UP,
    ConfigOption,
    app,
    command_for,
    config_path,
    config_path_if_any,
    default_folder,
    now,
    tell,
    warn_root,
)
from outbox.cli.private import let_the_task_write, make_private_folder
from outbox.cli.text import size
from outbox.config.file import Config, ConfigFile, load
from outbox.database import Database
from outbox.errors import DataError, PermanentError
from outbox.machine.disk import free_bytes, network_drive
from outbox.machine.private import require_no_link, require_own_folder
from outbox.record import timestamp

MAX_WINDOWS_PATH_CHARS = 260
_LONGEST_KEY_CHARS = 190


class Answers(NamedTuple):
    """What the person said; None where nothing was said."""

    customer: str | None
    site: str | None
    to: str | None
    region: str | None
    folder: Path | None
    timezone: str | None


@app.command(rich_help_panel=SETTING_UP)
def init(
    context: typer.Context,
    customer: Annotated[str | None, typer.Option(help="Whose data; given by head office.")] = None,
    site: Annotated[str | None, typer.Option(help="From which of their places; one word.")] = None,
    to: Annotated[str | None, typer.Option(help="s3://bucket/prefix, or file:///folder.")] = None,
    region: Annotated[str | None, typer.Option(help="The bucket's region.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Where the agent lives; a local disk.")] = None,
    timezone: Annotated[str | None, typer.Option(help="Default: this machine's.")] = None,
    start_over: Annotated[
        bool, typer.Option("--start-over", help="Make the database anew, while nothing was ever sealed.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Make the folders, the configuration and the database of a new agent, and say what is still open."""
    answers = Answers(customer, site, to, region, folder, timezone)
    path = _config_to_be(context, config, folder)
    _require_local(path.parent)
    if path.exists():
        tell(f"Kept  {path}   it was there already")
    else:
        _write_config(path, _asked(answers))
    settings = load(path)
    _require_agreement(settings, answers)
    settings.folder.mkdir(parents=True, exist_ok=True)
    require_own_folder(settings.folder)
    warn_root(settings.folder)
    let_the_task_write(settings.folder)
    _require_short_paths(settings)
    if settings.database.exists():
        _existing(settings, start_over=start_over)
    if not settings.database.exists():
        make_database(settings.database, customer=settings.agent.customer, site=settings.agent.site, now=now)
        with Database.open(settings.database) as database:
            agent = current_agent(database)
        tell(f"Made  {settings.database}   agent {short(agent.agent_id)}, customer {agent.customer}")
    if settings.upload.to.startswith("file:"):
        from uploader.directory import folder_of

        objects = folder_of(settings.upload.to)
        made = _made_or_kept(objects)
        objects.mkdir(parents=True, exist_ok=True)
        tell(f"{made}  {objects}   for the objects")
    made = _made_or_kept(settings.folder / "secrets")
    tell(f"{made}  {make_private_folder(settings.folder / 'secrets')}   {_who_may_read()}")
    _show_rest(settings, answers, path)


def _made_or_kept(folder: Path) -> str:
    return "Kept" if folder.is_dir() else "Made"


def _config_to_be(context: typer.Context, option: Path | None, folder: Path | None) -> Path:
    """Where the configuration is, or is to be made: in the agent's folder unless it is named."""
    if option or context.obj:
        return config_path(context, option)
    if folder:
        return folder / "config.ini"
    return config_path_if_any(context, None) or default_folder() / "config.ini"


def _asked(answers: Answers) -> Answers:
    """Ask for what was not said, where a person is there to ask."""
    said = answers._asdict()
    for option in ("customer", "site"):
        if said[option] is None:
            if not sys.stdin.isatty():
                raise typer.BadParameter(
                    "is needed; it is fixed when the database is made", param_hint=f"--{option}"
                )
            said[option] = typer.prompt(option.capitalize())
    return Answers(**said)


def _write_config(path: Path, answers: Answers) -> None:
    zone = answers.timezone or _machine_zone()
    text = template()
    filled = {
        "customer": answers.customer,
        "site": answers.site,
        "folder": str((answers.folder or path.parent).absolute()),
        "timezone": zone,
        "to": answers.to,
        "region": answers.region,
    }
    for option, value in filled.items():
        if value is not None:
            head, assignment, tail = re.split(rf"(?m)^({option}\s*= ?).*$", text, maxsplit=1)
            text = head + assignment + value + tail
    _validate(text, path)
    path.parent.mkdir(parents=True, exist_ok=True)
    require_no_link(path)
    with path.open("x", encoding="utf-8", newline="\n") as file:
        file.write(text)
    count = sum(value is not None for value in filled.values())
    tell(f"Made  {path}   {count} values filled in")
    tell(f"Zone  {zone}, {'as asked' if answers.timezone else 'taken from this machine'}")


def _validate(text: str, path: Path) -> None:
    """Refuse bad answers before anything is made; ConfigError says which."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder) / path.name
        trial.write_text(text, encoding="utf-8")
        load(trial)


def template() -> str:
    """Return config.ini.example, from the installed package or from the source tree."""
    packaged = files("outbox") / "config.ini.example"
    source = Path(str(files("outbox"))).parent / "config.ini.example"
    return (packaged if packaged.is_file() else source).read_text(encoding="utf-8")


def _machine_zone() -> str:
    from tzlocal import get_localzone_name

    return str(get_localzone_name() or "UTC")


def _require_agreement(settings: Config, answers: Answers) -> None:
    for option, said, found in (
        ("customer", answers.customer, settings.agent.customer),
        ("site", answers.site, settings.agent.site),
        ("to", answers.to, settings.upload.to),
        ("folder", str(answers.folder.absolute()) if answers.folder else None, str(settings.folder)),
    ):
        if said is not None and said.rstrip("/\\") != found:
            settings.file.problem(
                "upload" if option == "to" else "agent", option, f"is {found!r}, not {said!r}"
            )
    settings.file.require_valid()


def _require_short_paths(settings: Config) -> None:
    _require_local(settings.folder)
    to = settings.upload.to
    if (
        sys.platform == "win32"
        and to.startswith("file:")
        and len(to) + _LONGEST_KEY_CHARS > MAX_WINDOWS_PATH_CHARS
    ):
        raise PermanentError(
            f"paths below {to} would be too long for Windows", hint="choose a shorter folder"
        )


def _require_local(folder: Path) -> None:
    if kind := network_drive(folder):
        raise PermanentError(
            f"{folder} is on a network drive ({kind})", hint="use --folder with a local disk"
        )


def _existing(settings: Config, *, start_over: bool) -> None:
    """Keep the database that is there, or, asked to start over, put it aside if nothing was ever sealed."""
    with Database.open(settings.database) as database:
        agent = current_agent(database)
        sealed = bool(database.value("SELECT EXISTS (SELECT 1 FROM batches)"))
    if not start_over:
        wanted = (settings.agent.customer, settings.agent.site)
        if (agent.customer, agent.site) != wanted:
            raise DataError(
                f"{settings.database} is {agent.customer} / {agent.site}'s, not {' / '.join(wanted)}'s",
                hint="while nothing was ever sealed: outbox init --start-over",
            )
        tell(f"Kept  {settings.database}   agent {short(agent.agent_id)}, customer {agent.customer}")
        return
    if sealed:
        raise DataError(
            f"{settings.database} has sealed batches: starting over would lose what they prove",
            hint="put the whole folder aside, and run outbox init in a new one",
        )
    stamp = re.sub(r"[-:.]", "", timestamp(now()))
    for suffix in ("", "-wal", "-shm"):
        file = settings.database.with_name(settings.database.name + suffix)
        if file.exists():
            file.rename(file.with_name(f"outbox.db.{stamp}.aside{suffix}"))
    tell(f"Aside {settings.database}.{stamp}.aside   nothing of it was ever sealed")


def _who_may_read() -> str:
    return "Administrators and SYSTEM only" if sys.platform == "win32" else "only its owner may read"


def _show_rest(settings: Config, answers: Answers, path: Path) -> None:
    tell(f"Disk  {size(free_bytes(settings.folder))} free\n")
    command = command_for(path)
    still_open = _still_open(settings, answers, command)
    if still_open:
        tell("Still open")
        for line in still_open:
            tell(f"  {line}")
        tell()
    tell(f"{'Then' if still_open else 'Next'}  {command} check")


def still_as_in_the_example(file: ConfigFile) -> Iterator[tuple[str, str, str]]:
    """Yield section, option and a hint of what the configuration says as the example does."""
    example = ConfigFile.parse(template(), Path("config.ini.example"))
    for section, option, hint in (
        ("upload", "to", "is the example's: as head office says"),
        ("upload", "region", "is the example's: the bucket's region"),
        ("source:weather", "places", "are the example's: put yours, or remove the source"),
    ):
        if file.text(section, option) and file.text(section, option) == example.text(section, option):
            yield section, option, hint


def _still_open(settings: Config, answers: Answers, command: str) -> list[str]:
    """What still stands in the configuration as the example has it, and the secrets that are missing."""
    file, upload = settings.file, settings.upload
    in_a_folder = upload.to.startswith("file:")
    given = {option for option, answer in answers._asdict().items() if answer is not None}
    found = [
        f"{file.where(section, option)}   {hint}"
        for section, option, hint in still_as_in_the_example(file)
        if option not in given and not (in_a_folder and option == "region")
    ]
    reference = upload.credentials
    if in_a_folder:
        return found
    if reference.startswith("file:") and not (settings.folder / reference.removeprefix("file:")).exists():
        name = Path(reference.removeprefix("file:")).name
        found.append(f"{file.where('upload', 'credentials')}   {command} secret set {name}")
    return found
