"""rejected: the inputs that could not become records, and what to do about them."""

import csv
import json
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from outbox.cli import tables
from outbox.cli.app import WHEN_WRONG, ConfigOption, app, config_path, now, open_database, say, start_log
from outbox.cli.text import age, number
from outbox.config.file import OWN_SOURCE, Config, load
from outbox.errors import ConfigError, Exit, PermanentError
from outbox.rejected import RejectedInput, RejectedInputs, Reread

if TYPE_CHECKING:
    from collectors.collect import Source
    from outbox.store import Outbox

MAX_LISTED = 100

rejected_app = typer.Typer(no_args_is_help=True, help="Inputs that could not become records.")
app.add_typer(rejected_app, name="rejected", rich_help_panel=WHEN_WRONG)

SourceOption = Annotated[str | None, typer.Option("--source", help="Those of one source.")]
Numbers = Annotated[list[int] | None, typer.Argument(metavar="ID", help="As the list has them.")]


@rejected_app.command("list")
def list_(
    context: typer.Context,
    source: SourceOption = None,
    resolved: Annotated[bool, typer.Option("--all", help="Those that are resolved, too.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="All of them, with their raw input.")] = False,
    config: ConfigOption = None,
) -> None:
    """List what was rejected and why, latest first. What a cell begins with = + - or @ gets a ' in CSV."""
    settings = load(config_path(context, config))
    with open_database(settings, readonly=True) as database:
        inputs = RejectedInputs(database, now=now)
        _require_known(inputs, source, settings)
        items = inputs.find(source, resolved=resolved)
        if as_csv:
            _write_csv(items)
        else:
            _show(items)


@rejected_app.command()
def show(
    context: typer.Context,
    number: Annotated[int, typer.Argument(metavar="ID", help="As the list has it.")],
    config: ConfigOption = None,
) -> None:
    """Show one input whole: why it was rejected, how often it was read, and what it is."""
    settings = load(config_path(context, config))
    with open_database(settings, readonly=True) as database:
        item = RejectedInputs(database, now=now).get(number)
    times = (
        f"{item.times:,} times, from {item.first_at} to {item.last_at}" if item.times > 1 else item.last_at
    )
    for name, text in (
        ("Source", item.source),
        ("Reason", item.reason),
        ("Read", times),
        ("Resolved", item.resolved_at or "no"),
    ):
        typer.echo(f"{name:9} {_printable(text)}")
    typer.echo(f"\n{_printable(_indented(item.raw))}")


@rejected_app.command("retry")
def retry_(
    context: typer.Context,
    numbers: Numbers = None,
    source: SourceOption = None,
    config: ConfigOption = None,
) -> None:
    """Read inputs again, after you have fixed the source's section; what succeeds is stored."""
    from outbox.cli.wiring import configured_sources, open_sources
    from outbox.store import Outbox

    _require_choice(numbers, source)
    settings = load(config_path(context, config), also=configured_sources)
    start_log(settings, "rejected")
    with open_database(settings) as database:
        inputs = RejectedInputs(database, now=now)
        _require_known(inputs, source, settings)
        by_source: dict[str, list[int]] = {}
        for item in map(inputs.get, inputs.chosen(numbers or [], source)):
            by_source.setdefault(item.source, []).append(item.id)
        if not by_source:
            say("Nothing is open.")
            return
        _require_configured(by_source, settings.sources)
        with open_sources(settings, list(by_source)) as found:
            outbox = Outbox(database, now=now)
            remaining = sum(_retry(outbox, each, by_source[each.name]) for each in found)
    if remaining:
        raise typer.Exit(int(Exit.PERMANENT))


def _retry(outbox: "Outbox", source: "Source", numbers: list[int]) -> int:
    """Read the inputs of one source again, as a run of its own; how many are still rejected."""
    from outbox.runs import counts, recorded

    reread = _reread(source)
    with recorded(outbox.database, "retry", source.name, now=now) as run_id:
        for one in numbers:
            outbox.retry(one, reread, run_id=run_id)
    done = counts(outbox.database, run_id)
    say(
        f"{source.name}: {done.new:,} stored, {done.unchanged:,} already known or empty, "
        f"{done.rejected:,} still rejected"
    )
    return done.rejected


@rejected_app.command()
def dismiss(
    context: typer.Context,
    numbers: Numbers = None,
    source: SourceOption = None,
    config: ConfigOption = None,
) -> None:
    """Mark inputs as needing no record. They stay in the list with --all until they expire."""
    _require_choice(numbers, source)
    settings = load(config_path(context, config))
    start_log(settings, "rejected")
    with open_database(settings) as database:
        inputs = RejectedInputs(database, now=now)
        _require_known(inputs, source, settings)
        say(f"Dismissed {number(inputs.dismiss(inputs.chosen(numbers or [], source)), 'input')}.")


def _require_choice(numbers: list[int] | None, source: str | None) -> None:
    if bool(numbers) == bool(source):
        raise typer.BadParameter("name either their numbers or --source", param_hint="[ID]...")


def _require_known(inputs: RejectedInputs, source: str | None, config: Config) -> None:
    """Raise ConfigError for a name that is neither configured nor ever had an input rejected."""
    if source is None or source in (*config.sources, OWN_SOURCE) or any(inputs.find(source, resolved=True)):
        return
    known = ", ".join((*config.sources, OWN_SOURCE))
    raise ConfigError([f"there is no source {source!r} in {config.file.path}"], hint=f"known: {known}")


def _require_configured(names: Iterable[str], known: Iterable[str]) -> None:
    if missing := [name for name in names if name not in known]:
        raise PermanentError(
            f"{', '.join(missing)}: no such source is configured any more, so nothing can read this again",
            hint="configure it, or dismiss what it left",
        )


def _reread(source: "Source") -> Reread:
    from collectors.collector import Rereads
    from outbox.cli.wiring import Unusable

    if isinstance(source.collector, Unusable):
        raise source.collector.error
    if not isinstance(source.collector, Rereads):
        raise PermanentError(
            f"{source.name}: a collector of its kind cannot read a rejected input again",
            hint="what its system still has comes with the next collect; then dismiss these",
        )
    return source.collector.reread


def _show(items: Iterator[RejectedInput]) -> None:
    shown = list(islice(items, MAX_LISTED))
    if not shown:
        say("Nothing is rejected.")
        return
    table = tables.columns()
    table.expand = True  # what a long reason needs is not taken from the other columns
    for name in ("id", "times"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("last", "source"):
        table.add_column(name, no_wrap=True)
    table.add_column("reason, and what it is", overflow="ellipsis", no_wrap=True, ratio=1)
    moment = now()
    for item in shown:
        what = Text(_one_line(item.reason))
        what.append(f"  {_one_line(item.raw)}", style="dim")
        state = "resolved" if item.resolved_at else f"{age(item.last_at, moment)} ago"
        table.add_row(str(item.id), f"{item.times:,}", state, item.source, what)
    tables.show(table)
    more = sum(1 for _ in items)
    say(f"{f'{more:,} more; all of them: --csv. ' if more else ''}One of them: outbox rejected show ID")


def _write_csv(items: Iterable[RejectedInput]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(RejectedInput._fields)
    for item in items:
        writer.writerow([_harmless(cell) for cell in item])


def _harmless(cell: object) -> object:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@")) else cell


def _indented(raw: str) -> str:
    try:
        return json.dumps(json.loads(raw), ensure_ascii=False, indent=2)
    except (ValueError, RecursionError):
        return raw


def _one_line(text: str) -> str:
    return " ".join(_printable(text[:1_000]).split())


def _printable(text: str) -> str:
    """The text without what a terminal would obey: it comes from strangers."""
    return "".join(char if char.isprintable() or char in "\n\t" else ascii(char)[1:-1] for char in text)
