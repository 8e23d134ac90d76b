"""Views of an environment for tools that expect one image per step."""

from __future__ import annotations

from collections import deque
from typing import Any

import gymnasium
import numpy as np
from einops import rearrange
from gymnasium.spaces import Box, Space
from gymnasium.utils import RecordConstructorArgs

from infrope_env.control.frames import Frames, valid_frames
from infrope_env.control.playable import newest_block_id
from infrope_env.recording.wrapper import RecordRollout

__all__ = ["FrameByFrame", "LastFrame", "NumericInfo", "RecordRollout", "StackChannels"]


class FrameByFrame(gymnasium.Wrapper[Frames, Any, Frames, Any], RecordConstructorArgs):
    """A wrapper with one pixel frame per step: `gymnasium.utils.play` and `RecordVideo` get every frame, at 16 fps.

    A step makes a new block only when all frames of the newest one have been returned. It then returns the first frame
    of the new block; until then actions have no effect. The last frame of a block has its reward, terminated and
    truncated. `info` is the block's, with "frame", the index among its valid frames.
    """

    def __init__(self, env: gymnasium.Env[Frames, Any]) -> None:
        """Wrap an environment; ValueError when its observations are not blocks, t H W 3."""
        RecordConstructorArgs.__init__(self)
        gymnasium.Wrapper.__init__(self, env)
        self.observation_space = _images(env, channels=3)
        self._queued = newest_block_id(env)  # the block that the frames belong to
        self._frames: deque[Frames] = deque()  # of the newest block, not yet returned
        self._outcome: tuple[float, bool, bool] = (0.0, False, False)
        self._info: dict[str, Any] = {}
        self._unrendered: list[Frames] = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Frames, dict[str, Any]]:
        """Start a rollout; return its first pixel frame, H W 3."""
        self._queue(*self.env.reset(seed=seed, options=options), outcome=(0.0, False, False))
        return self._next_frame()

    def step(self, action: Any) -> tuple[Frames, float, bool, bool, dict[str, Any]]:
        """Return the next pixel frame, H W 3; when there is none left, make a block under `action`."""
        if newest_block_id(self.env) != self._queued:
            self._frames.clear()  # of the block before a restored state or an interrupted reset
        if not self._frames:
            observation, reward, terminated, truncated, info = self.env.step(action)
            self._queue(observation, info, outcome=(float(reward), terminated, truncated))
        frame, info = self._next_frame()
        return frame, *((0.0, False, False) if self._frames else self._outcome), info

    def render(self) -> Any:
        """Return the newest frame that reset or step returned, or a list of those since the last call."""
        if self.render_mode == "rgb_array_list":
            frames, self._unrendered = self._unrendered, []
            return frames
        return self._frame.copy() if self.render_mode == "rgb_array" else self.env.render()

    def _queue(self, observation: Frames, info: dict[str, Any], outcome: tuple[float, bool, bool]) -> None:
        """Queue the valid frames of a new block."""
        self._frames = deque(valid_frames(observation, info))
        self._info, self._outcome, self._queued = info, outcome, newest_block_id(self.env)
        if self.render_mode == "rgb_array_list":
            self.env.render()  # empties the environment's list; this wrapper lists the frames one by one

    def _next_frame(self) -> tuple[Frames, dict[str, Any]]:
        self._frame = self._frames.popleft()
        if self.render_mode == "rgb_array_list":
            self._unrendered.append(self._frame.copy())
        index = self._info["num_frames"] - len(self._frames) - 1
        return self._frame.copy(), self._info | {"frame": index}


class LastFrame(gymnasium.ObservationWrapper[Frames, Any, Frames], RecordConstructorArgs):
    """A wrapper that observes only the newest pixel frame, H W 3; a step is still a whole block."""

    def __init__(self, env: gymnasium.Env[Frames, Any]) -> None:
        """Wrap an environment; ValueError when its observations are not blocks, t H W 3."""
        RecordConstructorArgs.__init__(self)
        gymnasium.ObservationWrapper.__init__(self, env)
        self.observation_space = _images(env, channels=3)

    def observation(self, observation: Frames) -> Frames:
        """Return the newest pixel frame: t H W 3 -> H W 3."""
        return observation[-1].copy()


class StackChannels(gymnasium.ObservationWrapper[Frames, Any, Frames], RecordConstructorArgs):
    """A wrapper that stacks the newest `frames` pixel frames as channels of one image, oldest first: H W (3 frames)."""

    def __init__(self, env: gymnasium.Env[Frames, Any], frames: int = 4) -> None:
        """Wrap an environment.

        Args:
            env: The environment.
            frames: Number of pixel frames to stack.

        Raises:
            ValueError: Observations are not blocks, t H W 3, or have fewer frames.
        """
        RecordConstructorArgs.__init__(self, frames=frames)
        gymnasium.ObservationWrapper.__init__(self, env)
        self.frames = frames
        self.observation_space = _images(env, channels=3 * frames)
        available = _block_shape(env)[0]
        if not 1 <= frames <= available:
            raise ValueError(f"expected frames to be from 1 to {available}, those of a block, got {frames}")

    def observation(self, observation: Frames) -> Frames:
        """Return the newest frames as channels: t H W 3 -> H W (3 frames)."""
        return np.ascontiguousarray(rearrange(observation[-self.frames :], "t h w c -> h w (t c)"))


class NumericInfo(gymnasium.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """A wrapper that keeps only the numbers of an info, for tools that store infos as arrays; a bool becomes 0 or 1."""

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        """Wrap an environment, with other wrappers or without."""
        RecordConstructorArgs.__init__(self)
        gymnasium.Wrapper.__init__(self, env)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset the environment; return its observation and the numbers of its info."""
        observation, info = self.env.reset(seed=seed, options=options)
        return observation, _numbers(info)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Step the environment; return what it returns, with the numbers of its info."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        return observation, reward, terminated, truncated, _numbers(info)


def _numbers(info: dict[str, Any]) -> dict[str, Any]:
    numbers = {name: value for name, value in info.items() if isinstance(value, int | float | np.number | np.bool_)}
    return {name: int(value) if isinstance(value, bool | np.bool_) else value for name, value in numbers.items()}


def _images(env: gymnasium.Env[Frames, Any], channels: int) -> Space[Frames]:
    _, height, width, _ = _block_shape(env)
    return Box(0, 255, (height, width, channels), np.uint8)


def _block_shape(env: gymnasium.Env[Frames, Any]) -> tuple[int, ...]:
    shape = env.observation_space.shape
    if shape is None or len(shape) != 4:
        raise ValueError(f"expected an environment whose observations are blocks, t H W 3, got shape {shape}")
    return shape
