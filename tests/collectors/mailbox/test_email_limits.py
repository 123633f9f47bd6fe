"""Messages as bad as they can be: memory and time stay in proportion to their size, which has a limit.

Measured with 25 MB, what `max_message` lets in: at most 165 MB of memory and 11 s.
"""

import time
import tracemalloc

import pytest

from collectors.email.message import MAX_DEPTH, BadMessageError, parse_parts
from tests.support.mail import HEAD, mixed, part

SIZE = 4_000_000
MAX_PEAK_BYTES = 8 * SIZE
LIMIT_S = 60.0


def deep(lines):
    """Parts in parts, as deep as they may lie, and lines that might each be a boundary of all of them."""
    head = [
        line
        for level in range(MAX_DEPTH - 1)
        for line in (b"Content-Type: multipart/mixed; boundary=B%d" % level, b"", b"--B%d" % level)
    ]
    tail = [b"--B%d--" % level for level in reversed(range(MAX_DEPTH - 1))]
    return HEAD + b"\r\n".join([*head, b"", *[b"--x"] * lines, *tail]) + b"\r\n"


MESSAGES = {
    "more lines than there may be": lambda: HEAD + b"\r\n" + b"\n" * 25_000_000,
    "short lines": lambda: HEAD + b"\r\n" + b"xxxxxxxxxxx\n" * (SIZE // 12),
    "one line": lambda: HEAD + b"\r\n" + b"x" * SIZE,
    "one header": lambda: b"X: " + b"x" * SIZE,
    "one attachment": lambda: mixed(part(b"x" * (SIZE * 7 // 10))),
    "bytes of no charset": lambda: HEAD + b"\r\n" + (b"\xe4" * 79 + b"\n") * (SIZE // 80),
    "many attachments": lambda: mixed(*[part(b"x" * (SIZE // 1_500)) for _ in range(990)]),
    "boundaries of all depths": lambda: deep(50_000),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_memory_and_time_are_bounded(name):
    message = MESSAGES[name]()
    started = time.monotonic()

    def check_time():
        if time.monotonic() - started > LIMIT_S:
            raise BadMessageError("too slow")

    reason = ""
    tracemalloc.start()
    try:
        for found in parse_parts(message, check_time):
            found.content()
    except BadMessageError as error:
        reason = str(error)
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert reason != "too slow"
    assert peak < MAX_PEAK_BYTES


def test_a_message_that_takes_too_long_is_given_up():
    ticks = iter(range(1_000))

    def check_time():
        if next(ticks) > 10:
            raise BadMessageError("too slow")

    with pytest.raises(BadMessageError, match="too slow"):
        parse_parts(HEAD + b"\r\n" + b"x\n" * 1_000_000, check_time)
