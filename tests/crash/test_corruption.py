"""A database that rots, is cut, is swapped or is put back: refused or delivered as it was, and never silently."""

import pytest

from tests.crash import corruption, vfs
from tests.crash.corruption_images import PAGE_BYTES, PLACES, flipped_at, prepare

SHARE = 260
NONE_OF_THEM = "no such damage"


def test_a_bit_that_flips_anywhere_is_refused_harmless_or_told_as_lost():
    result = corruption.run(SHARE, seed=1, only=NONE_OF_THEM)
    print(result)
    assert result.broken == 0, result.examples
    assert result.images == result.flips == SHARE
    assert result.refused > SHARE / 10
    assert result.lost_lines > 0
    assert set(result.flips_by_table) > {"anywhere", "agents", "outbox", "bodies", "batches", "bookmarks"}
    assert min(result.flips_by_table.values()) >= SHARE // len(result.flips_by_table)


@pytest.mark.parametrize("place", PLACES)
def test_a_text_that_was_damaged_is_found_out_or_told_as_lost(place):
    result = corruption.run(0, seed=1, only=f"{place} damaged")
    assert result.images == 2
    assert result.broken == 0, result.examples


@pytest.mark.parametrize(
    "damage",
    ["of no bytes", "no database", "another program's", "put back", "on another machine"],
)
def test_a_file_that_is_not_this_agents_as_it_was_is_refused(damage):
    result = corruption.run(0, seed=1, only=damage)
    assert result.broken == 0, result.examples
    assert result.refused == result.images == 2


@pytest.mark.parametrize(("damage", "at_least"), [("zeroed", 50), ("cut to", 25), ("the -wal is", 14)])
def test_what_is_left_of_a_file_is_refused_or_delivered_as_it_was(damage, at_least):
    result = corruption.run(0, seed=1, only=damage)
    print(result)
    assert result.broken == 0, result.examples
    assert result.images >= at_least
    assert result.refused > 0


def test_files_that_nothing_befell_are_delivered_as_they_were():
    result = corruption.run(0, seed=1, only="as it is")
    assert result.broken == result.refused == result.lost_lines == 0, result.examples
    assert result.harmless == result.images == 2


def test_one_seed_gives_the_same_images_again():
    first, second = (corruption.run(10, seed=3, only=NONE_OF_THEM) for _ in range(2))
    first.seconds = second.seconds = 0.0
    assert first == second


def test_no_bit_of_what_a_page_says_of_its_cells_hides_what_is_sealed():
    """The index of sealed batches forgets one: its rows are still found."""
    result = corruption.Result(0)
    with vfs.scratch() as folder:
        prepared = prepare(folder)
        for at in prepared.used["batches"]:
            if at % PAGE_BYTES in (3, 4):
                for bit in range(8):
                    corruption.examine(folder, prepared, flipped_at(prepared, at, bit), result)
    assert result.broken == 0, result.examples
    assert result.images >= 16 * 5
