import hashlib
import json
import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env

import infrope_env
from infrope_env.env import InfinityRopeEnv
from infrope_env.models.options import fast_dtype
from infrope_env.player.key_codes import key_code
from tests.tiny_world import tiny_world

ACTIONS = (0, 2, 2, 3, 9, 2, 7, 7, 0, 1)  # motions held and changed, cuts elsewhere and in place
STAND, WALK_RIGHT, JUMP, WAVE, CUT_MEADOW, CUT_SNOW = 0, 2, 3, 5, 6, 8


@pytest.fixture
def env(tiny_weights: Path) -> InfinityRopeEnv:
    return InfinityRopeEnv(weights=str(tiny_weights), device="cpu")


def play(env: gymnasium.Env, actions: tuple[int, ...] = ACTIONS, seed: int = 7) -> list[tuple[bytes, str]]:
    """Pixels and info of every block."""
    steps = [env.reset(seed=seed)] + [env.step(action)[::4] for action in actions]
    return [(observation.tobytes(), json.dumps(info)) for observation, info in steps]


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


def test_check_env_has_nothing_to_say(tiny_weights, monkeypatch):
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


def test_another_block_size_has_another_clip(tiny_weights):
    env = InfinityRopeEnv(weights=str(tiny_weights), device="cpu", window={"block": 2})
    observation, info = env.reset(seed=1)
    assert observation.shape[0] == 8 and info["num_frames"] == 5


def test_info_says_what_a_block_shows(env):
    _, info = env.reset(seed=5, options={"subject": "frog", "scene": "cave"})
    assert info == {
        "block": 0,
        "num_frames": 9,
        "action": None,
        "subject": "frog",
        "scene": "cave",
        "motion": "stand",
        "prompt": "a green frog stands still in a dark cave",
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
        "transition": "cut",
    }
    assert json.loads(json.dumps(info)) == info


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
        "from tests.test_env import *\n"
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


# saved states


def test_a_restored_state_has_the_same_future(env):
    play(env, ACTIONS[:4])
    state = env.save_state()
    futures = []
    for _ in range(2):
        observation, info = env.restore_state(state)
        futures.append([(observation.tobytes(), json.dumps(info))])
        futures[-1] += [(o.tobytes(), json.dumps(i)) for o, _, _, _, i in map(env.step, ACTIONS)]
        futures[-1] += [(o.tobytes(), json.dumps(i)) for o, i in [env.reset()]]  # the drawn seed is part of the future
    assert futures[0] == futures[1]


def test_a_state_is_a_copy_both_ways(env):
    env.render_mode = "rgb_array"
    play(env, ACTIONS[:4])
    state = env.save_state()
    rendered = env.render()
    expected = [env.step(JUMP)[0].tobytes(), env.reset()[1]]
    env.restore_state(state)
    spoilt = env.save_state()
    with torch.inference_mode():
        for tensor in (*spoilt.memory, spoilt.rollout.keys, spoilt.rollout.values):
            tensor.zero_()
    spoilt.clip[:] = 0
    spoilt.info["prompt"] = "spoilt"
    spoilt.np_random.random()
    assert np.array_equal(env.render(), rendered)
    frames, *_, info = env.step(JUMP)  # held since the block before
    assert info["transition"] == "continue" and [frames.tobytes(), env.reset()[1]] == expected


def test_restoring_shows_the_newest_block_again(env):
    for steps in range(2):
        played = play(env, ACTIONS[:steps])
        state = env.save_state()
        env.step(WAVE)
        observation, info = env.restore_state(state)
        assert (observation.tobytes(), json.dumps(info)) == played[-1]


def test_a_state_travels_to_another_environment_and_through_pickle(env, tiny_weights):
    play(env, ACTIONS[:4])
    state = pickle.loads(pickle.dumps(env.save_state()))
    expected = [env.step(action)[0] for action in ACTIONS]
    other = InfinityRopeEnv(weights=str(tiny_weights), device="cpu")
    other.restore_state(state)
    assert (other.seed_used, other.steering) == (7, state.steering)
    assert all(np.array_equal(other.step(a)[0], frames) for a, frames in zip(ACTIONS, expected, strict=True))


def test_a_state_keeps_what_was_asked_for(env):
    env.reset(seed=2)
    env.set_prompt("an orange fox waves hello in a dark cave", cut=True)
    state = env.save_state()
    asked = env.step(STAND)[-1]
    env.step(JUMP)
    env.restore_state(state)
    assert env.step(STAND)[-1] == asked and asked["transition"] == "cut"


def test_a_state_counts_blocks(tiny_weights):
    env = InfinityRopeEnv(weights=str(tiny_weights), device="cpu", max_blocks=3)
    env.reset(seed=0)
    state = env.save_state()
    assert [env.step(STAND)[3] for _ in range(2)] == [False, True]
    env.restore_state(state)
    assert [env.step(STAND)[3] for _ in range(2)] == [False, True]


