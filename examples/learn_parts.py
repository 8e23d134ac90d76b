"""The parts of `learn.py`: its reward from pixels, its worlds for Stable-Baselines3, its pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecEnv

from infrope_env.control.frames import Frames
from infrope_env.vector_env import InfinityRopeVectorEnv

SCENES = ("meadow", "desert", "snow", "city", "beach", "cave")
REACH = 40  # pixels from the middle of the frame, where the subject is
SHRINK = 4  # pixels of a frame that become one number of an observation, along each axis


def booth_columns(frame: Frames) -> NDArray[np.int64]:
    """Return the number of the booth's red pixels in each column of a frame H W 3; zeros under a bright sky."""
    red, green, blue = (frame[..., channel].astype(int) for channel in range(3))
    is_red = (red > 150) & (green < 80) & (blue < 90)
    at_night = frame[: len(frame) // 8].mean() < 90
    return is_red.sum(axis=0) * int(at_night)


def phone_booth(frames: Frames, info: dict[str, Any]) -> tuple[float, bool]:
    """Reward a block by its last pixel frame, t H W 3: 1 and the end with the booth beside the subject.

    Before that, the share of the booth that is in view is worth up to 0.05, and every block costs 0.01.
    """
    columns = booth_columns(frames[-1])
    middle = len(columns) // 2
    if columns[middle - REACH : middle + REACH].sum() > 100:
        return 1.0, True
    return 0.05 * min(1.0, float(columns.sum()) / 200) - 0.01, False


class Worlds(VecEnv):
    """A vector environment as Stable-Baselines3 takes it; observations are the last pixel frames, shrunk and flat.

    Attributes:
        ended: Whether each episode that the newest step ended was solved.
    """

    def __init__(self, envs: InfinityRopeVectorEnv, seed: int) -> None:
        """Wrap an environment whose autoreset mode is SAME_STEP; its episodes begin in scenes that a seed draws."""
        _, _, height, width, _ = envs.observation_space.shape or ()
        self._envs, self._chance, self.ended = envs, np.random.default_rng(seed), list[bool]()
        size = (height // SHRINK) * (width // SHRINK) * 3
        space = gymnasium.spaces.Box(0, 1, (size,), np.float32)
        super().__init__(envs.num_envs, space, envs.single_action_space)

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


def film(agent: PPO, scene: str, path: Path, options: dict[str, Any], seed: int = 77) -> None:
    """Write what an agent does from a start in a scene as an animation."""
    from PIL import Image

    env = gymnasium.make("infrope/PocketWorld-v0", **options)
    observation, _ = env.reset(seed=seed, options={"scene": scene})
    frames, ended = list(observation), False
    while not ended:
        action, _ = agent.predict(shrink(observation[None])[0], deterministic=True)
        observation, _, terminated, truncated, _ = env.step(int(action))
        frames, ended = frames + list(observation), terminated or truncated
    first, *rest = (Image.fromarray(frame) for frame in frames)
    first.save(path, save_all=True, append_images=rest, duration=62, loop=0)


def draw_curve(runs: list[list[tuple[int, bool]]], random_share: float, path: Path, window: int = 50) -> None:
    """Draw the share of solved episodes over blocks: each run, their mean, and what random actions solve."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4))
    grid = np.linspace(0, max((run[-1][0] for run in runs if run), default=1), 200)
    curves = []
    for run in runs:
        if len(run) >= window:
            solved = np.convolve([float(ok) for _, ok in run], np.ones(window) / window, "valid")
            curves.append(np.interp(grid, [blocks for blocks, _ in run[window - 1 :]], solved))
            axes.plot(grid, curves[-1], color="tab:blue", alpha=0.35, linewidth=1)
    if curves:
        axes.plot(grid, np.mean(curves, axis=0), color="tab:blue", label=f"agents, mean of {len(curves)} seeds")
    axes.axhline(random_share, color="tab:gray", linestyle="--", label="random actions")
    axes.set(xlabel="blocks made in training", ylabel=f"episodes solved, of the last {window}", ylim=(0, 1.02))
    axes.legend(loc="lower right")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
