"""secret: passwords and keys, each in a file that only its owner may read."""

import getpass
import sys
from typing import Annotated

import typer

from outbox.cli.app import SETTING_UP, ConfigOption, app, command_for, config_path, tell
from outbox.cli.private import make_private_folder, write_private
from outbox.config.file import load
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
