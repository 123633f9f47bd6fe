import io
import json
import os
import shutil
import sys
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from collectors.collector import Context, Window
from collectors.files import folder as files_folder
from collectors.files.collector import Files
from collectors.files.folder import Folder, FoundFile, access_error, shown_name
from collectors.files.memory import Memory, Prefix, Read
from outbox.errors import ConfigError, DataError, PermanentError, TransientError
from tests.collectors.tables_support import GIVEN, HEADER, gz, workbook

NOW = datetime(2026, 11, 23, 5, 6, tzinfo=UTC)


def line(hour, place="Oulu", value=1):
    return f"2026-01-01T{hour:02}:00,{place},{value}\n"


class Source:
    """A source over a folder, which keeps its bookmarks as the outbox would."""

    def __init__(self, folder):
        self.folder = folder
        self.marks = {}
        self.now = NOW
        self.window = None
        self.notes = []

    def write(self, name, content, age_s=3_600):
        path = self.folder / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return self.touch(name, age_s)

    def append(self, name, content, age_s=1_800):
        with (self.folder / name).open("ab") as file:
            file.write(content.encode())
        return self.touch(name, age_s)

    def touch(self, name, age_s):
        moment = (self.now - timedelta(seconds=age_s)).timestamp()
        os.utime(self.folder / name, (moment, moment))
        return self.folder / name

    def pages(self, **changes):
        options = Files.Options(**{**GIVEN, "path": str(self.folder), **changes})
        context = Context(
            source="orders",
            timezone=ZoneInfo("UTC"),
            http=None,
            secret=None,
            now=lambda: self.now,
            note=self.notes.append,
        )
        return Files(options, context).collect(dict(self.marks), self.window)

    def collect(self, **changes):
        """Return what was read, as (file, line or row), and keep the bookmarks."""
        self.error, self.rejected, read = None, [], []
        try:
            for page in self.pages(**changes):
                self.marks[page.scope] = page.bookmark
                read += [
                    (record.origin["file"], record.origin.get("line") or record.origin["row"])
                    for record in page.records
                ]
                self.rejected += page.rejected
        except (PermanentError, TransientError) as error:
            self.error = error
        return read


@pytest.fixture
def source(tmp_path):
    return Source(tmp_path / "export") if (tmp_path / "export").mkdir() is None else None


def test_what_was_read_is_not_read_again(source):
    source.write("a.csv", HEADER + line(1) + line(2))
    assert source.collect() == [("a.csv", 2), ("a.csv", 3)]
    assert source.collect() == []
    assert list(source.pages()) == []


def test_a_renamed_file_is_not_read_again_and_keeps_its_scope(source):
    source.write("a.csv", HEADER + line(1))
    source.collect()
    (source.folder / "a.csv").rename(source.folder / "b.csv")
    assert source.collect() == []
    assert len(source.marks) == 1
    assert list(source.pages()) == []


def test_a_copy_is_not_read_again(source):
    source.write("a.csv", HEADER + line(1))
    source.collect()
    source.write("b.csv", HEADER + line(1))
    assert source.collect() == []
    assert len(source.marks) == 2


def test_a_file_that_has_grown_is_read_on(source):
    source.write("a.csv", HEADER + line(1))
    source.collect()
    source.append("a.csv", line(2) + line(3))
    assert source.collect() == [("a.csv", 3), ("a.csv", 4)]
    assert len(source.marks) == 1


def test_a_file_that_has_grown_and_was_renamed_is_read_on(source):
    source.write("a.ndjson", '{"Time":"2026-01-01","Place":"x","Temp":1}\n')
    assert source.collect() == [("a.ndjson", 1)]
    source.append("a.ndjson", '{"Time":"2026-01-02","Place":"x","Temp":1}\n')
    (source.folder / "a.ndjson").rename(source.folder / "b.ndjson")
    assert source.collect() == [("b.ndjson", 2)]


