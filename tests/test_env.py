"""The environment: blocks, info, seeds, ends and rewards, as Gymnasium defines them."""

import hashlib
import json
import subprocess
import sys
import warnings
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import infrope_env
from infrope_env.env import InfinityRopeEnv
from tests.env_play import ACTIONS, CUT_SNOW, JUMP, STAND, WALK_RIGHT, WAVE, play


def test_importing_the_package_loads_nothing_heavy():
    code = "import sys, infrope_env; print([m for m in ('torch', 'pygame', 'av', 'tokenizers') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_environment_needs_no_pygame_until_it_is_shown():
    code = "import sys, infrope_env.env; print([m for m in ('pygame', 'tyro', 'av') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_both_worlds_are_registered():
    assert {"infrope/PocketWorld-v0", "infrope/Wan-v0"} <= gymnasium.registry.keys()
    assert infrope_env.__version__


def test_check_env_reports_nothing(tiny_weights, monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    env = gymnasium.make("infrope/PocketWorld-v0", weights=str(tiny_weights), render_mode="rgb_array")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped)


def test_a_step_is_a_block_of_pixel_frames(env):
    assert env.observation_space == gymnasium.spaces.Box(0, 255, (12, 32, 48, 3), np.uint8)
    assert env.action_space == gymnasium.spaces.Discrete(12)
    assert env.action_names[:3] == ("stand", "walk_left", "walk_right") and env.action_names[6] == "cut_meadow"
    observation, info = env.reset(seed=1)
    assert observation in env.observation_space and info["num_frames"] == 9
    observation, reward, terminated, truncated, info = env.step(STAND)
    assert observation in env.observation_space and info["num_frames"] == 12
    assert (reward, terminated, truncated) == (0.0, False, False)


def test_the_first_block_stands_at_the_end_behind_copies_of_its_first_frame(env):
    observation, _ = env.reset(seed=1)
    assert all(np.array_equal(observation[i], observation[3]) for i in range(3))
    assert not np.array_equal(observation[3], observation[4])


def test_another_block_size_has_other_observations(tiny_weights):
    env = InfinityRopeEnv(weights=str(tiny_weights), device="cpu", window={"block": 2})
    observation, info = env.reset(seed=1)
    assert observation.shape[0] == 8 and info["num_frames"] == 5


def test_info_says_what_a_block_shows(env):
    _, info = env.reset(seed=5, options={"subject": "frog", "scene": "cave"})
    assert info == {
        "block": 0,
        "num_frames": 9,
        "action": -1,
        "subject": "frog",
        "scene": "cave",
        "motion": "stand",
        "prompt": "a green frog stands still in a dark cave",
        "free_prompt": False,
        "transition": "start",
        "seed": 5,
    }
    info = env.step(CUT_SNOW)[-1]
    assert info == {
        "block": 1,
        "num_frames": 12,
        "action": CUT_SNOW,
        "subject": "frog",
        "scene": "snow",
        "motion": "stand",
        "prompt": "a green frog stands still in a snowy field",
        "free_prompt": False,
        "transition": "cut",
        "seed": 5,
    }
    assert json.loads(json.dumps(info)) == info


def test_info_has_the_same_keys_and_types_in_every_block(env):
    kinds = [{name: type(value) for name, value in info.items()} for info in infos_of_play(env)]
    assert kinds == [kinds[0]] * len(kinds) and list(kinds[0])[-1] == "seed"


def infos_of_play(env):
    yield env.reset(seed=5)[1]
    yield from (env.step(action)[-1] for action in (STAND, np.int64(CUT_SNOW)))
    env.set_prompt("a green frog stands still in a dark cave")
    yield env.step(STAND)[-1]
    yield env.restore_state(env.save_state())[1]


def test_transitions_follow_the_prompt(env):
    env.reset(seed=0)
    taken = (STAND, WALK_RIGHT, WALK_RIGHT, JUMP, CUT_SNOW, JUMP, STAND)
    transitions = [env.step(action)[-1]["transition"] for action in taken]
    assert transitions == ["continue", "switch", "continue", "switch", "cut", "continue", "switch"]


def test_the_same_seed_and_actions_give_the_same_bytes(env, tiny_weights):
    first = play(env)
    assert play(env) == first
    assert play(InfinityRopeEnv(weights=str(tiny_weights), device="cpu")) == first
    assert play(env, seed=8)[0] != first[0]


def test_another_action_gives_other_pixels(env):
    env.reset(seed=0)
    stood = env.step(STAND)[0]
    env.reset(seed=0)
    assert not np.array_equal(env.step(WALK_RIGHT)[0], stood)


