"""Reward functions by dotted name, so that the arguments of an environment stay plain text."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from infrope_env.control.frames import Frames

Reward = Callable[[Frames, dict[str, Any]], float | tuple[float, bool]]
"""(observation t H W 3, info) -> reward, or (reward, whether the episode ends)."""


def find_reward(name: str) -> Reward:
    """Return the callable of a dotted name: "package.module:function" or "package.module.function".

    Raises:
        ValueError: There is no such module or callable.
    """
    module, _, function = name.partition(":") if ":" in name else name.rpartition(".")
    if not module or not function:
        raise ValueError(f"expected reward to be a dotted name such as 'package.module:function', got {name!r}")
    try:
        found = getattr(import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"There is no reward {name!r}: {error}.") from error
    if not callable(found):
        raise ValueError(f"expected reward {name!r} to be callable, got a {type(found).__name__}")
    return found


def compute_reward(reward: Reward | None, observation: Frames, info: dict[str, Any]) -> tuple[float, bool]:
    """Return the reward of a step and whether it ends the episode; (0.0, False) without a reward function."""
    if reward is None:
        return 0.0, False
    result = reward(observation, info)
    value, terminated = result if isinstance(result, tuple) else (result, False)
    return float(value), bool(terminated)
