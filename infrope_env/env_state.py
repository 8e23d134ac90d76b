"""What the environment hands out besides pixels, and the copy of itself it can go back to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from infrope_env.config import Window
from infrope_env.control.actions import ActionSet, Steering
from infrope_env.dynamics.state import RolloutState
from infrope_env.pixels.codec import DecoderState

Frames = NDArray[np.uint8]
"""Pixel frames, t H W 3; one frame, H W 3."""


class ActionIndex(int):
    """An action in `info`. Vector environments keep plain ints in an int array, which cannot hold a reset's None."""


@dataclass(frozen=True)
class PromptRequest:
    """A `set_prompt` call."""

    text: str
    cut: bool


@dataclass(frozen=True)
class StateOrigin:
    """Under what a state was saved; it can be restored only under the same.

    Attributes:
        weights: the sha256 of every file, sorted.
        device: its kind: "cpu", "cuda".
    """

    weights: tuple[str, ...]
    device: str
    dtype: torch.dtype
    window: Window
    action_set: ActionSet


@dataclass(frozen=True)
class EnvState:
    """A copy of everything that an environment's future depends on.

    Attributes:
        memory: the decoder's.
        asked: the `set_prompt` call that waits for the next block.
        clip: observation of the newest block, t H W 3.
        info: of the newest block.
        names_used: names and text that the rollout was reset with.
        picture: what the rollout began from, if from a picture, H W 3.
    """

    origin: StateOrigin
    rollout: RolloutState
    memory: DecoderState | None
    steering: Steering
    asked: PromptRequest | None
    clip: Frames
    info: dict[str, Any]
    seed_used: int
    names_used: dict[str, str]
    np_random: np.random.Generator
    np_random_seed: int | None
    picture: Frames | None
