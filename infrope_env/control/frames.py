"""Observations as arrays: the pixel frames of a block, and which of them count."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8]
"""Pixel frames, t H W 3; a single one, H W 3."""


def valid_frames(observation: Frames, info: Mapping[str, Any]) -> Frames:
    """Return the pixel frames of an observation that count: the last `info["num_frames"]`, as a view.

    A first block has 9 of 12; the copies that fill the front of its array are left out.
    """
    return observation[len(observation) - info["num_frames"] :]
