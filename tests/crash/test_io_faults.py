import apsw
import pytest

from outbox.database import Database
from tests.crash import io_faults
from tests.support.agent import Clock, make


@pytest.mark.parametrize("seed", [1, 2])
def test_a_read_write_sync_open_or_lock_that_fails_loses_nothing_and_is_told_as_our_error(seed):
    result = io_faults.run(runs_limit=350, seed=seed)
    print(result)
    assert result.failures == 0, result.examples
    assert result.runs == 350
    assert result.commands_failed > 350
    assert all(result.by_kind[kind] for kind in io_faults.KINDS)


def test_a_campaign_without_a_broken_promise_ends_with_0(capsys):
    assert io_faults.main(["--runs", "10", "--seed", "3"]) == 0
    assert '"runs": 10' in capsys.readouterr().out


def test_a_rollback_that_fails_does_not_hide_what_failed_before(tmp_path):
    def fail(_cursor: object, sql: str, _bindings: object) -> bool:
        if sql == "ROLLBACK":
            raise apsw.IOError("made to fail")
        return True

    make(tmp_path / "outbox.db", Clock())
    with Database.open(tmp_path / "outbox.db") as database:
        database.connection.exec_trace = fail
        with pytest.raises(LookupError, match="the reason"), database.transaction():
            database.execute("INSERT INTO runs (command, started_at) VALUES ('upload', '')")
            raise LookupError("the reason")
    with Database.open(tmp_path / "outbox.db") as database:
        assert database.value("SELECT count(*) FROM runs") == 0
