"""Means and their spread over seeds, and whether two rows differ by more than chance. Knows no experiment."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

STUDENT = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26)
"""Two-sided 95 % of Student's t at 1, 2, ... degrees of freedom; beyond, the normal distribution's."""
NORMAL = 1.96


@dataclass(frozen=True)
class Spread:
    """A mean over seeds and the standard deviation between them, with n - 1."""

    mean: float
    std: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """One value a seed; at least one."""
        if not values:
            raise ValueError("expected at least one value to take a mean of, got none")
        std = float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
        return cls(float(np.mean(values)), std, len(values))

    def __str__(self) -> str:
        """Such as "0.931 ± 0.02"; a single value has no spread."""
        if self.count < 2:
            return digits(self.mean)
        return f"{digits(self.mean)} ± {digits(self.std, 2)}"


@dataclass(frozen=True)
class Difference:
    """Two rows, seed by seed: the first less the second.

    Attributes:
        mean: of the differences.
        low: end of their 95 % interval, as is `high`.
    """

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, one: Sequence[float], other: Sequence[float]) -> Self:
        """Of as many values, one a seed, in the same order."""
        differences = np.subtract(one, other)
        count = len(differences)
        if count < 2:
            return cls(float(differences.mean()), -math.inf, math.inf)
        t = STUDENT[count - 2] if count - 2 < len(STUDENT) else NORMAL
        half = t * float(differences.std(ddof=1)) / math.sqrt(count)
        middle = float(differences.mean())
        return cls(middle, middle - half, middle + half)

    @property
    def sign(self) -> int:
        """1 or -1 where the interval leaves no doubt, else 0."""
        return 1 if self.low > 0 else -1 if self.high < 0 else 0

    def within(self, bound: float) -> bool:
        """Whether the whole interval lies between -bound and bound."""
        return -bound <= self.low and self.high <= bound

    def __str__(self) -> str:
        """Such as "+0.12 (0.05 to 0.19)"."""
        return f"{self.mean:+.3g} ({digits(self.low)} to {digits(self.high)})"


def digits(number: float, significant: int = 3) -> str:
    """Those that matter; 0 stays 0, and large numbers stay whole."""
    if not math.isfinite(number):
        return "unknown"
    return f"{number:.0f}" if abs(number) >= 100 else f"{round(number, 4):.{significant}g}"
