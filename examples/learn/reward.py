"""The task, judged by pixels: find the red phone booth of the city."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from infrope_env.control.frames import Frames

BOOTH = 200  # red pixels of the whole booth, about
REACH = 40  # pixels from the middle of the frame, where the subject is


def booth_columns(frame: Frames) -> NDArray[np.int64]:
    """Return the number of the booth's red pixels in each column of a frame H W 3; zeros under a bright sky."""
    red, green, blue = (frame[..., channel].astype(int) for channel in range(3))
    is_red = (red > 150) & (green < 80) & (blue < 90)
    at_night = frame[: len(frame) // 8].mean() < 90
    return is_red.sum(axis=0) * int(at_night)


def closeness(frame: Frames) -> float:
    """Return how near the booth is to the subject in a frame H W 3: 0 out of view, about 1 beside it."""
    columns = booth_columns(frame)
    middle = len(columns) // 2
    weights = 1 - np.abs(np.arange(len(columns)) - middle) / middle
    return min(1.0, float((columns * weights).sum()) / BOOTH)


def phone_booth(frames: Frames, info: dict[str, Any]) -> tuple[float, bool]:
    """Reward a block, t H W 3: 1 and the end with the booth beside the subject in the last pixel frame.

    Before that, coming nearer within the block is worth up to 0.3, going away costs as much, and a block costs 0.02.
    """
    columns = booth_columns(frames[-1])
    middle = len(columns) // 2
    if columns[middle - REACH : middle + REACH].sum() > BOOTH / 2:
        return 1.0, True
    return 0.3 * (closeness(frames[-1]) - closeness(frames[0])) - 0.02, False
