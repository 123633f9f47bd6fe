"""What people would otherwise have to remember: the public names, and what start-up may not load."""

import subprocess
import sys
from pathlib import Path

import collectors

REPOSITORY = Path(__file__).parents[1]
FOR_AUTHORS = """
Answer Collector ConfigError Context DataError Duration Flag Http Lines LoginRefusedError Names OutboxError Page
PermanentError Record Rejected Rereads SecretRef Size SourceOptions TransientError Window Zone check_status
"""
HEAVY = (
    "boto3",
    "botocore",
    "calamine",
    "httpx",
    "imap_tools",
    "psycopg",
    "python_calamine",
    "sqlalchemy",
)


def loaded_after(statement):
    """The modules that a new process has loaded after a statement."""
    code = f"import sys\n{statement}\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_authors_of_collectors_import_from_one_place_and_a_release_keeps_these_names():
    assert sorted(collectors.__all__) == sorted(FOR_AUTHORS.split())
    for name in collectors.__all__:
        assert getattr(collectors, name).__name__ or name  # every name is there


def test_a_name_that_is_not_there_is_an_attribute_error():
    assert not hasattr(collectors, "Nothing")


def test_the_command_line_starts_without_a_library_that_few_commands_need():
    assert loaded_after("import outbox.cli").isdisjoint(HEAVY)
    assert loaded_after("import collectors").isdisjoint(HEAVY)


def test_the_rooms_of_collectors_can_be_counted_at_a_glance():
    top = [path for path in (REPOSITORY / "collectors").iterdir() if path.name != "__pycache__"]
    assert len([path for path in top if path.is_dir()]) <= 10
    assert len([path for path in top if path.is_file()]) <= 12