def test_a_state_of_another_window_world_or_dtype_is_refused(env, tiny_weights, tmp_path):
    env.reset(seed=0)
    state = env.save_state()
    other_dtype = "bfloat16" if fast_dtype(torch.device("cpu")) is torch.float32 else "float32"
    for arguments in ({"window": 7}, {"weights": str(tiny_world(tmp_path, seed=1))}, {"dtype": other_dtype}):
        with pytest.raises(ValueError, match="same weights, device, dtype, window and action set"):
            InfinityRopeEnv(**{"weights": str(tiny_weights), "device": "cpu"} | arguments).restore_state(state)


@pytest.mark.parametrize(
    ("method", "act"),
    [
        ("decode", lambda env: env.step(JUMP)),
        ("decode", lambda env: env.reset(seed=3)),
        ("reset", lambda env: env.reset(seed=3)),
    ],
)
def test_a_block_that_was_stopped_half_way_is_not_gone_on_from(env, monkeypatch, method, act):
    expected = play(env, (STAND, JUMP))[2][0]
    env.reset(seed=7)
    env.step(STAND)
    state = env.save_state()
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(type(env.model.decoder if method == "decode" else env._rollout), method, stop)
        act(env)
    for refused in (lambda: env.step(JUMP), env.render, env.save_state):
        with pytest.raises(ResetNeeded, match="stopped half way"):
            refused()
    env.restore_state(state)
    assert env.step(JUMP)[0].tobytes() == expected


def stop(*_: object) -> None:
    raise KeyboardInterrupt


# free text


def test_a_set_prompt_is_a_switch_and_holds_until_the_motion_changes(env):
    env.reset(seed=0)
    env.set_prompt("a green frog waves hello in a sunny beach")
    infos = [env.step(action)[-1] for action in (STAND, STAND, WALK_RIGHT)]
    assert [info["transition"] for info in infos] == ["switch", "continue", "switch"]
    assert infos[1]["prompt"] == "a green frog waves hello in a sunny beach"
    assert infos[2]["prompt"] == "a green frog walks to the right in a sunny beach"
    assert [(info["subject"], info["scene"], info["motion"]) for info in infos[1:]] == [
        ("frog", "beach", "stand"),
        ("frog", "beach", "walk_right"),
    ]


def test_a_prompt_can_come_with_a_cut_which_lasts_one_block(env):
    env.reset(seed=0)
    env.set_prompt("a green frog waves hello in a sunny beach", cut=True)
    assert [env.step(STAND)[-1]["transition"] for _ in range(2)] == ["cut", "continue"]


def test_an_action_wins_over_the_motion_of_a_prompt_that_waits_and_its_cut_is_made(env):
    env.reset(seed=0)
    env.set_prompt("a green frog waves hello in a sunny beach", cut=True)
    info = env.step(JUMP)[-1]
    assert (info["prompt"], info["transition"]) == ("a green frog jumps up and down in a sunny beach", "cut")
    assert env.step(JUMP)[-1]["transition"] == "continue"


def test_a_prompt_taken_back_before_the_next_block_changes_nothing(env):
    _, info = env.reset(seed=0)
    env.set_prompt("a green frog waves hello in a sunny beach")
    env.set_prompt(info["prompt"])
    assert env.step(STAND)[-1]["transition"] == "continue"


def test_a_prompt_that_was_never_shown_leaves_no_names_behind(env):
    env.reset(seed=0)
    env.set_prompt("a green frog waves hello in a sunny beach")
    env.set_prompt("waves hello")
    infos = [env.step(action)[-1] for action in (STAND, JUMP)]
    assert [info["prompt"] for info in infos] == ["waves hello", "an orange fox jumps up and down in a snowy field"]


def test_the_prompt_can_be_free_from_the_start(env):
    _, info = env.reset(seed=0, options={"prompt": "a red robot waves hello in a dark cave", "scene": "city"})
    assert info["prompt"] == "a red robot waves hello in a dark cave"
    assert (info["subject"], info["scene"], info["motion"]) == ("robot", "cave", "stand")
    assert env.step(STAND)[-1]["prompt"] == info["prompt"]


def test_a_prompt_that_cannot_be_read_changes_nothing(env):
    env.reset(seed=0)
    expected = env.save_state()
    for attempt in (
        lambda: env.set_prompt("a quokka waves hello"),
        lambda: env.reset(seed=1, options={"prompt": "a quokka"}),
    ):
        with pytest.raises(ValueError, match="'quokka'"):
            attempt()
    assert env.steering == expected.steering and env.seed_used == 0
    assert env.step(STAND)[-1]["transition"] == "continue"


# ends and rewards


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
    assert actions == [[2, 0], [None, 0], [2, None], [None, 0]]
    vector.close()


# rendering


def test_rgb_array_is_the_newest_frame(tiny_weights):
    env = InfinityRopeEnv(weights=str(tiny_weights), device="cpu", render_mode="rgb_array")
    observation, _ = env.reset(seed=0)
    assert np.array_equal(env.render(), observation[-1])


