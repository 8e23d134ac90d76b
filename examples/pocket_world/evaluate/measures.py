"""Measurements on pixel frames: scroll speed, step rate, jump height, sharpness, colour and PSNR."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from examples.pocket_world.world.scenes import HEIGHT, WIDTH

GROUND_ROWS = slice(HEIGHT - 9, HEIGHT)
"""Rows of the near ground, which scrolls exactly as the camera does."""
GROUND_COLUMNS = 56
"""Columns on either side that exclude subject and shadow, which stay in place and would pull the speed towards 0."""
LARGEST_SHIFT = 11
"""Largest shift to search, in pixels; smaller than half the period of the pattern on the ground."""
MIDDLE_COLUMNS = slice(WIDTH // 2 - 14, WIDTH // 2 + 14)
HEAD_ROWS = slice(HEIGHT - 56, HEIGHT - 30)
"""Rows of the head in a walk."""
BODY_ROWS = slice(HEIGHT - 54, HEIGHT - 20)
"""Rows of most of the body just after take-off."""
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
CHROMA = torch.tensor([[-0.169, -0.331, 0.5], [0.5, -0.419, -0.081]])
"""The two colour differences of BT.601 from red, green and blue."""


def scroll_speed(frames: np.ndarray, apart: int = 4) -> float:
    """Measure how fast the ground moves to the left, in pixels per frame; positive when the camera moves right.

    Args:
        frames: Consecutive frames, t H W 3 uint8.
        apart: Number of frames between the two that are compared. Larger is more precise and more ambiguous.

    Returns:
        The shift at which all pairs of ground strips correlate best, to a fraction of a pixel.
    """
    ground = frames[:, GROUND_ROWS].astype(np.float32) @ LUMA
    strips = np.concatenate([ground[..., :GROUND_COLUMNS], ground[..., -GROUND_COLUMNS:]], axis=1)
    shifts = range(-LARGEST_SHIFT, LARGEST_SHIFT + 1)
    agreement = [correlation(_overlap(strips[:-apart], shift), _overlap(strips[apart:], -shift)) for shift in shifts]
    return (shifts[0] + parabolic_peak(agreement)) / apart


def step_rate(frames: np.ndarray, fps: float = 16) -> float:
    """Measure the steps per second of a walk: the strongest frequency at which the head bobs.

    Args:
        frames: Frames of one walk, t H W 3 uint8, at least four blocks.
        fps: Frames per second.
    """
    head = frames[:, HEAD_ROWS, MIDDLE_COLUMNS].astype(np.float32) @ LUMA
    change = np.diff(head.reshape(len(head), -1), axis=0)
    power = (np.abs(np.fft.rfft(change - change.mean(axis=0), axis=0)) ** 2).sum(axis=1)
    rates = np.fft.rfftfreq(len(change), 1 / fps)
    plausible = (rates > 1) & (rates < 6)
    return float(rates[plausible][int(np.argmax(power[plausible]))])


def rise(frames: np.ndarray) -> float:
    """Measure how far a jump rises from phase 1, just after take-off, to phase 5, near its top; in pixels.

    Args:
        frames: The 12 frames of a block, H W 3 uint8 each.
    """
    low, high = (frames[phase, :, MIDDLE_COLUMNS].astype(np.float32) @ LUMA for phase in (1, 5))
    return parabolic_peak([_body_agreement(low, high, shift) for shift in range(31)])


def _body_agreement(low: np.ndarray, high: np.ndarray, shift: int) -> float:
    """Correlate the body in one frame, h w, with the rows `shift` pixels further up in another."""
    body = low[BODY_ROWS]
    top = BODY_ROWS.start - shift
    return correlation(body.reshape(1, -1), high[top : top + len(body)].reshape(1, -1)) if top >= 0 else -1.0


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Return Pearson's correlation after subtracting the mean of each row; 1 if only brightness differs."""
    a, b = (x - x.mean(axis=-1, keepdims=True) for x in (one, other))
    return float((a * b).sum() / (math.sqrt(float((a * a).sum()) * float((b * b).sum())) + 1e-9))


def parabolic_peak(values: Sequence[float]) -> float:
    """Return the position of the maximum: the top of the parabola through the largest sample and its neighbours."""
    best = int(np.argmax(values))
    if best in (0, len(values) - 1):
        return float(best)
    before, top, after = values[best - 1 : best + 2]
    return best + 0.5 * (before - after) / (before - 2 * top + after - 1e-12)


def _overlap(strips: np.ndarray, shift: int) -> np.ndarray:
    """Return the columns that remain in view after a shift to the left."""
    return strips[..., max(0, shift) : strips.shape[-1] + min(0, shift)]


def sharpness(frames: np.ndarray) -> float:
    """Return the mean absolute luma difference of adjacent pixels, both directions added; frames t H W 3 uint8."""
    luma = frames.astype(np.float32) @ LUMA
    return float(np.abs(np.diff(luma, axis=1)).mean() + np.abs(np.diff(luma, axis=2)).mean())


def mean_colour(frames: np.ndarray) -> np.ndarray:
    """Return the mean red, green and blue of frames t H W 3: 3 values, 0 to 255."""
    return frames.reshape(-1, 3).mean(axis=0, dtype=np.float64)


def psnr(frames: np.ndarray, truth: np.ndarray) -> float:
    """Return the peak signal-to-noise ratio of uint8 frames, t H W 3, in dB."""
    error = (frames.astype(np.float32) - truth.astype(np.float32)) / 255
    return -10 * math.log10(float((error * error).mean()) + 1e-12)


def fine_chroma(frames: Tensor) -> Tensor:
    """Return how far the colour differences of each pixel are from their mean over 3 x 3 pixels.

    Args:
        frames: Frames or their differences, t H W 3, on any device.

    Returns:
        Absolute distances, t 2 H W.
    """
    chroma = (frames @ CHROMA.to(frames.device).T).movedim(-1, 1)
    return (chroma - F.avg_pool2d(F.pad(chroma, (1, 1, 1, 1), mode="replicate"), 3, 1)).abs()
