"""vacuum and sql: keeping the outbox small, and looking into it."""

import json
import math
import sys
from collections.abc import Iterator
from typing import Annotated

import apsw
import apsw.ext
import typer

from outbox.cli.app import (
    HOUSEKEEPING,
    WHEN_WRONG,
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
from outbox.database import Database
from outbox.errors import DataError, PermanentError, TransientError

_MANY_COLUMNS_WIDTH = 10_000


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


@app.command(rich_help_panel=WHEN_WRONG)
def sql(
    context: typer.Context,
    query: Annotated[str | None, typer.Argument(help="One query; without it, a prompt.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object a row.")] = False,
    config: ConfigOption = None,
) -> None:
    """Look into the outbox with SQL. Nothing can be changed. Begin with: SELECT * FROM pending"""
    settings = load(config_path(context, config))
    with Database.open(settings.database, readonly=True) as database:
        for statement in [query] if query else _statements():
            try:
                _show(database, statement, as_json=as_json)
            except apsw.BusyError as error:
                raise TransientError("the database is busy") from error
            except (apsw.CorruptError, apsw.NotADBError) as error:
                raise DataError(
                    f"{settings.database} is damaged: {error}", hint="run: outbox check"
                ) from error
            except apsw.Error as error:
                if query:
                    raise PermanentError(f"SQLite says: {error}") from error
                say(f"SQLite says: {error}")


def _statements() -> Iterator[str]:
    """Read statements from a person, or from a pipe, until the end of the input."""
    prompting = sys.stdin.isatty()
    if prompting:
        say("Read only. Tables and views: pending, backlog, deliveries, problems, runs, batches, rejected.")
        say("End a statement with ; and leave with Ctrl-D (Windows: Ctrl-Z).")
    text = ""
    while True:
        if prompting:
            typer.echo("outbox> " if not text else "   ...> ", nl=False, err=True)
        line = sys.stdin.readline()
        text += line
        if apsw.complete(text) or (not line and text.strip()):
            yield text
            text = ""
        if not line:
            return


def _show(database: Database, statement: str, *, as_json: bool) -> None:
    if as_json:
        cursor = database.connection.execute(statement)
        for row in cursor:
            names = [column[0] for column in cursor.description]  # of this statement: there may be several
            values = dict(zip(names, map(_json_value, row), strict=True))
            typer.echo(json.dumps(values, ensure_ascii=False, allow_nan=False))
        return
    width = 200 if not sys.stdout.isatty() else _terminal_columns()
    try:
        table = _table(database, statement, width)
    except ValueError:  # too many columns for that
        table = _table(database, statement, _MANY_COLUMNS_WIDTH)
    typer.echo(table.rstrip("\n"))


def _table(database: Database, statement: str, width: int) -> str:
    return apsw.ext.format_query_table(
        database.connection, statement, text_width=width, null="", truncate=2_000
    )


def _json_value(value: object) -> object:
    if isinstance(value, bytes):
        return value.hex()
    return str(value) if value in (math.inf, -math.inf) else value


def _terminal_columns() -> int:
    import shutil

    return shutil.get_terminal_size().columns
