"""status: is everything all right, and if not, what to do."""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated

import typer
from rich.console import Console

from outbox import __version__
from outbox.agent_id import short
from outbox.cli.app import EVERY_DAY, ConfigOption, app, config_path, now, open_database, tell
from outbox.cli.expected import examined
from outbox.cli.tables import block
from outbox.cli.text import age, folded, number, size
from outbox.config.file import Config, load
from outbox.errors import Exit
from outbox.health import CLOCK_SLACK, Health, Problem, span
from outbox.machine.disk import free_bytes

_INDENT = " " * 11
_MANY_DAYS = 2_000
_MISSING = (
    "{:,} sequences are missing: the database is damaged\n"
    "Hint: outbox audit says which; delete nothing, and see README: When the database is damaged"
)
_COLLECTING_STOPPED = {"collect", "collect and upload", "database", "disk"}


@app.command(rich_help_panel=EVERY_DAY)
def status(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
    config: ConfigOption = None,
) -> None:
    """Say whether everything is all right: what waits, what was delivered, and what needs a person.

    Exit code 0: OK. 69: a PROBLEM needs a person. 75: WAITING, a run failed, and the next may succeed.
    """
    settings = load(config_path(context, config))
    with open_database(settings, readonly=True) as database:
        health = examined(settings, database)
    if as_json:
        typer.echo(json.dumps(_as_json(settings, health), ensure_ascii=False, indent=2))
    else:
        _show(settings, health)
    if health.problems or health.missing:
        raise typer.Exit(int(Exit.PERMANENT))
    if health.transient:
        raise typer.Exit(int(Exit.TRANSIENT))


def _as_json(config: Config, health: Health) -> dict[str, object]:
    fields = health._asdict()
    fields["agent"] = health.agent._asdict()
    fields["sources"] = [source._asdict() for source in health.sources]
    fields["problems"] = [problem._asdict() for problem in health.problems]
    fields["transient"] = [problem._asdict() for problem in health.transient]
    fields |= {
        "version": __version__,
        "database_bytes": _database_bytes(config),
        "free_bytes": free_bytes(config.folder),
    }
    return fields


def _show(config: Config, health: Health) -> None:
    console = Console(highlight=False, soft_wrap=True, markup=True)
    moment = now()
    agent = health.agent
    local = moment.astimezone(config.agent.timezone)
    who = (
        f"{agent.customer} / {agent.site}   agent {short(agent.agent_id)}   outbox {__version__}   "
        f"{local:%a} {local.day} {local:%b %Y %H:%M %Z}"
    )

    def show(text: str = "") -> None:
        for line in text.splitlines() or [""]:
            console.print("\n".join(folded(line, console.width, hang=len(_INDENT))), markup=False)

    if health.problems or health.missing or health.transient:
        _show_problems(config, console, health, moment)
        show(f"     {who}")
    else:
        console.print("[bold green]OK[/]   ", end="")
        show(who)
    show()
    oldest = f", oldest {age(health.oldest_waiting, moment)} old" if health.oldest_waiting else ""
    waiting = (
        f"{number(health.waiting, 'record')}, {size(health.waiting_bytes)}{oldest}"
        if health.waiting
        else "nothing"
    )
    show(f"Waiting    {waiting}{_next_upload(config, health)}")
    last = f", last at {_clock(config, health.last_sent)}" if health.last_sent else ""
    delivered = f"{number(health.sent_24h, 'record')} in {number(health.objects_24h, 'object')}"
    show(f"Delivered  {delivered} in the last 24 h{last}")
    if health.last_sequence >= health.first_sequence:
        missing = "none missing" if not health.missing else f"{health.missing:,} MISSING"
        show(
            f"Unbroken   sequences {health.first_sequence:,} to {health.last_sequence:,}: "
            f"{health.sent:,} sent, {health.waiting:,} waiting, {missing}"
        )
    show()
    _show_sources(config, console, health, moment)
    if health.clock_offset_s and abs(health.clock_offset_s) > CLOCK_SLACK.total_seconds():
        where = "ahead of" if health.clock_offset_s > 0 else "behind"
        show(
            f"Clock      {span(abs(health.clock_offset_s))} {where} the store's, as the last upload heard\n"
            f"{_INDENT}Hint: set the clock, and keep it in step by NTP"
        )
    show(
        f"Disk       {size(_database_bytes(config))} used, {size(free_bytes(config.folder))} free"
        f"{room_offline(config, health)}"
    )