def test_a_last_line_without_an_end_is_read_again_when_it_has_grown(source):
    source.write("a.csv", HEADER + line(1) + "2026-01-01T02:00,Oulu,1")
    assert source.collect(last_line="read") == [("a.csv", 2), ("a.csv", 3)]
    assert source.collect() == []
    source.append("a.csv", "7\n" + line(3))
    assert source.collect() == [("a.csv", 3), ("a.csv", 4)]


def test_a_file_that_was_rewritten_is_read_from_its_start_in_its_own_scope(source):
    source.write("a.csv", HEADER + line(1) + line(2))
    source.collect()
    source.write("a.csv", HEADER + line(5) + line(6), age_s=60)
    assert source.collect() == [("a.csv", 2), ("a.csv", 3)]
    assert len(source.marks) == 1


def test_a_log_that_rotates_is_read_once(source):
    source.write("log.csv", HEADER + line(1), age_s=7_200)
    assert source.collect() == [("log.csv", 2)]
    source.append("log.csv", line(2), age_s=7_000)
    (source.folder / "log.csv").rename(source.folder / "log.1.csv")
    source.write("log.csv", HEADER + line(3))
    assert source.collect() == [("log.1.csv", 3), ("log.csv", 2)]
    assert source.collect() == []


def test_a_file_that_begins_like_another_loses_nothing(source):
    source.write("a.csv", HEADER)
    source.collect()
    source.write("b.csv", HEADER + line(1))
    source.write("c.csv", HEADER + line(1) + line(2))
    assert source.collect() == [("b.csv", 2), ("c.csv", 3)]
    assert source.collect() == []


def test_short_and_long_files_that_begin_alike_are_told_apart(source):
    """What is looked up by its head is known by all of its bytes."""
    rows = [line(hour) for hour in range(24)] + [f"2026-01-02T{hour:02}:00,Oulu,1\n" for hour in range(24)]
    for count in (1, 2, 40, 41, 48):
        source.write(f"{count}.csv", HEADER + "".join(rows[:count]), age_s=1_000 - count)
    assert len(source.collect()) == 48
    source.write("x.csv", HEADER + "".join(rows[:40]) + "2026-02-01,Oulu,1\n")
    assert source.collect() == [("x.csv", 42)]
    assert len(source.marks) == 6


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("a.csv.gz", gz(HEADER + line(1)), gz(HEADER + line(1)) + gz(line(2))),
        ("a.csv", (HEADER + line(1)).encode("utf-16"), (HEADER + line(1) + line(2)).encode("utf-16")),
    ],
)
def test_packed_files_and_utf_16_are_read_on_by_their_lines(source, name, before, after):
    source.write(name, before)
    assert source.collect() == [(name, 2)]
    source.write(name, after, age_s=60)
    assert source.collect() == [(name, 3)]
    (source.folder / name).rename(source.folder / f"b{name}")
    assert source.collect() == []


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.ndjson", "a.json", "a.xlsx"])
def test_every_page_resumes_without_gap_or_double(source, name, monkeypatch):
    from collectors import portion

    monkeypatch.setattr(portion, "MAX_PAGE_RECORDS", 3)
    objects = [{"Time": f"2026-01-01T{hour:02}:00", "Place": "x", "Temp": hour} for hour in range(8)]
    csv = HEADER + "".join(line(hour, value=hour) for hour in range(8))
    source.write(name, {
        "a.csv": csv, "a.csv.gz": gz(csv), "a.ndjson": "".join(json.dumps(each) + "\n" for each in objects), "a.json": json.dumps(objects),
        "a.xlsx": workbook(["Time", "Place", "Temp"], *[list(each.values()) for each in objects]),
    }[name])  # fmt: skip
    values, pages = [], 0
    while page := next(source.pages(), None):  # each run dies behind its first page
        source.marks[page.scope] = page.bookmark
        values += [record.values["t"] for record in page.records]
        pages += 1
    assert (values, pages) == (list(range(8)), 3)


