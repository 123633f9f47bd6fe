"""A damaged database, salvaged: clean, at work again, and each number arrives or is told as lost."""

import itertools
import json
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from outbox.audit.audit import audit_database
from outbox.database import Database
from outbox.salvage.salvage import Salvaged, salvage
from tests.crash import vfs
from tests.crash.corruption_images import (
    COLLECTED,
    PAGE_BYTES,
    PLACES,
    SENT,
    Image,
    Prepared,
    Store,
    flipped,
    go_on,
    lay_out,
    named,
    prepare,
)
from tests.crash.model_seen import lines_of
from tests.support.agent import Clock

FLIPS_A_TABLE, SEVERAL = 4, 12
SAID = ("values", "units", "entity", "stream", "observed_at", "source", "customer_id", "site")
KINDS = (
    ["as it is", "zeroed", "cut to", "the -wal is", "of no bytes", "no database", "another program's"]
    + ["put back", "on another machine"]
    + [f"{place} damaged" for place in PLACES]
)


@pytest.fixture(scope="module")
def prepared() -> Iterator[Prepared]:
    with vfs.scratch() as folder:
        yield prepare(folder)


@pytest.fixture
def folder() -> Iterator[Path]:
    with vfs.scratch() as folder:
        yield folder


def salvaged(folder: Path, tokens: Iterator[int]) -> Salvaged:
    clock = Clock()
    clock.advance(minutes=1, seconds=30)
    return salvage(
        folder / "outbox.db",
        customer="acme",
        site="helsinki",
        now=clock,
        token=lambda: f"{next(tokens):016x}",
    )


def audited(folder: Path) -> list[str]:
    with Database.open(folder / "outbox.db") as database:
        return [finding.text for finding in audit_database(database, deep=True)]


