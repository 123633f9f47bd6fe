"""The tree of errors, named by what to do about them.

    OutboxError
    ├── RecordError          one record cannot be stored: it goes to `rejected`, the page goes on
    ├── DataError       65   database and program disagree, or corruption was found
    │   └── SchemaError      the database is newer, older or somebody else's
    ├── PermanentError  69   a person must act: denied, no bucket, wrong region, bad key
    │   ├── ObjectError      the same, but of one object: others may pass
    │   └── LoginRefusedError  a source refused the login: not tried again before something changed
    ├── DiskFullError   73   make room: nothing was lost
    ├── TransientError  75   wait: the next run may succeed (timeouts, 429, 5xx, busy)
    └── ConfigError     78   fix the file: every mistake at once

Any other exception is a bug and exits with 1; a wrong command line with 2; Ctrl-C with 130.
A library's exception is translated once, at the edge where it appears, with `raise … from error`.
A message says what failed and with which value; the hint, on a line of its own, says what to do.
No message ever holds a secret.
"""

from collections.abc import Iterable
from enum import IntEnum

MAX_MESSAGE_CHARS = 2_000
MAX_PROBLEMS = 100


class Exit(IntEnum):
    """Exit codes, after sysexits.h; literals, because Windows has no `os.EX_*`."""

    OK = 0
    BUG = 1
    USAGE = 2
    DATA = 65
    PERMANENT = 69
    DISK_FULL = 73
    TRANSIENT = 75
    CONFIG = 78
    INTERRUPTED = 130


_WORST_FIRST = (
    Exit.INTERRUPTED,
    Exit.BUG,
    Exit.DATA,
    Exit.CONFIG,
    Exit.DISK_FULL,
    Exit.PERMANENT,
    Exit.TRANSIENT,
    Exit.OK,
)


def worst(codes: Iterable[Exit]) -> Exit:
    """Return the code a run ends with when its parts ended with `codes`; OK when there were none."""
    return min(codes, key=_WORST_FIRST.index, default=Exit.OK)


OTHER_ACCOUNT = "run this as the account that owns the agent's folder, as in: sudo -u outbox outbox check"


class OutboxError(Exception):
    """Something this program foresees; `message` says what, `hint` (or None) what to do."""

    exit_code = Exit.BUG

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        self.message = shorten(message)
        self.hint = hint
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message}\nHint: {self.hint}" if self.hint else self.message


class RecordError(OutboxError):
    """One record cannot be stored; the message is the reason kept with it in `rejected`."""


class DataError(OutboxError):
    """Database and program disagree, or the data is damaged; nothing was changed."""

    exit_code = Exit.DATA


class SchemaError(DataError):
    """The file is not a database of this program, or of a version that it cannot use."""


class PermanentError(OutboxError):
    """Waiting will not help: a person must act. Nothing was lost."""

    exit_code = Exit.PERMANENT


class ObjectError(PermanentError):
    """The store refuses this one object; it stays sealed, and others may pass."""


class LoginRefusedError(PermanentError):
    """A source refused the login: not tried again until its section or secret changes, or six hours pass."""


class DiskFullError(OutboxError):
    """There is no room for more; nothing was lost."""

    exit_code = Exit.DISK_FULL


class TransientError(OutboxError):
    """Waiting may help; `retry_after_s` is the server's own word on how long, or None."""

    exit_code = Exit.TRANSIENT

    def __init__(self, message: str, *, hint: str | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class ConfigError(OutboxError):
    """The configuration is wrong; `problems` holds a line for each mistake, in the file's order."""

    exit_code = Exit.CONFIG

    def __init__(self, problems: Iterable[str], *, hint: str | None = None) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems), hint=hint)

    def __str__(self) -> str:
        shown = self.problems[:MAX_PROBLEMS]
        more = [f"and {len(self.problems) - len(shown)} more"] if len(self.problems) > len(shown) else []
        hint = [f"Hint: {self.hint}"] if self.hint else []
        return "\n".join([*shown, *more, *hint])


def shorten(text: str, max_chars: int = MAX_MESSAGE_CHARS) -> str:
    """Return `text`, its middle cut out where it is longer than `max_chars`."""
    if len(text) <= max_chars:
        return text
    half = (max_chars - 5) // 2
    return f"{text[:half]} ... {text[len(text) - half :]}"
