"""A wanderer: it keeps up a motion for a few blocks, changes its mind, and now and then cuts to another scene."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

LONGEST_MOTION = 6  # blocks
CUT_CHANCE = 0.15  # of a change of mind being a cut


class RandomWalkController:
    """Seeded: the actions are a function of the seed, and begin again at every reset."""

    def __init__(self, names: Sequence[str], seed: int | None = None) -> None:
        """Wander among the actions of these names; those that begin with "cut_" are cuts and last one block.

        Without a seed every rollout wanders differently.
        """
        self._cuts = [i for i, name in enumerate(names) if name.startswith("cut_")]
        self._motions = [i for i in range(len(names)) if i not in self._cuts] or [0]
        self._seed = seed
        self._left: int  # blocks until the next decision
        self._begin()

    def __call__(self, observation: NDArray[np.uint8], info: Mapping[str, Any]) -> int:
        """The motion under way, or a new decision."""
        if info["block"] == 0:
            self._begin()
        if not self._left and self._cuts and self._random.random() < CUT_CHANCE:
            return int(self._random.choice(self._cuts))
        if not self._left:
            self._motion = int(self._random.choice(self._motions))
            self._left = int(self._random.integers(1, LONGEST_MOTION, endpoint=True))
        self._left -= 1
        return self._motion

    def _begin(self) -> None:
        self._random = np.random.default_rng(self._seed)
        self._motion = self._motions[0]
        self._left = 0
