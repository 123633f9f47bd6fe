"""vacuum: keeping the outbox small."""

import logging

import typer

from outbox.cli.app import (
    HOUSEKEEPING,
    ConfigOption,
    app,
    config_path,
    now,
    open_database,
    say,
    start_log,
)
from outbox.cli.text import size
from outbox.config.file import load

log = logging.getLogger("outbox")


@app.command(rich_help_panel=HOUSEKEEPING)
def vacuum(context: typer.Context, config: ConfigOption = None) -> None:
    """Remove what was sent and is old, and give the space back. What was not sent stays."""
    from outbox import housekeeping
    from outbox.runs import recorded

    settings = load(config_path(context, config))
    start_log(settings, "vacuum")
    with open_database(settings) as database, recorded(database, "vacuum", now=now):
        done = housekeeping.vacuum(
            database, keep_sent_s=settings.upload.keep_sent, remember_s=settings.upload.remember, now=now
        )
    text = (
        f"Removed the text of {done.bodies:,} sent records, forgot {done.forgotten:,}, "
        f"dropped {done.runs:,} runs and {done.rejected:,} rejected inputs. {size(done.bytes)} given back."
    )
    log.info("%s", text)
    say(text)
