import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(sys.platform == "win32", reason="forks a child for each kill; CI runs it on Linux")
def test_a_kill_at_any_sql_statement_of_collect_and_upload_loses_and_doubles_nothing(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash.kill_at_every_statement", str(tmp_path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["failures"] == []
    assert found["kills"] > 80
    assert found["kills_in_recovery"] > 40