def test_a_mended_section_reads_the_files_again(source):
    source.write("a.csv", HEADER + line(1))
    source.collect()
    assert source.collect(values="t: Temp [K]") == [("a.csv", 2)]
    assert source.collect(values="t: Temp [K]", every="1h") == []
    assert source.collect(values="t: Temp [K]", encoding="cp1252") == [("a.csv", 2)]
    assert len(source.marks) == 1


def test_where_the_name_is_a_column_a_new_name_is_news(source):
    source.write("a.csv", HEADER + line(1))
    assert source.collect(entity="@file") == [("a.csv", 2)]
    (source.folder / "a.csv").rename(source.folder / "b.csv")
    assert source.collect(entity="@file") == [("b.csv", 2)]


def test_where_the_time_of_the_file_is_a_column_a_new_time_is_news(source):
    source.write("stock.csv", "Place,Temp\nOulu,1\n")
    source.collect(time="@modified")
    source.touch("stock.csv", 60)
    (page,) = source.pages(time="@modified")
    assert page.records[0].observed_at == NOW - timedelta(seconds=60)


def test_files_are_read_oldest_first(source):
    for name in ("a.csv", "b.csv", "c.csv"):
        source.write(name, HEADER + line(1, place=name))
    for name, age_s in (("a.csv", 100), ("b.csv", 300), ("c.csv", 200)):
        source.touch(name, age_s)
    assert [name for name, _ in source.collect()] == ["b.csv", "c.csv", "a.csv"]


def test_a_file_waits_until_it_is_unchanged_for_a_while(source):
    source.write("a.csv", HEADER + line(1), age_s=59)
    assert source.collect() == []
    source.now += timedelta(seconds=2)
    assert source.collect() == [("a.csv", 2)]


def test_a_file_of_the_far_future_is_not_waited_for(source):
    source.write("a.csv", HEADER + line(1), age_s=-3_600)
    assert source.collect() == []
    source.touch("a.csv", -90_000)
    assert source.collect() == [("a.csv", 2)]


def test_a_file_may_wait_for_its_marker(source):
    source.write("a.csv", HEADER + line(1), age_s=0)
    assert source.collect(marker=".done") == []
    source.write("A.CSV.DONE", "", age_s=0)
    assert source.collect(marker=".done") == [("a.csv", 2)]


def test_the_pattern_and_the_sub_folders_are_chosen(source):
    for name in (
        "Orders-1.CSV",
        "orders.txt",
        "sub/orders-2.csv",
        "sub/deep/orders-3.csv",
        "~$orders-4.csv",
        ".orders-5.csv",
        "orders-6.csv.part",
    ):
        source.write(name, HEADER + line(1, place=name))
    wanted = {"pattern": "orders-*.csv*"}
    assert sorted(source.collect(**wanted)) == [("Orders-1.CSV", 2)]
    assert sorted(source.collect(**wanted, recursive="yes")) == [
        ("sub/deep/orders-3.csv", 2),
        ("sub/orders-2.csv", 2),
    ]
    assert source.error is None


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_links_and_what_is_no_file_are_not_followed(source, tmp_path):
    (tmp_path / "secret.csv").write_text(HEADER + line(1))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x.csv").write_text(HEADER + line(1))
    (source.folder / "link.csv").symlink_to(tmp_path / "secret.csv")
    (source.folder / "sub").symlink_to(tmp_path / "other")
    (source.folder / "loop").symlink_to(source.folder)
    os.mkfifo(source.folder / "pipe.csv")
    assert source.collect(recursive="yes", settle="0s") == []
    assert source.error is None


