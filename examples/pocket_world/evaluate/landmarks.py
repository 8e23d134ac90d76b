"""Whether what stands along the way is there, and in its place: a frame beside the world's own, with and without it."""

from __future__ import annotations

import numpy as np

from examples.pocket_world.world.scenes import COLUMNS, NEAR_PERIOD, WIDTH
from examples.pocket_world.world.state import BLOCK_FRAMES, WorldState, ground_truth, render_block

REACH = 24
"""How far a thing stretches from its column to either side, in pixels."""
SEEN = 120
"""How many pixels of a thing must be in view, and not behind the subject, for it to count."""
SHOWS = 24
"""By how much of 255, over the three colours, a pixel of a thing differs from what is behind it."""


def things_right(block: np.ndarray, state: WorldState) -> list[bool]:
    """For each thing in view: whether at least half of it (of its variance against what is behind) is in its place.

    Args:
        block: generated frames, uint8 (BLOCK_FRAMES, HEIGHT, WIDTH, 3); the last one is looked at.
        state: what the block should show.
    """
    last = [BLOCK_FRAMES - 1]
    with_things, without = (render_block(state, last, things)[0].astype(float) for things in (True, False))
    thing, missing = with_things - without, with_things - block[-1]
    right = []
    for column in COLUMNS:
        view = in_view(column, ground_truth(state, last)[0].scroll)
        where = thing[:, view]
        if (np.abs(where).sum(-1) > SHOWS).sum() >= SEEN:
            right.append(bool(np.square(missing[:, view]).sum() < 0.5 * np.square(where).sum()))
    return right


def in_view(column: int, scroll: int) -> np.ndarray:
    """Columns of the picture that a thing at a column of the near layer may cover."""
    columns = (column + np.arange(-REACH, REACH) - scroll) % NEAR_PERIOD
    return columns[columns < WIDTH]
