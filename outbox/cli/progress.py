"""The upload and the collect as a person sees them: a progress bar on a terminal, one line elsewhere."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)

from outbox.cli.app import now, say
from outbox.cli.text import number
from outbox.config.file import Config
from outbox.database import Database
from outbox.delivery import Batch, Delivery, Limits
from outbox.retry import Retry
from outbox.runs import counts, note_clock
from outbox.store import Outbox
from uploader.objectstore import ObjectStore
from uploader.upload import Upload

log = logging.getLogger("outbox")


@contextmanager
def collecting_progress() -> Iterator[Callable[[str, int], None]]:
    """Yield what to call with (source, records) for every page."""
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


def upload_all(
    config: Config, database: Database, delivery: Delivery, store: ObjectStore, run_id: int
) -> None:
    """Upload everything that waits and say what was done, also when it ends with an error."""
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