def test_one_bad_file_stops_no_other_and_is_named_every_time(source):
    source.write("a.csv", "Wrong,Header\n1,2\n", age_s=500)
    source.write("b.csv", HEADER + line(1), age_s=400)
    source.write("c.csv.gz", b"no gzip at all", age_s=300)
    source.write("d.csv", HEADER + line(2), age_s=200)
    assert source.collect() == [("b.csv", 2), ("d.csv", 2)]
    assert source.error.message == (
        "2 of 4 files cannot be read: a.csv has no column Place, Time, Temp; its columns are Wrong, Header; "
        "c.csv.gz is not a complete gzip file: Not a gzipped file (b'no')"
    )
    assert source.collect() == []
    assert isinstance(source.error, PermanentError)
    (source.folder / "a.csv").unlink()
    source.write("c.csv.gz", gz(HEADER + line(3)))
    assert source.collect() == [("c.csv.gz", 2)]
    assert source.error is None


def test_why_nothing_was_read_is_said(source):
    assert source.collect() == []
    assert source.notes == [f"no file in {source.folder} matches the pattern *"]
    source.write("a.csv", HEADER + line(1), age_s=30)
    source.write("b.csv", HEADER + line(2), age_s=30)
    source.notes.clear()
    assert source.collect() == []
    assert source.notes == ["2 files wait: they were written less than 60 s ago (settle)"]
    source.notes.clear()
    assert source.collect(marker=".done") == []
    assert source.notes == ["2 files wait for a marker, a file of the same name plus .done"]
    source.notes.clear()
    source.touch("a.csv", 60)
    assert source.collect() == [("a.csv", 2)]
    assert source.notes == ["1 file waits: it was written less than 60 s ago (settle)"]


def test_a_bad_row_of_a_file_that_is_written_anew_is_the_same_bad_row(source):
    source.write("a.csv", HEADER + line(1, value="x"), age_s=7_200)
    source.collect()
    first = source.rejected
    source.write("a.csv", HEADER + line(1, value="x") + line(2), age_s=3_600)
    source.marks.clear()
    source.collect()
    assert len(first) == 1
    assert source.rejected == first


def test_each_kind_of_failure_brings_its_hint_once(source):
    for name in ("a.csv", "b.csv"):
        source.write(name, "Wrong,Header\n1,2\n")
        source.write(f"x{name}", HEADER.encode() + b"\xe4")
        source.write(f"y{name}", "Höhe,".encode("cp1252") + HEADER.encode())
    source.collect()
    assert source.error.hint == (
        "was the export changed? have it exported as before, or correct the section's entity, "
        "time, values or attributes, or its header or delimiter; "
        "set the section's encoding, such as cp1252"
    )


def test_what_stands_before_the_damage_is_read_once(source):
    whole = gz(HEADER + "".join(line(hour, place=os.urandom(30).hex()) for hour in range(24)))
    source.write("a.csv.gz", whole[: len(whole) // 2])
    read = source.collect()
    assert 0 < len(read) < 24
    assert "is not a complete gzip file" in source.error.message
    assert source.collect() == []
    source.write("a.csv.gz", whole)
    assert len(source.collect()) == 24 - len(read)
    assert source.error is None


def test_a_mixture_of_refusals_is_permanent_and_of_delays_is_not(source, monkeypatch):
    source.write("a.csv", HEADER + line(1))
    with monkeypatch.context() as patched:
        patched.setattr("collectors.files.collector.open_found", _failing(OSError(5, "Input/output error")))
        assert source.collect() == []
    assert isinstance(source.error, TransientError)
    assert source.error.message == "1 of 1 files cannot be read: a.csv cannot be read: Input/output error"
    source.write("b.pdf", "x")
    with monkeypatch.context() as patched:
        patched.setattr("collectors.files.collector.open_found", _failing(OSError(5, "Input/output error")))
        source.collect()
    assert isinstance(source.error, PermanentError)


def _failing(error):
    def fail(*_args, **_kwargs):
        raise error

    return fail


def test_a_file_that_its_writer_holds_open_waits(source, monkeypatch):
    error = PermissionError(13, "sharing violation")
    error.winerror = 32
    source.write("a.csv", HEADER + line(1))
    with monkeypatch.context() as patched:
        patched.setattr("collectors.files.collector.open_found", _failing(error))
        assert source.collect() == []
        assert source.error is None
    assert source.collect() == [("a.csv", 2)]


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (FileNotFoundError(2, "x"), PermanentError, "folder X does not exist"),
        (NotADirectoryError(20, "x"), PermanentError, "is not a folder"),
        (PermissionError(13, "x"), PermanentError, "cannot be read: permission denied"),
        (
            OSError(121, "The semaphore timeout period has expired"),
            TransientError,
            "cannot be read: The semaphore",
        ),
    ],
)
def test_what_a_refused_look_means(error, kind, message):
    problem = access_error(error, "folder X")
    assert isinstance(problem, kind)
    assert message in problem.message


