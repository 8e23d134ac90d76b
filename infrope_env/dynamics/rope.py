"""Rotary position embedding over time, row and column, at coordinates that the caller gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from infrope_env.config import ROTARY_TABLE_LENGTH


class Rotation(NamedTuple):
    """Cosines and sines of a run of tokens, each (frames * tokens_per_frame, head_dim / 2), float32.

    Those of a batch whose rows sit at different coordinates are (b, 1, frames * tokens_per_frame, head_dim / 2).
    """

    cos: Tensor
    sin: Tensor


class RotaryTable:
    """Rotations of every coordinate, computed once.

    A head is split between time, row and column as in Wan: of its head_dim / 2 pairs, a third (rounded down) goes to
    rows, as many to columns, and the rest to time. Each part has its own base-10000 frequencies.

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
    ) -> None:
        """Compute the table.

        Args:
            head_dim: Width of an attention head; even.
            rows: Rows of the patch grid.
            cols: Columns of the patch grid.
            device: Device of every rotation.
            length: Number of temporal coordinates. Default 1024, as in the official code.
        """
        self.length = length
        pairs = head_dim // 2
        spatial_pairs = head_dim // 6
        down = _angles(rows, spatial_pairs).repeat_interleave(cols, dim=0)
        across = _angles(cols, spatial_pairs).repeat(rows, 1)
        self._time = _rotation(_angles(length, pairs - 2 * spatial_pairs), device)
        self._grid = _rotation(torch.cat((down, across), dim=1), device)  # patches in reading order

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
        cos, sin = zip(*(self.at(coordinates) for coordinates in rows), strict=True)
        return Rotation(torch.stack(cos).unsqueeze(1), torch.stack(sin).unsqueeze(1))

    @staticmethod
    def _frames(time: Tensor, grid: Tensor, coordinates: Sequence[int]) -> Tensor:
        frames = [torch.cat((time[c].expand(len(grid), -1), grid), dim=1) for c in coordinates]  # each n (head_dim / 2)
        return torch.cat(frames) if frames else torch.cat((time[:0], grid[:0]), dim=1)


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


def _angles(length: int, pairs: int) -> Tensor:
    """Return position times frequency, (length, pairs), float64."""
    frequencies = 10000.0 ** -(torch.arange(pairs, dtype=torch.float64) / max(pairs, 1))
    return torch.outer(torch.arange(length, dtype=torch.float64), frequencies)


def _rotation(angles: Tensor, device: torch.device | str) -> Rotation:
    return Rotation(angles.cos().float().to(device), angles.sin().float().to(device))
