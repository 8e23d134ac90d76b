"""Observations as arrays: the pixel frames of a block, and which of them are valid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8]
"""Pixel frames, t H W 3; a single one, H W 3."""


def valid_frames(observation: Frames, info: Mapping[str, Any]) -> Frames:
    """Return the valid pixel frames of an observation, the last `info["num_frames"]`, as a view.

    A first block has 9 valid frames of 12; the first three are copies that fill the array.
    """
    return observation[len(observation) - info["num_frames"] :]


def fill_block(frames: Frames, length: int) -> Frames:
    """Return an observation of `length` frames: the valid frames behind copies of the first, a new array."""
    return np.concatenate([np.repeat(frames[:1], length - len(frames), axis=0), frames])
