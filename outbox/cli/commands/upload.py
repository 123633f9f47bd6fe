"""upload: everything that waits, put into the object store and marked sent; scheduled, as a process."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from outbox.cli.app import EVERY_DAY, ConfigOption, app, config_path, now, open_database, say, start_log
from outbox.cli.text import number
from outbox.config.file import Config, load
from outbox.database import Database
from outbox.delivery import Batch, Delivery, Limits
from outbox.errors import PermanentError, TransientError
from outbox.machine.account import account_of, chown_hint
from outbox.machine.disk import Reserve
from uploader.objectstore import ObjectStore

log = logging.getLogger("outbox")


@app.command(rich_help_panel=EVERY_DAY)
def upload(context: typer.Context, config: ConfigOption = None) -> None:
    """Put everything that waits into the object store, and mark it sent."""
    settings = load(config_path(context, config))
    Reserve(settings.folder).lend(lambda: _upload(settings))


def _upload(settings: Config) -> None:
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
        from uploader.stores import open_store

        store = open_store(settings.upload, settings.network, folder=settings.folder)
        _upload_all(settings, database, delivery, store, run_id)


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


def _upload_all(
    config: Config, database: Database, delivery: Delivery, store: ObjectStore, run_id: int
) -> None:
    """Upload everything that waits and say what was done, also when it ends with an error."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from outbox.retry import Retry
    from outbox.runs import counts, note_clock
    from outbox.store import Outbox
    from uploader.upload import Upload

    console = Console(stderr=True)
    columns = (
        TextColumn("Uploading"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("records"),
        TimeRemainingColumn(),
    )
    options = config.upload
    try:
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            task = progress.add_task("upload", total=Outbox(database, now=now).waiting())

            def on_sent(batch: Batch) -> None:
                log.info("sent %s", batch.object_key)
                progress.advance(task, batch.records)

            Upload(
                delivery,
                store,
                retry=Retry(limit_s=config.agent.run_limit),
                limits=Limits(options.max_records, options.max_bytes),
                encoding=options.compression,
                parallel=options.parallel,
                run_id=run_id,
                on_sent=on_sent,
                on_clock=lambda server_time: note_clock(database, run_id, server_time, now=now),
            )()
    finally:
        done = counts(database, run_id)
        if done.objects:
            sent = f"{number(done.sent, 'record')} in {number(done.objects, 'object')} to {store.url}"
            log.info("sent %s", sent)
            say(f"Sent {sent}")
