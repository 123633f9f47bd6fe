"""The name of an agent: a random token and the first sequence that it gave, so that objects alone tell both.

`5f0c…9a-000000000305`: 16 hexadecimal digits, a hyphen, and at least 12 digits. No I/O.
"""

import re

_AGENT_ID = re.compile(r"[0-9a-f]{16}-[0-9]{12}")


def make_agent_id(token: str, first_sequence: int) -> str:
    """Return the name of an agent that begins at this sequence; `token` is 16 hexadecimal digits."""
    return f"{token}-{first_sequence:012d}"


def is_agent_id(text: str) -> bool:
    """Return whether a text is the name of an agent."""
    return _AGENT_ID.fullmatch(text) is not None


def begins(agent_id: str) -> int:
    """Return the first sequence of an agent, as its name says; 0 where the name says none."""
    first = agent_id.partition("-")[2]
    return int(first) if first.isascii() and first.isdecimal() else 0


def short(agent_id: str) -> str:
    """Return as much of an agent's name as a person needs to tell it from others."""
    return agent_id[:8]
