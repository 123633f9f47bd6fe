"""What other users of this machine may do with an agent's files: the group may read, others nothing.

Invariants, on POSIX:
- Whatever the umask was, folders are made 0750 and files 0640; secrets are their owner's alone.
- No file of ours is opened through a link: whoever may write into the folder cannot have us write elsewhere.
- A folder that others may write is refused: its files could be exchanged at any time.
Windows gives a folder's rights to what is made in it, and its links need an administrator.
"""

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from outbox.errors import PermanentError
from outbox.machine.account import account_name

UMASK = 0o027
_WRITTEN = ("logs", "outbox.witness", "outbox.reserve", "outbox.reserve.new", "upload.lock")
NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)


@contextmanager
def closed_to_others() -> Iterator[None]:
    """Let everything that is made within the block be closed to others, whatever the umask was."""
    if sys.platform == "win32":  # pragma: no cover - Windows only
        yield
        return
    before = os.umask(UMASK)
    try:
        yield
    finally:
        os.umask(before)


def open_without_link(path: str, flags: int) -> int:
    """Open a file as an `opener` of open(); OSError (ELOOP) where its name is a link."""
    return os.open(path, flags | NO_FOLLOW, 0o666)


def require_no_link(path: Path) -> None:
    """Raise PermanentError where a file of ours, which need not be there, is a link."""
    if path.is_symlink():
        raise PermanentError(
            f"{path} is a link to another place: it is neither read nor written",
            hint="who made it? Remove it; to keep the data elsewhere, set [agent] folder to that place",
        )


def require_safe_folder(folder: Path) -> None:
    """Raise PermanentError where users who are not the agent's may exchange its files.

    Nothing is wrong with a folder that is not there. Its owner is the account that runs this, or root; root
    may work in any account's folder.
    """
    if sys.platform == "win32":  # pragma: no cover - Windows only
        return
    try:
        found = folder.stat()
    except OSError:
        return
    if found.st_mode & stat.S_IWOTH:
        raise PermanentError(
            f"every user of this machine may write {folder} (its mode is {stat.S_IMODE(found.st_mode):04o}), "
            "and so exchange the agent's files",
            hint=f'chmod o= "{folder}"' if " " in str(folder) else f"chmod o= {folder}",
        )


def require_own_folder(folder: Path) -> None:
    """Raise PermanentError where a folder to be written is not safe, or not this account's to write."""
    require_safe_folder(folder)
    for name in _WRITTEN:
        require_no_link(folder / name)
    if sys.platform == "win32" or os.geteuid() == 0:
        return
    try:
        owner = folder.stat().st_uid
    except OSError:
        return
    if owner not in (0, os.geteuid()):
        name, me = account_name(owner), account_name(os.geteuid())
        raise PermanentError(
            f"{folder} belongs to {name}, and this runs as {me}",
            hint=f"run it as {name}: sudo -u {name} outbox ...; or as root: chown -R {me} {folder}",
        )


def foreign_owner(path: Path) -> str | None:
    """Return whose file it is where that is neither root nor who runs this; None also on Windows."""
    if sys.platform == "win32":  # pragma: no cover - Windows only
        return None
    owner = path.stat().st_uid
    return account_name(owner) if owner not in (0, os.geteuid()) else None


def open_to_others(folder: Path) -> list[Path]:
    """Return the files of an agent's folder that others than owner and group may use; [] on Windows."""
    if sys.platform == "win32":  # pragma: no cover - Windows only
        return []
    if not folder.stat().st_mode & stat.S_IXOTH:
        return []  # what is in it is not to be reached
    files = sorted(path for path in folder.iterdir() if not path.is_symlink() and path.is_file())
    return [path for path in files if path.stat(follow_symlinks=False).st_mode & stat.S_IRWXO]
