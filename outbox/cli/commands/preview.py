"""preview: the first records that a section would give, and what is odd about them. Nothing is stored."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from outbox.cli.app import SETTING_UP, ConfigOption, app, config_path, now, open_database
from outbox.cli.tables import show
from outbox.cli.text import number
from outbox.config.file import Config, load
from outbox.errors import Exit, OutboxError, shorten

if TYPE_CHECKING:
    from collectors.collect import Source
    from outbox.cli.sample import Sample
    from outbox.record import Entry, Record

MAX_VALUE_COLUMNS = 4
UNBOUNDED = 1_000
MAX_CELL_CHARS = 40
MAX_REASONS = 10
MAX_EXAMPLE_CHARS = 300
_IN_THE_REASON = ("@file", "@modified")


@app.command(rich_help_panel=SETTING_UP)
def preview(
    context: typer.Context,
    source: Annotated[str, typer.Argument(metavar="SOURCE", help=r"A source's name, as in \[source:NAME].")],
    rows: Annotated[int, typer.Option(min=1, max=1_000, help="How many records are shown.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="All that is found, as one JSON document.")] = False,
    config: ConfigOption = None,
) -> None:
    """Show what a source would give, what would be rejected, and what looks wrong. Nothing is stored."""
    from outbox.cli.sample import Sample, require_previewable
    from outbox.cli.wiring import configured_sources, open_sources

    settings = load(config_path(context, config), also=configured_sources)
    agent = settings.agent
    with _counting_unchanged(settings) as unchanged:
        sample = Sample(customer=agent.customer, site=agent.site, rows=rows, unchanged=unchanged)
        with open_sources(settings, [source], watch_row=sample.watch) as found:
            chosen = require_previewable(found, source)
            sample.read(chosen)
    zone = _zone(settings, chosen)
    warnings = list(_warnings(sample, settings, zone))
    if as_json:
        _print_json(sample, source, rows, warnings)
    else:
        _print(sample, rows, warnings, zone)
    if sample.error:
        raise sample.error
    raise typer.Exit(int(Exit.PERMANENT if sample.rejected and not sample.bodies else Exit.OK))


@contextmanager
def _counting_unchanged(settings: Config) -> "Iterator[Callable[[Sequence[Entry]], int]]":
    """Yield what counts the records that the outbox has already; 0 where it cannot be read: check says so."""
    from outbox.store import Outbox

    with ExitStack() as stack:
        try:
            database = stack.enter_context(open_database(settings, readonly=True))
        except OutboxError:
            yield lambda _entries: 0
            return
        yield Outbox(database, now=now).unchanged


def _zone(settings: Config, source: "Source") -> ZoneInfo:
    from outbox.cli.wiring import configured_sources

    options = next(
        (each.options for each in configured_sources(settings.file) if each.name == source.name), None
    )
    return (options.timezone if options else None) or settings.agent.timezone


def _warnings(sample: "Sample", settings: Config, zone: ZoneInfo) -> "list[str]":
    from outbox.cli.datapoints import load_datapoints, unknown_datapoints
    from outbox.cli.sample import likely_offset

    found = []
    if ambiguous := sample.ambiguous():
        remedy = "No column that was read tells them apart."
        if ambiguous.better:
            remedy = f"Unique with: entity = {', '.join(ambiguous.better)}"
        found.append(
            f"{number(ambiguous.records, 'record')} share their identity with another and differ, as "
            f"{ambiguous.entity} does. {remedy}"
        )
    if ahead := sample.ahead(now()):
        found.append(
            f"The newest record lies {_span(ahead)} in the future: another time zone? Times are read as "
            f"{zone.key}; these look like {likely_offset(ahead, zone, now())}. Set the section's timezone."
        )
    if unseen := sample.unseen():
        found.append(f"No record has a value for {', '.join(unseen)}.")
    try:
        agreed = load_datapoints(settings.folder)
    except OutboxError as error:
        found.append(error.message)
    else:
        found += unknown_datapoints(agreed, sample.units()) if agreed is not None else []
    return found


def _print(sample: "Sample", rows: int, warnings: list[str], zone: ZoneInfo) -> None:
    console = Console(highlight=False)
    records = sample.records[:rows]
    if records:
        show(_table(records, zone, console.width))
        console.print()
    counts = [
        f"{number(len(sample.bodies) - sample.unchanged, 'record')} would be stored",
        *([f"{sample.unchanged:,} stored already"] if sample.unchanged else []),
        f"{number(len(sample.rejected), 'input')} rejected",
        *([f"{number(sample.silent, 'row')} without a value"] if sample.silent else []),
    ]
    console.print(Text(f"{', '.join(counts)}. Nothing was stored."))
    if sample.is_cut:
        console.print("Reading stopped there: --rows reads more.")
    notes = Table.grid(padding=(0, 2, 0, 0))
    for line in sample.said:
        notes.add_row("")
        notes.add_row("NOTE", Text(_plain(line)))
    refusals = sample.refusals()
    for refusal in refusals[:MAX_REASONS]:
        example = Text(_plain(shorten(_example(refusal.example), MAX_EXAMPLE_CHARS)), style="dim")
        notes.add_row("")
        notes.add_row("REJECTED", Text(f"{refusal.times:,} × {_plain(refusal.reason)}"))
        notes.add_row("", example)
    if len(refusals) > MAX_REASONS:
        notes.add_row("")
        notes.add_row("", f"and {number(len(refusals) - MAX_REASONS, 'more kind')} of reasons")
    for warning in warnings:
        notes.add_row("")
        notes.add_row("WARNING", Text(_plain(warning)))
    if notes.row_count:
        show(notes)


def _example(raw: str) -> str:
    """What a rejected input is, in a line: the cells of a row that hold something, else the input itself."""
    try:
        found = json.loads(raw)
        if "cells" in found:
            return " | ".join(map(_bare, found["cells"]))
        row = found["row"] if "row" in found else {"": found["entity"], **found["values"]}
        cells = [
            f"{name} {_bare(cell)}".strip()
            for name, cell in row.items()
            if name not in _IN_THE_REASON and cell not in ("", None)
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return " ".join(raw.split())
    return ", ".join(cells)


def _bare(cell: Any) -> str:
    """A cell of a rejected row without what says its type."""
    if isinstance(cell, dict) and len(cell) == 1 and next(iter(cell)).startswith("$"):
        return str(*cell.values())
    return "" if cell is None else str(cell)


def _table(records: "list[Record]", zone: ZoneInfo, width: int) -> Table:
    """The values a column each; all in one where they are many, or too wide to stand side by side."""
    names = {name for record in records for name in record.values}
    table = _columns(records, zone, in_one=len(names) > MAX_VALUE_COLUMNS)
    if Console(width=UNBOUNDED).measure(table).maximum > width:
        table = _columns(records, zone, in_one=True)
    return table


def _columns(records: "list[Record]", zone: ZoneInfo, *, in_one: bool) -> Table:
    names = list(dict.fromkeys(name for record in records for name in record.values))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(Text(f"observed ({zone.key})"), no_wrap=True)
    table.add_column("entity", overflow="fold")
    if len({record.stream for record in records}) > 1:
        table.add_column("stream", overflow="fold")
    if in_one:
        table.add_column("values", overflow="fold", ratio=1)
    units = {name: unit for record in records for name, unit in record.units.items()}
    for name in [] if in_one else names:
        unit = f" [{units[name]}]" if units.get(name) else ""
        table.add_column(Text(_plain(name + unit)), justify="right", overflow="fold")
    for record in records:
        cells = [_when(record.observed_at, zone), _plain(record.entity)]
        if len(table.columns) > 2 and table.columns[2].header == "stream":
            cells.append(_plain(record.stream))
        shown = {name: _cell(value) for name, value in record.values.items()}
        if in_one:
            cells.append(", ".join(f"{_plain(name)} {text}" for name, text in shown.items()))
        else:
            cells += [shown.get(name, "") for name in names]
        table.add_row(*map(Text, cells))
    return table


def _when(moment: datetime, zone: ZoneInfo) -> str:
    try:
        return moment.astimezone(zone).isoformat(" ", "seconds")[:-6].removesuffix(":00")
    except (ValueError, OverflowError):
        return str(moment)


def _cell(value: Any) -> str:
    from outbox.record.canonical import canonical, encode

    try:
        text = encode(canonical(value)).decode()
    except (OutboxError, TypeError, ValueError):
        text = str(value)
    return _plain(shorten(text[1:-1] if text.startswith('"') else text, MAX_CELL_CHARS))


def _plain(text: str) -> str:
    """Text without what would steer the terminal."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def _span(span: timedelta) -> str:
    minutes = max(1, round(span.total_seconds() / 60))
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


def _print_json(sample: "Sample", source: str, rows: int, warnings: list[str]) -> None:
    import msgspec

    found = {
        "source": source,
        "records": [msgspec.Raw(body) for body in sample.bodies[:rows]],
        "read": len(sample.records),
        "unchanged": sample.unchanged,
        "without_value": sample.silent,
        "rejected": [refusal._asdict() for refusal in sample.refusals()],
        "warnings": warnings,
        "error": sample.error.message if sample.error else None,
    }
    sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
