"""The line in an object: a record's envelope and its body, spliced.

Invariant: a released format is never changed, since a retry must give the same bytes after an upgrade;
a new form is a new number, and `line_builder` knows them all. Every line can be understood alone.
"""

from collections.abc import Callable

from outbox.agents import Agent
from outbox.record import uuid_text
from outbox.record.canonical import encode

FORMAT = 1

LOST = "its text was damaged on the agent's disk"

LineBuilder = Callable[[int, bytes, bytes], bytes]


def line_builder(line_format: int, agent: Agent) -> LineBuilder:
    """Return what makes a line, newline included, of (sequence, collected_at, body)."""
    return FORMATS[line_format](agent)


def lost_body(record_id: bytes, source: str, body: bytes) -> bytes:
    """Return what stands in a line whose record was damaged: no values, a reason, and which record it was.

    Its place in the sequence is filled, so that completeness still tells the truth. Which record it was is
    told where the ledger and what is left of the text agree: either alone may be what was damaged. For the
    same reason the line says no time. Part of format 1.
    """
    lost, name = {"lost": LOST}, {"record_id": uuid_text(record_id), "source": source}
    return encode(lost | name if encode(name)[1:-1] in body else lost)


def _format_1(agent: Agent) -> LineBuilder:
    # Names were checked when the agent was made: nothing in them needs escaping. Keys are sorted.
    head = f'{{"agent_id":"{agent.agent_id}","agent_since":"{agent.since}","collected_at":"'.encode()
    middle = f'","customer_id":"{agent.customer}","format":1,"sequence":'.encode()
    tail = f',"site":"{agent.site}",'.encode()

    def build(sequence: int, collected_at: bytes, body: bytes) -> bytes:
        return b"".join((head, collected_at, middle, b"%d" % sequence, tail, body[1:], b"\n"))

    return build


FORMATS = {1: _format_1}
"""Every format that was ever released."""
