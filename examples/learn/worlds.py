"""A vector environment as Stable-Baselines3 takes it, with small observations."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from infrope_env.control.frames import Frames
from infrope_env.vector_env import InfinityRopeVectorEnv

SCENES = ("meadow", "snow", "city")
SHRINK = 4  # pixels of a frame that become one number of an observation, along each axis


class Worlds(VecEnv):
    """A vector environment as Stable-Baselines3 takes it; observations are the last pixel frames, shrunk and flat.

    Attributes:
        action_names: Name of every action, by index.
        ended: Whether each episode that the newest step ended was solved.
    """

    def __init__(self, rows: int, seed: int, options: dict[str, Any]) -> None:
        """Make the environment; its episodes begin in scenes that a seed draws."""
        envs = gymnasium.make_vec("infrope/PocketWorld-v0", rows, autoreset_mode="SameStep", **options)
        assert isinstance(envs, InfinityRopeVectorEnv)
        self._envs, self._chance, self.ended = envs, np.random.default_rng(seed), list[bool]()
        self.action_names = envs.rows[0].action_names
        height, width = envs.rows[0].model.frame_size
        size = (height // SHRINK) * (width // SHRINK) * 3
        space = gymnasium.spaces.Box(0, 1, (size,), np.float32)
        super().__init__(rows, space, envs.single_action_space)

    def reset(self) -> NDArray[np.float32]:
        """Start an episode in every row."""
        self._draw_scenes()
        return shrink(self._envs.reset(seed=int(self._chance.integers(2**31)))[0])

    def step_async(self, actions: NDArray[np.int64]) -> None:
        """Keep the actions for `step_wait`."""
        self._actions = actions

    def step_wait(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Make a block in every row. Rows whose episode ended begin another, in a scene drawn before."""
        observations, rewards, terminated, truncated, infos = self._envs.step(self._actions)
        each: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for row in np.flatnonzero(terminated | truncated).tolist():
            each[row]["terminal_observation"] = shrink(infos["final_obs"][row][None])[0]
            each[row]["TimeLimit.truncated"] = bool(truncated[row] and not terminated[row])
        ended = terminated | truncated
        self.ended = terminated[ended].tolist()
        if self.ended:
            self._draw_scenes()
        return shrink(observations), rewards.astype(np.float32), ended, each

    def close(self) -> None:
        """Close the environment."""
        self._envs.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Return an attribute of rows."""
        return [getattr(self._envs.rows[row], attr_name) for row in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Set an attribute of rows."""
        for row in self._get_indices(indices):
            setattr(self._envs.rows[row], attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        """Return what a method of rows returns."""
        return [getattr(self._envs.rows[row], method_name)(*args, **kwargs) for row in self._get_indices(indices)]

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> list[bool]:
        """Return that no row is wrapped."""
        return [False for _ in self._get_indices(indices)]

    def _draw_scenes(self) -> None:
        """Draw the scene in which each row's next episode begins."""
        for row, scene in zip(self._envs.rows, self._chance.choice(SCENES, self.num_envs), strict=True):
            row.start["scene"] = str(scene)


def shrink(observations: Frames) -> NDArray[np.float32]:
    """Return the last pixel frames of observations b t H W 3, averaged over squares: b (h w 3), in [0, 1]."""
    last = observations[:, -1]
    b, height, width, _ = last.shape
    squares = last.reshape(b, height // SHRINK, SHRINK, width // SHRINK, SHRINK, 3)
    return (squares.mean(axis=(2, 4)) / 255).reshape(b, -1).astype(np.float32)
