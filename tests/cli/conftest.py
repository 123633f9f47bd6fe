"""The program as people run it, an agent in a temporary folder, weather on loopback.

`agent.run` starts a real process, which takes a second; `outbox` runs `main` in this one.
"""

import io
import json
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest

from collectors.open_meteo.simulator import WeatherSimulator
from outbox.agents import make_database
from outbox.cli import main
from uploader.compression import decompress

REPOSITORY = Path(__file__).parents[2]
LIMIT_S = 120
AGENT_FOLDER = "agent ä"

CONFIG = """\
[agent]
customer = acme
site = helsinki
folder = .
disk_floor = 1MB
[upload]
to = {to}
"""
# The agent's own records would be counted with those of a test: only test_agent_source.py has them.
SILENT = "[source:agent]\nenabled = no\n"
WEATHER = """\
[source:{name}]
collector = open_meteo
url = {url}
places = Helsinki, 60.1695, 24.9354
current = temperature_2m
hourly = temperature_2m
past_days = 0
"""
COLLECTORS = """\
import sys
import threading
from datetime import UTC, datetime

from pydantic import Field

from collectors.collector import SourceOptions
from outbox.config.options import Lines
from outbox.record import Page, Record, Rejected


class Collector:
    Options = SourceOptions

    def __init__(self, options, context):
        pass


class Broken(Collector):
    def collect(self, bookmarks, window=None):
        return 1 / 0


class Hanging(Collector):
    def collect(self, bookmarks, window=None):
        print("hanging", file=sys.stderr, flush=True)
        threading.Event().wait()
        yield


class Fixed(Collector):
    def collect(self, bookmarks, window=None):
        moment = datetime(2026, 11, 23, 2, tzinfo=UTC)
        good = Record(stream="s", entity="Jyväskylä", observed_at=moment, values={"t": 3.5}, units={"t": "°C"})
        bad = Record(stream="s", entity="bad", observed_at=moment, values={"t": float("nan")})
        yield Page(records=[good, bad], bookmark="done")


class LinesOptions(SourceOptions):
    decimal: str = Field(".", description="How a fraction is written.")
    lines: Lines = Field((), description="What is read.")


class Mended(Collector):
    Options = LinesOptions

    def __init__(self, options, context):
        self.options = options

    def collect(self, bookmarks, window=None):
        found = [self.reread(line) for line in self.options.lines]
        records = [each for each in found if isinstance(each, Record)]
        yield Page(records=records, rejected=[each for each in found if isinstance(each, Rejected)], bookmark="1")

    def reread(self, raw):
        if raw == "-":
            return None
        name, _, text = raw.partition(" ")
        try:
            value = float(text.replace(self.options.decimal, "."))
        except ValueError:
            return Rejected(f"{text!r} is not a number", raw)
        moment = datetime(2026, 11, 23, 2, tzinfo=UTC)
        return Record(stream="s", entity=name, observed_at=moment, values={"t": value})
"""


