"""One row per pixel frame: the action that made it, and what was in force.

Row i belongs to pixel frame i, and its action is the one that made that frame; a block's action stands in every row of
the block. Reward and end belong to the block's last row, so that the rewards of an episode add up to its return.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from infrope_env.export.episode import Episode

ALIGNMENT = (
    "Row i describes pixel frame i: the action of row i is the one that made frame i (-1, 'reset': made by a reset). "
    "A block's action stands in all of its rows; its reward, terminated and truncated stand in its last row."
)

Column = NDArray[Any]
"""Values of a column, one per pixel frame."""


def make_columns(episode: Episode) -> dict[str, Column]:
    """Return the columns of an episode by name; texts have dtype object."""
    counts = [line.end_frame - line.first_frame for line in episode.lines]
    last_rows = [line.end_frame - 1 for line in episode.lines]
    frames = np.arange(episode.frames)

    def spread(values: list[Any], dtype: Any = object) -> Column:
        return np.repeat(np.array(values, dtype=dtype), counts)

    def at_the_end(values: list[Any], dtype: Any) -> Column:
        column = np.zeros(episode.frames, dtype=dtype)
        column[last_rows] = values
        return column

    blocks = episode.blocks
    return {
        "action": spread([block.action for block in blocks], np.int64),
        "action.name": spread([episode.action_name(block) for block in blocks]),
        "block_index": spread([block.block for block in blocks], np.int64),
        "transition": spread([block.transition for block in blocks]),
        "prompt": spread([block.prompt for block in blocks]),
        "subject": spread([block.subject for block in blocks]),
        "scene": spread([block.scene for block in blocks]),
        "motion": spread([block.motion for block in blocks]),
        "reward": at_the_end([block.reward or 0.0 for block in blocks], np.float64),
        "terminated": at_the_end([block.terminated for block in blocks], np.bool_),
        "truncated": at_the_end([block.truncated for block in blocks], np.bool_),
        "frame_index": frames.astype(np.int64),
        "timestamp": (frames / episode.meta.frame_rate).astype(np.float32),
    }
