"""collect and upload: the two commands that are scheduled, each a process of its own."""

import logging
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from outbox.cli.app import EVERY_DAY, ConfigOption, app, config_path, now, open_database, say, start_log
from outbox.config import Config, load
from outbox.disk import Reserve
from outbox.errors import TransientError, worst

if TYPE_CHECKING:
    from collectors.collect import Outcome

log = logging.getLogger("outbox")

Sources = Annotated[
    list[str] | None, typer.Argument(metavar="[SOURCE]...", help="Default: all that are enabled.")
]
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
    """Read what is new in the sources, and store it.

    With --since the past is read too: after the live sources, in pages, resumed by every later collect.
    """
    from collectors.collect import Collecting, Room
    from outbox.cli.progress import collecting_progress
    from outbox.cli.wiring import configured_sources, open_sources
    from outbox.store import Outbox

    window = _window(since, until)
    settings = load(config_path(context, config), also=configured_sources)
    with open_database(settings) as database, open_sources(settings, sources or []) as found:
        start_log(settings, "collect")
        outbox = Outbox(database, now=now)
        if window:
            for source in found:
                outbox.ask_backfill(source.name, *window)
        room = Room(settings.folder, settings.agent.disk_floor)
        Reserve(settings.folder).keep()
        with collecting_progress() as on_page:
            collecting = Collecting(outbox, room, limit_s=settings.agent.run_limit, on_page=on_page)
            outcomes = collecting.sources(found) + collecting.backfills(found)
    if not found:
        say("No source is enabled: nothing was read.")
    for outcome in outcomes:
        _report(outcome)
    raise typer.Exit(int(worst(outcome.exit_code for outcome in outcomes)))


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
    if outcome.unfinished:
        say(f"paused  {name}: {counted}; the rest of the back-fill follows at the next collect")
    else:
        say(f"ok      {name}: {counted}")


@app.command(rich_help_panel=EVERY_DAY)
def upload(context: typer.Context, config: ConfigOption = None) -> None:
    """Put everything that waits into the object store, and mark it sent."""
    settings = load(config_path(context, config))
    Reserve(settings.folder).lend(lambda: _upload(settings))


def _upload(settings: Config) -> None:
    from filelock import FileLock, Timeout

    from outbox.delivery import Delivery
    from outbox.runs import recorded

    with open_database(settings) as database:
        start_log(settings, "upload")
        try:
            held = FileLock(settings.database.with_name("upload.lock")).acquire(timeout=0)
        except Timeout as error:
            raise TransientError("another upload of this outbox is under way") from error
        with held, recorded(database, "upload", now=now) as run_id:
            delivery = Delivery(database, now=now)
            if not delivery.anything():
                say("Nothing waits.")
                return
            from outbox.cli.progress import upload_all
            from uploader.objectstore import open_store

            store = open_store(settings.upload, settings.network, folder=settings.folder)
            upload_all(settings, database, delivery, store, run_id)
