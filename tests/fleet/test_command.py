"""`infrope fleet` without Ray: what it lists, and its sentences before anything is started."""

import sys
from pathlib import Path

import pytest

from infrope_env import cli
from infrope_env.fleet.dispatch import FleetOutcome, Job
from infrope_env.fleet.plan import read_plan
from infrope_env.fleet.progress import LogCounter, Progress

PLAN = """
[environment]
weights = "{weights}"
[episodes.walk]
seeds = 2
random = true
blocks = 40
[episodes.jump]
script = "jump"
"""


@pytest.fixture
def plan(tiny_weights: Path, tmp_path: Path) -> Path:
    (tmp_path / "plan.toml").write_text(PLAN.format(weights=tiny_weights))
    return tmp_path / "plan.toml"


def run(plan: Path, tmp_path: Path, *options: str) -> int:
    return cli.main(["fleet", str(plan), "--out", str(tmp_path / "out"), *options])


def test_a_dry_run_lists_the_episodes_and_makes_nothing(
    plan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert run(plan, tmp_path, "--dry-run") == 0
    assert capsys.readouterr().out.splitlines() == [
        "walk-0: random, 40 blocks, to be made",
        "walk-1: random, 40 blocks, to be made",
        "jump-0: script, 2 blocks, to be made",
        "3 episodes to be made, 0 there already: 82 blocks, 1.0 min of video",
    ]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--workers", "0"], "expected --workers to be at least 1, got 0"),
        (["--dataset", "x"], "--dataset is the folder of an export: give --to too"),
        ([], "pip install 'infrope-env[fleet]'"),
    ],
)
def test_what_cannot_begin_is_one_sentence(
    plan: Path, tmp_path: Path, options: list[str], sentence: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setitem(sys.modules, "ray", None)
    assert run(plan, tmp_path, *options) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert sentence in line


def test_a_folder_with_something_else_is_refused_and_left_as_it_is(
    plan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out" / "walk-1").mkdir(parents=True)
    assert run(plan, tmp_path) == 2
    assert "walk-1 is there and was not made by a fleet" in capsys.readouterr().err
    assert (tmp_path / "out" / "walk-1").exists()


def test_a_log_that_grows_is_counted_and_a_renamed_one_keeps_its_count(tmp_path: Path) -> None:
    counter = LogCounter(tmp_path / "log")
    assert counter.look() == 0
    with (tmp_path / "log").open("a") as file:
        file.write("a\nb\n")
        file.flush()
        assert counter.look() == 2
        file.write("half")
        file.flush()
        assert counter.look() == 2
        file.write(" a line\n")
    assert counter.look() == 3
    (tmp_path / "log").unlink()
    assert counter.look() == 3


def test_progress_counts_blocks_and_the_summary_names_failures(
    plan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second, third = read_plan(plan).episodes
    progress, outcome = Progress(tmp_path, [first, second, third], block=3), FleetOutcome(made=[first], replaced=1)
    job = Job(second)
    job.begin()
    log = tmp_path / ".partial" / job.partial / "episode_000" / "blocks.jsonl"
    log.parent.mkdir(parents=True)
    log.write_text("{}\n" * 5)
    progress.look(outcome, {0: job})
    assert "1 of 3 episodes, 45 of 82 blocks, 1 at work" in capsys.readouterr().err
    outcome.failed.append((third, "'dragon' is no word"))
    summary = progress.summarize(outcome, kept=4)
    assert summary[0] == f"1 episodes made in {tmp_path}, 4 there already, 1 failed"
    assert summary[1].startswith("40 blocks, 0.5 minutes of video in 0.0 minutes: ")
    assert summary[1].endswith("1 workers replaced") and summary[2] == "failed jump-0: 'dragon' is no word"
