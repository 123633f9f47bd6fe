"""The small, repeatable share of the fuzzing: always the same inputs, and every one that once broke something."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.oracle import MADE, NAMES, RAW, SECTIONS, SEEDS, check, in_this_process

TOKENS = [
    *sorted({token for seed in SEEDS for token in seed.replace(b",", b" , ").split(b" ")}),
    b"\n", b"\r\n", b'"', b"'", b";", b"\t", b"\0", b"\xef\xbb\xbf", b"\xff\xfe", b"{", b"}", b"[", b"]", b":", b"<c>", b"<row/>", b"1e999",
]  # fmt: skip
CONTENT = st.one_of(
    st.lists(st.sampled_from(TOKENS), max_size=40).map(b"".join),
    st.lists(st.sampled_from(SEEDS), min_size=1, max_size=3).map(b"".join),
    st.binary(max_size=200),
)
FOUND = [
    (
        "t.tsv",
        3,
        b"01.02.2026 03:04\t5\n\xff\xfe\x00x\n",
        0,
    ),  # columns were those of the row reading went on at
    ("t.ndjson", 0, b'{"Time":1,"Place":1,"Temp":1}\nnull\n', 0),  # likewise the sample of objects
    ("t.csv", 3, b'1,2\n"a,1\nx\nlu",5', 1),  # a place within a row whose last line is open
    ("t.tsv", 3, b'1\t2\n"a"b\t1\n', 0),  # a tab in a reason
]


@settings(max_examples=300, derandomize=True, deadline=None, database=None)
@given(st.sampled_from(NAMES), st.sampled_from(range(len(SECTIONS))), CONTENT, st.integers(0, 50))
def test_whatever_is_read_all_that_must_hold_does(name, section, content, cut):
    with in_this_process():
        check(name, SECTIONS[section], content, cut)


@pytest.mark.parametrize(("name", "section", "content", "cut"), FOUND)
def test_what_was_found_once_is_mended(name, section, content, cut):
    assert check(name, SECTIONS[section], content, cut) > 0


@pytest.mark.parametrize("name", [*RAW, *MADE])
def test_the_seeds_reach_rows(name):
    with in_this_process():
        rows = [check(name, section, seed, 1) for section in SECTIONS for seed in SEEDS]
    assert max(rows) > 0
