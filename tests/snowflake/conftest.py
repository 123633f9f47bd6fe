"""Worlds of agents, and the command line's fixtures."""

import logging
import tempfile
from pathlib import Path

import pytest

from tests.cli.conftest import agent, outbox  # noqa: F401
from tests.snowflake.world import World


@pytest.fixture(autouse=True)
def _quiet_sqlglot():
    """sqlglot warns of each statement that it takes as a whole; test_script.py counts those."""
    logger = logging.getLogger("sqlglot")
    before, logger.level = logger.level, logging.CRITICAL
    yield
    logger.level = before


@pytest.fixture(scope="module")
def folder():
    """A folder in memory where there is one: hundreds of agents sync thousands of times, and no power fails."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        yield Path(name)


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)
