"""The witness: a small file beside the database that knows how far it had sealed.

A database that was put back from a backup is behind its witness, and would give out sequences that it gave
out before. The witness is written, and synced, between a seal and its put; a crash between the two leaves
it behind the database, which is harmless. It is no part of any promise: without it a restore is noticed
only in Snowflake.
"""

import errno
import json
import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from outbox.errors import DiskFullError, PermanentError


class Witnessed(NamedTuple):
    """What a witness knows: which agent had sealed up to which sequence."""

    agent_id: str
    last_sequence: int


def witness_of(database: Path) -> Path:
    """Return the path of a database's witness."""
    return database.with_suffix(".witness")


def read_witness(database: Path) -> Witnessed | None:
    """Return what the witness of a database knows; None where there is none that can be understood."""
    try:
        known = json.loads(witness_of(database).read_text(encoding="utf-8"))
        return Witnessed(str(known["agent_id"]), int(known["last_sequence"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_witness(database: Path, witnessed: Witnessed) -> None:
    """Let the witness know, durably: written aside, synced, and put in place in one step."""
    path = witness_of(database)
    partial = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}.new")  # uploaders may meet
    try:
        partial.unlink(missing_ok=True)
        with partial.open("x", encoding="utf-8", newline="\n") as file:  # never through a link
            file.write(json.dumps(witnessed._asdict()) + "\n")
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFullError(f"no room left to write {path}. Nothing was put", hint="make room") from error
        raise PermanentError(
            f"{path} cannot be written: {error.strerror}. Nothing was put",
            hint="the account that runs outbox needs to write this folder",
        ) from error
