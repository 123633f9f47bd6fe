"""A package of somebody else's adds a kind of source: built as a wheel, installed, found, and run."""

import json
import os
import re
import subprocess
import sys
import zipfile

import pytest

from collectors.testing import CHECKS
from tests.cli.conftest import REPOSITORY, Agent
from tests.collectors.loopback import Loopback, reply

EXAMPLE = REPOSITORY / "tests" / "example_collector"
ROWS = [{"number": n, "meter": "main", "at": f"2026-11-23T0{n}:00:00Z", "kwh": n / 2} for n in range(1, 6)]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The example, installed into a folder of its own: for a wheel of pure Python that is to unpack it."""
    folder = tmp_path_factory.mktemp("wheel")
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=EXAMPLE,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "site")
    return folder / "site"


@pytest.fixture
def meters():
    def answer(ask):
        after = int(ask.target.partition("=")[2])
        return reply(200, [row for row in ROWS if row["number"] > after][:2])

    with Loopback(answer) as server:
        yield server


@pytest.fixture
def agent(tmp_path, site, meters):
    agent = Agent(tmp_path).make()
    agent.run.env["PYTHONPATH"] = os.pathsep.join([str(REPOSITORY), str(site)])
    return agent.configure(f"[source:meters]\ncollector = meter\nurl = {meters.url}\n")


def test_it_is_the_guides_example(site):
    guide = (REPOSITORY / "collectors" / "README.md").read_text("utf-8")
    code = re.search(r"```python\n(.*?)```", guide, re.DOTALL)[1]
    assert (EXAMPLE / "acme_meters.py").read_text("utf-8").partition('"""\n\n')[2] == code
    announced = re.search(r"```toml\n(.*?)```", guide, re.DOTALL)[1]
    assert announced in (EXAMPLE / "pyproject.toml").read_text("utf-8")
    assert sorted(path.name for path in site.iterdir()) == [
        "acme_meters-1.2.0.dist-info",
        "acme_meters.py",
    ]


def test_outbox_sources_finds_it_and_collect_runs_it(agent):
    listed = agent.run("sources")
    assert listed.code == 0
    assert re.search(
        r"^meter +Reads the readings of a meter\. +acme-meters 1\.2\.0$", listed.out, re.MULTILINE
    )
    assert re.search(r"^meters +meter +15m +never$", listed.out, re.MULTILINE)
    for counted in ("5 new, 0 unchanged", "0 new, 0 unchanged"):
        result = agent.run("collect")
        assert result.code == 0, result.err
        assert f"ok      meters: {counted}, 0 rejected" in result.err
    assert agent.query("SELECT entity, count(*) FROM pending") == [("main", 5)]
    assert re.search(r"^meters +meter +15m +\d+ s ago$", agent.run("sources").out, re.MULTILINE)


CONFTEST = """\
import json

import pytest

from tests.collectors.loopback import Loopback, reply

ROWS = json.loads('{rows}')


@pytest.fixture
def readings():
    def answer(ask):
        after = ask.target.partition("=")[2]
        return reply(200, [row for row in ROWS if row["number"] > int(after)][:2]) if after.isdigit() else reply(400)

    with Loopback(answer) as server:
        yield server


@pytest.fixture
def broken():
    with Loopback(lambda ask: reply(200, b"<html>")) as server:
        yield server
"""


def test_the_guides_conformance_test_runs_as_it_is_written(site, tmp_path):
    guide = (REPOSITORY / "collectors" / "README.md").read_text("utf-8")
    (tmp_path / "conftest.py").write_text(CONFTEST.format(rows=json.dumps(ROWS)), encoding="utf-8")
    written = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)[1]
    (tmp_path / "test_meter.py").write_text(written, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-W", "error"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(site)])},
        capture_output=True,
        text=True,
    )
    assert f"{len(CHECKS)} passed" in done.stdout, done.stdout + done.stderr
