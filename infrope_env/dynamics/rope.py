"""Rotary position embedding over time, row and column, at coordinates that the caller gives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, Self

import torch
from torch import Tensor

from infrope_env.config import ROTARY_TABLE_LENGTH, TRAINED_FRAMES, ModelConfig, Window

BASE = 10000.0
JITTER = 0.8
"""Strength of the jitter of temporal frequencies between heads (LoL)."""


class Rotation(NamedTuple):
    """Cosines and sines of a run of tokens, each (frames * tokens_per_frame, head_dim / 2), float32.

    Those of a batch whose rows sit at different coordinates are (b, 1, frames * tokens_per_frame, head_dim / 2). Where
    heads differ, the axis of heads comes before that of tokens.
    """

    cos: Tensor
    sin: Tensor


class RotaryTable:
    """Rotations of every coordinate, computed once.

    A head is split between time, row and column as in Wan: of its head_dim / 2 pairs, a third (rounded down) goes to
    rows, as many to columns, and the rest to time. Each part has its own base-10000 frequencies. Two options change the
    temporal ones: jitter between heads, and interpolation of slow ones.

    Attributes:
        length: Number of temporal coordinates, 0 to `length` - 1.
    """

    def __init__(
        self,
        head_dim: int,
        rows: int,
        cols: int,
        device: torch.device | str = "cpu",
        length: int = ROTARY_TABLE_LENGTH,
        *,
        jittered_heads: int = 0,
        flex_horizon: int = 0,
    ) -> None:
        """Compute the table.

        Args:
            head_dim: Width of an attention head; even.
            rows: Rows of the patch grid.
            cols: Columns of the patch grid.
            device: Device of every rotation.
            length: Number of temporal coordinates. Default 1024, as in the official code.
            jittered_heads: Heads with a temporal base each, see `jittered_bases`; 0 has one for all, 10000.
            flex_horizon: Coordinates for which slow temporal frequencies are interpolated, see `interpolation`; 0 does
                not interpolate.
        """
        self.length = length
        pairs = head_dim // 2
        spatial_pairs = head_dim // 6
        down = _angles(rows, spatial_pairs).repeat_interleave(cols, dim=0)
        across = _angles(cols, spatial_pairs).repeat(rows, 1)
        bases = torch.tensor(jittered_bases(jittered_heads) if jittered_heads else (BASE,), dtype=torch.float64)
        frequencies = _frequencies(pairs - 2 * spatial_pairs, bases.unsqueeze(1))  # heads or 1, pairs
        if flex_horizon:
            frequencies = frequencies * interpolation(frequencies, flex_horizon)
        angles = torch.arange(length, dtype=torch.float64)[:, None, None] * frequencies
        self._time = _rotation(angles if jittered_heads else angles.squeeze(1), device)
        self._grid = _rotation(torch.cat((down, across), dim=1), device)  # patches in reading order

    @classmethod
    def of(cls, config: ModelConfig, window: Window, device: torch.device | str, length: int) -> Self:
        """Return the table of a model under the options of a window."""
        heads = config.num_heads if window.memory == "jitter" else 0
        sizes = config.head_dim, config.rows, config.cols
        return cls(*sizes, device, length, jittered_heads=heads, flex_horizon=window.flex_horizon)

    def at(self, coordinates: Sequence[int]) -> Rotation:
        """Return the rotation of all tokens of frames at these coordinates, frame by frame and row by row.

        Raises:
            ValueError: A coordinate is outside the table.
        """
        for coordinate in coordinates:
            if not 0 <= coordinate < self.length:
                raise ValueError(
                    f"coordinate {coordinate} is outside the rotary table of {self.length}; absolute "
                    "coordinates end there, use coordinates='rank' or 'onset' for longer rollouts"
                )
        parts = [self._frames(time, grid, coordinates) for time, grid in zip(self._time, self._grid, strict=True)]
        return Rotation(*parts)

    def of_rows(self, rows: Sequence[tuple[int, ...]]) -> Rotation:
        """Return the rotation of a batch, given the coordinates of each row's frames; one for all where they agree."""
        if len(set(rows)) == 1:
            return self.at(rows[0])
        cos, sin = (torch.stack(parts) for parts in zip(*(self.at(coordinates) for coordinates in rows), strict=True))
        return Rotation(cos, sin) if cos.ndim == 4 else Rotation(cos.unsqueeze(1), sin.unsqueeze(1))

    @staticmethod
    def _frames(time: Tensor, grid: Tensor, coordinates: Sequence[int]) -> Tensor:
        """Return the parts of frames one after another, [heads] (frames n) (head_dim / 2)."""
        heads = time.shape[1:-1]
        grid = grid.expand(*heads, -1, -1)
        frames = [
            torch.cat((time[c].unsqueeze(-2).expand(*heads, grid.shape[-2], -1), grid), dim=-1) for c in coordinates
        ]
        empty = grid.new_zeros(*heads, 0, time.shape[-1] + grid.shape[-1])
        return torch.cat(frames, dim=-2) if frames else empty


