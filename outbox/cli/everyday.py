"""collect and upload: the two commands that are scheduled, each a process of its own."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from outbox.cli.app import EVERY_DAY, ConfigOption, app, config_path, now, open_database, say, start_log
from outbox.config.file import OWN_SOURCE, Config, load
from outbox.database import Database
from outbox.errors import Exit, PermanentError, TransientError, worst
from outbox.machine.account import account_of, chown_hint
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
    from outbox.cli.progress import collecting_progress
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
        with collecting_progress() as on_page:
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


@app.command(rich_help_panel=EVERY_DAY)
def upload(context: typer.Context, config: ConfigOption = None) -> None:
    """Put everything that waits into the object store, and mark it sent."""
    settings = load(config_path(context, config))
    Reserve(settings.folder).lend(lambda: _upload(settings))


def _upload(settings: Config) -> None:
    from outbox.delivery import Delivery
    from outbox.runs import recorded

    start_log(settings, "upload")
    with (
        open_database(settings) as database,
        only_upload(settings, database),
        recorded(database, "upload", now=now) as run_id,
    ):
        delivery = Delivery(database, now=now)
        if not delivery.anything():
            log.info("nothing waits")
            say("Nothing waits.")
            return
        from outbox.cli.progress import upload_all
        from uploader.stores import open_store

        store = open_store(settings.upload, settings.network, folder=settings.folder)
        upload_all(settings, database, delivery, store, run_id)


@contextmanager
def only_upload(settings: Config, database: Database) -> Iterator[None]:
    """Hold the lock that lets one upload run at a time; where it may not be used, that is a failed run."""
    from filelock import FileLock, Timeout

    from outbox.runs import recorded

    path = settings.database.with_name("upload.lock")
    try:
        held = FileLock(path).acquire(timeout=0)
    except Timeout as error:
        raise TransientError("another upload of this outbox is under way") from error
    except OSError as error:
        with recorded(database, "upload", now=now):
            belongs = f": it belongs to {owner}" if (owner := account_of(path)) else ""
            raise PermanentError(
                f"{path} cannot be used{belongs} ({error.strerror}). Nothing was lost",
                hint=chown_hint(settings.folder),
            ) from error
    with held:
        yield
