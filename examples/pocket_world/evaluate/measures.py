"""Numbers taken from pictures, and numbers with their uncertainty. Knows neither models nor detectors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from examples.pocket_world.world.scenes import HEIGHT, WIDTH

GROUND_ROWS = slice(HEIGHT - 9, HEIGHT)
"""Rows of the near ground, which scrolls exactly as the camera does."""
GROUND_COLUMNS = 56
"""Columns on either side that neither subject nor shadow reaches: what stays in place would count as standing still."""
LARGEST_SHIFT = 11
"""Less than half of what is drawn on the ground repeats itself after."""
MIDDLE_COLUMNS = slice(WIDTH // 2 - 14, WIDTH // 2 + 14)
HEAD_ROWS = slice(HEIGHT - 56, HEIGHT - 30)
"""Where the head is in a walk."""
BODY_ROWS = slice(HEIGHT - 54, HEIGHT - 20)
"""Where most of the body is just after it has left the ground."""
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
Z = 1.96
"""Half the width of a 95 % interval in standard deviations."""


@dataclass(frozen=True)
class Measure:
    """One line of a report.

    Attributes:
        count: how many samples `value` is the mean of.
        low: end of the 95 % interval, as is `high`.
        bar: least and largest value that will do; None where there is no limit.
    """

    name: str
    value: float
    count: int
    low: float
    high: float
    bar: tuple[float | None, float | None] = (None, None)

    @classmethod
    def share(cls, name: str, hits: Sequence[bool], at_least: float | None = None) -> Self:
        """How often something was so, with Wilson's interval."""
        low, high = wilson(sum(hits), len(hits))
        return cls(name, sum(hits) / len(hits), len(hits), low, high, (at_least, None))

    @classmethod
    def mean(cls, name: str, values: Sequence[float], bar: tuple[float | None, float | None] = (None, None)) -> Self:
        """The mean of at least two values, with the interval of its standard error."""
        value, error = float(np.mean(values)), Z * float(np.std(values, ddof=1)) / math.sqrt(len(values))
        return cls(name, value, len(values), value - error, value + error, bar)

    @property
    def met(self) -> bool | None:
        """Whether the value is within the bar; None without one."""
        low, high = self.bar
        if low is None and high is None:
            return None
        return (low is None or self.value >= low) and (high is None or self.value <= high)


def wilson(right: int, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share: 10 of 10 gives 0.72 to 1, where the plain one would claim 1 to 1."""
    share, z2 = right / count, Z * Z
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = Z * math.sqrt(share * (1 - share) / count + z2 / (4 * count * count)) / (1 + z2 / count)
    return max(0.0, middle - half), min(1.0, middle + half)


def scroll_speed(frames: np.ndarray, apart: int = 4) -> float:
    """How fast the ground moves to the left, in pixels a frame: positive when the camera goes right.

    Args:
        frames: t H W 3 in uint8, in order.
        apart: frames between the two that are compared; more is finer, but repeats itself sooner.

    Returns:
        the shift at which all pairs of ground strips agree best, to a fraction of a pixel.
    """
    ground = frames[:, GROUND_ROWS].astype(np.float32) @ LUMA
    strips = np.concatenate([ground[..., :GROUND_COLUMNS], ground[..., -GROUND_COLUMNS:]], axis=1)
    shifts = range(-LARGEST_SHIFT, LARGEST_SHIFT + 1)
    agreement = [correlation(_moved(strips[:-apart], shift), _moved(strips[apart:], -shift)) for shift in shifts]
    return (shifts[0] + peak(agreement)) / apart


def step_rate(frames: np.ndarray, fps: float = 16) -> float:
    """Steps a second of a walk: the strongest rhythm in which the head bobs.

    Args:
        frames: t H W 3 in uint8, of one walk, four blocks or more.
        fps: frames a second.
    """
    head = frames[:, HEAD_ROWS, MIDDLE_COLUMNS].astype(np.float32) @ LUMA
    change = np.diff(head.reshape(len(head), -1), axis=0)
    power = (np.abs(np.fft.rfft(change - change.mean(axis=0), axis=0)) ** 2).sum(axis=1)
    rates = np.fft.rfftfreq(len(change), 1 / fps)
    rhythmic = (rates > 1) & (rates < 6)
    return float(rates[rhythmic][peak_index(power[rhythmic])])


def rise(frames: np.ndarray) -> float:
    """How far a jump rises between phase 1, just off the ground, and its height at phase 5, in pixels.

    Args:
        frames: the 12 of a block, H W 3 in uint8.
    """
    low, high = (frames[phase, :, MIDDLE_COLUMNS].astype(np.float32) @ LUMA for phase in (1, 5))
    shifts = range(0, 31)
    agreement = [body_agreement(low, high, shift) for shift in shifts]
    return shifts[0] + peak(agreement)


def body_agreement(low: np.ndarray, high: np.ndarray, shift: int) -> float:
    """Correlation of the body in one frame, h w, with the same rows `shift` pixels further up in another."""
    body = low[BODY_ROWS]
    top = BODY_ROWS.start - shift
    return correlation(body.reshape(1, -1), high[top : top + len(body)].reshape(1, -1)) if top >= 0 else -1.0


def peak_index(values: np.ndarray) -> int:
    """Where the largest value is."""
    return int(np.argmax(values))


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Pearson's, over everything but the mean of each row; 1 for pictures that are the same but for brightness."""
    a, b = (x - x.mean(axis=-1, keepdims=True) for x in (one, other))
    return float((a * b).sum() / (math.sqrt(float((a * a).sum()) * float((b * b).sum())) + 1e-9))


def peak(values: Sequence[float]) -> float:
    """Where a sampled curve is highest: the top of the parabola through the best sample and its neighbours."""
    best = int(np.argmax(values))
    if best in (0, len(values) - 1):
        return float(best)
    before, top, after = values[best - 1 : best + 2]
    return best + 0.5 * (before - after) / (before - 2 * top + after - 1e-12)


def _moved(strips: np.ndarray, shift: int) -> np.ndarray:
    """The columns that are still in view after a shift to the left."""
    return strips[..., max(0, shift) : strips.shape[-1] + min(0, shift)]


def sharpness(frames: np.ndarray) -> float:
    """Mean absolute step of brightness from pixel to pixel, both ways; frames t H W 3 in uint8."""
    luma = frames.astype(np.float32) @ LUMA
    return float(np.abs(np.diff(luma, axis=1)).mean() + np.abs(np.diff(luma, axis=2)).mean())


def mean_colour(frames: np.ndarray) -> np.ndarray:
    """Red, green and blue on average, 0 to 255."""
    return frames.reshape(-1, 3).mean(axis=0, dtype=np.float64)


def psnr(frames: np.ndarray, truth: np.ndarray) -> float:
    """Likeness of frames in uint8, in dB."""
    error = (frames.astype(np.float32) - truth.astype(np.float32)) / 255
    return -10 * math.log10(float((error * error).mean()) + 1e-12)
