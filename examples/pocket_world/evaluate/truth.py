"""Generated frames against the frames that the world renders: whole picture, body, and a band around the body."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F

from examples.pocket_world.evaluate.measures import fine_chroma
from examples.pocket_world.world.state import BLOCK_FRAMES, WorldState, render_block

AREAS = ("whole", "band", "body")
BAND_START, BAND_END = 2, 12
"""The band around the body: pixels farther than the first and at most as far as the second, in rows or columns."""


@dataclass
class TruthErrors:
    """Errors of generated frames, summed over the frames that were added.

    Attributes:
        squared: Sum of squared errors, in units of full scale, and number of values, by area, see `AREAS`.
        chroma: Sum of high-frequency chroma in the band, of generated and of rendered frames.
    """

    squared: dict[str, tuple[float, int]] = field(default_factory=dict)
    chroma: tuple[float, float] = (0.0, 0.0)

    def add(self, frames: np.ndarray, state: WorldState) -> None:
        """Add a block's frames, t H W 3 uint8; the last `t` frames that the state renders are its truth."""
        phases = range(BLOCK_FRAMES)[-len(frames) :]
        truth, body = render_block(state, phases), body_mask(state, phases)
        band = _grown(body, BAND_END) & ~_grown(body, BAND_START)
        error = ((frames.astype(np.float32) - truth) / 255) ** 2
        for area, mask in zip(AREAS, (np.ones_like(body), band, body), strict=True):
            total, count = self.squared.get(area, (0.0, 0))
            self.squared[area] = total + float(error[mask].sum()), count + 3 * int(mask.sum())
        made, true = (_sum_of_fine_chroma(x, band) for x in (frames, truth))
        self.chroma = self.chroma[0] + made, self.chroma[1] + true

    def psnr(self, area: str) -> float:
        """Return the PSNR of an area in dB."""
        total, count = self.squared[area]
        return -10 * math.log10(total / count + 1e-12)

    @property
    def chroma_ratio(self) -> float:
        """High-frequency chroma in the band, generated relative to rendered."""
        return self.chroma[0] / self.chroma[1]


def body_mask(state: WorldState, phases: Sequence[int]) -> np.ndarray:
    """Return where the subject's body is in each frame of a block, t H W; its shadow does not count."""
    return (render_block(state, phases) != render_block(state, phases, subject=False)).any(-1)


def _sum_of_fine_chroma(frames: np.ndarray, mask: np.ndarray) -> float:
    return float(fine_chroma(torch.from_numpy(frames).float()).sum(1).numpy()[mask].sum())


def _grown(mask: np.ndarray, pixels: int) -> np.ndarray:
    """Return a mask, t H W, that covers every pixel at most so many rows and columns away."""
    size = 2 * pixels + 1
    return F.max_pool2d(torch.from_numpy(mask).float()[:, None], size, 1, pixels)[:, 0].bool().numpy()
