"""What is shipped holds what it needs, and the README's commands do what they say."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
in_ci = pytest.mark.skipif(
    not os.environ.get("CI"), reason="makes an environment from the package registry; CI runs it"
)


def run(command: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command without what this test run's environment would lend it."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "VIRTUAL_ENV", "UV_", "OUTBOX"))
    }
    return subprocess.run(
        command,
        cwd=folder,
        env=kept | environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=600,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    done = run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], ROOT)
    assert done.returncode == 0, done.stderr
    (found,) = folder.glob("*.whl")
    return found


def test_the_wheel_holds_the_four_packages_and_their_data(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    wanted = {
        name for name in tracked if name.startswith(("outbox/", "collectors/", "uploader/", "migrations/"))
    }
    assert wanted <= names
    assert "outbox/config.ini.example" in names
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {"outbox", "collectors", "uploader", "migrations"}


def test_the_installed_program_works_without_the_source_tree(wheel, tmp_path):
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    command = [
        sys.executable,
        "-c",
        "import sys; sys.path.insert(0, sys.argv.pop(1)); from outbox.cli import main; main()",
        str(site),
    ]
    work = tmp_path / "work"
    work.mkdir()
    done = run([*command, "init", "--customer", "acme", "--site", "helsinki", "--folder", "agent"], work)
    assert done.returncode == 0, done.stderr
    text = (work / "agent" / "config.ini").read_text("utf-8")
    assert "customer   = acme" in text
    done = run([*command, "--config", "agent/config.ini", "sql", "SELECT name FROM migrations"], work)
    assert "0001_outbox.sql" in done.stdout


def shell(marker: str) -> str:
    """The one command of the README's block after a marker."""
    match = re.search(rf"<!-- {marker} -->\n```sh\n(.+)\n```", README)
    assert match, marker
    return match[1]


@in_ci
@pytest.mark.todays_clock
@pytest.mark.skipif(sys.platform == "win32", reason="the README has another line for Windows")
def test_the_readmes_first_command_runs_the_main_job_from_nothing(tmp_path):
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    for name in tracked:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    done = run(["sh", "-c", shell("the demo")], tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"Sent \d+ records in 1 object", done.stderr)
    assert "none missing" in done.stdout
    assert list((tmp_path / "outbox-demo" / "objects").rglob("*.ndjson.zst"))


def test_every_file_the_readme_points_to_is_there():
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert len(links) >= 9
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_readmes_two_commands_are_one_line_each():
    assert shell("the demo").endswith("uv run --no-dev outbox demo")
    assert shell("the tests").endswith("uv run pytest")


def test_the_top_level_is_the_agreed_one():
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    tops = {name.split("/")[0] for name in tracked if not name.startswith(".")}
    assert tops == {
        "outbox", "collectors", "uploader", "migrations", "tests",
        "pyproject.toml", "README.md", "config.ini.example", "LICENSE", "CHANGELOG.md",
    }  # fmt: skip