def _show_problems(config: Config, console: Console, health: Health, moment: datetime) -> None:
    missing = [Problem("database", _MISSING.format(health.missing))] if health.missing else []
    problems = [*missing, *health.problems]
    if problems:
        console.print("[bold red]PROBLEM[/]   ", end="")
        console.print(
            f"{number(len(problems), 'problem')} {'need' if len(problems) > 1 else 'needs'} attention."
        )
        _show_each(config, console, problems, moment)
    if health.transient:
        console.print("\n" if problems else "", end="")
        tell("WAITING   The next run may well succeed. Nothing is to be done yet.")
        _show_each(config, console, health.transient, moment)
    told = {problem.what for problem in (*problems, *health.transient)}
    if "upload" in told and not told & _COLLECTING_STOPPED:
        waiting = number(health.waiting, "record")
        console.print(f"\n{_INDENT}Nothing is lost: collecting goes on, {waiting} waiting.", markup=False)
    console.print()


def _show_each(config: Config, console: Console, problems: Sequence[Problem], moment: datetime) -> None:
    room = console.width - len(_INDENT)
    for problem in problems:
        console.print(f"\n{_INDENT}{problem.what}{_since(config, problem, moment)}", markup=False)
        for line in problem.why.splitlines():
            for part in folded(line, room):
                console.print(f"{_INDENT}{part}", markup=False)


def _since(config: Config, problem: Problem, moment: datetime) -> str:
    """How long a problem has lasted, and for how many runs."""
    if not problem.since:
        return ""
    ago = f"{age(problem.since, moment)} ago"
    if problem.runs > 1:
        return f", {problem.runs:,} runs since {_clock(config, problem.since)} ({ago})"
    return f", since {_clock(config, problem.since)} ({ago})"


def _show_sources(config: Config, console: Console, health: Health, moment: datetime) -> None:
    if not health.sources:
        return
    width = max(8, *(len(source.name) for source in health.sources))
    row = f"{{:{width}}}  {{:>12}}  {{:>9}}  {{:>9}}  {{:>8}}   {{}}"
    names = ("Source", "last good", "new 24 h", "unchanged", "rejected", "newest observation")
    lines, records = [row.format(*names)], []
    for source in health.sources:
        last = f"{age(source.last_good, moment)} ago" if source.last_good else "never"
        newest = _clock(config, source.newest) if source.newest else "none"
        counts = [f"{count:,}" for count in (source.new, source.unchanged, source.rejected)]
        records.append((source.name, last, *counts, newest))
        lines.append(row.format(*records[-1]))
    if max(map(len, lines)) > console.width:  # no cell is broken
        lines = ["\n".join(block(names, record, console.width)) + "\n" for record in records]
        lines[-1] = lines[-1].rstrip("\n")
    console.print("\n".join([*lines, ""]), markup=False)


def _next_upload(config: Config, health: Health) -> str:
    if not health.last_upload:
        return "   (never uploaded yet)"
    due = datetime.fromisoformat(health.last_upload) + timedelta(seconds=config.upload.every)
    when = "next upload at" if due >= now() else "an upload was due at"
    return f"   {when} {_clock(config, due.isoformat())}"


def room_offline(config: Config, health: Health) -> str:
    """Return for how long the disk has room without an upload, as a sentence goes on; empty where unknown."""
    spare = free_bytes(config.folder) - config.agent.disk_floor
    if spare <= 0:
        return ": below the floor, collecting waits"
    if not health.daily_bytes:
        return ""
    days = spare / health.daily_bytes
    return f": room for {f'about {days:,.0f} days' if days < _MANY_DAYS else 'years'} offline"


def _database_bytes(config: Config) -> int:
    files = config.database.parent.glob("outbox.db*")
    return sum(file.stat().st_size for file in files)


def _clock(config: Config, text: str) -> str:
    """A time as the site's clock shows it; of another day with its weekday, or else its date."""
    local = datetime.fromisoformat(text).astimezone(config.agent.timezone)
    today = now().astimezone(config.agent.timezone).date()
    if local.date() == today:
        return f"{local:%H:%M}"
    return f"{local:%a %H:%M}" if abs(local.date() - today) < timedelta(days=6) else f"{local:%Y-%m-%d %H:%M}"
