"""demo: the whole way on this machine, without an account and without a network."""

import subprocess
import sys
import threading
from pathlib import Path
from typing import Annotated

import typer

from outbox.cli.app import app
from outbox.cli.text import quoted
from outbox.errors import PermanentError

TRYING = "Trying it out"
_STEP_LIMIT_S = 600

_CONFIG = """\
# Made by: outbox demo. Everything here may be tried, changed and thrown away.

[agent]
customer   = demo
site       = here
folder     = .
timezone   = Europe/Helsinki
disk_floor = 50MB

[upload]
to         = {to}

[source:weather]
collector = open_meteo
{source}
places    =
    Helsinki, 60.1695, 24.9354
    Jyväskylä, 62.2415, 25.7209
    Madrid, 40.4165, -3.7026
    Sydney, -33.8678, 151.2073
current   = temperature_2m, wind_speed_10m, is_day
hourly    = temperature_2m, precipitation
daily     = temperature_2m_max, temperature_2m_min
past_days = 2
"""
_GENERATED = """\
# The demo's own weather server; it answers while outbox demo runs (outbox demo --serve keeps it running).
# Without this line the real Open-Meteo is asked.
url       = {url}"""


@app.command(rich_help_panel=TRYING)
def demo(
    folder: Annotated[Path, typer.Argument(help="Where to leave what it makes.")] = Path("outbox-demo"),
    live: Annotated[
        bool, typer.Option("--live", help="Ask the real Open-Meteo; needs the internet.")
    ] = False,
    serve: Annotated[
        bool, typer.Option("--serve", help="Keep the weather server running until Ctrl-C.")
    ] = False,
) -> None:
    """Collect, upload and look, all on this machine: no account, no network. Run it again for more."""
    from collectors.open_meteo.simulator import WeatherSimulator

    config = folder / "config.ini"
    if folder.exists() and any(folder.iterdir()) and not config.exists():
        raise PermanentError(f"{folder} holds other things", hint="name another folder: outbox demo FOLDER")
    with WeatherSimulator() as weather:
        _write_config(config, None if live else weather.url)
        _show_way(config, live=live)
        typer.echo(_farewell(config))
        if serve:
            typer.echo(f"\nThe weather server answers at {weather.url} until Ctrl-C.")
            threading.Event().wait()


def _write_config(config: Path, url: str | None) -> None:
    config.parent.mkdir(parents=True, exist_ok=True)
    to = (config.parent.absolute() / "objects").as_uri()
    source = (
        _GENERATED.format(url=url)
        if url
        else "# The real Open-Meteo; weather data by Open-Meteo.com, CC BY 4.0."
    )
    config.unlink(missing_ok=True)
    with config.open("x", encoding="utf-8", newline="\n") as file:
        file.write(_CONFIG.format(to=to, source=source))


def _show_way(config: Path, *, live: bool) -> None:
    where = "the real Open-Meteo" if live else "a server on this machine; the weather is generated, not real"
    typer.echo("\n1  An agent is made: a configuration, a database, a folder for secrets.\n")
    _run(config, "init")
    typer.echo(f"\n2  It collects over HTTP from {where}.\n")
    _run(config, "collect")
    typer.echo("\n3  What was collected waits in the outbox, a SQLite file.\n")
    _run(config, "sql", 'SELECT source, stream, entity, observed_at, "values" FROM pending LIMIT 4')
    typer.echo(
        "\n4  It uploads: here to a folder, at a customer's to S3. Each object is sealed before it is put.\n"
    )
    _run(config, "upload")
    _show_object(config)
    typer.echo("\n5  And it knows how it is.\n")
    _run(config, "status")


def _run(config: Path, *arguments: str) -> None:
    """Run a command as a person would, in a process of its own; PermanentError when it fails."""
    shown = " ".join(f"'{word}'" if " " in word else word for word in arguments)
    typer.echo(f"$ outbox --config {quoted(config)} {shown}")
    command = [sys.executable, "-m", "outbox", "--config", str(config), *arguments]
    done = subprocess.run(command, check=False, timeout=_STEP_LIMIT_S)  # noqa: S603 - our own program
    if done.returncode:
        raise PermanentError(f"that ended with exit code {done.returncode}: the demo stops here")


def _show_object(config: Path) -> None:
    """Show the objects in the store, and the first line of the latest one."""
    from uploader.compression import decompress

    root = config.parent / "objects"
    found = sorted((path for path in root.rglob("*.ndjson.zst")), key=lambda path: path.stat().st_mtime)
    typer.echo(f"\n{len(found)} object{'' if len(found) == 1 else 's'} below {root}:")
    for path in found[-3:]:
        typer.echo(f"   {path.relative_to(root).as_posix()}")
    if found:
        lines = decompress(found[-1].read_bytes(), "zstd").decode().splitlines()
        typer.echo(f"\nThe first of the {len(lines):,} lines in the last of them:\n   {lines[0]}")


def _program() -> str:
    """How this program can be called again from this folder."""
    script = Path(sys.argv[0]).absolute()
    if script.stem == "__main__":
        return f"{Path(sys.executable).name} -m outbox"
    return str(script.relative_to(Path.cwd())) if script.is_relative_to(Path.cwd()) else script.stem


def _farewell(config: Path) -> str:
    program = _program()
    command = f"   {program} --config {quoted(config)}"
    return "\n".join(
        (
            f"\nLeft to look at in {config.parent}: config.ini, outbox.db, objects, logs. Try:",
            f'{command} sql "SELECT * FROM deliveries"',  # noqa: S608 - shown, not run
            command + " check --offline",
            command + " vacuum",
            f"   sqlite3 -readonly {quoted(config.parent / 'outbox.db')} .schema",
            f"   {program} demo {quoted(config.parent)}     (again: only what is new is stored)",
        )
    )
