"""The disk at a power cut: what is durable, what is not, and what may have become of that."""

import random
from collections.abc import Callable, Iterator, Sequence

from tests.crash.vfs import Delete, Fact, Operation, Rename, Sync, Truncate, Write

SECTOR = 512
DRAWS = ("nothing", "everything", "last", "prefix", "prefix", "subset", "subset", "torn", "torn", "garbage")
"""The policies, as often as each is drawn at one crash point."""

Change = Write | Truncate | Delete


class Disk:
    """What is durable, and what was written since.

    With a new file's first sync, and with a rename, the folder is synced, and so are earlier removals.
    """

    def __init__(self) -> None:
        self.durable: dict[str, bytes] = {}
        self.pending: list[Change] = []
        self.version = 0

    def apply(self, operation: Operation) -> None:
        """Let one recorded operation happen."""
        if isinstance(operation, Sync):
            new = operation.file not in self.durable
            self._settle(lambda change: change.file == operation.file or (new and isinstance(change, Delete)))
            self.durable.setdefault(operation.file, b"")
            self.version += new
        elif isinstance(operation, Rename):
            self._settle(lambda change: isinstance(change, Delete))
            self.durable[operation.new] = self.durable.pop(operation.old, b"")
            self.pending = [
                change._replace(file=operation.new) if change.file == operation.old else change
                for change in self.pending
            ]
            self.version += 1
        elif not isinstance(operation, Fact):
            self.pending.append(operation)
            if isinstance(operation, Delete) and operation.synced:
                self._settle(lambda change: isinstance(change, Delete))

    def _settle(self, is_durable: Callable[[Change], bool]) -> None:
        mine = [change for change in self.pending if is_durable(change)]
        if mine:
            self.pending = [change for change in self.pending if not is_durable(change)]
            self.durable = image(self.durable, mine)
            self.version += 1


def image(durable: dict[str, bytes], changes: Sequence[Change]) -> dict[str, bytes]:
    """Return the files with some changes made."""
    files: dict[str, bytearray] = {}
    gone: set[str] = set()
    for change in changes:
        name = change.file
        if isinstance(change, Delete):
            files.pop(name, None)
            gone.add(name)
            continue
        if name not in files:
            files[name] = bytearray(b"" if name in gone else durable.get(name, b""))
        content = files[name]
        if isinstance(change, Truncate):
            del content[change.size :]
        else:
            if len(content) < change.offset:
                content.extend(bytes(change.offset - len(content)))
            content[change.offset : change.offset + len(change.data)] = change.data
    kept = {name: content for name, content in durable.items() if name not in gone}
    return kept | {name: bytes(content) for name, content in files.items()}


def survivors(policy: str, pending: Sequence[Change], rng: random.Random) -> list[Change]:
    """Return what a policy lets reach the disk of what was not synced."""
    if policy == "nothing" or not pending:
        return []
    if policy == "everything":
        return list(pending)
    if policy == "last":
        return [pending[-1]]
    if policy == "prefix":
        return list(pending[: rng.randint(0, len(pending))])
    share = rng.random()
    if policy == "subset":
        return [change for change in pending if rng.random() < share]
    return list(_sectors(pending, rng, share, garbage=policy == "garbage"))


def _sectors(
    pending: Sequence[Change], rng: random.Random, share: float, *, garbage: bool
) -> Iterator[Change]:
    for change in pending:
        if not isinstance(change, Write):
            if rng.random() < share:
                yield change
            continue
        begin = change.offset
        while begin < change.offset + len(change.data):
            end = min((begin // SECTOR + 1) * SECTOR, change.offset + len(change.data))
            if rng.random() < share:
                yield Write(change.file, begin, change.data[begin - change.offset : end - change.offset])
            elif garbage and begin >= SECTOR and rng.random() < 0.5:
                yield Write(change.file, begin, rng.randbytes(end - begin))
            begin = end
