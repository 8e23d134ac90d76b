"""Growth of a measured quantity: a line fitted to one value per group of blocks, and the verdict on it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np

from examples.stats import NORMAL_95, STUDENT_T_95

Verdict = Literal["flat", "grows", "unclear"]

FEWEST_VALUES = 4


@dataclass(frozen=True)
class Trend:
    """Growth of a quantity over 1,000 blocks, in its own unit.

    Attributes:
        growth: Slope of the least-squares line.
        low, high: 95 % interval of the slope (Student's t); infinite for fewer than FEWEST_VALUES values.
        tolerance: Growth that counts as none.
    """

    growth: float
    low: float
    high: float
    tolerance: float

    @classmethod
    def of(cls, blocks: Sequence[float], values: Sequence[float], tolerance: float) -> Self:
        """Fit a line to values measured after so many blocks."""
        count = len(values)
        if count < FEWEST_VALUES:
            return cls(math.nan, -math.inf, math.inf, tolerance)
        x = (np.asarray(blocks, float) - np.mean(blocks)) / 1000
        y = np.asarray(values, float) - np.mean(values)
        slope = float(x @ y / (x @ x))
        freedom = count - 2
        error = math.sqrt(float(np.sum((y - slope * x) ** 2)) / freedom / float(x @ x))
        half = error * (STUDENT_T_95[freedom - 1] if freedom <= len(STUDENT_T_95) else NORMAL_95)
        return cls(slope, slope - half, slope + half, tolerance)

    @property
    def verdict(self) -> Verdict:
        """Flat if the whole interval is within the tolerance; otherwise it grows if the interval excludes 0."""
        if self.high <= self.tolerance:
            return "flat"
        return "grows" if self.low > 0 else "unclear"
