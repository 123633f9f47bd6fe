"""sql: a look into the outbox on hosts without sqlite3.

Invariants:
- Nothing can be changed.
- No cell is broken in a way that changes what it says. Where a table would be wider than the terminal, each
  record is a block of lines; a value too long for its line goes on in lines that begin with `>`, and a number
  is cut only where it is longer than a whole line.
- Rows are shown by the page as they come: memory does not grow with them.
"""

import csv
import io
import json
import math
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any

import apsw
import typer
from rich.cells import cell_len

from outbox.cli.app import WHEN_WRONG, ConfigOption, app, config_path, say
from outbox.cli.tables import block
from outbox.config.file import load
from outbox.database import Database
from outbox.errors import DataError, PermanentError, TransientError

PAGE_ROWS = 1_000
_TABLES = """
SELECT name, type FROM sqlite_schema
WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%' ORDER BY name
"""
_LEAVE = {".quit", ".exit", ".q", "quit", "exit"}
_HELP = {".help", ".h", "help", "?"}
_ESCAPED = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})
_SEPARATOR = "  "

Row = Sequence[Any]
Show = Callable[[Sequence[str], list[Row], bool], None]
"""Shows a page of rows: the columns' names, the rows, and whether it is the first page of a statement."""


@app.command(rich_help_panel=WHEN_WRONG)
def sql(
    context: typer.Context,
    query: Annotated[str | None, typer.Argument(help="One query; without it, a prompt.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object a row.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="As CSV, with the columns' names.")] = False,
    config: ConfigOption = None,
) -> None:
    r"""Look into the outbox with SQL. Nothing can be changed.

    On a terminal rows are a table or, where that is too wide, blocks of
    lines. Piped they are separated by tabs, below the columns' names, with
    \t, \n, \r and \\ inside a value, and \N for NULL. Bytes are hexadecimal.
    Begin with: SELECT * FROM pending
    """
    if as_json and as_csv:
        raise typer.BadParameter("goes without --json", param_hint="--csv")
    settings = load(config_path(context, config))
    show = _json if as_json else _csv if as_csv else _people if sys.stdout.isatty() else _tabs
    with Database.open(settings.database, readonly=True) as database:
        for statement in [query] if query else _statements():
            try:
                _run(database, statement, show)
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


def _run(database: Database, statements: str, show: Show) -> None:
    """Run one statement or several, and show the rows of each, a page at a time."""
    names: list[str] = []
    rows: list[Row] = []
    pages = 0

    def end_of_page() -> None:
        nonlocal pages
        if names and (rows or not pages):
            show(names, rows, not pages)
            pages += 1
        rows.clear()

    def begin(cursor: apsw.Cursor, _statement: str, _bindings: object) -> bool:
        nonlocal pages
        end_of_page()
        pages = 0
        names[:] = [column[0] for column in cursor.get_description()]
        return True

    cursor = database.connection.cursor()
    cursor.exec_trace = begin
    for row in cursor.execute(statements):
        rows.append(row)
        if len(rows) == PAGE_ROWS:
            end_of_page()
    end_of_page()


def _statements() -> Iterator[str]:
    """Read statements from a person, or from a pipe, until the end of the input."""
    prompting = sys.stdin.isatty()
    if prompting:
        say("Read only. Tables and views: pending, backlog, deliveries, problems, runs, batches, rejected.")
        say("End a statement with ; and leave with .quit. Type .help for help.")
    text = ""
    while True:
        if prompting:
            typer.echo("outbox> " if not text else "   ...> ", nl=False, err=True)
        line = sys.stdin.readline()
        word = line.strip().rstrip(";").lower() if not text.strip() else ""
        if word in _LEAVE:
            return
        if word in _HELP:
            _help()
        elif word in (".tables", ".t"):
            yield _TABLES
        elif word.startswith("."):
            say(f"{line.strip()} is not known here. Type .help for help.")
        else:
            text += line
        if apsw.complete(text) or (not line and text.strip()):
            yield text
            text = ""
        if not line:
            return


def _help() -> None:
    say("A query in SQL, ended with ;   SELECT * FROM pending LIMIT 5;")
    say(".tables   the tables and views")
    say(".help     this help")
    say(".quit     leave; so does Ctrl-D (Windows: Ctrl-Z and Enter)")


def _json(names: Sequence[str], rows: list[Row], _is_first: bool) -> None:
    for row in rows:
        values = dict(zip(names, map(_json_value, row), strict=True))
        typer.echo(json.dumps(values, ensure_ascii=False, allow_nan=False))


def _json_value(value: object) -> object:
    if isinstance(value, bytes):
        return value.hex()
    return str(value) if value in (math.inf, -math.inf) else value


def _csv(names: Sequence[str], rows: list[Row], is_first: bool) -> None:
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerows([names] if is_first else [])
    lines.writerows(["" if value is None else _text(value) for value in row] for row in rows)
    typer.echo(text.getvalue(), nl=False)


def _tabs(names: Sequence[str], rows: list[Row], is_first: bool) -> None:
    if is_first:
        typer.echo("\t".join(name.translate(_ESCAPED) for name in names))
    for row in rows:
        cells = (r"\N" if value is None else _text(value).translate(_ESCAPED) for value in row)
        typer.echo("\t".join(cells))


def _people(names: Sequence[str], rows: list[Row], is_first: bool) -> None:
    if not is_first:
        typer.echo()
    width = shutil.get_terminal_size().columns
    cells = [["" if value is None else _visible(_text(value)) for value in row] for row in rows]
    heads = [_visible(name) for name in names]
    widths = [max(map(cell_len, column)) for column in zip(heads, *cells, strict=True)]
    if sum(widths) + len(_SEPARATOR) * (len(widths) - 1) <= width:
        numbers = [all(isinstance(row[at], int | float | None) for row in rows) for at in range(len(widths))]
        for line in (heads, ["-" * wide for wide in widths], *cells):
            typer.echo(_side_by_side(line, widths, numbers))
        return
    for at, record in enumerate(cells):
        typer.echo("\n" * bool(at) + "\n".join(block(heads, record, width)))


def _side_by_side(cells: list[str], widths: list[int], numbers: list[bool]) -> str:
    padded = []
    for cell, wide, is_number in zip(cells, widths, numbers, strict=True):
        room = " " * (wide - cell_len(cell))
        padded.append(room + cell if is_number else cell + room)
    return _SEPARATOR.join(padded).rstrip()


def _text(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def _visible(text: str) -> str:
    """Text without what would steer the terminal or begin a line."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
