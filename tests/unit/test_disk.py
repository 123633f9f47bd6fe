"""What the agent asks of its disk."""

import sys
from pathlib import Path

import pytest

from outbox.errors import DiskFullError, PermanentError
from outbox.machine import disk
from outbox.machine.disk import free_bytes, network_drive, require_room

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no mount table")

MOUNTS = r"""rootfs / rootfs rw 0 0
/dev/sda1 / ext4 rw,relatime 0 0
tmpfs /run tmpfs rw 0 0
server:/export /mnt/share nfs4 rw,vers=4.2 0 0
/dev/sdb1 /mnt/share/local xfs rw 0 0
//fileserver/reports /mnt/monthly\040reports\011and\134more cifs rw 0 0
user@host:/srv /mnt/ssh fuse.sshfs rw 0 0
old:/export /srv/data nfs rw 0 0
/dev/sdc1 /srv/data ext4 rw 0 0
/dev/sdd1 /srv/over ext4 rw 0 0
new:/export /srv/over nfs rw 0 0
"""


@POSIX
@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/outbox", None),
        ("/", None),
        ("/run/outbox", None),
        ("/mnt/share", "nfs4"),
        ("/mnt/share/outbox/outbox.db", "nfs4"),
        ("/mnt/shared", None),
        ("/mnt/share/local/outbox", None),
        ("/mnt/monthly reports\tand\\more/x", "cifs"),
        ("/mnt/monthly", None),
        ("/mnt/ssh/x", "fuse.sshfs"),
    ],
)
def test_a_path_is_on_the_deepest_mount_above_it(path, kind):
    assert network_drive(Path(path), MOUNTS) == kind


@POSIX
def test_of_two_mounts_on_one_folder_the_later_one_counts():
    assert network_drive(Path("/srv/data/x"), MOUNTS) is None
    assert network_drive(Path("/srv/over/x"), MOUNTS) == "nfs"


@POSIX
def test_a_link_to_a_network_drive_is_on_that_drive(tmp_path):
    share = tmp_path / "share"
    share.mkdir()
    (tmp_path / "link").symlink_to(share)
    mounts = f"/dev/sda1 / ext4 rw 0 0\nserver:/x {share.resolve()} nfs rw 0 0\n"
    assert network_drive(tmp_path / "link" / "outbox.db", mounts) == "nfs"


@POSIX
def test_a_share_is_a_network_drive_and_a_mount_table_may_be_garbled():
    assert network_drive(Path("//server/share"), MOUNTS) == "a network share"
    assert network_drive(Path("/x"), "") is None
    assert network_drive(Path("/x"), "nonsense\n\nserver:/ /x\n") is None


def test_the_disk_of_a_temporary_folder_is_local_and_has_room(tmp_path):
    assert network_drive(tmp_path) is None
    assert free_bytes(tmp_path) > 0
    require_room(tmp_path, 0)


def test_below_the_floor_is_said_what_is_free_what_is_wanted_and_that_nothing_is_lost(tmp_path, monkeypatch):
    monkeypatch.setattr(disk, "free_bytes", lambda folder: 1_234_567_890)
    require_room(tmp_path, 1_234_567_890)
    with pytest.raises(
        DiskFullError, match="1.2 GB are free .* collecting waits below 2GB. Nothing was lost"
    ):
        require_room(tmp_path, 2 * 10**9)


def test_a_folder_that_is_not_there_is_no_bug(tmp_path):
    with pytest.raises(PermanentError, match="cannot be asked: No such file") as caught:
        require_room(tmp_path / "missing", 1)
    assert caught.value.hint == "make an agent with: outbox init; or correct [agent] folder"