def test_a_folder_that_is_not_there_or_is_a_file_is_an_error(source, tmp_path):
    with pytest.raises(PermanentError, match="nowhere does not exist"):
        list(source.pages(path=str(tmp_path / "nowhere")))
    with pytest.raises(PermanentError, match="is not a folder"):
        list(source.pages(path=str(source.write("a.csv", ""))))
    with pytest.raises(ConfigError, match="is not an absolute path"):
        list(source.pages(path="export"))


def test_a_sub_folder_that_may_not_be_looked_into_is_named(source, monkeypatch):
    source.write("a.csv", HEADER + line(1))
    source.write("sub/b.csv", HEADER + line(2))
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("sub"):
            raise PermissionError(13, "denied")
        return scandir(path)

    monkeypatch.setattr(files_folder.os, "scandir", refuse)
    assert source.collect(recursive="yes") == [("a.csv", 2)]
    assert "cannot be read: permission denied" in source.error.message


def test_too_many_files_are_an_error(source, monkeypatch):
    monkeypatch.setattr(files_folder, "MAX_FILES", 2)
    for name in "abc":
        source.write(f"{name}.csv", HEADER)
    with pytest.raises(PermanentError, match="has more than 2 matching files"):
        list(source.pages())


def test_scopes_of_files_long_gone_are_used_again(source):
    for day in range(5):
        source.write(f"{day}.csv", HEADER + line(day))
        source.collect()
        (source.folder / f"{day}.csv").unlink()
    assert len(source.marks) == 5
    source.now += timedelta(days=91)
    for day in range(5, 10):
        source.write(f"{day}.csv", HEADER + line(day))
        assert source.collect() == [(f"{day}.csv", 2)]
        (source.folder / f"{day}.csv").unlink()
    assert len(source.marks) == 5


def test_a_bookmark_that_is_none_is_said(source):
    source.marks = {"000001": '{"completed":null}'}
    with pytest.raises(DataError, match="a stored bookmark is not one of a files source"):
        list(source.pages())


def test_a_back_fill_reads_all_files_and_keeps_its_days(source):
    source.write("a.csv", HEADER + "".join(f"2026-01-{day:02}T12:00,Oulu,1\n" for day in range(1, 10)))
    source.collect()
    source.marks, source.window = {}, Window(date(2026, 1, 3), date(2026, 1, 4))
    assert source.collect() == [("a.csv", 4), ("a.csv", 5)]
    assert source.collect() == []


def test_files_are_not_touched(source):
    path = source.write("a.csv", HEADER + line(1))
    before = (path.read_bytes(), path.stat().st_mtime_ns)
    source.collect()
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


def test_pages_are_lazy(source):
    source.write("a.csv", HEADER + line(1), age_s=200)
    path = source.write("b.csv", HEADER + line(2), age_s=100)
    pages = source.pages()
    next(pages)
    path.unlink()
    assert list(pages) == []  # it is gone, which is no fault


