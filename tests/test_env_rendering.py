"""Rendering: arrays and lists, and the keys of `gymnasium.utils.play`. test_env_live.py has the window."""

import numpy as np

from infrope_env.env import InfinityRopeEnv
from infrope_env.player.key_codes import key_code
from tests.env_play import CUT_MEADOW, JUMP, STAND, WALK_RIGHT


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


def test_keys_are_pygame_s_codes(env):
    import pygame

    keys = env.get_keys_to_action()
    assert keys[(pygame.K_RIGHT,)] == keys[(pygame.K_d,)] == WALK_RIGHT
    assert keys[(pygame.K_SPACE,)] == JUMP and keys[(pygame.K_1,)] == CUT_MEADOW
    assert (key_code("page up"), key_code("caps lock")) == (pygame.K_PAGEUP, pygame.K_CAPSLOCK)
