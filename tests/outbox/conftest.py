from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.agent import Agent, Clock, make, opened


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path, clock: Clock) -> Path:
    found = tmp_path / "outbox.db"
    make(found, clock)
    return found


@pytest.fixture
def agent(path: Path, clock: Clock) -> Iterator[Agent]:
    with opened(path, clock) as found:
        yield found
