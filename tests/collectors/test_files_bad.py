import subprocess
import sys
import tracemalloc
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from collectors.collector import Context
from collectors.files.collector import Files
from collectors.files.folder import shown_name
from outbox.errors import OutboxError, PermanentError
from outbox.record.page import normalise_page
from outbox.store import MAX_UNRESOLVED
from tests.collectors.bad_files import BAD, PACKED, WORKBOOKS
from tests.collectors.tables_support import GIVEN, GOOD_FILE

REPOSITORY = Path(__file__).parents[2]
FLOODED = "the outbox takes no more"
MAX_PYTHON_BYTES = 150_000_000
"""At the worst of them: a workbook of 64 MB of XML, once as it was inflated and once as it is handed on."""


def collect(folder, **options):
    """Return what a run gives: records and rejected as the outbox judges them, and the error."""
    given = Files.Options(**{**GIVEN, "path": str(folder), **options})
    context = Context(
        source="s",
        timezone=ZoneInfo("Europe/Helsinki"),
        http=None,
        secret=None,
        now=lambda: datetime.now(UTC) + timedelta(hours=25),
    )
    records, rejected = [], []
    try:
        for page in Files(given, context).collect({}):
            judged = normalise_page(page, customer="c", site="s", source="s")
            records += [record.origin["file"] for record in page.records][: len(judged.entries)]
            rejected += judged.rejected
            if len(rejected) > MAX_UNRESOLVED:
                return records, rejected, PermanentError(FLOODED)
    except OutboxError as error:
        return records, rejected, error
    return records, rejected, None


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
def test_a_bad_file_gives_what_it_holds_and_a_reason_for_the_rest(bad, tmp_path):
    try:
        (tmp_path / bad.file).write_bytes(bad.bytes())
    except (OSError, ValueError) as error:
        pytest.skip(f"this system has no such name: {error}")
    tracemalloc.start()
    records, rejected, error = collect(tmp_path, **bad.options)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    reasons = [each.reason for each in rejected]
    if bad.floods:
        assert error.message == FLOODED
        assert {bad.reasons[0] in reason for reason in reasons} == {True}
        assert peak < MAX_PYTHON_BYTES
        return
    assert len(records) == bad.records
    if bad.error:
        assert reasons.pop().startswith(f"{shown_name(bad.file)} cannot be read: it ")
    assert len(reasons) == len(bad.reasons), reasons[:5]
    assert [
        found for expected, found in zip(bad.reasons, reasons, strict=True) if expected not in found
    ] == []
    assert all(reason.isprintable() for reason in reasons)
    if bad.error:
        assert isinstance(error, PermanentError)
        assert bad.error in error.message
        assert shown_name(bad.file) in error.message
        assert error.message.isprintable()
    else:
        assert error is None
    assert peak < MAX_PYTHON_BYTES


def test_all_of_them_in_one_folder_stop_no_good_file(tmp_path):
    light = [
        bad
        for bad in BAD
        if not callable(bad.content) and bad.error and not bad.options and bad.file.startswith("t.")
    ]
    for number, bad in enumerate(light):
        (tmp_path / f"{number:03}{bad.file[1:]}").write_bytes(bad.bytes())
    (tmp_path / "000-good.csv").write_text(GOOD_FILE, encoding="utf-8")
    (tmp_path / "zzz-good.csv").write_text(GOOD_FILE.replace("Oulu", "Turku"), encoding="utf-8")
    records, _, error = collect(tmp_path)
    assert Counter(records)["000-good.csv"] == Counter(records)["zzz-good.csv"] == 1
    assert f"{len(light)} of {len(light) + 2} files cannot be read" in error.message


def test_there_are_a_hundred_and_more():
    assert len({bad.name for bad in BAD}) == len(BAD) >= 150


IN_A_SMALL_ROOM = """
import resource, sys
from pathlib import Path
from tests.collectors.bad_files import PACKED, WORKBOOKS
from tests.collectors.test_files_bad import collect
folder = Path(sys.argv[1])
made = [(bad, bad.bytes()) for bad in (*PACKED, *WORKBOOKS)]
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[2]),) * 2)
for number, (bad, content) in enumerate(made):
    path = folder / str(number) / bad.file
    path.parent.mkdir()
    path.write_bytes(content)
    error = collect(path.parent, **bad.options)[2]
    print(bad.name, error.message if error else "", flush=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
def test_what_is_packed_is_read_in_a_small_room(tmp_path):
    """The memory of the libraries that unpack and read workbooks is not Python's: the process has a limit."""
    done = subprocess.run(
        [sys.executable, "-c", IN_A_SMALL_ROOM, str(tmp_path), "800000000"],
        capture_output=True, text=True, encoding="utf-8", timeout=300, cwd=REPOSITORY,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == len(PACKED) + len(WORKBOOKS)
    assert "MemoryError" not in done.stdout