@pytest.mark.parametrize(
    ("name", "shown"),
    [("a\u202ecsv.exe", "a\\u202ecsv.exe"), ("a\nb", "a\\nb"), (os.fsdecode(b"\xff.csv") if os.name != "nt" else "\udcff.csv", "\\xff.csv"), ("Jyväskylä.csv", "Jyväskylä.csv")],
)  # fmt: skip
def test_names_are_fit_to_be_shown(name, shown):
    assert shown_name(name) == shown


def test_a_folder_lists_no_more_than_it_must(tmp_path):
    folder = Folder(tmp_path, ["*"], recursive=False, settle_s=0, marker="")
    assert folder.files(NOW) == []


def test_a_time_that_is_none_is_no_time():
    assert files_folder.FoundFile(None, "x", 0, 10**30).modified is None


def test_a_scope_that_was_taken_for_a_renamed_file_is_not_given_away(source):
    for name in ("a.csv", "b.csv"):
        source.write(name, HEADER + line(1, place=name))
    source.collect()
    source.now += timedelta(days=91)
    (source.folder / "a.csv").rename(source.folder / "new-a.csv")
    (source.folder / "b.csv").rename(source.folder / "new-b.csv")
    source.write("c.csv", HEADER + line(2), age_s=10)
    source.touch("c.csv", 100)
    assert source.collect() == [("c.csv", 2)]
    assert source.collect() == []
    assert len(source.marks) == 3
    source.write("d.csv", HEADER + line(3, place="d"), age_s=99 * 86_400)
    (source.folder / "new-a.csv").unlink()
    source.now += timedelta(days=91)
    assert source.collect() == [("d.csv", 2)]
    assert len(source.marks) == 3


def test_a_rejected_row_is_read_again(source):
    source.write("a.csv", HEADER + line(1, value="x"))
    source.collect()
    given = Files.Options(**{**GIVEN, "path": str(source.folder), "values": "t: Temp (text)"})
    mended = Files(given, Context(source="orders", timezone=ZoneInfo("UTC"), http=None, secret=None))
    assert mended.reread(source.rejected[0].raw).values == {"t": "x"}


def _exchanged(how, folder):
    (folder / "b.csv").unlink()
    if how == "link":
        (folder.parent / "secret.csv").write_text(HEADER + line(9, place="root-only"))
        (folder / "b.csv").symlink_to(folder.parent / "secret.csv")
    elif how == "pipe":
        os.mkfifo(folder / "b.csv")
    elif how == "folder":
        (folder / "b.csv").mkdir()
    else:
        (folder / "new").write_text(HEADER + line(9))
        (folder / "new").rename(folder / "b.csv")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pipes in folders, and links need rights")
@pytest.mark.parametrize("how", ["link", "pipe", "folder", "file"])
def test_what_was_put_in_a_files_place_while_another_is_read_is_not_opened(tmp_path, how):
    source = Source(tmp_path / "in")
    source.write("a.csv", HEADER + line(1), age_s=7_200)
    source.write("b.csv", HEADER + line(2))
    read = []
    for page in source.pages():
        read += [record.origin["file"] for record in page.records]
        if read == ["a.csv"]:
            _exchanged(how, source.folder)
    assert read == ["a.csv"]
    assert source.notes == ["b.csv changed while other files were read: it is left for the next run"]


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")
def test_a_sub_folder_that_becomes_a_link_leads_nowhere(tmp_path):
    source = Source(tmp_path / "in")
    source.write("a.csv", HEADER + line(1), age_s=7_200)
    source.write("sub/b.csv", HEADER + line(2))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "b.csv").write_text(HEADER + line(9))
    read = []
    for page in source.pages(recursive="yes"):
        read += [record.origin["file"] for record in page.records]
        if read == ["a.csv"]:
            shutil.rmtree(source.folder / "sub")
            (source.folder / "sub").symlink_to(tmp_path / "other")
    assert read == ["a.csv"]
    assert source.notes == ["sub/b.csv changed while other files were read: it is left for the next run"]