def test_two_environments_do_not_disturb_each_other(env, tiny_weights):
    alone = play(env)
    other = InfinityRopeEnv(weights=str(tiny_weights), device="cpu")
    other.reset(seed=99)
    env.reset(seed=7)
    for action, expected in zip(ACTIONS, alone[1:], strict=True):
        other.step(WAVE)
        observation, info = env.step(action)[::4]
        assert (observation.tobytes(), json.dumps(info)) == expected


def test_another_process_makes_the_same_bytes(env, tiny_weights):
    code = (
        "import sys, torch; torch.set_num_threads(1)\n"
        "import hashlib\n"
        "from infrope_env.env import InfinityRopeEnv\n"
        "from tests.env_play import play\n"
        "blocks = play(InfinityRopeEnv(weights=sys.argv[1], device='cpu'))\n"
        "print(hashlib.sha256(b''.join(pixels for pixels, _ in blocks)).hexdigest())"
    )
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code, str(tiny_weights)], capture_output=True, text=True, check=True, cwd=root
    )
    assert done.stdout.strip() == hashlib.sha256(b"".join(pixels for pixels, _ in play(env))).hexdigest()


def test_without_a_seed_one_is_drawn_and_reported(env):
    env.reset(seed=3)
    first, info = env.reset()
    assert env.seed_used == info["seed"]
    again, _ = env.reset(seed=info["seed"])
    assert np.array_equal(first, again)
    env.reset(seed=3)
    assert env.reset()[1] == info


def test_returned_arrays_and_infos_are_the_callers_own(env):
    env.render_mode = "rgb_array"
    observation, info = env.reset(seed=1)
    kept, prompt = observation.copy(), info["prompt"]
    env.render()[:] = 0
    observation[:] = 0
    info["prompt"] = "changed"
    assert np.array_equal(env.render(), kept[-1])
    assert env.step(STAND)[-1]["transition"] == "continue" and env.save_state().info["prompt"] == prompt


def test_timings_are_kept_out_of_info(env):
    _, info = env.reset(seed=0)
    assert set(env.timings) == {"text_s", "denoise_s", "commit_s", "decode_s", "total_s"}
    assert not any(name.endswith("_s") for name in info)
    assert env.timings["total_s"] >= env.timings["denoise_s"] + env.timings["commit_s"] + env.timings["decode_s"]


def test_numpy_actions_are_actions(env):
    env.reset(seed=0)
    for action in (np.int64(2), np.array(2)):
        assert env.step(action)[-1]["action"] == 2


def test_the_arguments_can_be_written_as_json(tiny_weights):
    given = {"weights": str(tiny_weights), "device": "cpu", "dtype": "float32", "max_blocks": 5, "window": {"size": 7}}
    env = gymnasium.make("infrope/PocketWorld-v0", **json.loads(json.dumps(given)))
    assert env.unwrapped.window.size == 7 and env.spec.to_json()


def test_an_episode_is_truncated_after_max_blocks_the_first_included(tiny_weights):
    env = gymnasium.make("infrope/PocketWorld-v0", weights=str(tiny_weights), max_blocks=4)
    env.reset(seed=0)
    assert [env.step(STAND)[2:4] for _ in range(3)] == [(False, False), (False, False), (False, True)]
    env.reset(seed=0)
    assert env.step(STAND)[3] is False


def brightness(frames, info):
    return frames.mean() / 255


def reach_block_two(frames, info):
    return info["block"], info["block"] == 2


def test_a_reward_can_be_a_number(tiny_weights, monkeypatch):
    monkeypatch.setitem(sys.modules, "rewards", sys.modules[__name__])
    env = InfinityRopeEnv(weights=str(tiny_weights), device="cpu", reward="rewards:brightness")
    env.reset(seed=0)
    observation, reward, terminated, _, _ = env.step(STAND)
    assert type(reward) is float and reward == pytest.approx(observation.mean() / 255) and terminated is False


def test_a_reward_can_end_the_episode(tiny_weights, monkeypatch):
    monkeypatch.setitem(sys.modules, "rewards", sys.modules[__name__])
    env = InfinityRopeEnv(weights=str(tiny_weights), device="cpu", reward="rewards.reach_block_two")
    env.reset(seed=0)
    assert [env.step(STAND)[1:3] for _ in range(2)] == [(1.0, False), (2.0, True)]


def test_environments_whose_episodes_end_apart_make_a_vector(tiny_weights):
    makers = [lambda n=n: InfinityRopeEnv(weights=str(tiny_weights), device="cpu", max_blocks=n) for n in (2, 3)]
    vector = gymnasium.vector.SyncVectorEnv(makers)
    vector.reset(seed=0)
    actions = [vector.step(np.array([WALK_RIGHT, STAND]))[-1]["action"].tolist() for _ in range(4)]
    assert actions == [[2, 0], [-1, 0], [2, -1], [-1, 0]]
    vector.close()
