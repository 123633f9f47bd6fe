"""The campaign counts what was measured on the very commit, goes on where it was, and publishes nothing else."""

import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.crash import campaign, campaign_kinds, report
from tests.crash.campaign import Campaign, Part, plan, publish, run_all, standing, stands_for
from tests.crash.campaign_kinds import KINDS, Kind
from tests.crash.campaign_table import BEGINS, ENDS, quarter, table

GOALS = {
    "kills": 10_000,
    "power loss": 100_000,
    "I/O faults": 10_000,
    "S3 faults": 300,
    "model": 200_000,
    "bit flips": 2_000,
    "mutants": 12,
}


@dataclass
class Mishap:
    """A kind that takes no time; it remembers what was run, and breaks a promise at one seed."""

    breaks_at: int = 0
    ran: list[tuple[int, int]] = field(default_factory=list)

    def __call__(self, size: int, seed: int) -> dict[str, object]:
        self.ran.append((size, seed))
        return {"falls": size, "lost": int(seed == self.breaks_at)}


@pytest.fixture
def mishap(monkeypatch: pytest.MonkeyPatch) -> Mishap:
    mishap = Mishap()
    kind = Kind("falls", "falls", 250, 100, 1.0, mishap)
    monkeypatch.setattr(campaign, "KINDS", (kind,))
    monkeypatch.setattr(report, "commit", lambda: "abc")
    return mishap


def run(file: Path | None, *, share: float = 1.0, seed: int = 1, limit_s: float = 1e9) -> Campaign:
    made = Campaign(campaign.KINDS, share, seed, file)
    made.run(jobs=1, limit_s=limit_s)
    return made


def test_a_full_campaign_reaches_every_figure_that_is_promised():
    assert {kind.name for kind in KINDS} == GOALS.keys()
    for kind in KINDS:
        parts = plan(kind, 1.0, seed=1)
        assert sum(part.size for part in parts) == kind.full >= GOALS[kind.name]
        assert len({part.seed for part in parts}) == len(parts)


def test_a_share_is_a_share_of_everything_but_the_mutants():
    for kind in KINDS:
        size = sum(part.size for part in plan(kind, 0.01, seed=1))
        assert size == (-(-kind.full // 100) if kind.name != "mutants" else kind.full)


def test_a_campaign_goes_on_where_it_was_stopped(mishap: Mishap, tmp_path: Path):
    file = tmp_path / "campaign.jsonl"
    assert run(file, limit_s=0).rows[0].count == 0
    assert not file.exists()
    run(file)
    first, *others = file.read_text("utf-8").splitlines()
    file.write_text(f"{first}\n", "utf-8")
    (row,) = run(file).rows
    assert mishap.ran == [(100, 1), (100, 1_001), (50, 2_001), (100, 1_001), (50, 2_001)]
    assert (row.count, row.wanted, row.parts, row.broken) == (250, 250, 3, 0)
    told = [json.loads(line) for line in (first, *others)]
    assert [(line["kind"], line["commit"], line["seed"]) for line in told] == [
        ("falls", "abc", seed) for seed in (1, 1_001, 2_001)
    ]


def test_only_the_same_commit_and_seed_count(mishap: Mishap, tmp_path: Path, monkeypatch):
    file = tmp_path / "campaign.jsonl"
    run(file)
    for commit, seed in (("abd", 1), ("abc", 2)):
        mishap.ran.clear()
        monkeypatch.setattr(report, "commit", lambda commit=commit: commit)
        run(file, seed=seed)
        assert len(mishap.ran) == 3
    mishap.ran.clear()
    assert run(file).rows[0].count == 250
    assert mishap.ran == []


def test_a_smaller_part_does_not_stand_for_a_larger_one(mishap: Mishap, tmp_path: Path):
    file = tmp_path / "campaign.jsonl"
    run(file, share=0.2)
    run(file)
    assert mishap.ran == [(50, 1), (100, 1), (100, 1_001), (50, 2_001)]
    line = {"kind": "falls", "seed": 1, "counts": {"falls": 50}}
    assert stands_for(line, Part("falls", 50, 1), "falls")
    assert not stands_for(line, Part("falls", 51, 1), "falls")
    assert not stands_for(line, Part("kills", 50, 1), "falls")


@pytest.mark.parametrize("commit", ["abc+", ""])
def test_files_that_differ_from_the_commit_never_count(
    mishap: Mishap, tmp_path: Path, monkeypatch, commit: str
):
    file = tmp_path / "campaign.jsonl"
    monkeypatch.setattr(report, "commit", lambda: commit)
    row = run(file).rows[0]
    assert row.count == 250
    assert not file.exists()
    file.write_text(str(report.Line("falls", "2026-11-23", commit, 1, 1.0, {"falls": 100})), "utf-8")
    assert standing(file, commit) == []
    with pytest.raises(ValueError, match="those of no commit"):
        publish([row], 1, tmp_path / "README.md")


def test_files_that_change_meanwhile_are_not_kept(mishap: Mishap, tmp_path: Path, monkeypatch):
    file = tmp_path / "campaign.jsonl"
    said = iter(["abc", "abc", "abc", "abc+", "abc+", "abc+"])
    monkeypatch.setattr(report, "commit", lambda: next(said))
    run(file)
    assert len(file.read_text("utf-8").splitlines()) == 1


def test_a_broken_promise_ends_its_kind_and_the_campaign_with_1(mishap: Mishap, tmp_path: Path, capsys):
    mishap.breaks_at = 1_001
    file = tmp_path / "campaign.jsonl"
    for _ in range(2):  # what is broken is not run again, and not forgotten
        assert campaign.main(["--report", str(file)]) == 1
    assert mishap.ran == [(100, 1), (100, 1_001)]
    last = capsys.readouterr().out.splitlines()[-1].split()
    assert last[:5] == ["falls", "200", "falls", "of", "250"]
    assert last[5:9] == ["1", "0", "0", "0"]


def test_a_part_that_raises_or_runs_nothing_is_a_broken_promise(monkeypatch):
    def fail(size: int, seed: int) -> dict[str, object]:
        if seed == 1:
            raise AssertionError("not as the oracle says")
        return {"falls": 0}

    monkeypatch.setattr(campaign, "KINDS", (Kind("falls", "falls", 2, 1, 1.0, fail),))
    parts = plan(campaign.KINDS[0], 1.0, seed=1)
    found = [counts["failures"] for _, counts in run_all(parts, 1, lambda _part: True)]
    assert found == [["seed 1: AssertionError: not as the oracle says"], ["nothing was run"]]


def test_parts_that_run_at_once_find_the_same(tmp_path: Path):
    parts = [Part("power loss", 5, seed) for seed in (1, 2, 3)]
    left = iter([True, True, False])
    found = dict(run_all(parts, 2, lambda _part: next(left)))
    assert sorted(found) == parts[:2]
    assert {counts["images"] for counts in found.values()} == {5}
    assert [counts["seed"] for _, counts in sorted(found.items())] == [1, 2]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.shared], ids=lambda kind: kind.name)