def test_a_clock_that_is_behind_is_named(source):
    source.write("a.csv", HEADER + line(1), age_s=-3_600)
    assert source.collect() == []
    assert source.notes == ["1 file waits: its time is ahead of this machine's clock"]
    source.write("b.csv", HEADER + line(2), age_s=-3_600)
    source.notes.clear()
    assert source.collect() == []
    assert source.notes == ["2 files wait: their time is ahead of this machine's clock"]


def _steps(count, alike, tmp_path):
    """How many steps it takes to look up one more file when `count` are known."""
    memory = Memory({}, "orders")
    for number in range(count):
        head = "alike" if alike else f"head {number}"
        memory.note(
            f"{number:06d}",
            Read(f"{number}", "key", 2_000, 1, head, 2_000, f"digest {number}", 2_000, 9, True, NOW),
        )
    steps = 0

    def trace(frame, event, _):
        nonlocal steps
        frame.f_trace_opcodes = True
        steps += event == "opcode"
        return trace

    class Known(Prefix):
        def digest(self, length):
            return "alike" if length <= 1_024 else "another"

    found = FoundFile(tmp_path, "0", 2_000, 2)
    before = sys.gettrace()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("collectors.files.memory.Prefix", Known)
        sys.settrace(trace)
        try:
            memory.start(found, "key", io.BytesIO(), there={"0"}, now=NOW)
        finally:
            sys.settrace(before)
    return steps


@pytest.mark.parametrize("alike", [False, True])
def test_looking_a_file_up_takes_as_many_steps_whatever_is_known(tmp_path, alike):
    few = _steps(20, alike, tmp_path)
    assert few > 0
    assert _steps(400, alike, tmp_path) == few


@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="Windows opens no folder by a descriptor")
@pytest.mark.parametrize("swapped_at", ["the sub-folder itself", "the folder above it"])
def test_a_folder_exchanged_for_a_link_between_two_looks_is_not_looked_into(
    source, tmp_path, monkeypatch, swapped_at
):
    foreign = tmp_path / "foreign" / "inner"
    foreign.mkdir(parents=True)
    (foreign / "secret.csv").write_text(HEADER + line(9), encoding="utf-8")
    (foreign.parent / "secret.csv").write_text(HEADER + line(9), encoding="utf-8")
    source.write("sub/inner/a.csv", HEADER + line(1))
    look = files_folder._looks_in
    victim = (
        source.folder / "sub" if swapped_at == "the sub-folder itself" else source.folder / "sub" / "inner"
    )

    def exchanging(folder, found):
        if folder == victim:
            (source.folder / "sub").rename(source.folder / "moved")
            (source.folder / "sub").symlink_to(foreign.parent)
        return look(folder, found)

    monkeypatch.setattr(files_folder, "_looks_in", exchanging)
    assert [name for name, _ in source.collect(recursive="yes")] == []


def test_a_bad_file_that_is_exchanged_before_its_beginning_is_kept_stops_nothing(
    source, tmp_path, monkeypatch
):
    bad = source.write("a.csv", "nothing,of,this\n1,2,3\n")
    source.write("b.csv", HEADER + line(1))
    start = Memory.start

    def exchanging(memory, found, *given, **more):
        if found.name == "a.csv" and not bad.is_symlink():
            bad.unlink()
            bad.symlink_to(tmp_path)
        return start(memory, found, *given, **more)

    monkeypatch.setattr(Memory, "start", exchanging)
    assert source.collect() == [("b.csv", 2)]
    assert "a.csv has no column" in source.error.message
    assert source.rejected == []


def test_a_copy_of_a_bad_file_is_not_called_known(source):
    source.write("a.csv", "nothing,of,this\n1,2,3\n")
    source.collect()
    source.write("b.csv", "nothing,of,this\n1,2,3\n4,5,6\n")
    source.collect()
    assert source.notes == []
    assert [each.reason.split()[0] for each in source.rejected] == ["a.csv", "b.csv"]