class Result(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


class Program:
    """Runs the command line in a folder, with an environment that knows nothing of this machine's agents."""

    def __init__(self, folder):
        self.folder = folder
        self.env = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(
                ("OUTBOX", "AWS_", "XDG_", "COLUMNS", "FORCE_COLOR", "NO_COLOR", "PYTEST", "COV")
            )
            and not name.lower().endswith("_proxy")
        }
        self.env |= {
            "HOME": str(folder / "home"),
            "PYTHONPATH": str(REPOSITORY),
            "PYTHONUTF8": "1",
            "COLUMNS": "100",
        }

    @staticmethod
    def kept_out(environ):
        """The variables of whoever runs the tests that would change what they find."""
        prefixes = ("OUTBOX", "AWS_", "XDG_", "COLUMNS", "FORCE_COLOR", "NO_COLOR")
        return [name for name in environ if name.startswith(prefixes) or name.lower().endswith("_proxy")]

    def command(self, *arguments):
        return [sys.executable, "-m", "outbox", *map(str, arguments)]

    def __call__(self, *arguments, stdin="", env=None, cwd=None):
        done = subprocess.run(
            self.command(*arguments),
            input=stdin,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=LIMIT_S,
            cwd=cwd or self.folder,
            env=self.env | (env or {}),
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def interrupt(self, *arguments, after, env):
        """Start a command, send it Ctrl-C once it has said a line, and return how it ended."""
        # whoever runs the tests in the background may have SIGINT ignored, which children inherit
        heard = "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
        program = [sys.executable, "-c", f"{heard}; runpy.run_module('outbox', run_name='__main__')"]
        with subprocess.Popen(
            [*program, *arguments], stderr=subprocess.PIPE, text=True, cwd=self.folder, env=self.env | env
        ) as process:
            limit = threading.Timer(LIMIT_S, process.kill)
            limit.start()
            said = ""
            while after not in said:
                line = process.stderr.readline()
                assert line, f"it ended before it said {after!r}: {said}"
                said += line
            process.send_signal(signal.SIGINT)
            said += process.stderr.read()
            limit.cancel()
            return Result(process.wait(LIMIT_S), "", said)


class Agent:
    """An agent in a folder of its own, made without a process; `run` runs a command on it."""

    def __init__(self, folder):
        self.folder = folder
        self.config = folder / "config.ini"
        self.objects = folder / "objects"
        self.run = Program(folder)

    @property
    def database(self):
        return self.folder / "outbox.db"

    def configure(self, *sections, own=SILENT, **changes):
        """Write the configuration: sources, the agent's own, and options of [agent] and [upload] that differ."""
        text = CONFIG.format(to=self.objects.as_uri())
        for option, value in changes.items():
            head, found, tail = text.partition(f"\n{option} = ")
            if found:
                text = f"{head}{found}{value}\n{tail.partition(chr(10))[2]}"
            else:
                text = f"{text}{option} = {value}\n"
        self.config.write_text(text + "".join(sections) + own, encoding="utf-8")
        return self

    def make(self):
        self.objects.mkdir()
        make_database(self.database, customer="acme", site="helsinki", now=lambda: datetime.now(UTC))
        return self.configure()

    def query(self, sql):
        """Look into the database as an operator does; the rows."""
        with closing(sqlite3.connect(f"{self.database.as_uri()}?mode=ro", uri=True)) as connection:
            return connection.execute(sql).fetchall()

    def lines(self):
        """Every line of every object, in the order of their sequences."""
        found = [
            json.loads(line)
            for path in sorted(self.objects.rglob("*.ndjson.zst"))
            for line in decompress(path.read_bytes(), "zstd").decode().splitlines()
        ]
        return sorted(found, key=lambda line: line["sequence"])


@pytest.fixture
def program(tmp_path):
    return Program(tmp_path)


@pytest.fixture
def agent(tmp_path):
    folder = tmp_path / AGENT_FOLDER
    folder.mkdir(mode=0o750)
    return Agent(folder).make()


@pytest.fixture
def collectors(tmp_path):
    """The environment in which a third party's collectors are installed: broken, hanging, fixed and absent."""
    site = tmp_path / "site"
    info = site / "thirdparty-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "thirdparty.py").write_text(COLLECTORS, encoding="utf-8")
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: thirdparty\nVersion: 1.0\n", encoding="utf-8"
    )
    points = "".join(
        f"{name} = thirdparty:{name.title()}\n" for name in ("broken", "hanging", "fixed", "mended")
    )
    points += "absent = not_installed:Absent\n"
    (info / "entry_points.txt").write_text("[outbox.collectors]\n" + points, encoding="utf-8")
    return {"PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(site)])}


@pytest.fixture
def weather():
    with WeatherSimulator() as simulator:
        yield simulator


@pytest.fixture
def outbox(tmp_path, monkeypatch, capsys):
    """outbox("status", "--json") runs a command in this process, in the agent's folder if there is one."""
    for name in Program.kept_out(os.environ):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "100")
    # this machine may have an agent of its own
    monkeypatch.setattr(sys.modules["outbox.cli.app"], "default_folder", lambda: tmp_path / "default")
    usual = tmp_path / AGENT_FOLDER

    def outbox(*arguments, stdin="", cwd=None):
        monkeypatch.chdir(cwd or (usual if usual.exists() else tmp_path))
        monkeypatch.setattr(sys, "argv", ["outbox", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return Result(int(ended.value.code or 0), out, err)

    yield outbox
    for name in ("outbox", "collectors", "uploader"):
        logger = logging.getLogger(name)
        for handler in list(logger.handlers):
            logger.removeHandler(handler)
            handler.close()


@pytest.fixture
def installed(collectors, monkeypatch):
    """The third party's collectors, installed in this process."""
    monkeypatch.syspath_prepend(collectors["PYTHONPATH"].split(os.pathsep)[-1])
    yield
    sys.modules.pop("thirdparty", None)


def source(kind, name=None, more=""):
    """A section of the configuration."""
    return f"[source:{name or kind}]\ncollector = {kind}\n{more}"
