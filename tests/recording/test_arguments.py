"""Whatever a caller passes, a block that was made is logged and replays."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from infrope_env.config import Sampler
from infrope_env.env_state import PromptRequest
from infrope_env.recording.episode import BlockReference
from infrope_env.recording.reader import Recording
from infrope_env.recording.verification import verify
from infrope_env.recording.wrapper import RecordRollout
from tests.recording.episodes import CUT_DESERT, JUMP, STAND, lines_of, record


class Text(str):
    """A string of another class, which shows itself differently."""

    __slots__ = ()

    def __str__(self) -> str:
        return "something else"


@pytest.mark.parametrize("cut", [np.bool_(True), np.True_ & True, 1, np.int64(1), np.array(True)], ids=repr)
@pytest.mark.parametrize("text", ["a fox waves", Text("a fox waves"), np.str_("a fox waves")], ids=repr)
def test_a_prompt_in_any_type_is_logged_with_its_block(tiny_weights: Path, tmp_path: Path, text: str, cut: Any) -> None:
    env = record(tiny_weights, tmp_path)
    env.reset(seed=4, options={"subject": Text("frog"), "scene": np.str_("cave")})
    env.unwrapped.pending_prompt = PromptRequest(text, cut)
    env.step(np.int64(STAND))
    env.step(np.array(JUMP, dtype=np.uint8)[()])
    env.close()
    assert lines_of(tmp_path / "episode_000")[1]["asked"] == {"given": True, "text": "a fox waves", "cut": True}
    assert [line["action"] for line in lines_of(tmp_path / "episode_000")] == [-1, STAND, JUMP]
    assert not verify(tmp_path / "episode_000").tampering


def test_a_numpy_bool_given_to_set_prompt_is_replayed(tiny_weights: Path, tmp_path: Path) -> None:
    env = record(tiny_weights, tmp_path)
    env.reset(seed=4)
    env.unwrapped.set_prompt(np.str_("a red robot waves hello in a city at night"), cut=np.bool_(True))
    env.step(STAND)
    env.step(JUMP)
    env.close()
    assert lines_of(tmp_path / "episode_000")[1]["transition"] == "cut"
    report = verify(tmp_path / "episode_000")
    assert report.ok and report.blocks == 3 and not report.notes


def test_a_cut_that_is_neither_true_nor_false_is_refused_before_the_block_is_made(
    tiny_weights: Path, tmp_path: Path
) -> None:
    env = record(tiny_weights, tmp_path)
    env.reset(seed=4)
    env.unwrapped.pending_prompt = PromptRequest("a fox waves", np.array([True, False]))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="truth value"):
        env.step(STAND)
    env.unwrapped.pending_prompt = None
    _, _, _, _, info = env.step(STAND)
    env.close()
    assert info["block"] == 1 and verify(tmp_path / "episode_000").ok


def test_numpy_arguments_of_the_environment_are_recorded_as_numbers(tiny_weights: Path, tmp_path: Path) -> None:
    made: Any = gymnasium.make("infrope/PocketWorld-v0", weights=tiny_weights, decode=np.bool_(True))
    env = RecordRollout(made, tmp_path)
    env.reset(seed=4)
    env.close()
    assert Recording.read(tmp_path / "episode_000").meta.env_kwargs["decode"] is True
    assert verify(tmp_path / "episode_000").ok


@pytest.mark.parametrize(
    "sampler", ["1000,500", [1000, 0], {"steps": [1000], "first_steps": [1000, 500], "warped": False}], ids=str
)
def test_steps_of_every_form_are_recorded_and_replayed(tiny_weights: Path, tmp_path: Path, sampler: Any) -> None:
    env = RecordRollout(gymnasium.make("infrope/PocketWorld-v0", weights=str(tiny_weights), sampler=sampler), tmp_path)
    env.reset(seed=4)
    env.step(JUMP)
    env.close()
    recording = Recording.read(tmp_path / "episode_000")
    assert recording.meta.env_kwargs["sampler"] == sampler
    assert recording.meta.made_with.sampler == str(Sampler.parse(sampler))
    report = verify(tmp_path / "episode_000")
    assert report.ok and not report.notes


def test_a_number_of_steps_is_recorded_with_the_steps_it_means_and_replayed(tiny_weights: Path, tmp_path: Path) -> None:
    env = RecordRollout(gymnasium.make("infrope/PocketWorld-v0", weights=str(tiny_weights), steps=2), tmp_path)
    env.reset(seed=4)
    env.step(JUMP)
    env.close()
    recording = Recording.read(tmp_path / "episode_000")
    assert recording.meta.env_kwargs["steps"] == 2
    assert recording.meta.made_with.sampler == "Sampler(steps=(1000, 500), shift=5.0)"
    report = verify(tmp_path / "episode_000")
    assert report.ok and not report.notes


def test_two_states_with_the_same_frames_are_told_apart(tiny_weights: Path, tmp_path: Path) -> None:
    """Blocks from one picture have equal frames, whatever the subject; without decoding, all blocks have."""
    env = record(tiny_weights, tmp_path, decode=False)
    states = []
    for subject in ("frog", "robot"):
        env.reset(seed=5, options={"subject": subject})
        states.append(env.unwrapped.save_state())
    for state in states:
        env.unwrapped.restore_state(state)
        env.step(CUT_DESERT)
    env.close()
    metas = [Recording.read(tmp_path / f"episode_00{number}").meta for number in (2, 3)]
    assert [meta.continues for meta in metas] == [BlockReference("episode_000", 0), BlockReference("episode_001", 0)]
    assert [meta.options["subject"] for meta in metas] == ["frog", "robot"]


def test_a_state_of_another_recording_with_the_same_frames_is_not_taken_for_a_recorded_one(
    tiny_weights: Path, tmp_path: Path
) -> None:
    other = record(tiny_weights, tmp_path / "other")
    other.reset(seed=5)
    env = record(tiny_weights, tmp_path / "kept")
    env.reset(seed=5)
    env.unwrapped.restore_state(other.unwrapped.save_state())
    env.step(STAND)
    env.close()
    assert Recording.read(tmp_path / "kept" / "episode_001").meta.continues == BlockReference(None, 0)
