"""A worker records episodes that appear whole, with what they were made from."""

import json
from pathlib import Path
from typing import Any

import pytest

from infrope_env.fleet.plan import Plan, read_plan
from infrope_env.fleet.worker import REQUEST, Worker, was_made
from infrope_env.folder_lock import PARTIAL
from infrope_env.recording.writer import RecordingError
from tests.recording.episodes import lines_of

FOX, FROG = "an orange fox waves hello in a dark cave", "a green frog stands still in a sunny beach"
PLAN = """
[environment]
weights = "{weights}"
[episodes.story]
storyboard = "story.txt"
[episodes.board]
prompts = "prompts.txt"
blocks = 2
seeds = [5]
"""


def make_plan(tmp_path: Path, weights: Path, more: str = "") -> Plan:
    (tmp_path / "story.txt").write_text(f"{FOX}[1.5s] | {FROG}[0.75s#]; Hello. | Bye.")
    (tmp_path / "prompts.txt").write_text(f"{FROG}\na dragon in a cathedral\n")
    (tmp_path / "plan.toml").write_text(PLAN.format(weights=weights) + more)
    return read_plan(tmp_path / "plan.toml")


def make_worker(plan: Plan, out: Path) -> Worker:
    (out / PARTIAL).mkdir(parents=True)
    (out / PARTIAL / "marker").touch()
    worker = Worker(plan.environment, plan.quality, out, "marker")
    info = worker.start()
    assert info.device == "cpu" and info.host and info.pid
    return worker


def test_episodes_have_the_blocks_and_subtitles_of_their_plan(tiny_weights: Path, tmp_path: Path) -> None:
    plan, out = make_plan(tmp_path, tiny_weights), tmp_path / "out"
    worker = make_worker(plan, out)
    story, board, dragon = plan.episodes
    for episode in (story, board):
        assert not was_made(out / episode.name, plan.describe(episode))
        worker.record(episode, f"{episode.name}.1", plan.describe(episode))
        assert was_made(out / episode.name, plan.describe(episode))
    made = lines_of(out / "story-0" / "episode_000")
    assert [(line["prompt"], line["transition"]) for line in made] == [
        (FOX, "start"), (FOX, "continue"), (FROG, "cut"),
    ]  # fmt: skip
    assert "Hello." in (out / "story-0" / "episode_000" / "video.srt").read_text()
    made = lines_of(out / board.name / "episode_000")
    assert [line["prompt"] for line in made] == [FROG, FROG]
    assert json.loads((out / board.name / "episode_000" / "meta.json").read_text())["seed"] == 5
    assert not (out / board.name / "episode_000" / "video.srt").exists()  # the story's subtitles are its own
    with pytest.raises(ValueError, match="'dragon'"):
        worker.record(dragon, "dragon.1", plan.describe(dragon))
    assert not (out / dragon.name).exists()


def test_an_episode_that_another_worker_has_made_meanwhile_is_kept(tiny_weights: Path, tmp_path: Path) -> None:
    plan, out = make_plan(tmp_path, tiny_weights), tmp_path / "out"
    worker, board = make_worker(plan, out), plan.episodes[1]
    worker.record(board, "a", plan.describe(board))
    (out / board.name / "mark").touch()
    worker.record(board, "b", plan.describe(board))
    assert (out / board.name / "mark").exists() and not (out / PARTIAL / "b").exists()


def test_a_folder_that_disappears_is_a_failure_of_the_disk(
    tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, out = make_plan(tmp_path, tiny_weights), tmp_path / "out"
    worker, board = make_worker(plan, out), plan.episodes[1]

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("infrope_env.recording.writer.EpisodeWriter.write", full)
    with pytest.raises(RecordingError, match=r"No space left on device.*the same command goes on"):
        worker.record(board, "a", plan.describe(board))
    assert not (out / PARTIAL / "a").exists() and not (out / board.name).exists()


def test_an_episode_of_another_plan_is_not_taken_for_this_ones(tiny_weights: Path, tmp_path: Path) -> None:
    plan, out = make_plan(tmp_path, tiny_weights), tmp_path / "out"
    board = plan.episodes[1]
    make_worker(plan, out).record(board, "a", plan.describe(board))
    other = make_plan(tmp_path, tiny_weights, "[episodes.more]\nblocks = 2\n[episodes.x]\nrandom = true\nblocks = 3")
    assert was_made(out / board.name, other.describe(other.episodes[1]))
    changed = {**plan.describe(board), "episode": {**board.to_json(), "blocks": 3}}
    with pytest.raises(ValueError, match=r"was made from another plan \(blocks changed\). Remove it"):
        was_made(out / board.name, changed)
    (out / board.name / REQUEST).unlink()
    with pytest.raises(ValueError, match="was not made by a fleet"):
        was_made(out / board.name, plan.describe(board))


def test_a_worker_that_does_not_see_the_folder_says_so(tiny_weights: Path, tmp_path: Path) -> None:
    plan = make_plan(tmp_path, tiny_weights)
    with pytest.raises(ValueError, match=r"does not see .*nowhere: give --out a folder that all machines"):
        Worker(plan.environment, plan.quality, tmp_path / "nowhere", "marker").start()
