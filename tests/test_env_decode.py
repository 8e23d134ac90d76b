"""Environments that skip decoding, and the rollouts that experiments put in place of the model's own."""

from pathlib import Path

import numpy as np
import pytest
import torch

from infrope_env.dynamics.rollout import Rollout
from infrope_env.env import InfinityRopeEnv
from tests.env_play import ACTIONS, JUMP, STAND, WAVE


@pytest.fixture
def undecoded(tiny_weights: Path) -> InfinityRopeEnv:
    return InfinityRopeEnv(weights=str(tiny_weights), device="cpu", decode=False)


def test_latents_are_those_of_the_newest_block(env):
    env.reset(seed=0)
    config = env.model.config
    assert env.latents.shape == (1, env.window.block, config.latent_channels, *config.latent_size)
    first = env.latents
    frames, _ = env.model.decoder.decode(first, None)
    assert np.array_equal(env.newest[0][-9:], frames[0].cpu().numpy())
    env.step(STAND)
    assert not torch.equal(env.latents, first)


def test_without_decoding_latents_and_info_are_the_same_and_frames_are_zeros(env, undecoded):
    assert undecoded.observation_space == env.observation_space
    decoded, skipped = env.reset(seed=7), undecoded.reset(seed=7)
    for action in (None, *ACTIONS):
        if action is not None:
            decoded, skipped = env.step(action)[::4], undecoded.step(action)[::4]
        assert skipped[1] == decoded[1]
        assert skipped[0] in undecoded.observation_space and not skipped[0].any()
        assert torch.equal(undecoded.latents, env.latents)


def test_without_decoding_the_decoder_is_never_called(undecoded, monkeypatch):
    def fail(*_: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(type(undecoded.model.decoder), "decode", fail)
    undecoded.reset(seed=7)
    undecoded.step(WAVE)


def test_without_decoding_states_work_and_hold_no_decoder_state(undecoded):
    undecoded.reset(seed=7)
    undecoded.step(JUMP)
    state = undecoded.save_state()
    assert state.decoder_state == ()
    infos, latents = zip(*[(undecoded.step(action)[-1], undecoded.latents) for action in ACTIONS], strict=True)
    undecoded.restore_state(state)
    for action, info, expected in zip(ACTIONS, infos, latents, strict=True):
        assert undecoded.step(action)[-1] == info and torch.equal(undecoded.latents, expected)


def test_without_decoding_the_first_block_after_a_reset_is_the_short_one_again(undecoded):
    assert [undecoded.reset(seed=7)[1]["num_frames"], undecoded.step(STAND)[-1]["num_frames"]] == [9, 12]
    assert undecoded.reset(seed=7)[1]["num_frames"] == 9


def test_an_experiment_makes_its_own_rollout(env, tiny_weights):
    seen = []

    class Experiment(InfinityRopeEnv):
        def make_rollout(self) -> Rollout:
            def record(layout, frame_ids, contexts):
                seen.append(frame_ids)
                return contexts

            return Rollout(self.model.transformer, self.window, self.model.sampler, context_hook=record)

    experiment = Experiment(weights=str(tiny_weights), device="cpu")
    assert np.array_equal(experiment.reset(seed=7)[0], env.reset(seed=7)[0])
    assert np.array_equal(experiment.step(WAVE)[0], env.step(WAVE)[0])
    assert seen == [(), (0, 2)]  # a switch sees the sink and the newest frame
