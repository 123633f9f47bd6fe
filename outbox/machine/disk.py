"""What the agent asks of its disk: that it is local, and that there is room."""

import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from outbox.config.options import format_bytes
from outbox.errors import DiskFullError, PermanentError

_NETWORK_FILE_SYSTEMS = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "davfs", "glusterfs", "lustre", "ncpfs", "nfs", "nfs4", "prl_fs"}
    | {"smb2", "smb3", "smbfs", "vboxsf", "virtiofs", "vmhgfs"}
    | {"fuse.davfs2", "fuse.rclone", "fuse.s3fs", "fuse.sshfs", "fuse.vmhgfs-fuse"}
)
_WINDOWS_DRIVE_REMOTE = 4
RESERVE_BYTES = 32 * 1024 * 1024
_CHUNK_BYTES = 1024 * 1024


def free_bytes(folder: Path) -> int:
    """Return how much room the folder's disk has for this user; PermanentError where there is no folder."""
    try:
        return shutil.disk_usage(folder).free
    except OSError as error:
        hint = "make an agent with: outbox init; or correct [agent] folder"
        raise PermanentError(f"the disk of {folder} cannot be asked: {error.strerror}", hint=hint) from error


def require_room(folder: Path, floor_bytes: int) -> None:
    """Raise DiskFullError while the disk has less than `floor_bytes` free: the rest is for the upload."""
    free = free_bytes(folder)
    if free < floor_bytes:
        raise DiskFullError(
            f"{_shown(free)} are free on the disk of {folder}; collecting waits below "
            f"{format_bytes(floor_bytes)}. Nothing was lost",
            hint="make room, or lower [agent] disk_floor; uploading goes on; outbox vacuum gives space back",
        )


def _shown(count: int) -> str:
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"


class Reserve:
    """Room that is kept for the uploader: on a full disk even marking records sent takes some.

    A file of the agent's folder, written when there is plenty of room and removed when there is none.
    """

    def __init__(self, folder: Path, size_bytes: int = RESERVE_BYTES) -> None:
        self._path = folder / "outbox.reserve"
        self._size_bytes = size_bytes

    def keep(self) -> None:
        """Have the reserve, unless that would take more than half of what is free."""
        if self._path.exists() or free_bytes(self._path.parent) < 2 * self._size_bytes:
            return
        partial = self._path.with_name("outbox.reserve.new")
        try:
            partial.unlink(missing_ok=True)
            with partial.open("xb") as file:  # never through a link that another user laid there
                for _ in range(0, self._size_bytes, _CHUNK_BYTES):
                    file.write(b"\xff" * _CHUNK_BYTES)  # not zeros, which some file systems do not store
            partial.replace(self._path)
        except OSError:  # a convenience: nothing is promised that needs it
            partial.unlink(missing_ok=True)

    def lend(self, work: Callable[[], None]) -> None:
        """Do the work; where the disk is full, give the reserve up and do it again: that must be harmless."""
        try:
            work()
        except DiskFullError:
            if not self._path.exists():
                raise
            self._path.unlink()
            work()


def network_drive(path: Path, mounts: str | None = None) -> str | None:
    """Return the kind of network drive that `path` is on, or None for a local disk.

    SQLite's write-ahead log needs memory that all its processes share: one host. `mounts` stands in for
    the text of /proc/self/mounts.
    """
    if sys.platform == "win32":
        return _windows_network_drive(path)
    if str(path).startswith("//"):
        return "a network share"
    if mounts is None:
        try:
            mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None
    resolved = path.resolve()
    deepest, kind = 0, ""
    for line in mounts.splitlines():
        _, mount_point, found, *_ = [*line.split(" "), "", "", ""]
        where = Path(re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), mount_point))
        # Of two mounts on one folder the later one hides the earlier.
        if (where == resolved or where in resolved.parents) and len(where.parts) >= deepest:
            deepest, kind = len(where.parts), found
    return kind if kind in _NETWORK_FILE_SYSTEMS else None


def _windows_network_drive(path: Path) -> str | None:  # pragma: no cover - Windows only
    import ctypes  # noqa: PLC0415

    anchor = path.resolve().anchor
    if anchor.startswith("\\\\"):
        return "a network share"
    kind = ctypes.windll.kernel32.GetDriveTypeW(anchor)  # type: ignore[attr-defined,unused-ignore]
    return "a mapped network drive" if kind == _WINDOWS_DRIVE_REMOTE else None
