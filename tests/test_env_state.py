"""Saved and restored states, and blocks that were interrupted."""

import json
import pickle
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from gymnasium.error import ResetNeeded

from infrope_env.env import InfinityRopeEnv
from infrope_env.models.options import fast_dtype
from tests.env_play import ACTIONS, JUMP, STAND, WAVE, play
from tests.tiny_world import tiny_world


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
    other = env.save_state()
    with torch.inference_mode():
        for tensor in (*other.decoder_state, other.latents, other.rollout.keys, other.rollout.values):
            tensor.zero_()
    other.observation[:] = 0
    other.info["prompt"] = "changed"
    other.np_random.random()
    assert np.array_equal(env.render(), rendered)
    frames, *_, info = env.step(JUMP)  # held since the block before
    assert info["transition"] == "continue" and [frames.tobytes(), env.reset()[1]] == expected


class OnGPU:
    """A stand-in for a tensor on a GPU, which only says where it is copied to."""

    def to(self, device, *, copy):
        return device, copy


def test_a_state_is_copied_to_host_memory(env):
    play(env, ACTIONS[:2])
    env.commit()
    env._latents, env._codec._state = OnGPU(), (OnGPU(),)
    env._rollout.cache = SimpleNamespace(keys=OnGPU(), values=OnGPU(), slot_of={}, averages={7: OnGPU()})
    state = env.save_state()
    assert (state.latents, state.rollout.keys, state.rollout.values, *state.decoder_state) == (("cpu", True),) * 4
    assert state.rollout.averages == {7: ("cpu", True)}


def test_after_a_decode_that_failed_no_block_is_decoded_until_a_reset_or_a_restore(env, monkeypatch):
    play(env, ACTIONS[:2])
    codec, latents, saved = env._codec, env._latents, env._codec.save()
    expected = codec.decode(latents)
    codec.restore(saved)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(type(env.model.decoder), "decode", interrupt)
        codec.decode(latents)
    with pytest.raises(RuntimeError, match="not decoded to its end"):
        codec.decode(latents)
    codec.restore(saved)
    assert np.array_equal(codec.decode(latents), expected)
    codec.reset()
    assert len(codec.decode(latents)) < len(expected)


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


def test_a_state_keeps_a_prompt_that_was_not_shown_yet(env):
    env.reset(seed=2)
    env.set_prompt("an orange fox waves hello in a dark cave", cut=True)
    state = env.save_state()
    expected = env.step(STAND)[-1]
    env.step(JUMP)
    env.restore_state(state)
    assert env.step(STAND)[-1] == expected and expected["transition"] == "cut"


def test_a_state_counts_blocks(tiny_weights):
    env = InfinityRopeEnv(weights=str(tiny_weights), device="cpu", max_blocks=3)
    env.reset(seed=0)
    state = env.save_state()
    assert [env.step(STAND)[3] for _ in range(2)] == [False, True]
    env.restore_state(state)
    assert [env.step(STAND)[3] for _ in range(2)] == [False, True]


def test_a_state_of_another_window_model_dtype_sampler_or_decoding_is_refused(env, tiny_weights, tmp_path):
    env.reset(seed=0)
    state = env.save_state()
    other_dtype = "bfloat16" if fast_dtype(torch.device("cpu")) is torch.float32 else "float32"
    other_weights = {"weights": str(tiny_world(tmp_path, seed=1))}
    others = ({"window": 7}, other_weights, {"dtype": other_dtype}, {"decode": False}, {"sampler": "1000,500"})
    for arguments in others:
        with pytest.raises(
            ValueError, match="same weights, steps, device, dtype, precision, window, actions and decode"
        ):
            InfinityRopeEnv(**{"weights": str(tiny_weights), "device": "cpu"} | arguments).restore_state(state)


@pytest.mark.parametrize(
    ("method", "act"),
    [
        ("decode", lambda env: env.step(JUMP)),
        ("decode", lambda env: env.reset(seed=3)),
        ("reset", lambda env: env.reset(seed=3)),
    ],
)
def test_an_interrupted_block_needs_a_reset_or_a_restore(env, monkeypatch, method, act):
    expected = play(env, (STAND, JUMP))[2][0]
    env.reset(seed=7)
    env.step(STAND)
    state = env.save_state()
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(type(env.model.decoder if method == "decode" else env._rollout), method, interrupt)
        act(env)
    for refused in (lambda: env.step(JUMP), env.render, env.save_state, lambda: env.latents):
        with pytest.raises(ResetNeeded, match="its last block was interrupted"):
            refused()
    env.restore_state(state)
    assert env.step(JUMP)[0].tobytes() == expected


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_restores_are_counted(env):
    env.reset(seed=0)
    state = env.save_state()
    assert env.restores == 0
    for count in (1, 2):
        env.restore_state(state)
        env.step(STAND)
        assert env.restores == count
    env.reset(seed=0)
    assert env.restores == 2


def test_a_restored_state_brings_its_latents_back(env):
    env.reset(seed=0)
    expected, state = env.latents.clone(), env.save_state()
    env.step(JUMP)
    assert not torch.equal(env.latents, expected)
    env.restore_state(state)
    assert torch.equal(env.latents, expected)


def test_an_experiment_restores_a_state_under_other_rules_of_the_same_size(env, tiny_weights):
    play(env, ACTIONS[:4])
    state = env.save_state()
    other = InfinityRopeEnv(weights=str(tiny_weights), device="cpu", window={"on_switch": "none"})
    with pytest.raises(ValueError, match="expected a state of the same weights"):
        other.restore_state(state)
    observation, info = other.restore_state(replace(state, origin=other.origin))
    assert np.array_equal(observation, state.observation) and info == state.info
    expected, others = env.step(WAVE), other.step(WAVE)
    assert others[-1] == expected[-1] and not np.array_equal(others[0], expected[0])