def jittered_bases(heads: int) -> tuple[float, ...]:
    """LoL (arXiv 2601.16914): return the base of every head's temporal frequencies, 10000 times 1 - 0.8 to 1 + 0.8.

    Heads that turn at one speed meet the sink in phase together and fall back on it. LoL draws the bases uniformly;
    here they are spread evenly, so that a rollout stays a function of weights, seed and actions: 3 heads have 2000,
    10000 and 18000. Flush and cut change nothing about it.
    """
    spread = [2 * head / (heads - 1) - 1 for head in range(heads)] if heads > 1 else [0.0] * heads
    return tuple(BASE * (1 + JITTER * place) for place in spread)


def interpolation(frequencies: Tensor, horizon: int) -> Tensor:
    """Return factors of temporal frequencies that keep `horizon` coordinates within the angles of training.

    Our reading of FLEX (arXiv 2602.14027), of which no code is public: a frequency that completes a period within the
    training clip has seen all its angles and keeps its factor 1. One that completes the share s < 1 gets
    s + (1 - s) trained / horizon, so that the slowest ones reach at the horizon the angle they reached in training.
    """
    share = (frequencies * TRAINED_FRAMES / (2 * math.pi)).clamp(max=1)
    return share + (1 - share) * min(1.0, TRAINED_FRAMES / horizon)


def rotate(x: Tensor, rotation: Rotation) -> Tensor:
    """Rotate pairs (2i, 2i + 1) of the last axis; x is ... n head_dim. Computes in float32, returns x's dtype.

    An eager pair is multiplied as one complex number, which is several times faster than real arithmetic. A compiler
    gets real arithmetic, because it leaves complex products to eager kernels and fuses nothing with them.
    """
    pairs = x.float().unflatten(-1, (-1, 2))
    if torch.compiler.is_compiling():
        return rotate_real(pairs, rotation).flatten(-2).to(x.dtype)
    turned = torch.view_as_complex(pairs) * torch.complex(*rotation)
    return torch.view_as_real(turned).flatten(-2).to(x.dtype)


def rotate_real(pairs: Tensor, rotation: Rotation) -> Tensor:
    """Rotate float32 pairs ... n (head_dim / 2) 2 without complex numbers; equal to the complex product to rounding."""
    even, odd = pairs.unbind(-1)
    cos, sin = rotation
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1)


def _frequencies(pairs: int, base: Tensor | float = BASE) -> Tensor:
    """Return the angle per coordinate of every pair, (..., pairs), float64."""
    return base ** -(torch.arange(pairs, dtype=torch.float64) / max(pairs, 1))


def _angles(length: int, pairs: int) -> Tensor:
    """Return position times frequency, (length, pairs), float64."""
    return torch.outer(torch.arange(length, dtype=torch.float64), _frequencies(pairs))


def _rotation(angles: Tensor, device: torch.device | str) -> Rotation:
    return Rotation(angles.cos().float().to(device), angles.sin().float().to(device))
