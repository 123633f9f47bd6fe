"""options: every option of every section, with its default, as a configuration."""

import textwrap
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import typer

from outbox.cli.app import SETTING_UP, app
from outbox.config.file import CORE, OWN_SOURCE, SOURCE
from outbox.config.options import Options


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
        said = f"{field.description} {_choice(field.annotation)}".strip()
        yield from textwrap.wrap(said, 96, initial_indent="# ", subsequent_indent="# ")
        if option == "collector" and kind:
            yield f"collector = {kind}"
        elif field.is_required():
            yield f"{option} ="
        else:
            value = defaults[option]
            yield f"#{option} = {'' if value is None else value}".rstrip()


def _choice(annotation: Any) -> str:
    """Return the words that an option may take, as a sentence; empty where it takes others too."""
    if get_origin(annotation) is not Literal:
        return ""
    return f"One of: {' | '.join(str(word) or 'nothing' for word in get_args(annotation))}"
