"""Why inputs were rejected, counted by kind: the same reason of another input is the same kind. No I/O.

Invariant: the counts add up to the number of inputs, and there are at most 20 kinds.
"""

import re
from collections.abc import Iterable

MAX_KINDS = 20
MAX_KIND_CHARS = 100
OTHER = "other"
_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""")
_NUMBER = re.compile(r"\d[\d.,]*\d|\d")


def kind_of(reason: str) -> str:
    """Return a reason without what is the input's own: quoted text becomes …, a number N."""
    return _NUMBER.sub("N", _QUOTED.sub("…", reason[: 10 * MAX_KIND_CHARS]))[:MAX_KIND_CHARS]


def counted(reasons: Iterable[str], before: dict[str, int]) -> dict[str, int]:
    """Return the counts by kind, with those from before; what is beyond the limit is `other`."""
    counts = dict(before)
    for reason in reasons:
        kind = kind_of(reason)
        if kind not in counts and len(counts) >= MAX_KINDS - 1:
            kind = OTHER
        counts[kind] = counts.get(kind, 0) + 1
    return counts
