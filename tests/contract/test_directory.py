"""What only the directory store has to fear: full and forbidden disks, killed processes, lost power."""

import errno
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from outbox.errors import DiskFullError, OutboxError, PermanentError, TransientError
from uploader import directory
from uploader.directory import ABANDONED_AFTER_S, PARTIAL, DirectoryStore, folder_of

KEY = "data/customer=acme/date=2026-11-23/000000000001-000000000002-ab.ndjson.zst"
posix = pytest.mark.skipif(
    os.name == "nt", reason="Windows has no hard links of this kind and syncs no folders"
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "objects"
    folder.mkdir()
    return folder


@pytest.fixture
def store(root: Path) -> DirectoryStore:
    return DirectoryStore(root.as_uri())


def objects(root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in root.rglob("*.ndjson.zst")]


def failing(number: int):
    """Return a function that fails as the operating system does."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize(
    ("number", "kind", "hint"),
    [
        (errno.ENOSPC, DiskFullError, "make room"),
        (errno.EDQUOT, DiskFullError, "make room"),
        (errno.EACCES, PermanentError, "let the account"),
        (errno.EROFS, PermanentError, "let the account"),
        (errno.ENOENT, PermanentError, "make the folder"),
        (errno.ENAMETOOLONG, PermanentError, "shorter"),
        (errno.EIO, TransientError, None),
        (errno.ESTALE, TransientError, None),
    ],
)
@pytest.mark.parametrize("step", ["fsync", "mkdir"])
def test_what_the_disk_says_becomes_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
    store: DirectoryStore,
    root: Path,
    step: str,
    number: int,
    kind,
    hint: str | None,
):
    with monkeypatch.context() as patched:
        patched.setattr(os, step, failing(number))
        with pytest.raises(OutboxError) as caught:
            store.put(KEY, b"x")
    assert type(caught.value) is kind
    assert (hint is None) == (caught.value.hint is None)
    assert hint is None or hint in str(caught.value.hint)
    assert objects(root) == []
    assert not store.put(KEY, b"x").existed
    assert (root / KEY).read_bytes() == b"x"


def test_a_full_disk_leaves_no_partial_file_behind(
    monkeypatch: pytest.MonkeyPatch, store: DirectoryStore, root: Path
):
    monkeypatch.setattr(os, "fsync", failing(errno.ENOSPC))
    with pytest.raises(DiskFullError):
        store.put(KEY, b"x")
    assert [path for path in root.rglob("*") if path.is_file()] == []


def test_an_absent_destination_is_not_made(tmp_path: Path):
    store = DirectoryStore((tmp_path / "absent").as_uri())
    with pytest.raises(PermanentError) as caught:
        store.put(KEY, b"x")
    assert "make the folder" in str(caught.value.hint)
    assert not (tmp_path / "absent").exists()


def test_a_file_in_place_of_a_folder_is_a_persons_business(store: DirectoryStore, root: Path):
    (root / "data").write_bytes(b"")
    with pytest.raises(PermanentError):
        store.put(KEY, b"x")


def test_a_folder_in_place_of_an_object_is_not_taken_for_the_object(store: DirectoryStore, root: Path):
    (root / KEY).mkdir(parents=True)
    with pytest.raises(PermanentError, match="cannot write"):
        store.put(KEY, b"x")


@posix
@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP])
def test_a_file_system_without_links_is_refused(
    monkeypatch: pytest.MonkeyPatch, store: DirectoryStore, root: Path, number: int
):
    monkeypatch.setattr(os, "link", failing(number))
    with pytest.raises(PermanentError) as caught:
        store.put(KEY, b"x")
    assert "cannot link" in str(caught.value.hint)
    assert objects(root) == []


def test_windows_gives_the_name_by_a_rename_that_refuses_a_taken_one(
    monkeypatch: pytest.MonkeyPatch, store: DirectoryStore, root: Path
):
    def rename(source: Path, target: Path) -> None:
        if target.exists():
            raise FileExistsError(errno.EEXIST, "as Windows does")
        os.link(source, target)
        source.unlink()

    monkeypatch.setattr(directory, "WINDOWS", True)
    monkeypatch.setattr(Path, "rename", rename)
    assert not store.put(KEY, b"first").existed
    assert store.put(KEY, b"other").existed
    assert (root / KEY).read_bytes() == b"first"


def test_on_windows_a_file_held_by_a_scanner_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, store: DirectoryStore
):
    def fail(*_: object) -> None:
        error = PermissionError(errno.EACCES, "in use")
        error.winerror = 32  # type: ignore[attr-defined]
        raise error

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(TransientError, match="virus scanner"):
        store.put(KEY, b"x")


@posix
@pytest.mark.parametrize("existed", [False, True])
def test_the_file_is_synced_before_it_has_its_name_and_every_folder_after(
    monkeypatch: pytest.MonkeyPatch, store: DirectoryStore, root: Path, existed: bool
):
    if existed:  # perhaps by a process that died before it could sync the folders
        (root / KEY).parent.mkdir(parents=True)
        (root / KEY).write_bytes(b"x")
    steps: list[object] = []
    real_fsync, real_link = os.fsync, os.link

    def fsync(descriptor: int) -> None:
        steps.append(Path(f"/proc/self/fd/{descriptor}").readlink() if sys.platform == "linux" else "synced")
        real_fsync(descriptor)

    def link(*args: object, **options: object) -> None:
        steps.append("named")
        real_link(*args, **options)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "link", link)
    assert store.put(KEY, b"x").existed == existed
    assert steps.index("named") == 1
    if sys.platform == "linux":
        assert steps[0].parent == root / PARTIAL
        assert set(steps[2:]) == {
            folder for folder in (root / KEY).parents if folder == root or root in folder.parents
        }


@posix
@pytest.mark.parametrize("step", range(14))
def test_a_killed_put_leaves_the_whole_object_or_none(root: Path, step: int):
    """Kill the process at its nth call to the operating system, then put again."""
    program = f"""
        import os, sys
        from uploader.directory import DirectoryStore
        store, left = DirectoryStore({root.as_uri()!r}), [{step}]
        def watch(event, args):
            if event in ("open", "os.mkdir", "os.link", "os.remove") or event.startswith("os.rename"):
                left[0] -= 1
                if left[0] < 0:
                    os._exit(9)
        sys.addaudithook(watch)
        store.put({KEY!r}, b"whole" * 100_000)
    """
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=False)
    assert ended.returncode in (0, 9)
    for found in objects(root):
        assert (root / found).read_bytes() == b"whole" * 100_000
    existed = DirectoryStore(root.as_uri()).put(KEY, b"whole" * 100_000).existed
    assert existed or ended.returncode == 9
    assert objects(root) == [KEY]
    assert (root / KEY).read_bytes() == b"whole" * 100_000


def test_what_a_killed_process_left_is_removed_after_a_day(store: DirectoryStore, root: Path):
    store.put(KEY, b"x")
    left = root / PARTIAL / "0123"
    left.write_bytes(b"half")
    now_s = time.time()
    DirectoryStore(root.as_uri(), now_s=lambda: now_s + ABANDONED_AFTER_S / 2)
    assert left.exists()
    DirectoryStore(root.as_uri(), now_s=lambda: now_s + ABANDONED_AFTER_S * 2)
    assert not left.exists()
    assert (root / KEY).read_bytes() == b"x"


@pytest.mark.parametrize(
    ("url", "folder"),
    [
        ("file:///srv/objects", "/srv/objects"),
        ("file:///srv/out%20box/100%25", "/srv/out box/100%"),
        ("file:///srv/a#b", "/srv/a#b"),
        ("file://localhost/srv/objects", "/srv/objects"),
    ],
)
@posix
def test_an_address_names_a_folder(url: str, folder: str):
    assert folder_of(url) == Path(folder)


@pytest.mark.parametrize(
    ("url", "folder"),
    [
        ("file:///C:/Outbox/objects", "C:/Outbox/objects"),
        ("file:///D:/Out%20box", "D:/Out box"),
        ("file://server/share/objects", "//server/share/objects"),
    ],
)
def test_on_windows_an_address_names_a_folder_of_a_drive_or_a_share(url: str, folder: str):
    assert folder_of(url, windows=True) == Path(folder)


@posix
@pytest.mark.parametrize("url", ["file://objects/data", "file:///C:/Outbox"])
def test_an_address_that_names_no_folder_here_is_refused(url: str):
    with pytest.raises(PermanentError) as caught:
        DirectoryStore(url)
    assert "file:///folder" in str(caught.value.hint)


def test_on_windows_a_folder_without_a_drive_is_refused():
    with pytest.raises(PermanentError) as caught:
        folder_of("file:///Outbox/objects", windows=True)
    assert "file:///C:/folder" in str(caught.value.hint)
