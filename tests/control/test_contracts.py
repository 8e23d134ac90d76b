"""The small contracts of control/: valid frames, the idle action, key names, steerable environments."""

from types import SimpleNamespace

import gymnasium
import numpy as np
import pytest

from infrope_env.control.frames import valid_frames
from infrope_env.control.idle import idle_action
from infrope_env.control.key_names import RESERVED_KEYS, WINDOW_COMMANDS, key_name
from infrope_env.control.playable import PlayableEnv, playable

NAMES = ("stand", "walk_right", "cut_snow")


@pytest.mark.parametrize("valid", [9, 12])
def test_the_valid_frames_are_the_last_ones_as_a_view(valid: int) -> None:
    observation = np.arange(12, dtype=np.uint8).reshape(12, 1, 1, 1)
    frames = valid_frames(observation, {"num_frames": valid})
    assert frames.ravel().tolist() == list(range(12 - valid, 12))
    assert np.shares_memory(frames, observation)


@pytest.mark.parametrize(("free_prompt", "motion", "action"), [(False, "walk_right", 0), (True, "walk_right", 1)])
def test_the_idle_action_is_action_0_or_the_motion_under_a_free_prompt(
    free_prompt: bool, motion: str, action: int
) -> None:
    assert idle_action({"free_prompt": free_prompt, "motion": motion}, NAMES) == action


@pytest.mark.parametrize(
    ("pygame_name", "name"),
    [("Left Shift", "shift"), ("right ctrl", "ctrl"), ("[1]", "1"), ("D", "d"), ("left", "left"), ("[", "[")],
)
def test_keys_have_the_names_of_action_sets(pygame_name: str, name: str) -> None:
    assert key_name(pygame_name) == name


def test_every_key_of_a_window_command_is_reserved() -> None:
    keys = [key for command in WINDOW_COMMANDS for key in command.keys]
    assert len(keys) == len(set(keys)) and set(keys) == RESERVED_KEYS


def test_the_steerable_environment_is_found_inside_any_wrapper(env: PlayableEnv) -> None:
    wrapped = gymnasium.wrappers.TransformReward(env, lambda reward: reward)  # type: ignore[arg-type]
    assert playable(wrapped) is env


def test_an_environment_that_cannot_be_steered_is_refused() -> None:
    with pytest.raises(ValueError, match="expected an infrope environment such as infrope/PocketWorld-v0, got"):
        playable(gymnasium.make("CartPole-v1"))
    assert not isinstance(SimpleNamespace(restores=0, set_prompt=print), PlayableEnv)
