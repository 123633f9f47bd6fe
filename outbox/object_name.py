"""What an object's name says: whose it is, which sequences it holds, the hash of its lines. No I/O."""

import re
from typing import NamedTuple, Self

from outbox.agent_id import begins

SUFFIX = {"zstd": ".zst", "gzip": ".gz", "none": ""}
_ENCODING = {suffix: encoding for encoding, suffix in SUFFIX.items()}
# No = above data/: who may put below one customer's folder must not be taken for another customer there.
_NAME = re.compile(
    r"(?P<above>(?:[^=]*/)?)data/customer=(?P<customer>[^/]+)/site=(?P<site>[^/]+)/agent=(?P<agent>[^/]{29})"
    r"/date=(?P<date>\d{4}-\d\d-\d\d)/(?P<first>\d{12,})-(?P<last>\d{12,})-(?P<digest>[0-9a-f]{16})"
    r"\.ndjson(?P<suffix>|\.zst|\.gz)",
    re.DOTALL,
)
_TRIAL = re.compile(r"(?:.*/)?check/customer=[^/]+/.+", re.DOTALL)


class ObjectName(NamedTuple):
    """An object's name, taken apart; `above` is what stands before `data/`, its slash included."""

    above: str
    customer: str
    site: str
    agent_id: str
    date: str
    first_sequence: int
    last_sequence: int
    digest: str
    encoding: str

    @classmethod
    def parse(cls, key: str) -> Self | None:
        """Take a key apart; None where it is no batch's."""
        found = _NAME.fullmatch(key)
        if found is None:
            return None
        above, customer, site, agent, date, first, last, digest, suffix = found.groups()
        name = cls(above, customer, site, agent, date, int(first), int(last), digest, _ENCODING[suffix])
        return name if 0 < name.begins <= name.first_sequence <= name.last_sequence else None

    @property
    def begins(self) -> int:
        """The first sequence of its agent, as the agent's own name says."""
        return begins(self.agent_id)

    @property
    def folder(self) -> str:
        """Where its agent's objects are, the closing slash included."""
        return f"{self.above}data/customer={self.customer}/site={self.site}/agent={self.agent_id}/"

    @property
    def key(self) -> str:
        """The name as it stands in the store."""
        span = f"{self.first_sequence:012d}-{self.last_sequence:012d}"
        return f"{self.folder}date={self.date}/{span}-{self.digest}.ndjson{SUFFIX[self.encoding]}"


def is_trial(key: str) -> bool:
    """Return whether a key is a trial put's: no data, and loaded by nobody."""
    return _TRIAL.fullmatch(key) is not None
