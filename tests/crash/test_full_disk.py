"""A small file system that is really full: tmpfs of a few MB, filled by collecting or by somebody else.

Shown is what the agent does when the last byte is gone: what it says, that nothing is lost, and what room
it needs to go on by itself. tmpfs gives blocks like any file system; a delayed allocation, where the room
runs out only at the sync, is modelled by the faults of `io_faults` (a sync that fails as FULL).
"""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest

from collectors.collect import Collecting, Outcome, Room, Source
from collectors.collector import Window
from outbox.database import Database
from outbox.delivery import Delivery, Limits
from outbox.errors import DiskFullError, Exit, OutboxError
from outbox.housekeeping import vacuum
from outbox.machine.disk import Reserve, free_bytes
from outbox.record import Page
from outbox.retry import Retry
from outbox.runs import recorded
from outbox.store import Outbox
from tests.crash.power_loss_checks import delivered
from tests.crash.power_loss_scenario import LAST_SEQUENCE, MemoryStore
from tests.support.agent import Clock, make, record
from uploader.upload import Upload

MB = 1_000_000
RECORDS_A_PAGE = 100
A_YEAR_S = 365 * 86_400.0

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="mounts a tmpfs")


class Endless:
    """A source that never ends."""

    def collect(self, bookmarks: Mapping[str, str], window: Window | None = None) -> Iterator[Page]:
        for number in count(int(bookmarks.get("", "0")) + 1):
            names = range(number * RECORDS_A_PAGE, (number + 1) * RECORDS_A_PAGE)
            yield Page(records=[record(name, "x" * 500) for name in names], bookmark=str(number))


class SmallDisk:
    """An agent on a file system of its own, and a store elsewhere."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path, self.clock = folder, folder / "outbox.db", Clock()
        self.objects: dict[str, bytes] = {}
        make(self.path, self.clock)

    def collect(self, floor_bytes: int = 0) -> Outcome:
        """Collect until it ends, which it does only when there is no room."""
        self.clock.advance(minutes=1)
        with Database.open(self.path) as database:
            collecting = Collecting(
                Outbox(database, now=self.clock), Room(self.folder, floor_bytes), limit_s=1e9
            )
            return collecting.sources([Source("endless", Endless())])[0]

    def upload(self) -> None:
        self.clock.advance(minutes=1)
        with (
            Database.open(self.path) as database,
            recorded(database, "upload", now=self.clock) as run_id,
        ):
            Upload(
                Delivery(database, now=self.clock),
                MemoryStore(self.objects, lambda _kind, _what: None),
                retry=Retry(attempts=1),
                limits=Limits(1_000, 10 * MB),
                encoding="zstd",
                parallel=1,
                run_id=run_id,
            )()

    def vacuum(self) -> None:
        self.clock.advance(minutes=2)
        with Database.open(self.path) as database:
            vacuum(database, keep_sent_s=60.0, remember_s=A_YEAR_S, now=self.clock)

    def fill(self) -> Path:
        """Let another program take what room is left, to the last block."""
        filler = self.folder / "filler"
        with suppress(OSError), filler.open("ab", buffering=0) as file:
            while True:
                file.write(bytes(4_096))
        assert free_bytes(self.folder) == 0
        return filler

    def stored(self) -> int:
        """How many records are stored; the database is sound and the bookmark is that of its last page."""
        with Database.open(self.path, readonly=True) as database:
            assert database.value("PRAGMA integrity_check") == "ok"
            last = int(database.value(LAST_SEQUENCE))
            assert int(database.value("SELECT bookmark FROM bookmarks")) * RECORDS_A_PAGE == last
        return last

    def arrived(self) -> Counter[int]:
        return delivered(self.objects)[1]


@pytest.fixture
def disk(tmp_path, request):
    folder = tmp_path / "disk"
    folder.mkdir()
    megabytes = getattr(request, "param", 8)
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    try:
        if os.geteuid() != 0:
            pytest.skip("mounting a small file system needs root")
        mounted = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if mounted.returncode:
        pytest.skip(f"cannot mount a small file system: {mounted.stderr.strip()}")
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_collecting_until_the_last_byte_ends_with_73_and_every_page_that_was_stored_is_there(disk):
    outcome = disk.collect()
    assert free_bytes(disk.folder) < 100_000
    assert outcome.exit_code == Exit.DISK_FULL
    assert isinstance(outcome.error, DiskFullError)
    assert outcome.counts.new == disk.stored() > 1_000
    again = disk.collect()
    assert again.exit_code == Exit.DISK_FULL
    assert again.counts.new == 0
    assert outcome.counts.new == disk.stored()


def test_a_disk_that_is_filled_and_freed_again_and_again_loses_and_doubles_nothing(disk):
    stored = 0
    for _ in range(5):
        spare = disk.folder / "somebody else's"
        spare.write_bytes(bytes(3 * MB))
        assert disk.collect().exit_code == Exit.DISK_FULL
        assert disk.stored() > stored
        stored = disk.stored()
        spare.unlink()
        disk.upload()
        disk.vacuum()
    assert disk.arrived() == Counter(range(1, stored + 1))


@pytest.mark.parametrize("disk", [24], indirect=True)
def test_below_the_floor_collecting_waits_and_the_uploader_drains_and_collecting_goes_on(disk):
    stored = 0
    for _ in range(4):
        outcome = disk.collect(floor_bytes=12 * MB)
        assert outcome.exit_code == Exit.DISK_FULL
        assert "collecting waits" in outcome.error.message
        assert disk.stored() > stored
        stored = disk.stored()
        disk.upload()
        disk.vacuum()
    assert disk.arrived() == Counter(range(1, stored + 1))


@pytest.mark.parametrize("command", ["upload", "vacuum"])
def test_on_a_full_disk_a_command_says_so_with_73_and_the_objects_that_were_put_stay_right(disk, command):
    disk.collect()
    disk.fill()
    with pytest.raises(OutboxError) as raised:
        getattr(disk, command)()
    assert raised.value.exit_code == Exit.DISK_FULL
    (disk.folder / "filler").unlink()
    with Database.open(disk.path, readonly=True) as database:
        assert database.value("PRAGMA integrity_check") == "ok"


def test_a_database_without_its_shared_memory_is_opened_on_a_full_disk_or_says_that_it_is_full(disk):
    disk.collect(floor_bytes=4 * MB)
    disk.path.with_name("outbox.db-shm").unlink(missing_ok=True)
    disk.fill()
    try:
        disk.stored()
    except OutboxError as error:
        assert error.exit_code == Exit.DISK_FULL  # noqa: PT017


@pytest.mark.parametrize("by_another_program", [False, True])
@pytest.mark.parametrize("disk", [32], indirect=True)
def test_with_the_reserve_the_uploader_drains_a_disk_without_a_free_byte_again_and_again(
    disk, by_another_program
):
    reserve = Reserve(disk.folder, size_bytes=8 * 2**20)
    for _ in range(3):
        reserve.keep()
        disk.collect(floor_bytes=12 * MB if by_another_program else 0)
        filler = disk.fill()
        reserve.lend(disk.upload)
        assert disk.arrived() == Counter(range(1, disk.stored() + 1))
        filler.unlink()
        disk.vacuum()


def test_without_a_reserve_the_error_says_that_the_disk_is_full(disk):
    disk.collect()
    with pytest.raises(DiskFullError, match="no room left"):
        Reserve(disk.folder).lend(disk.upload)
