"""vacuum: keeping the outbox small."""

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


@app.command(rich_help_panel=HOUSEKEEPING)
def vacuum(context: typer.Context, config: ConfigOption = None) -> None:
    """Remove what was sent and is old, and give the space back. What was not sent stays."""
    from outbox import housekeeping
    from outbox.runs import recorded

    settings = load(config_path(context, config))
    with open_database(settings) as database, recorded(database, "vacuum", now=now):
        start_log(settings, "vacuum")
        done = housekeeping.vacuum(
            database, keep_sent_s=settings.upload.keep_sent, remember_s=settings.upload.remember, now=now
        )
    say(
        f"Removed the text of {done.bodies:,} sent records, forgot {done.forgotten:,}, "
        f"dropped {done.runs:,} runs and {done.rejected:,} rejected inputs. {size(done.bytes)} given back."
    )
