"""secret and options: what a configuration needs besides itself."""

import getpass
import sys
import textwrap
from collections.abc import Iterator
from typing import Annotated

import typer

from outbox.cli.app import SETTING_UP, ConfigOption, app, command_for, config_path, tell
from outbox.cli.private import make_private_folder, write_private
from outbox.config.file import CORE, OWN_SOURCE, SOURCE, load
from outbox.config.options import Options
from outbox.errors import PermanentError

secret_app = typer.Typer(no_args_is_help=True, help="Keep passwords and keys in files of their own.")
app.add_typer(secret_app, name="secret", rich_help_panel=SETTING_UP)


@secret_app.command("set")
def secret_set(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="As in file:secrets/NAME.")],
    config: ConfigOption = None,
) -> None:
    """Ask for a secret, hidden, and keep it in a file that only its owner may read."""
    from uploader.s3.credentials import write_credentials_text

    settings = load(config_path(context, config))
    if not name or set(name) & set("/\\:") or name.startswith("."):
        raise typer.BadParameter("is a plain file name, as in file:secrets/NAME", param_hint="NAME")
    if settings.upload.credentials == f"file:secrets/{name}" or name == "aws":
        text = write_credentials_text(_ask("Access key ID"), _ask("Secret access key"))
    else:
        text = _ask(f"Secret {name}") + "\n"
    path = make_private_folder(settings.folder / "secrets") / name
    write_private(path, text)
    tell(f"Saved {path}   only its owner may read it")
    if f"file:secrets/{name}" not in settings.file.references():
        tell(f"Note  nothing in {settings.file.path.name} refers to file:secrets/{name} yet")
    tell(f"Next  {command_for(settings.file.path)} check")


def _ask(what: str) -> str:
    """Ask a person, hidden; from a pipe, take the next line. PermanentError where nothing comes."""
    answer = getpass.getpass(f"{what}: ") if sys.stdin.isatty() else sys.stdin.readline()
    if not answer.strip():
        raise PermanentError(f"nothing was given for: {what}. Nothing was changed")
    return answer.strip()


@app.command(rich_help_panel=SETTING_UP)
def options() -> None:
    """Print every option of every section with its default, as a configuration."""
    from collectors.registry import described, load
    from outbox.health_source import HealthOptions

    typer.echo("# Every option. Those without # must be given; those with # show their default.")
    typer.echo("# A source's name, after [source: is free: a-z, 0-9, - and _. There may be many of one kind.")
    for name, model in CORE.items():
        typer.echo("\n".join(_section(name, model)))
    typer.echo("\n".join(_section(SOURCE + OWN_SOURCE, HealthOptions)))
    for kind in described():
        if not kind.can_start:
            typer.echo(f"\n# [{SOURCE}{kind.name}]: {kind.problem}")
        elif collector := load(kind.name):
            typer.echo("\n".join(_section(SOURCE + kind.name, collector.Options, kind.name)))


def _section(name: str, model: type[Options], kind: str | None = None) -> Iterator[str]:
    yield f"\n[{name}]"
    defaults = model.model_construct().model_dump()
    for option, field in model.model_fields.items():
        yield from textwrap.wrap(field.description or "", 96, initial_indent="# ", subsequent_indent="# ")
        if option == "collector" and kind:
            yield f"collector = {kind}"
        elif field.is_required():
            yield f"{option} ="
        else:
            value = defaults[option]
            yield f"#{option} = {'' if value is None else value}".rstrip()
