"""Tables as people read them: no lines, no colours where nobody watches, no spaces at the end."""

import typer
from rich.console import Console
from rich.table import Table


def columns(*names: str, whole: tuple[str, ...] = ()) -> Table:
    """Return a table without rows; the columns in `whole` are never broken over lines."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in names:
        table.add_column(name, no_wrap=name in whole, overflow="fold")
    return table


def show(table: Table) -> None:
    """Print a table on stdout."""
    console = Console(highlight=False)
    with console.capture() as captured:
        console.print(table)
    typer.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))
