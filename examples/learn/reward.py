"""The task, judged by pixels: find the red phone booth of the city."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from infrope_env.control.frames import Frames

REACH = 40  # pixels from the middle of the frame, where the subject is


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
