"""Reasons are counted by kind: what is the input's own makes no new one, and nothing is lost in the sum."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.reasons import MAX_KIND_CHARS, MAX_KINDS, OTHER, counted, kind_of


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("Qty is not a number: 'x' (file 'a.csv', line 1,204)", "Qty is not a number: … (file …, line N)"),
        ('Qty is not a number: "it\'s"', "Qty is not a number: …"),
        (r"'a\'b' is not a time", "… is not a time"),
        ("2026-11-23T02:00:00Z is later than 17.5", "N-N-NTN:N:NZ is later than N"),
        ("no time", "no time"),
        ("'", "'"),
        ("", ""),
    ],
)
def test_what_is_the_inputs_own_is_left_out(reason, kind):
    assert kind_of(reason) == kind


def test_the_same_reason_of_other_inputs_is_one_kind():
    assert counted([f"'{n}' is not a number in line {n}" for n in range(50)], {"no time": 2}) == {
        "no time": 2,
        "… is not a number in line N": 50,
    }


def test_beyond_the_limit_it_is_other():
    counts = counted([chr(ord("a") + n // 26) + chr(ord("a") + n % 26) for n in range(100)], {})
    assert len(counts) == MAX_KINDS
    assert counts[OTHER] == 100 - MAX_KINDS + 1


@given(st.lists(st.text(max_size=300), max_size=60), st.lists(st.text(max_size=300), max_size=60))
def test_the_counts_add_up_and_are_bounded(first, second):
    counts = counted(second, counted(first, {}))
    assert sum(counts.values()) == len(first) + len(second)
    assert len(counts) <= MAX_KINDS
    assert all(len(kind) <= MAX_KIND_CHARS for kind in counts)
