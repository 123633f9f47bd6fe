import json

import pytest

from tests.crash import power_loss, report


@pytest.mark.parametrize("seed", [1, 2])
def test_a_power_cut_at_any_write_loses_and_doubles_nothing(seed):
    result = power_loss.run(images=1_600, seed=seed)
    print(result)
    assert result.failures == 0, result.examples
    assert result.images >= 1_600
    assert result.crash_points > 250
    assert result.lived_on > 150


def test_with_synchronous_normal_the_same_cuts_lose_and_double_records():
    result = power_loss.run(images=1_500, seed=2, synchronous="NORMAL")
    print(result)
    assert result.lost > 0
    assert result.doubled > 0


def test_with_synchronous_off_the_same_cuts_corrupt_the_database_too():
    result = power_loss.run(images=1_500, seed=2, synchronous="OFF")
    print(result)
    assert result.lost > 0
    assert result.corrupt > 0


def test_one_seed_gives_the_same_images_again():
    first, second = (power_loss.run(images=200, seed=3) for _ in range(2))
    first.seconds = second.seconds = 0.0
    assert first == second


def test_the_figures_of_a_campaign_are_kept_as_a_line_of_json(tmp_path, capsys):
    file = tmp_path / "campaign.jsonl"
    for seed in ("7", "8"):
        assert power_loss.main(["--images", "20", "--seed", seed, "--report", str(file)]) == 0
    lines = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    assert [line["seed"] for line in lines] == [7, 8]
    assert lines[0]["kind"] == "power loss"
    assert lines[0]["counts"]["images"] == 20
    assert lines[0]["counts"]["lost"] == 0
    assert lines[0]["commit"] == report.commit()
    assert capsys.readouterr().out == file.read_text("utf-8")


def test_a_campaign_that_breaks_a_promise_ends_with_1(monkeypatch):
    broken = power_loss.Result(seed=2, synchronous="NORMAL", doubled=1)
    monkeypatch.setattr(power_loss, "run", lambda *_: broken)
    assert power_loss.main([]) == 1
