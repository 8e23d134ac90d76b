"""A seeded random walk: one motion for a few blocks, then another, with a cut to another scene now and then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from infrope_env.control.frames import Frames

LONGEST_MOTION = 6  # blocks
CUT_PROBABILITY = 0.15  # probability that a decision is a cut, not a motion


class RandomWalkController:
    """Controller whose actions are a function of its seed; they repeat from every reset on."""

    def __init__(self, names: Sequence[str], seed: int | None = None) -> None:
        """Walk over the actions with these names.

        Args:
            names: Name of every action, by index. A name that begins with "cut_" is a cut and lasts one block.
            seed: Seed of the decisions; None makes every rollout different.
        """
        self._cuts = [i for i, name in enumerate(names) if name.startswith("cut_")]
        self._motions = [i for i in range(len(names)) if i not in self._cuts] or [0]
        self._seed = seed
        self._blocks_left: int  # until the next decision
        self._begin()

    def __call__(self, observation: Frames, info: Mapping[str, Any]) -> int:
        """Return the motion under way, or a new decision."""
        if info["block"] == 0:
            self._begin()
        if not self._blocks_left and self._cuts and self._rng.random() < CUT_PROBABILITY:
            return int(self._rng.choice(self._cuts))
        if not self._blocks_left:
            self._motion = int(self._rng.choice(self._motions))
            self._blocks_left = int(self._rng.integers(1, LONGEST_MOTION, endpoint=True))
        self._blocks_left -= 1
        return self._motion

    def _begin(self) -> None:
        self._rng = np.random.default_rng(self._seed)
        self._motion = self._motions[0]
        self._blocks_left = 0
