"""Batches as values: a sealed range of sequences, how large it may be, what was lost of it, and its name."""

from typing import NamedTuple

from outbox.agents import Agent
from outbox.object_name import ObjectName


class Limits(NamedTuple):
    """How large one batch may be; one record always fits."""

    max_records: int
    max_bytes: int


class Batch(NamedTuple):
    """A sealed batch, as it was committed; `object_key` is below the destination."""

    id: int
    agent_id: str
    format: int
    encoding: str
    first_sequence: int
    last_sequence: int
    object_key: str
    ndjson_sha256: bytes
    ndjson_bytes: int

    @property
    def span(self) -> tuple[int, int]:
        """Its first and its last sequence."""
        return self.first_sequence, self.last_sequence

    @property
    def records(self) -> int:
        """How many records it holds."""
        return self.last_sequence - self.first_sequence + 1


class Lost(NamedTuple):
    """A record that was found damaged: what is left of it; `body` is None where no text is."""

    sequence: int
    source: str
    body: bytes | None


class Sealed(NamedTuple):
    """A batch that was just sealed, its NDJSON, and those of its records that were found damaged."""

    batch: Batch
    lines: bytes
    lost: tuple[Lost, ...] = ()


def object_key(agent: Agent, date: str, span: tuple[int, int], sha256: str, encoding: str) -> str:
    """Return the name of an object below the destination."""
    place = (agent.customer, agent.site, agent.agent_id)
    return ObjectName("", *place, date, *span, sha256[:16], encoding).key
