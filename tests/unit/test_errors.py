"""Exit codes, messages, and which of several errors a run ends with."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox import errors
from outbox.errors import (
    MAX_MESSAGE_CHARS,
    MAX_PROBLEMS,
    ConfigError,
    Exit,
    OutboxError,
    TransientError,
    shorten,
    worst,
)

CODES = {
    "OutboxError": 1,
    "RecordError": 1,
    "DataError": 65,
    "SchemaError": 65,
    "PermanentError": 69,
    "ObjectError": 69,
    "LoginRefusedError": 69,
    "DiskFullError": 73,
    "TransientError": 75,
    "ConfigError": 78,
}
WORST_FIRST = [130, 1, 65, 78, 73, 69, 75, 0]


def test_every_error_has_the_exit_code_that_says_what_to_do():
    found = {
        name: int(kind.exit_code)
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, OutboxError)
    }
    assert found == CODES


def test_a_run_ends_with_the_worst_of_its_codes_whatever_their_order():
    for codes in permutations(map(Exit, WORST_FIRST), 3):
        assert WORST_FIRST.index(worst(codes)) == min(WORST_FIRST.index(code) for code in codes)
    assert worst([]) is Exit.OK


def test_every_code_a_part_can_end_with_has_its_place_in_that_order():
    for code in set(Exit) - {Exit.USAGE}:
        assert worst([code, Exit.OK]) is code


@given(st.text(max_size=100), st.integers(6, 50))
def test_a_long_text_loses_its_middle_and_no_more(text, limit):
    short = shorten(text, limit)
    assert len(short) <= limit
    if len(text) <= limit:
        assert short == text
    else:
        head, tail = short.split(" ... ", 1) if short.count(" ... ") == 1 else (short[:1], short[-1:])
        assert text.startswith(head)
        assert text.endswith(tail)


def test_a_message_and_its_hint_stand_on_lines_of_their_own():
    assert str(OutboxError("it broke", hint="mend it")) == "it broke\nHint: mend it"
    assert str(OutboxError("it broke")) == "it broke"
    assert len(OutboxError("x" * 9_999).message) <= MAX_MESSAGE_CHARS


def test_every_mistake_of_a_configuration_is_shown_however_many_there_are():
    problems = [f"config.ini:{n}  [upload] option{n}: {'unknown option. ' * 9}" for n in range(MAX_PROBLEMS)]
    shown = str(ConfigError(problems, hint="outbox options"))
    assert shown.splitlines() == [*problems, "Hint: outbox options"]
    assert str(ConfigError([*problems, "a", "b"])).splitlines() == [*problems, "and 2 more"]


@pytest.mark.parametrize("seconds", [None, 0.0, 86_400.0])
def test_a_transient_error_carries_the_servers_word(seconds):
    assert TransientError("busy", retry_after_s=seconds).retry_after_s == seconds
