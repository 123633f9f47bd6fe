"""Whose an agent's files are: the account that runs it must be able to use all of them.

A command that was once typed as root leaves files that the scheduled account may not write: nothing works
then, and no row can say so.
Windows keeps its rights elsewhere, and gives a folder's rights to what is made in it.
"""

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_WRITTEN = ("outbox.db", "outbox.db-wal", "outbox.db-shm", "outbox.witness", "outbox.reserve", "upload.lock")
_MAX_NAMED = 5


class Unusable(NamedTuple):
    """What the folder's account may not use, and what to do about it."""

    what: str
    hint: str


def unusable_files(folder: Path) -> Unusable | None:
    """Return which of an agent's files its account may not use; None where it may all, and on Windows.

    Its account is the folder's owner; where that is root and the database is not, the database's.
    """
    if sys.platform == "win32":  # pragma: no cover - Windows only
        return None
    try:
        owner = folder.stat().st_uid or (folder / "outbox.db").stat().st_uid
    except OSError:
        return None
    if owner == 0:
        return None  # root may use everything
    groups, found = _groups(owner), []
    for path, needed in _files(folder):
        with suppress(OSError):
            status = path.stat(follow_symlinks=False)
            if not _may(owner, groups, status, needed):
                found.append((path, status.st_uid))
    if not found:
        return None
    names = ", ".join(str(path.relative_to(folder)) for path, _ in found[:_MAX_NAMED])
    more = f" and {len(found) - _MAX_NAMED} more" if len(found) > _MAX_NAMED else ""
    whose = " and ".join(sorted({account_name(number) for _, number in found}))
    account = account_name(owner)
    belong = "it belongs" if len(found) == 1 else "they belong"
    return Unusable(
        f"{account}, whose this agent is, may not use {names}{more}: {belong} to {whose}",
        chown_hint(folder),
    )


def chown_hint(folder: Path) -> str:
    """Return what gives a folder's files back to its account; a sentence in general where that is unknown."""
    try:
        owner = 0 if sys.platform == "win32" else folder.stat().st_uid or (folder / "outbox.db").stat().st_uid
    except OSError:
        owner = 0
    if not owner:
        return "let the account that runs outbox read and write this folder and its files"
    account = account_name(owner)
    return f"as root: chown -R {account} {folder}; then always: sudo -u {account} outbox ..."


def account_of(path: Path) -> str | None:
    """Return the name of the account that owns a path; None where that cannot be told, and on Windows."""
    if sys.platform == "win32":  # pragma: no cover - Windows only
        return None
    try:
        return account_name(path.stat().st_uid)
    except OSError:
        return None


def is_root_elsewhere(folder: Path) -> str | None:
    """Return whose the folder is where root runs in another account's folder, else None; on Windows None."""
    if sys.platform == "win32" or os.geteuid() != 0:
        return None
    try:
        owner = folder.stat().st_uid
    except OSError:
        return None
    return account_name(owner) if owner else None


def account_name(number: int) -> str:
    """Return the name of an account, or its number where it has none."""
    if sys.platform != "win32":
        import pwd  # noqa: PLC0415 - POSIX only

        with suppress(KeyError):
            return pwd.getpwuid(number).pw_name
    return str(number)


def _files(folder: Path) -> Iterator[tuple[Path, int]]:
    """The files of an agent, and the rights that its account needs: as the owner's bits of a mode."""
    both = stat.S_IRUSR | stat.S_IWUSR
    yield from ((folder / name, both) for name in _WRITTEN)
    for name, needed in (("logs", both), ("secrets", stat.S_IRUSR)):
        with suppress(OSError):  # not there, or not for whoever looks now
            yield from ((path, needed) for path in sorted((folder / name).iterdir()))


def _may(owner: int, groups: set[int], found: os.stat_result, needed: int) -> bool:
    if found.st_uid == owner:
        return True  # its own: chmod is its own to do
    shift = 3 if found.st_gid in groups else 6
    return found.st_mode & needed >> shift == needed >> shift


def _groups(owner: int) -> set[int]:
    if sys.platform != "win32":
        import pwd  # noqa: PLC0415 - POSIX only

        with suppress(KeyError, OSError):
            entry = pwd.getpwuid(owner)
            return set(os.getgrouplist(entry.pw_name, entry.pw_gid))
    return set()