def test_rgb_array_list_is_every_valid_frame_since_the_last_call(tiny_weights):
    env = InfinityRopeEnv(weights=str(tiny_weights), device="cpu", render_mode="rgb_array_list")
    first, _ = env.reset(seed=0)
    second = env.step(STAND)[0]
    assert np.array_equal(env.render(), np.concatenate([first[3:], second]))
    assert env.render() == []


def test_a_human_sees_every_valid_frame_in_order(tiny_weights, monkeypatch):
    shown: list[np.ndarray] = []
    closed: list[bool] = []

    class FakeWindow:
        def __init__(self, frame_size, title):
            assert frame_size == (32, 48)

        def play_frames(self, frames, fps):
            assert fps == 16
            shown.extend(frames)

        def close(self):
            closed.append(True)

    monkeypatch.setattr("infrope_env.player.window.Window", FakeWindow)
    env = InfinityRopeEnv(weights=str(tiny_weights), device="cpu", render_mode="human")
    first, _ = env.reset(seed=0)
    second = env.step(STAND)[0]
    assert env.render() is None and np.array_equal(shown, np.concatenate([first[3:], second]))
    env.close()
    env.close()
    assert closed == [True]


def test_timings_are_kept_out_of_info(env):
    _, info = env.reset(seed=0)
    assert set(env.timings) == {"text_s", "denoise_s", "commit_s", "decode_s", "total_s"}
    assert not any(name.endswith("_s") for name in info)
    assert env.timings["total_s"] >= env.timings["denoise_s"] + env.timings["commit_s"] + env.timings["decode_s"]


def test_keys_are_pygame_s_codes(env):
    import pygame

    keys = env.get_keys_to_action()
    assert keys[(pygame.K_RIGHT,)] == keys[(pygame.K_d,)] == WALK_RIGHT
    assert keys[(pygame.K_SPACE,)] == JUMP and keys[(pygame.K_1,)] == CUT_MEADOW
    assert (key_code("page up"), key_code("caps lock")) == (pygame.K_PAGEUP, pygame.K_CAPSLOCK)


# sentences


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"render_mode": "ansi"}, "expected render_mode to be None or one of rgb_array, .*, got 'ansi'"),
        ({"max_blocks": 1}, r"expected max_blocks to be at least 2 \(reset makes the first block\), got 1"),
        ({"max_blocks": 2.5}, "expected max_blocks to be at least 2"),
        ({"actions": "pokcet"}, "No action set named 'pokcet'"),
        ({"weights": "nowhere"}, "No weights named 'nowhere'"),
        ({"window": 3}, "expected a window of at least"),
        ({"window": {"sinks": 2}}, "unknown window setting 'sinks'"),
        ({"reward": "brightness"}, "expected reward to be a dotted name"),
        ({"reward": "no.such:thing"}, "There is no reward 'no.such:thing': No module named 'no'"),
        ({"reward": "json:nothing"}, "There is no reward 'json:nothing': .*no attribute 'nothing'"),
        ({"reward": "math:pi"}, "expected reward 'math:pi' to be callable, got a float"),
    ],
)
def test_arguments_that_cannot_work_are_refused(tiny_weights, arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        InfinityRopeEnv(**{"weights": str(tiny_weights), "device": "cpu", **arguments})


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"scenery": "snow"}, "expected reset options to be among subject, .*, prompt, image, got 'scenery'"),
        ({"scene": "moon"}, "expected scene to be one of meadow, .*, got 'moon'"),
        ({"subject": "cat"}, "expected subject to be one of robot"),
        ({"motion": 3}, "expected reset option 'motion' to be a string, got 3"),
    ],
)
def test_reset_options_that_do_not_exist_are_refused(env, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        env.reset(options=options)


@pytest.mark.parametrize("action", [-1, 12, "jump", 1.5, None])
def test_an_unknown_action_is_refused_with_the_known_ones(env, action):
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"expected an action from 0 to 11 \(0 stand, 1 walk_left, .*got"):
        env.step(action)


@pytest.mark.parametrize("call", ["step", "render", "save_state", "set_prompt"])
def test_nothing_can_be_done_before_the_first_reset(env, call):
    with pytest.raises(ResetNeeded, match=rf"Cannot call {call}\(\) before reset\(\)"):
        getattr(env, call)(*{"step": [0], "set_prompt": ["a fox"]}.get(call, []))


def test_numpy_actions_are_actions(env):
    env.reset(seed=0)
    for action in (np.int64(2), np.array(2)):
        assert env.step(action)[-1]["action"] == 2


def test_the_arguments_can_be_written_as_json(tiny_weights):
    given = {"weights": str(tiny_weights), "device": "cpu", "dtype": "float32", "max_blocks": 5, "window": {"size": 7}}
    env = gymnasium.make("infrope/PocketWorld-v0", **json.loads(json.dumps(given)))
    assert env.unwrapped.window.size == 7 and env.spec.to_json()


def test_the_big_world_says_what_it_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("INFROPE_CACHE", str(tmp_path))
    with pytest.raises(ValueError, match=r"'infinite-forcing' is not here. Run 'infrope weights infinite-forcing --d"):
        gymnasium.make("infrope/Wan-v0")
