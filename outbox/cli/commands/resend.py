"""resend: an object that vanished from the store is put again, from the texts that are still kept.

Invariants: the same bytes of lines under the same key, as the seal says; nothing that the store has is
overwritten. The batch stays sent, and its row as it was.
"""

import logging
from typing import Annotated

import typer

from outbox.cli.app import WHEN_WRONG, ConfigOption, app, config_path, now, open_database, say, start_log
from outbox.cli.commands.upload import only_upload
from outbox.cli.text import number
from outbox.config.file import Config, load
from outbox.database import Database
from outbox.delivery import Confirmed, Delivery
from outbox.errors import ObjectError, PermanentError
from outbox.runs import recorded

log = logging.getLogger("outbox")


@app.command(rich_help_panel=WHEN_WRONG)
def resend(
    context: typer.Context,
    which: Annotated[
        str, typer.Argument(metavar="BATCH|OBJECT_KEY", help="As outbox audit --store names it.")
    ],
    config: ConfigOption = None,
) -> None:
    """Put an object again that vanished from the store, as long as its texts are kept.

    The same lines under the same key. An object that is there stays as it is.
    """
    settings = load(config_path(context, config))
    start_log(settings, "upload")
    with open_database(settings) as database, only_upload(settings, database):
        delivery = Delivery(database, now=now)
        confirmed = _confirmed(delivery, settings, which)
        lines = delivery.lines(confirmed.batch)
        with recorded(database, "resend", now=now) as run_id:
            _put(settings, database, delivery, confirmed, lines, run_id)


def _confirmed(delivery: Delivery, settings: Config, which: str) -> Confirmed:
    """The batch that is meant; PermanentError where it cannot be sent again, and what can be done."""
    found = delivery.confirmed(which)
    if found is None:
        raise PermanentError(
            f"no batch or object {which} was sent by this agent",
            hint='list them with: outbox sql "SELECT batch, object FROM deliveries"',
        )
    batch, to = found.batch, settings.upload.to
    if found.store is None:
        raise PermanentError(f"batch {batch.id} has not been confirmed by a store yet", hint="outbox upload")
    if found.store != to:
        raise PermanentError(
            f"batch {batch.id} was sent to {found.store}, and [upload] to is {to}",
            hint=f"to put it where it was, name in --config a copy of it with to = {found.store}",
        )
    if found.texts < batch.records:
        raise PermanentError(
            f"the texts of batch {batch.id} are no longer kept ({found.texts:,} of {batch.records:,}): they "
            "are deleted once [upload] keep_sent has passed",
            hint="take the object from the store's older versions or backup, unless Snowflake has loaded it",
        )
    return found


def _put(
    settings: Config, database: Database, delivery: Delivery, confirmed: Confirmed, lines: bytes, run_id: int
) -> None:
    from outbox.retry import Retry
    from outbox.runs import note_clock
    from uploader.stores import open_store
    from uploader.upload import put_again

    batch = confirmed.batch
    store = open_store(settings.upload, settings.network, folder=settings.folder)
    receipt = put_again(store, batch, lines, retry=Retry(limit_s=settings.agent.run_limit))
    if receipt.server_time:
        note_clock(database, run_id, receipt.server_time, now=now)
    if not receipt.existed:
        delivery.count_resent(run_id)
        log.info("sent again: %s", batch.object_key)
        say(f"Sent batch {batch.id} again, {number(batch.records, 'record')}: {store.url}/{batch.object_key}")
        return
    if delivery.is_doubted(batch):
        raise ObjectError(
            f"{store.url} has {batch.object_key}, of which it said that it keeps other bytes",
            hint="look at that object: once it is deleted or moved away, outbox resend puts it again",
        )
    log.info("is there already: %s", batch.object_key)
    say(f"Batch {batch.id} is there already, nothing was sent: {store.url}/{batch.object_key}")
