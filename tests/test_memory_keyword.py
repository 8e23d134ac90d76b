"""A memory by its name: the keyword of make, the command line's options, rows, saved states, recordings and replays."""

from pathlib import Path

import gymnasium
import numpy as np
import pytest

import infrope_env  # noqa: F401  (registers the environments)
from infrope_env.cli_options import EnvironmentOptions
from infrope_env.config import Window
from infrope_env.recording.verification import Verdict, verify
from infrope_env.recording.wrapper import RecordRollout
from tests.tiny_world import tiny_world

ACTIONS = ("walk_right", "walk_right", "jump", "jump", "cut_desert", "stand", "stand", "wave")
POLICIES = ("deep_sink", "rolling_sink", "ema", "ema_sink", "jitter")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_world(tmp_path_factory.mktemp("world")))


def make(weights: str, **arguments: object) -> gymnasium.Env:
    return gymnasium.make("infrope/PocketWorld-v0", weights=weights, disable_env_checker=True, **arguments)


def play(env: gymnasium.Env, actions: tuple[str, ...] = ACTIONS) -> list[np.ndarray]:
    names = env.unwrapped.action_names
    return [env.step(names.index(action))[0] for action in actions]


def test_the_keyword_and_the_options_are_fields_of_the_window(weights: str) -> None:
    expected = Window.from_size(9, memory="ema")
    assert make(weights, memory="ema", window=9).unwrapped.window == expected
    assert make(weights, window={"memory": "ema", "size": 9}).unwrapped.window == expected
    assert EnvironmentOptions(weights=weights, memory="ema", window=9).make_env().unwrapped.window == expected
    forgetful = EnvironmentOptions(weights=weights, memory="ema", forget="cut").make_env().unwrapped.window
    assert forgetful == Window.from_size(6, memory="ema", forget="cut")
    with pytest.raises(ValueError, match="memory='sink' has nothing to forget"):
        EnvironmentOptions(weights=weights, forget="cut").make_env()
    with pytest.raises(ValueError, match="expected memory to be one of"):
        make(weights, memory="everything")


@pytest.mark.parametrize("memory", POLICIES)
def test_a_recording_replays_to_the_same_hashes_and_a_state_to_the_same_frames(
    weights: str, tmp_path: Path, memory: str
) -> None:
    env = RecordRollout(make(weights, memory=memory, window=9), tmp_path)
    env.reset(seed=3)
    play(env)
    state = env.unwrapped.save_state()
    first = play(env, ACTIONS[:3])
    env.close()
    report = verify(tmp_path / "episode_000")
    assert (report.verdict, report.blocks) == (Verdict.SAME, len(ACTIONS) + 4)
    fresh = make(weights, memory=memory, window=9)
    fresh.reset(seed=8)
    fresh.unwrapped.restore_state(state)
    assert all(np.array_equal(*pair) for pair in zip(play(fresh, ACTIONS[:3]), first, strict=True))
    with pytest.raises(ValueError, match="window"):
        make(weights, window=9).unwrapped.restore_state(state)


@pytest.mark.parametrize("memory", POLICIES)
def test_rows_of_a_vector_environment_are_single_environments(weights: str, memory: str) -> None:
    envs = gymnasium.make_vec(
        "infrope/PocketWorld-v0", num_envs=2, weights=weights, memory=memory, window=9, autoreset_mode="Disabled"
    )
    singles = [make(weights, memory=memory, window=9) for _ in range(2)]
    envs.reset(seed=[3, 5])
    for seed, single in zip((3, 5), singles, strict=True):
        single.reset(seed=seed)
    names = singles[0].unwrapped.action_names
    for action in ACTIONS:
        actions = [names.index(action), names.index("walk_left")]
        observations = envs.step(np.array(actions))[0]
        for row, single in enumerate(singles):
            expected = single.step(actions[row])[0]
            assert np.abs(observations[row].astype(int) - expected.astype(int)).max() <= 1
    envs.close()
