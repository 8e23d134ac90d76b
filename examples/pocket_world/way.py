"""What stands where along the endless way through a scene. Integers only: knows no pictures.

The way is drawn as one walks it: a thing is a function of the way's number, the scene and the place, so nothing ever
repeats, and a place that is passed twice looks the same. Where every rollout and every cut begins, all ways agree.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

SPACING = 56
"""Pixels of near ground to every place that may hold a thing."""
JITTER = 8
"""Most pixels, either way, that a thing stands off the middle of its place."""
EMPTY = 1 / 8
"""Share of places where nothing stands."""
AT_THE_START: dict[int, tuple[int, int] | None] = {-1: (3, -36), 0: (1, 24), 1: None, 2: (0, 126), 3: (2, 200)}
"""Thing and column at the places in view at scroll 0 and beside them; the subject stands in the middle one."""


def things_between(way: int, scene: int, kinds: int, left: int, right: int) -> Iterator[tuple[int, int]]:
    """Number of the thing and its column in near ground pixels, for every place that touches [left, right).

    Args:
        way: number of the way, at least 0.
        scene: number of the scene.
        kinds: how many kinds of things the scene has.
        left: first column of interest.
        right: the one after the last.
    """
    for place in range(left // SPACING, (right - 1) // SPACING + 1):
        thing = thing_at(way, scene, kinds, place)
        if thing is not None:
            yield thing


@lru_cache(maxsize=4096)
def thing_at(way: int, scene: int, kinds: int, place: int) -> tuple[int, int] | None:
    """Number of the thing at a place and its column, or None."""
    if place in AT_THE_START:
        return AT_THE_START[place]
    rng = np.random.default_rng([way, scene, place % 2**32])
    if rng.random() < EMPTY:
        return None
    column = place * SPACING + SPACING // 2 + int(rng.integers(-JITTER, JITTER + 1))
    return int(rng.integers(kinds)), column
