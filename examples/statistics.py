"""Confidence intervals of the numbers that the evaluation and the ablations report."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

NORMAL_95 = 1.96
"""Two-sided 95 % quantile of the normal distribution."""


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