def test_a_part_of_every_kind_can_be_kept(kind: Kind, tmp_path: Path):
    ((part, counts),) = run_all([Part(kind.name, 2, 3)], 1, lambda _part: True)
    report.publish(kind.name, counts, tmp_path / "campaign.jsonl")
    line = json.loads((tmp_path / "campaign.jsonl").read_text("utf-8"))
    assert stands_for(line, part, kind.unit)
    assert line["counts"][kind.unit] >= 2


def test_the_readme_gets_the_table_between_its_markers(mishap: Mishap, tmp_path: Path):
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{BEGINS}\nold\n{ENDS}\nafter\n", "utf-8")
    made = run(None)
    publish(made.rows, 1, readme)
    text = readme.read_text("utf-8")
    assert text.startswith(f"before\n{BEGINS}\n20")
    assert text.endswith(f"```\n{ENDS}\nafter\n")
    assert "commit abc, seed 1" in text
    assert "| falls | 250 falls | 0 | 0 | 0 | 0 | 0.0 |" in text
    assert "old" not in text
    made.rows[0].count = 249
    assert "249 falls of 250" in table(made.rows)
    readme.write_text("no markers", "utf-8")
    with pytest.raises(ValueError, match="has no <!--"):
        publish(made.rows, 1, readme)


def test_the_quarter_of_an_hour_is_that_of_what_was_measured(mishap: Mishap):
    (row,) = run(None).rows
    assert quarter([row]) == 1.0
    row.cpu_s = 3_600.0
    assert quarter([row]) == 0.25
    whole = campaign_kinds.KINDS[0]
    assert not whole.shared
    mutants = type(row)(whole, whole.full, cpu_s=180.0)
    assert quarter([row, mutants]) == 0.2


def test_the_markers_stand_in_the_readme():
    text = campaign.README.read_text("utf-8")
    assert text.count(BEGINS) == text.count(ENDS) == 1


def test_the_commit_is_named_with_a_plus_where_files_differ(tmp_path: Path, monkeypatch):
    def git(*arguments: str) -> None:
        who = ("-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false")
        subprocess.run(["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True)

    monkeypatch.setattr(report, "__file__", str(tmp_path / "report.py"))
    assert report.commit() == ""
    git("init")
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "code.py").write_text("1")
    (tmp_path / "README.md").write_text("1")
    git("add", ".")
    git("commit", "-m", "first")
    clean = report.commit()
    assert len(clean) == 12
    (tmp_path / "README.md").write_text("figures")
    (tmp_path / "campaign.jsonl").write_text("figures")
    assert report.commit() == clean
    new = tmp_path / "inner" / "new" / "more.sql"
    new.parent.mkdir()
    new.write_text("1")
    assert report.commit() == f"{clean}+"
    new.unlink()
    (tmp_path / "inner" / "code.py").write_text("2")
    assert report.commit() == f"{clean}+"