def broken(folder: Path, prepared: Prepared, image: Image) -> list[str]:
    """Salvage an image, let the agent go on, and return which promises are broken."""
    lay_out(folder, image.files)
    done, store = salvaged(folder, itertools.count(1)), Store(dict(prepared.objects))
    wrong = [*put_aside_wrongly(folder, image, done), *audited(folder)]
    wrong += [f"ended with {error!r}" for error in go_on(folder, store) if error]
    wrong += audited(folder)
    told = [json.loads(line) for line in lines_in(store)]
    times = Counter(line["sequence"] for line in told)
    wrong += [f"{number} is silently missing" for number in range(1, COLLECTED + 1) if not times[number]]
    if done.built and (done.built.sent, done.built.unnamed) == (SENT // 6, 0):  # their proof was whole
        wrong += [f"{number} was sent again" for number in range(1, SENT + 1) if times[number] > 1]
    true = {line["record_id"]: line for line in map(json.loads, prepared.lines.values())}
    for line in told:
        if "lost" not in line and [line[name] for name in SAID] != [
            true[line["record_id"]][name] for name in SAID
        ]:
            wrong.append(f"{line['sequence']} is another record than was collected")
    return wrong


def lines_in(store: Store) -> list[bytes]:
    return [line for key, data in sorted(store.objects.items()) for line in lines_of(key, data).splitlines()]


def put_aside_wrongly(folder: Path, image: Image, done: Salvaged) -> list[str]:
    """Which of the damaged files are not there, under the other name, as they were."""
    assert done.aside is not None
    return [
        name
        for name, content in image.files.items()
        if not name.endswith(".witness")
        and folder.joinpath(name.replace("outbox.db", done.aside.name)).read_bytes() != content
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_after_a_salvage_each_number_arrives_or_is_told_as_lost(folder, prepared, kind):
    images = [image for image in named(prepared, random.Random(1)) if kind in image.name]
    assert images
    wrong = {image.name: found for image in images if (found := broken(folder, prepared, image))}
    assert wrong == {}


def test_after_a_flip_of_any_table_too(folder, prepared):
    chance = random.Random(2)
    for table in prepared.used:
        for _ in range(FLIPS_A_TABLE):
            image = flipped(prepared, chance, table)
            assert broken(folder, prepared, image) == [], image.name


@pytest.mark.parametrize("seed", range(4))
def test_after_several_damages_at_once_too(folder, prepared, seed):
    chance = random.Random(seed)
    for _ in range(SEVERAL):
        image = rotten(prepared, chance)
        assert broken(folder, prepared, image) == [], image.name


def rotten(prepared: Prepared, chance: random.Random) -> Image:
    """Bits, bytes and pages that are flipped, zeroed, garbled or exchanged, and files that are cut."""
    shape = chance.choice(list(prepared.shapes))
    files, done = dict(prepared.shapes[shape]), [shape]
    for _ in range(chance.choice((1, 2, 3, 5))):
        name = chance.choice(("outbox.db", "outbox.db", "outbox.db", "outbox.db-wal"))
        if files[name]:
            kind = chance.choice(list(ROT))
            content = bytearray(files[name])
            ROT[kind](
                content, chance.randrange(len(content)), chance.choice((1, 16, 300, 4_096, 9_000)), chance
            )
            files[name] = bytes(content)
            done.append(f"{name} {kind}")
    return Image(", ".join(done), files)


def flip(content: bytearray, _at: int, size: int, chance: random.Random) -> None:
    for _ in range(min(size, 100)):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)


def zero(content: bytearray, at: int, size: int, _chance: random.Random) -> None:
    content[at : at + size] = bytes(len(content[at : at + size]))


def garble(content: bytearray, at: int, size: int, chance: random.Random) -> None:
    content[at : at + size] = chance.randbytes(len(content[at : at + size]))


def exchange(content: bytearray, at: int, _size: int, chance: random.Random) -> None:
    one, two = (
        slice(page * PAGE_BYTES, (page + 1) * PAGE_BYTES) for page in (at // PAGE_BYTES, chance.randrange(9))
    )
    content[one], content[two] = content[two], content[one]


def cut(content: bytearray, at: int, _size: int, _chance: random.Random) -> None:
    del content[max(at, len(content) // 2) :]


ROT = {"flipped": flip, "zeroed": zero, "garbled": garble, "exchanged": exchange, "cut": cut}


def test_nothing_is_lost_of_a_sound_database_and_its_seals_keep_their_names(folder, prepared):
    for files in prepared.shapes.values():
        lay_out(folder, files)
        done = salvaged(folder, itertools.count(1))
        assert done.built is not None
        assert (done.built.lost, done.built.resealed, done.built.unnamed, done.unmarked) == ([], 0, 0, [])
        assert (done.built.sent, done.built.waiting, done.remade, done.unreadable) == (4, 36, 0, 0)
        store = Store(dict(prepared.objects))
        assert go_on(folder, store) == [None] * 3
        assert set(prepared.objects) < set(store.objects)


def test_a_salvage_of_what_was_salvaged_changes_nothing_but_the_agent(folder, prepared):
    (image,) = [image for image in named(prepared, random.Random(1)) if image.name == "the -wal is missing"]
    lay_out(folder, image.files)
    tokens = itertools.count(1)
    first = salvaged(folder, tokens)
    assert first.built is not None
    assert first.built.lost
    for path in folder.glob("*.damaged-*"):
        path.unlink()
    second = salvaged(folder, tokens)
    assert second.built is not None
    assert (second.built.lost, second.built.resealed) == ([], 0)
    assert second.agent.first_sequence == first.agent.first_sequence
    assert audited(folder) == []


class Death(BaseException):
    """The process ends."""


@pytest.mark.parametrize("kind", ["live, as it is", "live, page 10 zeroed", "the -wal is missing"])
def test_a_salvage_that_is_killed_anywhere_is_begun_anew_or_finished(folder, prepared, kind, monkeypatch):
    """Killed before each step that changes the folder; then it is run again."""
    (image,) = [image for image in named(prepared, random.Random(1)) if image.name == kind]
    finished = 0
    for number in itertools.count(1):
        lay_out(folder, image.files)
        with monkeypatch.context() as patch:
            if not killed_at(patch, number, folder):
                break
        done = salvaged(folder, itertools.count(9))
        finished += done.built is None
        damaged = [path.read_bytes() for path in folder.glob("outbox.db.damaged-*")]
        assert all(content in damaged for name, content in image.files.items() if "witness" not in name)
        assert [path.name for path in folder.iterdir() if "salvaged" in path.name] == []
        store = Store(dict(prepared.objects))
        assert audited(folder) == []
        assert go_on(folder, store) == [None] * 3, f"after a kill before step {number}"
    assert 2 <= finished < number - 5


def killed_at(patch: pytest.MonkeyPatch, number: int, folder: Path) -> bool:
    """Whether a salvage came as far as its n-th step, and was killed before it."""
    steps = itertools.count(1)

    def dying(real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **options: Any) -> Any:
            if next(steps) >= number:
                raise Death
            return real(*arguments, **options)

        return step

    for name in ("rename", "replace", "unlink"):
        patch.setattr(Path, name, dying(getattr(Path, name)))
    patch.setattr(os, "link", dying(os.link))
    try:
        salvaged(folder, itertools.count(1))
    except Death:
        return True
    return False
