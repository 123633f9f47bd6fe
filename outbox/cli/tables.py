"""Tables as people read them: no lines, no colours where nobody watches, no spaces at the end.

Invariant: no word, number or time in a cell is broken. Where the words of a row do not fit side by side, each
row is a block of lines; a value too long for its line goes on in lines that begin with `>`.
"""

from collections.abc import Iterator, Sequence

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

_GAP, _CONTINUED = "  ", "> "
_LEAST_CHARS = 10


def columns(*names: str, whole: tuple[str, ...] = ()) -> Table:
    """Return a table without rows; the columns in `whole` are never broken over lines."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in names:
        table.add_column(name, no_wrap=name in whole, overflow="fold")
    return table


def show(table: Table) -> None:
    """Print a table on stdout; one that has no headings is text in columns, and is never a block."""
    console = Console(highlight=False)
    cells = [[str(cell) for cell in column.cells] for column in table.columns]
    headings = [str(column.header) for column in table.columns]
    least = [
        max(_least(cell, no_wrap=column.no_wrap) for cell in [heading, *found])
        if column.overflow != "ellipsis"  # an excerpt, which says so
        else cell_len(heading)
        for heading, found, column in zip(headings, cells, table.columns, strict=True)
    ]
    if any(headings) and sum(least) + len(_GAP) * (len(least) - 1) > console.width:
        records = zip(*cells, strict=True)
        typer.echo("\n\n".join("\n".join(block(headings, record, console.width)) for record in records))
        return
    for column, wide in zip(table.columns, least, strict=True):
        column.min_width = min(wide, console.width)
    with console.capture() as captured:
        console.print(table)
    typer.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


def _least(cell: str, *, no_wrap: bool) -> int:
    """How wide a cell must be at least: its longest line or, where it may be wrapped, its longest word."""
    return max(map(cell_len, cell.splitlines() if no_wrap else cell.split()), default=0)


def block(names: Sequence[str], values: Sequence[str], width: int) -> Iterator[str]:
    """Yield a record as lines of a name and its value; a long value goes on in lines that begin with `>`."""
    indent = max(map(cell_len, names))
    for name, value in zip(names, values, strict=True):
        room = max(_LEAST_CHARS, width - indent - len(_GAP))
        first, *rest = [piece for line in value.split("\n") for piece in _pieces(line, room)]
        yield f"{name}{' ' * (indent - cell_len(name))}{_GAP}{first}".rstrip()
        yield from (f"{' ' * indent}{_CONTINUED}{piece}" for piece in rest)


def _pieces(value: str, width: int) -> Iterator[str]:
    """Yield a value in pieces that fit; together they are the value; words and numbers stay whole."""
    while cell_len(value) > width:
        end, room = 0, width
        while end < len(value) and cell_len(value[end]) <= room:
            room -= cell_len(value[end])
            end += 1
        cut = end
        while cut and not _may_cut(value, cut):
            cut -= 1
        yield value[: cut or end]
        value = value[cut or end :]
    yield value


def _may_cut(value: str, at: int) -> bool:
    """Whether a cut before `at` leaves words, numbers, dates and times whole."""
    last, following = value[at - 1], value[at]
    if last == " ":
        return following != " "
    return (
        last in ",;|/" and following != " " and not (value[at - 2 : at - 1].isdigit() and following.isdigit())
    )
