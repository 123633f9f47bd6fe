"""Files that rot: the database of an agent at work, damaged in every way that disks and people know.

The agent has sent, has sealed (one object was stored and its confirmation lost), has records that wait, and
has more to read; once with everything checkpointed, once with the latest of it in a live -wal. An image is
a copy of its files with one bit flipped somewhere, or with one of the named damages. On each one the
commands go on as scheduled ones do: upload, collect, upload. Whatever they find, they may refuse, with one
of our errors and its exit code; they may send a line that says `lost`. They may not send another line than
the true one, call it success when a sequence is missing or doubled, raise anything else, or never end.

A record that had been collected and was in no seal may be read again, and get another number: nobody was
told of it. Not modelled: two damages at once, memory that rots, and a witness that is put back as well.

    python -m tests.crash.campaign --only "bit flips"
"""

import json
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from outbox import agents
from outbox.errors import Exit
from tests.crash import vfs
from tests.crash.corruption_images import (
    COLLECTED,
    SEALED,
    TIMES,
    Image,
    Prepared,
    Store,
    flipped,
    go_on,
    lay_out,
    lines_of,
    named,
    prepare,
)

CPU_LIMIT_S = 4.0
FORESEEN = {Exit.CONFIG, Exit.DATA, Exit.PERMANENT, Exit.DISK_FULL, Exit.TRANSIENT}
MAX_EXAMPLES = 20


@dataclass
class Result:
    """What became of the images; the last five are broken promises."""

    seed: int
    images: int = 0
    flips: int = 0
    refused: int = 0
    harmless: int = 0
    lost_lines: int = 0
    wrong_lines: int = 0
    doubled: int = 0
    raw_errors: int = 0
    silent_losses: int = 0
    failures: int = 0
    seconds: float = 0.0
    flips_by_table: dict[str, int] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)

    @property
    def broken(self) -> int:
        """How many promises were broken."""
        return self.wrong_lines + self.doubled + self.raw_errors + self.silent_losses + self.failures

    def note(self, kind: str, image: Image, what: str) -> None:
        """Count a broken promise."""
        setattr(self, kind, getattr(self, kind) + 1)
        if len(self.examples) < MAX_EXAMPLES:
            self.examples.append(f"{image.name}: {kind}: {what}")


class EndlessError(BaseException):
    """It takes too long; no handler of the product's may take it for an error."""


def run(flips: int, seed: int, only: str = "") -> Result:
    """Try every named damage (whose name contains `only`), and so many flips of one bit.

    The flips fall in turn on each table (with its indexes), and anywhere: the empty ones too.
    """
    began, result = time.monotonic(), Result(seed, flips=flips)
    with vfs.scratch() as folder:
        prepared = prepare(folder)
        chance = random.Random(seed)
        damages = [image for image in named(prepared, chance) if only in image.name]
        for image in damages:
            examine(folder, prepared, image, result)
        places = ["", *prepared.used]
        for number in range(flips):
            place = places[number % len(places)]
            name = place or "anywhere"
            result.flips_by_table[name] = result.flips_by_table.get(name, 0) + 1
            examine(folder, prepared, flipped(prepared, chance, place), result)
    result.seconds = round(time.monotonic() - began, 1)
    return result


def examine(folder: Path, prepared: Prepared, image: Image, result: Result) -> None:
    """Let the agent go on from an image, and count what it did."""
    result.images += 1
    lay_out(folder, image.files)
    store = Store(dict(prepared.objects))
    host = "0" * 32 if image.moved else agents.fingerprint()
    try:
        with patch.object(agents, "fingerprint", lambda: host), _cpu_limit():
            errors = go_on(folder, store)
    except EndlessError:
        result.note("raw_errors", image, f"no end after {CPU_LIMIT_S} s")
        return
    for error in errors:
        if error is not None and getattr(error, "exit_code", None) not in FORESEEN:
            result.note("raw_errors", image, f"{type(error).__name__}: {error}")
    _look(prepared, image, store.objects, errors, result)


def _look(
    prepared: Prepared,
    image: Image,
    objects: dict[str, bytes],
    errors: list[Exception | None],
    result: Result,
) -> None:
    """Compare what was put with the true lines, and what was said with what was done."""
    untold = {_read_again(_told(line)) for line in prepared.lines.values()} - {""}
    numbers: Counter[int] = Counter()
    lost, wrong = 0, []
    for line in lines_of(objects):
        told = _told(line)
        numbers[told["sequence"]] += 1
        if "lost" in told:
            lost += 1
        elif line != prepared.lines.get(told["sequence"]) and _read_again(told) not in untold:
            wrong.append(line)
    refused = any(errors)
    missing = [number for number in range(1, COLLECTED + 1) if number not in numbers]
    twice = [number for number, times in numbers.items() if times > 1]
    result.refused += refused
    result.lost_lines += lost
    result.harmless += not (refused or lost or wrong)
    if image.must_refuse and (not all(errors) or objects != prepared.objects):
        result.note("failures", image, "it was not refused")
    if wrong:
        result.note("wrong_lines", image, f"{len(wrong)}, the first: {wrong[0][:250]!r}")
    if missing and errors[-1] is None:
        result.note("silent_losses", image, f"{len(missing)} sequences, the first {missing[0]}")
    if twice and not refused:
        result.note("doubled", image, f"{len(twice)} sequences, the first {twice[0]}")


def _told(line: bytes) -> dict[str, Any]:
    """What a line says; a line that cannot be read has no sequence that anybody waits for."""
    try:
        told = json.loads(line)
        return told if isinstance(told.get("sequence"), int) else {"sequence": 0}
    except ValueError:
        return {"sequence": 0}


def _read_again(told: dict[str, Any]) -> str:
    """What a record says that was in no seal yet: it may be read again, now, and get another number."""
    if told["sequence"] <= SEALED or told.get("collected_at") not in TIMES:
        return ""
    return json.dumps(told | {"sequence": 0, "collected_at": ""})


@contextmanager
def _cpu_limit() -> Iterator[None]:
    """Raise where the block takes too much of the processor's time; Windows cannot tell."""
    if not hasattr(signal, "setitimer"):
        yield
        return

    def end(_signal: int, _frame: object) -> None:
        raise EndlessError

    before = signal.signal(signal.SIGVTALRM, end)
    signal.setitimer(signal.ITIMER_VIRTUAL, CPU_LIMIT_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
