"""What an audit says: one sentence for each promise that does not hold. No I/O."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

MAX_OF_A_KIND = 100


class Finding(NamedTuple):
    """A promise that does not hold: its kind, for machines, and a sentence: what, where, what it means.

    A note says what looks like one and is history that the database explains: nothing is wrong.
    """

    kind: str
    text: str
    is_note: bool = False


def limited(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Yield each finding once and at most a hundred of a kind; at the end, how many more there were."""
    shown: set[Finding] = set()
    counts: Counter[str] = Counter()
    for finding in findings:
        if finding in shown:
            continue
        counts[finding.kind] += 1
        if counts[finding.kind] <= MAX_OF_A_KIND:
            shown.add(finding)
            yield finding
    for kind, count in counts.items():
        if count > MAX_OF_A_KIND:
            yield Finding(kind, f"And {count - MAX_OF_A_KIND:,} more of the kind {kind}.")


def span(first: int, last: int) -> str:
    """Return a range of sequences as a sentence names it: `sequence 5`, `sequences 5 to 1,000`."""
    return f"sequence {first:,}" if first == last else f"sequences {first:,} to {last:,}"
