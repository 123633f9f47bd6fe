"""Operators look into the outbox with the `sqlite3` of their system while the agent works."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from outbox.delivery import Limits
from outbox.record import Rejected
from tests.support.agent import Clock, make, opened, record

ROOT = Path(__file__).parents[2]
RECIPES = re.findall(r"```sql\n(.*?)```", (ROOT / "outbox" / "README.md").read_text("utf-8"), re.DOTALL)
NOBODY = 65534

needs_sqlite3 = pytest.mark.skipif(
    not shutil.which("sqlite3"), reason="needs the sqlite3 command; CI installs it"
)


def look(path: Path, query: str, *, as_nobody: bool = False) -> list[str]:
    """Run a query with the sqlite3 command, as another user where that is possible."""
    options = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if as_nobody else {}
    done = subprocess.run(
        ["sqlite3", "-readonly", str(path), query],
        capture_output=True,
        text=True,
        errors="replace",
        **options,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.splitlines()


@pytest.fixture
def busy(path: Path, clock: Clock):
    """An agent in the middle of an upload: something sent, something sealed, something pending."""
    with opened(path, clock) as agent:
        agent.collect(*[record(n) for n in range(6)], rejected=[Rejected("no time", "{}")])
        agent.acknowledge(agent.seal(Limits(2, 10**6)))
        agent.seal(Limits(2, 10**6))
        yield agent


def test_there_are_ten_queries():
    assert len(RECIPES) == 10


@needs_sqlite3
@pytest.mark.parametrize("recipe", RECIPES)
def test_each_query_of_the_handbook_runs(busy, path, recipe):
    rows = look(path, recipe)
    assert bool(rows) == ("WHERE first_sequence <> before" not in recipe and "problems" not in recipe) or (
        "problems" in recipe and any("rejected inputs of weather" in row for row in rows)
    )


@needs_sqlite3
def test_pending_shows_what_waits_with_its_text_in_columns(busy, path):
    assert look(path, 'SELECT sequence, entity, observed_at, "values", units FROM pending LIMIT 1') == [
        '3|Helsinki|2026-11-23T04:00:00Z|{"temperature_2m":1.5}|{"temperature_2m":"°C"}'
    ]
    assert look(path, "SELECT count(*) FROM pending") == ["4"]
    assert look(path, "SELECT source, records FROM backlog") == ["weather|4"]


@needs_sqlite3
@pytest.mark.skipif(
    os.name == "nt" or os.geteuid() != 0, reason="needs root to become another user; CI is root"
)
def test_another_user_reads_during_an_upload_and_the_agent_still_writes(clock):
    with tempfile.TemporaryDirectory() as folder:  # pytest's own may not be entered by others
        Path(folder).chmod(0o755)
        path = Path(folder) / "outbox.db"
        make(path, clock)
        with opened(path, clock) as agent:
            agent.collect(*[record(n) for n in range(6)])
            batch = agent.seal(Limits(2, 10**6))
            for recipe in RECIPES:
                with agent.database.transaction():  # the agent is in the middle of a write
                    look(path, recipe, as_nobody=True)
            assert agent.acknowledge(batch)
            assert look(path, "SELECT count(*) FROM pending", as_nobody=True) == ["4"]
        assert look(path, "SELECT count(*) FROM pending", as_nobody=True) == ["4"]
        with opened(path, clock) as agent:
            assert agent.collect(record(90)).new == 1
            assert agent.seal().records == 5


@needs_sqlite3
def test_an_operator_cannot_write(busy, path):
    done = subprocess.run(
        ["sqlite3", "-readonly", str(path), "DELETE FROM runs"], capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "readonly" in done.stderr


@needs_sqlite3
def test_views_and_tables_are_within_the_language_of_sqlite_3_40(busy, path):
    names = look(
        path, "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%'"
    )
    assert len(names) == 15
    for name in names:
        look(path, f"SELECT * FROM {name}")
