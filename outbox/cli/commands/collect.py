"""collect: what is new in every source, stored; scheduled, as a process of its own."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from outbox.cli.app import EVERY_DAY, ConfigOption, app, config_path, now, open_database, say, start_log
from outbox.config.file import OWN_SOURCE, load
from outbox.errors import Exit, worst
from outbox.machine.disk import Reserve

if TYPE_CHECKING:
    from collectors.collect import Collecting, Outcome, Source

OWN_FLOOR_PART = 10
"""Below the disk floor the agent itself is heard for as long as a tenth of it is free."""

log = logging.getLogger("outbox")

Sources = Annotated[list[str] | None, typer.Argument(metavar="SOURCE", help="Default: all that are enabled.")]
Since = Annotated[
    datetime | None,
    typer.Option(formats=["%Y-%m-%d"], metavar="YYYY-MM-DD", help="Read the past too, from this day on."),
]
Until = Annotated[
    datetime | None,
    typer.Option(formats=["%Y-%m-%d"], metavar="YYYY-MM-DD", help="The past's last day; default: yesterday."),
]


@app.command(rich_help_panel=EVERY_DAY)
def collect(
    context: typer.Context,
    sources: Sources = None,
    since: Since = None,
    until: Until = None,
    config: ConfigOption = None,
) -> None:
    """Read what is new in the sources, and store it; then how the agent itself is (source "agent").

    With --since the past is read too: after the live sources, in pages, resumed by every later collect.
    """
    from collectors.collect import Collecting, Room
    from outbox.cli.wiring import configured_sources, open_sources, own_source
    from outbox.store import Outbox

    window = _window(since, until)
    settings = load(config_path(context, config), also=configured_sources)
    start_log(settings, "collect")
    with open_database(settings) as database, open_sources(settings, sources or []) as found:
        outbox = Outbox(database, now=now)
        if window:
            for source in found:
                outbox.ask_backfill(source.name, *window)
        room = Room(settings.folder, settings.agent.disk_floor)
        own_room = Room(settings.folder, settings.agent.disk_floor // OWN_FLOOR_PART)
        Reserve(settings.folder).keep()
        own = own_source(settings, database, named=OWN_SOURCE in (sources or []))
        with _progress() as on_page:
            collecting = Collecting(outbox, room, limit_s=settings.agent.run_limit, on_page=on_page)
            outcomes = collecting.sources(found)
            if own:
                outcomes += _collect_own(Collecting(outbox, own_room, limit_s=settings.agent.run_limit), own)
            outcomes += collecting.backfills(found)
    if not found and OWN_SOURCE not in (sources or []):
        say("No source is enabled: nothing was read.")
    for outcome in outcomes:
        if outcome.source != OWN_SOURCE or outcome.error or outcome.counts.new:  # it was not due
            _report(outcome)
            for note in outcome.notes:
                say(f"        Note: {note}")
    raise typer.Exit(int(worst(outcome.exit_code for outcome in outcomes)))


def _collect_own(collecting: "Collecting", own: "Source") -> "list[Outcome]":
    """Have the agent speak of itself; where another collect was faster, it has nothing to say any more."""
    outcomes = collecting.sources([own])
    return collecting.sources([own]) if outcomes[0].exit_code == Exit.TRANSIENT else outcomes


def _window(since: datetime | None, until: datetime | None) -> tuple[str, str] | None:
    if since is None:
        if until is not None:
            raise typer.BadParameter("goes with --since", param_hint="--until")
        return None
    last = until.date() if until else (now() - timedelta(days=1)).date()
    if last < since.date():
        raise typer.BadParameter(f"{since:%Y-%m-%d} is after {last}", param_hint="--since")
    return since.date().isoformat(), last.isoformat()


def _report(outcome: "Outcome") -> None:
    done = outcome.counts
    name = outcome.source
    if outcome.backfill:
        name += f" {outcome.backfill.since} to {outcome.backfill.until}"
    counted = f"{done.new:,} new, {done.unchanged:,} unchanged, {done.rejected:,} rejected"
    if outcome.error:
        log.error("%s: %s; %s", name, counted, outcome.error)
        stored = f" ({counted} before that)" if any(done) else ""
        say(f"FAILED  {name}: " + str(outcome.error).replace("\n", "\n        ") + stored)
        return
    log.info("%s: %s", name, counted)
    if done.rejected and not done.new + done.unchanged:
        say(f"CHECK   {name}: {counted}\n        Hint: outbox rejected list --source {outcome.source}")
    elif outcome.unfinished:
        say(f"paused  {name}: {counted}; the rest of the back-fill follows at the next collect")
    else:
        say(f"ok      {name}: {counted}")


@contextmanager
def _progress() -> Iterator[Callable[[str, int], None]]:
    """Yield what to call with (source, records) for every page."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn

    console = Console(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TextColumn("{task.completed:,.0f} records read"),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        tasks = {}

        def on_page(source: str, records: int) -> None:
            if source not in tasks:
                tasks[source] = progress.add_task(source, total=None)
            progress.advance(tasks[source], records)

        yield on_page
