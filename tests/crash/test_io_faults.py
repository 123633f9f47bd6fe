import pytest

from tests.crash import io_faults


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
