"""Statistics of repeated measurements: means, standard deviations between seeds, confidence intervals, medians."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

STUDENT_T_95 = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26)
"""Two-sided 95 % quantiles of Student's t at 1, 2, ... degrees of freedom."""
NORMAL_95 = 1.96
"""Two-sided 95 % quantile of the normal distribution."""


@dataclass(frozen=True)
class SeedStatistics:
    """Mean and sample standard deviation (n - 1) of one value per seed; the deviation of one value is nan."""

    mean: float
    std: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Compute the statistics of one value per seed.

        Raises:
            ValueError: There is no value.
        """
        if not values:
            raise ValueError("expected at least one value to take a mean of, got none")
        std = float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
        return cls(float(np.mean(values)), std, len(values))

    def __str__(self) -> str:
        """Return "0.931 ± 0.02", or the mean alone for a single value."""
        if self.count < 2:
            return format_number(self.mean)
        return f"{format_number(self.mean)} ± {format_number(self.std, 2)}"


@dataclass(frozen=True)
class PairedDifference:
    """Mean of the differences of two rows, paired by seed, with its 95 % confidence interval (Student's t)."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, first: Sequence[float], second: Sequence[float]) -> Self:
        """Compute `first - second` seed by seed; a single pair has an infinite interval."""
        differences = np.subtract(first, second)
        mean, count = float(differences.mean()), len(differences)
        if count < 2:
            return cls(mean, -math.inf, math.inf)
        quantile = STUDENT_T_95[count - 2] if count - 2 < len(STUDENT_T_95) else NORMAL_95
        half_width = quantile * float(differences.std(ddof=1)) / math.sqrt(count)
        return cls(mean, mean - half_width, mean + half_width)

    @property
    def sign(self) -> int:
        """1 or -1 where the interval excludes 0, else 0."""
        return 1 if self.low > 0 else -1 if self.high < 0 else 0

    def within(self, bound: float) -> bool:
        """Return whether the whole interval lies in [-bound, bound]."""
        return -bound <= self.low and self.high <= bound

    @property
    def interval(self) -> str:
        """The interval as text: "0.05 to 0.19"."""
        return f"{format_number(self.low)} to {format_number(self.high)}"


def median(values: Sequence[float]) -> float:
    """Return the median."""
    return float(np.median(values))


def format_number(number: float, significant: int = 3) -> str:
    """Format with 4 decimals or `significant` digits, whichever is shorter; numbers from 100 on have no decimals."""
    if not math.isfinite(number):
        return "unknown"
    return f"{number:.0f}" if abs(number) >= 100 else f"{round(number, 4):.{significant}g}"


def wilson(right: int, count: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share; 10 of 10 gives 0.72 to 1, where the normal interval is 1 to 1."""
    share, z2 = right / count, NORMAL_95 * NORMAL_95
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = NORMAL_95 * math.sqrt(share * (1 - share) / count + z2 / (4 * count * count)) / (1 + z2 / count)
    return max(0.0, middle - half), min(1.0, middle + half)


def mean_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean of at least two values and its 95 % interval by the standard error: mean, low, high."""
    value, error = float(np.mean(values)), NORMAL_95 * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return value, value - error, value + error


def median_range(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the median, the 5th and the 95th percentile."""
    low, middle, high = (float(np.percentile(values, q)) for q in (5, 50, 95))
    return middle, low, high
