"""Landmarks in place: a generated frame is compared with the rendered frame, with and without landmarks."""

from __future__ import annotations

import numpy as np

from examples.pocket_world.world.scenes import COLUMNS, NEAR_PERIOD, WIDTH
from examples.pocket_world.world.state import BLOCK_FRAMES, WorldState, ground_truth, render_block

REACH = 24
"""Largest extent of a landmark to either side of its column, in pixels."""
MIN_VISIBLE_PIXELS = 120
"""Number of pixels of a landmark that must be visible, in view and not behind the subject, for it to count."""
MIN_CONTRAST = 24
"""Difference between a visible pixel of a landmark and its background, of 255, summed over the colours."""


def landmarks_in_place(block: np.ndarray, state: WorldState) -> list[bool]:
    """Return for each visible landmark whether less than half of its squared contrast is missing.

    Args:
        block: Generated frames, uint8 (BLOCK_FRAMES, HEIGHT, WIDTH, 3); only the last one is used.
        state: State that the block should show.
    """
    last = [BLOCK_FRAMES - 1]
    complete, without = (render_block(state, last, landmarks)[0].astype(float) for landmarks in (True, False))
    contrast, missing = complete - without, complete - block[-1]
    in_place = []
    for column in COLUMNS:
        view = in_view(column, ground_truth(state, last)[0].scroll)
        visible = contrast[:, view]
        if (np.abs(visible).sum(-1) > MIN_CONTRAST).sum() >= MIN_VISIBLE_PIXELS:
            in_place.append(bool(np.square(missing[:, view]).sum() < 0.5 * np.square(visible).sum()))
    return in_place


def in_view(column: int, scroll: int) -> np.ndarray:
    """Return the picture columns that a landmark at a column of the near layer may cover."""
    columns = (column + np.arange(-REACH, REACH) - scroll) % NEAR_PERIOD
    return columns[columns < WIDTH]
