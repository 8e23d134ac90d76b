"""Statistics of columns and pixels: computed in one pass per episode, merged over episodes.

The names and quantiles are those of LeRobot's stats.json. Quantiles of merged statistics are means weighted by count,
as LeRobot merges them; everything else is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from infrope_env.control.frames import Frames
from infrope_env.export.rows import Column

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}
KEYS = ("min", "max", "mean", "std", *QUANTILES)

Statistics = dict[str, NDArray[Any]]
"""Arrays of one shape by name, and "count", the number of values, of shape (1,)."""


def column_statistics(column: Column) -> Statistics:
    """Return the statistics of a column of numbers or truth values, of shape (1,)."""
    values = column.astype(np.float64)
    found = {"min": values.min(), "max": values.max(), "mean": values.mean(), "std": values.std()}
    found |= {key: np.quantile(values, share) for key, share in QUANTILES.items()}
    return {key: np.array([value]) for key, value in found.items()} | {"count": np.array([len(values)])}


class PixelStatistics:
    """Statistics of the colours of pixel frames, from counts of every value: exact, and as small for any length.

    Attributes:
        frame_size: Height and width of the newest frame.
    """

    def __init__(self) -> None:
        """Begin without frames."""
        self.frame_size = (0, 0)
        self._counts = np.zeros((3, 256), dtype=np.int64)
        self._frames = 0

    def see(self, frame: Frames) -> None:
        """Count the values of a pixel frame, H W 3."""
        self.frame_size = (frame.shape[0], frame.shape[1])
        self._counts += np.array(Image.fromarray(frame).histogram()).reshape(3, 256)
        self._frames += 1

    def result(self) -> Statistics:
        """Return the statistics of each colour from 0 to 1, of shape (3, 1, 1); "count" is the number of frames."""
        values = np.arange(256) / 255
        shares = self._counts / self._counts.sum(axis=1, keepdims=True)
        mean = shares @ values
        reached = np.cumsum(shares, axis=1)
        seen = self._counts > 0
        found = {
            "min": values[seen.argmax(axis=1)],
            "max": values[255 - seen[:, ::-1].argmax(axis=1)],
            "mean": mean,
            "std": np.sqrt(np.maximum(shares @ values**2 - mean**2, 0)),
        }
        found |= {key: values[(reached >= share - 1e-12).argmax(axis=1)] for key, share in QUANTILES.items()}
        return {key: value.reshape(3, 1, 1) for key, value in found.items()} | {"count": np.array([self._frames])}


def merge(parts: Sequence[Statistics]) -> Statistics:
    """Return the statistics of all values of several parts together."""
    counts = np.array([part["count"][0] for part in parts], dtype=np.float64)
    stacked = {key: np.stack([part[key] for part in parts]) for key in KEYS}
    weights = (counts / counts.sum()).reshape(-1, *([1] * parts[0]["mean"].ndim))
    mean = (weights * stacked["mean"]).sum(axis=0)
    variance = (weights * (stacked["std"] ** 2 + (stacked["mean"] - mean) ** 2)).sum(axis=0)
    merged = {"min": stacked["min"].min(axis=0), "max": stacked["max"].max(axis=0), "mean": mean}
    merged |= {"std": np.sqrt(variance)} | {key: (weights * stacked[key]).sum(axis=0) for key in QUANTILES}
    return merged | {"count": np.array([int(counts.sum())])}
