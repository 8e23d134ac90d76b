"""The modes of autoreset against a reference of single environments, with resets of some rows at any time."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from infrope_env.env import InfinityRopeEnv
from infrope_env.vector_env import InfinityRopeVectorEnv

ROWS, STEPS = 3, 200
REWARD = "tests.test_vector_env_modes:half_brightness_until_a_wave"
PROMPT = "a green frog waves hello in a sunny beach"

Outcome = tuple[Any, float, bool, bool, dict[str, Any]]


def half_brightness_until_a_wave(frames, info):
    """Reward of the tests; a wave ends the episode now and then."""
    return float(frames.mean()) / 2, info["motion"] == "wave" and info["block"] % 2 == 1


@dataclass
class ReferenceRow:
    """A single environment that is reset as a mode of autoreset says.

    Attributes:
        env: The environment.
        mode: The mode.
        has_ended: Whether its episode has ended and nobody has reset it.
        last: The last block of an episode that ended in the newest step and was reset there; None otherwise.
    """

    env: InfinityRopeEnv
    mode: AutoresetMode
    has_ended: bool = False
    last: tuple[Any, dict[str, Any]] | None = field(default=None)

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self.has_ended, self.last = False, None
        return self.env.reset(seed=seed, options=options)

    def step(self, action: int) -> Outcome:
        """Return what the row of a vector environment returns."""
        self.last = None
        if self.has_ended:
            assert self.mode is AutoresetMode.NEXT_STEP
            observation, info = self.reset()
            return observation, 0.0, False, False, info
        observation, reward, terminated, truncated, info = self.env.step(action)
        self.has_ended = terminated or truncated
        if self.has_ended and self.mode is AutoresetMode.SAME_STEP:
            last = observation, info
            observation, info = self.reset()
            self.last = last
        return observation, reward, terminated, truncated, info


def row_of(infos: dict[str, Any], row: int) -> dict[str, Any]:
    """Return the info of one row: the values whose mask has it."""
    names = [name for name in infos if not name.startswith("_") and infos[f"_{name}"][row]]
    return {name: infos[name][row] for name in names if name not in ("final_obs", "final_info")}


def check(row: int, ours: tuple[Any, ...], wanted: Outcome, reference: ReferenceRow) -> None:
    """Compare the results of one row of a step with those of its reference."""
    observations, rewards, terminated, truncated, infos = ours
    assert np.array_equal(observations[row], wanted[0])
    assert (rewards[row], terminated[row], truncated[row]) == wanted[1:4]
    assert row_of(infos, row) == wanted[4]
    ended = bool(infos.get("_final_obs", np.zeros(ROWS, bool))[row])
    assert ended == (reference.last is not None)
    if reference.last is not None:
        assert np.array_equal(infos["final_obs"][row], reference.last[0])
        assert row_of(infos["final_info"], row) == reference.last[1]


def draw_mask(chance: np.random.Generator, needed: np.ndarray) -> np.ndarray:
    """Return which rows are reset now: those that need it, and each other one in every tenth step."""
    return needed | (chance.random(ROWS) < 0.1)


@pytest.mark.parametrize("mode", AutoresetMode)
def test_200_random_steps_with_resets_of_some_rows_are_those_of_single_environments(tiny_weights, mode):
    kwargs = {"weights": str(tiny_weights), "device": "cpu", "dtype": "float32", "max_blocks": 11, "reward": REWARD}
    envs = InfinityRopeVectorEnv(ROWS, autoreset_mode=mode, **kwargs)
    rows = [ReferenceRow(InfinityRopeEnv(**kwargs), mode) for _ in range(ROWS)]
    chance, resets, endings = np.random.default_rng(3), 0, 0
    observations, infos = envs.reset(seed=[5, 5, 8])
    for row, (reference, seed) in enumerate(zip(rows, (5, 5, 8), strict=True)):
        observation, info = reference.reset(seed)
        assert np.array_equal(observations[row], observation) and row_of(infos, row) == info
    for _ in range(STEPS):
        if chance.random() < 0.1:
            row = int(chance.integers(ROWS))
            if not rows[row].has_ended:
                envs.set_prompt([PROMPT if each == row else None for each in range(ROWS)], cut=True)
                rows[row].env.set_prompt(PROMPT, cut=True)
        actions = chance.integers(envs.single_action_space.n, size=ROWS)
        ours = envs.step(actions)
        for row, (reference, action) in enumerate(zip(rows, actions, strict=True)):
            check(row, ours, reference.step(action), reference)
        endings += int((ours[2] | ours[3]).sum())
        waits = np.array([each.has_ended and mode is AutoresetMode.DISABLED for each in rows])
        mask = draw_mask(chance, waits)
        if mask.any():
            resets += int(mask.sum())
            seeds = [None if chance.random() < 0.5 else int(chance.integers(99)) for _ in range(ROWS)]
            scene = str(chance.choice(["city", "cave"]))
            observations, infos = envs.reset(seed=seeds, options={"scene": scene, "reset_mask": mask})
            for row, reference in enumerate(rows):
                assert bool(infos["_block"][row]) == mask[row]
                if mask[row]:
                    observation, info = reference.reset(seeds[row], {"scene": scene})
                    assert np.array_equal(observations[row], observation) and row_of(infos, row) == info
                else:
                    assert np.array_equal(observations[row], ours[0][row])
    assert endings > 20 and resets > 30
    envs.close()
