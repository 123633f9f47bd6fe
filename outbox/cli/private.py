"""Files that only their owner may read."""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from outbox.errors import PermanentError

_WINDOWS_READERS = ("*S-1-5-18:(OI)(CI)F", "*S-1-5-32-544:(OI)(CI)F", "*S-1-5-19:(OI)(CI)R")
"""SYSTEM and Administrators in full; LOCAL SERVICE, the usual account of the scheduled tasks, reading."""
_TASK_WRITES = "*S-1-5-19:(OI)(CI)M"
_MAY_NOT = "run this as the account that owns the agent's folder, and look whether its disk has room"


def let_the_task_write(path: Path) -> None:
    """On Windows, let LOCAL SERVICE work in the agent's folder, which an administrator makes."""
    if sys.platform == "win32":  # pragma: no cover - Windows only
        _icacls(path, "/grant", _TASK_WRITES)


def make_private_folder(path: Path) -> Path:
    """Make a folder that only its owner (Windows: SYSTEM, Administrators, LOCAL SERVICE) may enter."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.chmod(0o700)
    except OSError as error:
        raise PermanentError(f"{path} cannot be made: {error.strerror}", hint=_MAY_NOT) from error
    if sys.platform == "win32":  # pragma: no cover - Windows only
        _icacls(path, "/inheritance:r", "/grant:r", *_WINDOWS_READERS)
    return path


def _icacls(path: Path, *rights: str) -> None:  # pragma: no cover - Windows only
    command = ["icacls", str(path), *rights]
    done = subprocess.run(command, capture_output=True, check=False, text=True)  # noqa: S603 - no shell, literal
    if done.returncode:
        raise PermanentError(f"the rights of {path} cannot be set: {done.stderr.strip()[:200]}")


def write_private(path: Path, text: str) -> None:
    """Write a file that nobody but its owner may read, in one step: it is never seen half-written."""
    partial = path.with_name(path.name + ".new")
    try:
        partial.unlink(missing_ok=True)
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise PermanentError(f"{path} cannot be written: {error.strerror}", hint=_MAY_NOT) from error
