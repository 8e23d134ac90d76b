"""Rewards by dotted name, so that an environment's arguments stay plain text. Knows no environment."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

Reward = Callable[[NDArray[np.uint8], dict[str, Any]], float | tuple[float, bool]]
"""(frames t H W 3, info) to the reward, or to the reward and whether the episode has ended."""


def find_reward(name: str) -> Reward:
    """The callable of a dotted name, "package.module:function" or "package.module.function".

    Raises:
        ValueError: there is no such module or callable.
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


def compute_reward(reward: Reward | None, frames: NDArray[np.uint8], info: dict[str, Any]) -> tuple[float, bool]:
    """What a step is worth and whether it ended the episode; without a reward 0.0 and never."""
    if reward is None:
        return 0.0, False
    result = reward(frames, info)
    value, terminated = result if isinstance(result, tuple) else (result, False)
    return float(value), bool(terminated)
