"""A share of the random kills for every commit; the rest is `python -m tests.crash.kill_random KILLS SEED`."""

from tests.crash import kill_random


def test_processes_killed_at_random_lose_and_double_nothing():
    found = kill_random.run(150, seed=1)
    assert found.failures == []
    assert found.kills >= 150
    # On a quiet machine hundreds; where others take the processors, a life is as short and does less.
    assert found.acknowledged_pages > 20
    assert found.objects > 3
