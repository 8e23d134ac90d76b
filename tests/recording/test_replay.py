"""A recorded rollout is made again, equal to the byte; what was changed, lost or is otherwise here is said."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import pytest
import torch

import infrope_env
from infrope_env.recording import replay as replay_module
from infrope_env.recording.reader import Recording, ReplayError
from infrope_env.recording.replay import Report, Verdict, replay, verify
from infrope_env.recording.run_info import RunInfo
from infrope_env.recording.wrapper import RecordRollout
from infrope_env.recording.writer import Origin
from tests.tiny_world import tiny_world

STAND, WALK_RIGHT, JUMP, CUT_DESERT = 0, 2, 3, 7


def record(weights: Path, folder: Path, **kwargs: Any) -> Any:
    made = gymnasium.make("infrope/PocketWorld-v0", weights=str(weights), disable_env_checker=True, **kwargs)
    return RecordRollout(made, folder)


@pytest.fixture
def episode(tiny_weights: Path, tmp_path: Path) -> Path:
    """Six blocks with a switch, a cut and free text."""
    env = record(tiny_weights, tmp_path / "kept")
    env.reset(seed=3, options={"subject": "frog"})
    for action in (STAND, WALK_RIGHT, CUT_DESERT):
        env.step(action)
    env.unwrapped.set_prompt("a purple wizard jumps up and down in a dark cave")
    for action in (WALK_RIGHT, WALK_RIGHT):
        env.step(action)
    env.close()
    return tmp_path / "kept" / "episode_000"


def lines_of(episode: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (episode / "blocks.jsonl").read_text().splitlines()]


def edit_log(episode: Path, change: Callable[[list[dict[str, Any]]], object]) -> None:
    lines = lines_of(episode)
    change(lines)
    (episode / "blocks.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def edit_meta(episode: Path, change: Callable[[dict[str, Any]], object]) -> None:
    meta = json.loads((episode / "meta.json").read_text())
    change(meta)
    (episode / "meta.json").write_text(json.dumps(meta))


def test_an_untouched_recording_is_the_same_in_every_block(episode: Path) -> None:
    report = verify(episode)
    assert report == Report(episode, blocks=6, differing=())
    assert report.ok and report.exit_code == 0
    assert report.summary() == "episode_000: 6 blocks made again: every block is the same."


def test_a_set_prompt_is_made_again_with_the_block_it_took_effect_in(episode: Path) -> None:
    asked = [line["asked"] for line in lines_of(episode)]
    assert asked == [None] * 4 + [{"text": "a purple wizard jumps up and down in a dark cave", "cut": False}, None]


@pytest.mark.parametrize("prompt", [None, "a red robot waves hello in a city at night"])
def test_a_cut_by_set_prompt_and_a_drawn_seed_and_a_window_are_made_again(
    tiny_weights: Path, tmp_path: Path, prompt: str | None
) -> None:
    env = record(tiny_weights, tmp_path, window={"size": 9}, max_blocks=3)
    _, info = env.reset(options={"scene": "cave"})
    env.unwrapped.set_prompt(prompt or info["prompt"], cut=True)
    _, _, _, _, info = env.step(STAND)
    env.step(STAND)
    env.close()
    assert info["transition"] == "cut"
    assert verify(tmp_path / "episode_000") == Report(tmp_path / "episode_000", blocks=3, differing=())


def test_a_prompt_that_an_action_overruled_is_made_again(tiny_weights: Path, tmp_path: Path) -> None:
    env = record(tiny_weights, tmp_path)
    env.reset(seed=1)
    env.unwrapped.set_prompt("a red robot waves hello in a city at night", cut=True)
    env.step(JUMP)
    env.unwrapped.set_prompt("a red robot waves hello in a city at night", cut=True)
    env.step(CUT_DESERT)
    env.close()
    assert verify(tmp_path / "episode_000").ok


def test_a_prompt_that_another_one_replaced_before_it_was_shown_is_not_needed_to_make_it_again(
    tiny_weights: Path, tmp_path: Path
) -> None:
    env = record(tiny_weights, tmp_path)
    env.reset(seed=1)
    env.unwrapped.set_prompt("a red robot waves hello in a city at night")
    env.unwrapped.set_prompt("waves hello")
    for action in (STAND, JUMP):
        env.step(action)
    env.close()
    assert verify(tmp_path / "episode_000").ok


def test_the_stored_action_set_is_used_not_the_file(tiny_weights: Path, tmp_path: Path) -> None:
    toml = tmp_path / "mine.toml"
    bundled = Path(infrope_env.__file__).parent / "assets" / "actions" / "pocket.toml"
    toml.write_text(bundled.read_text().replace('subject = "fox"', 'subject = "penguin"'))
    env = record(tiny_weights, tmp_path / "kept", actions=str(toml))
    _, info = env.reset(seed=0)
    env.step(WALK_RIGHT)
    env.close()
    toml.unlink()
    assert info["subject"] == "penguin"
    assert verify(tmp_path / "kept" / "episode_000").ok


def test_a_tampered_frame_hash_is_named(episode: Path) -> None:
    edit_log(episode, lambda lines: lines[3].update(sha256="0" * 64))
    report = verify(episode)
    assert report.first_difference == 3 and report.differing == (3,)
    assert report.tampering == ("blocks.jsonl line 4 (block 3) was changed after it was written.",)
    assert report.verdict is Verdict.TAMPERED and report.exit_code == 1
    assert "5 differ" not in report.summary() and "1 differ, the first is block 3" in report.summary()


def test_an_edited_action_is_named_and_makes_other_blocks(episode: Path) -> None:
    edit_log(episode, lambda lines: lines[2].update(action=JUMP))
    report = verify(episode)
    assert report.first_difference == 2 and report.verdict is Verdict.TAMPERED
    assert report.tampering == ("blocks.jsonl line 3 (block 2) was changed after it was written.",)


def test_an_impossible_action_is_a_sentence(episode: Path) -> None:
    edit_log(episode, lambda lines: lines[2].update(action=99))
    report = verify(episode)
    assert report.first_difference == 2 and report.blocks == 2
    assert "Block 2 cannot be made: expected an action from 0 to 11" in report.summary()


def test_a_removed_line_is_noticed_and_ends_the_replay(episode: Path) -> None:
    edit_log(episode, lambda lines: lines.pop(2))
    report = verify(episode)
    assert report.verdict is Verdict.TAMPERED and report.blocks == 2 and not report.differing
    assert report.tampering == ("blocks.jsonl line 3 is block 3, expected block 2.",)
    assert "Blocks from 2 on cannot be followed" in report.summary()


def test_a_removed_tail_is_noticed_because_the_log_was_closed(episode: Path) -> None:
    edit_log(episode, lambda lines: lines.pop())
    assert verify(episode).tampering == ("blocks.jsonl was closed with 6 blocks and has 5.",)


def test_garbage_in_the_middle_is_noticed(episode: Path) -> None:
    log = episode / "blocks.jsonl"
    lines = log.read_text().splitlines()
    log.write_text("\n".join([*lines[:2], "?", *lines[3:], ""]))
    assert verify(episode).tampering == ("blocks.jsonl line 3 was changed: it cannot be read.",)


def test_edited_meta_data_are_noticed(episode: Path) -> None:
    edit_meta(episode, lambda meta: meta.update(seed=4))
    report = verify(episode)
    assert report.tampering == ("meta.json or blocks.jsonl line 1 (block 0) was changed after it was written.",)
    assert report.first_difference == 0


def test_a_torn_last_line_is_tolerated_and_said(episode: Path) -> None:
    edit_meta(episode, lambda meta: meta.pop("closed"))
    log = episode / "blocks.jsonl"
    log.write_bytes(log.read_bytes()[:-40])
    report = verify(episode)
    assert report.ok and report.blocks == 5
    assert report.remarks[:2] == (
        "The last line of the log is incomplete: the recording ended while it was written.",
        "The recording was never closed, its process or disk failed: 5 whole blocks are left.",
    )


def test_other_weights_are_said_and_no_failure_of_determinism(episode: Path, tmp_path: Path) -> None:
    report = verify(episode, weights=str(tiny_world(tmp_path / "other", seed=1)))
    assert report.first_difference == 0
    assert report.verdict is Verdict.NOT_COMPARABLE and report.exit_code == 3
    assert "Other weights: generator.safetensors is not the one it was recorded with." in report.notes


@pytest.mark.parametrize(
    ("elsewhere", "sentence"),
    [
        ({"versions": {"torch": "9.9"}}, "Another version: torch was "),
        ({"processor": "x86_64 ABACUS"}, "Another class of machine or setting: processor was "),
    ],
)
@pytest.mark.parametrize("differs", [False, True])
def test_other_circumstances_are_said_and_excuse_only_a_difference(
    episode: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: dict[str, Any], sentence: str, differs: bool
) -> None:
    here = RunInfo.of
    monkeypatch.setattr(RunInfo, "of", lambda world: replace(here(world), **elsewhere))
    if differs:
        monkeypatch.setattr(replay_module, "frames_digest", lambda frames: "other")
    report = verify(episode)
    assert any(note.startswith(sentence) for note in report.circumstances)
    assert report.verdict is (Verdict.NOT_COMPARABLE if differs else Verdict.SAME)


def test_a_difference_under_the_same_circumstances_is_a_failure(episode: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay_module, "frames_digest", lambda frames: "other")
    report = verify(episode)
    assert report.verdict is Verdict.DIFFERENT and report.exit_code == 1
    assert report.summary() == "episode_000: 6 blocks made again, 6 differ, the first is block 0: not the same."


def test_a_new_version_in_the_meta_data_is_said_twice(episode: Path) -> None:
    edit_meta(episode, lambda meta: meta["made_with"]["versions"].update(torch="1.0"))
    report = verify(episode)
    assert report.verdict is Verdict.TAMPERED
    assert any(note.startswith("Another version: torch was 1.0") for note in report.circumstances)


def test_a_restored_state_is_made_again_through_its_parents(tiny_weights: Path, tmp_path: Path) -> None:
    env = record(tiny_weights, tmp_path)
    env.reset(seed=5)
    env.step(STAND)
    saved = env.unwrapped.save_state()
    env.step(WALK_RIGHT)
    env.unwrapped.restore_state(saved)
    env.step(JUMP)
    again = env.unwrapped.save_state()
    env.step(JUMP)
    env.unwrapped.restore_state(again)
    env.unwrapped.restore_state(again)
    env.step(CUT_DESERT)
    env.close()
    second, third = tmp_path / "episode_001", tmp_path / "episode_002"
    assert Recording.read(second).meta.continues == Origin("episode_000", 1)
    assert Recording.read(third).meta.continues == Origin("episode_001", 2)
    assert verify(second) == Report(second, blocks=2, differing=())
    assert verify(third) == Report(third, blocks=1, differing=())


def test_a_continued_episode_tells_what_its_own_rollout_was_reset_with(tiny_weights: Path, tmp_path: Path) -> None:
    env = record(tiny_weights, tmp_path)
    env.reset(seed=5, options={"subject": "frog"})
    saved = env.unwrapped.save_state()
    env.reset(seed=6, options={"subject": "wizard"})
    env.unwrapped.restore_state(saved)
    env.step(JUMP)
    env.close()
    meta = Recording.read(tmp_path / "episode_002").meta
    assert (meta.seed, meta.options, meta.continues) == (5, {"subject": "frog"}, Origin("episode_000", 0))


def test_as_many_threads_compute_as_did_when_it_was_recorded(tiny_weights: Path, tmp_path: Path) -> None:
    torch.set_num_threads(2)
    try:
        env = record(tiny_weights, tmp_path)
        env.reset(seed=5)
        env.close()
    finally:
        torch.set_num_threads(1)
    assert verify(tmp_path / "episode_000") == Report(tmp_path / "episode_000", blocks=1, differing=())
    told = verify(tmp_path / "episode_000", threads=1).circumstances
    assert told == ("Another class of machine or setting: threads was 2, here it is 1.",)
    assert torch.get_num_threads() == 1


def test_text_that_was_waiting_in_a_state_is_made_again(tiny_weights: Path, tmp_path: Path) -> None:
    env = record(tiny_weights, tmp_path)
    env.reset(seed=5)
    env.unwrapped.set_prompt("a red robot waves hello in a city at night", cut=True)
    saved = env.unwrapped.save_state()
    env.step(CUT_DESERT)
    env.unwrapped.restore_state(saved)
    env.step(STAND)
    env.close()
    assert lines_of(tmp_path / "episode_001")[0]["transition"] == "cut"
    assert verify(tmp_path / "episode_001").ok


def test_a_change_in_a_parent_is_said(tiny_weights: Path, tmp_path: Path) -> None:
    env = record(tiny_weights, tmp_path)
    env.reset(seed=5)
    env.step(STAND)
    env.unwrapped.restore_state(env.unwrapped.save_state())
    env.step(JUMP)
    env.close()
    edit_log(tmp_path / "episode_000", lambda lines: lines[1].update(action=JUMP))
    assert verify(tmp_path / "episode_001").tampering == (
        "In episode_000, which it continues: blocks.jsonl line 2 (block 1) was changed after it was written.",
    )


def test_a_state_from_elsewhere_is_said(tiny_weights: Path, tmp_path: Path) -> None:
    other = record(tiny_weights, tmp_path / "other")
    other.reset(seed=9)
    env = record(tiny_weights, tmp_path / "kept")
    env.reset(seed=0)
    env.unwrapped.restore_state(other.unwrapped.save_state())
    env.step(STAND)
    env.close()
    with pytest.raises(ReplayError, match="continues a state that was not recorded"):
        verify(tmp_path / "kept" / "episode_001")


def test_a_replay_can_be_recorded_again_with_the_same_hashes(episode: Path, tmp_path: Path) -> None:
    assert replay(episode, out=tmp_path / "again").ok
    again = tmp_path / "again" / "episode_000"
    assert [line["sha256"] for line in lines_of(again)] == [line["sha256"] for line in lines_of(episode)]
    assert verify(again) == Report(again, blocks=6, differing=())


def test_a_restored_episode_brings_its_parent_along(tiny_weights: Path, tmp_path: Path) -> None:
    env = record(tiny_weights, tmp_path / "kept")
    env.reset(seed=5)
    env.unwrapped.restore_state(env.unwrapped.save_state())
    env.step(JUMP)
    env.close()
    assert replay(tmp_path / "kept" / "episode_001", out=tmp_path / "again").ok
    assert verify(tmp_path / "again" / "episode_001").ok


def test_what_is_no_recording_is_a_sentence(episode: Path, tmp_path: Path) -> None:
    with pytest.raises(ReplayError, match="is not a recorded episode"):
        verify(tmp_path / "nothing")
    (episode / "blocks.jsonl").write_text("")
    with pytest.raises(ReplayError, match="holds no whole block"):
        verify(episode)
    edit_meta(episode, lambda meta: meta.pop("seed"))
    with pytest.raises(ReplayError, match=r"meta\.json was changed: an entry does not fit \('seed'\)"):
        verify(episode)
    edit_meta(episode, lambda meta: meta.update(format=99))
    with pytest.raises(ReplayError, match="expected format 1, got 99"):
        verify(episode)


def test_lost_weights_are_a_sentence(episode: Path) -> None:
    with pytest.raises(ReplayError, match="The environment of this recording cannot be made: No weights named"):
        verify(episode, weights="nowhere")


@pytest.mark.parametrize("kept", [0, 40, 2000])
def test_a_damaged_video_is_said_but_hashes_still_compare(episode: Path, kept: int) -> None:
    video = episode / "video.mp4"
    video.write_bytes(video.read_bytes()[:kept])
    report = verify(episode)
    assert report.ok and len(report.remarks) == 1 and report.remarks[0].startswith("video.mp4 ")


def test_a_missing_video_is_said_but_hashes_still_compare(episode: Path) -> None:
    (episode / "video.mp4").unlink()
    report = verify(episode)
    assert report.ok and report.remarks == ("video.mp4 cannot be read: No such file or directory.",)
