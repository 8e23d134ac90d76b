"""Rotary position embedding over time, row and column. It is told its coordinates and knows no cache and no block."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from infrope_env.config import ROTARY_TABLE_LENGTH


class Rotation(NamedTuple):
    """Cosines and sines for a run of tokens, each (frames * tokens_per_frame, head_dim / 2), float32."""

    cos: Tensor
    sin: Tensor


class RotaryTable:
    """Angles for every coordinate, made once.

    A head is split between time, row and column as Wan does: of head_dim / 2 pairs, a third (rounded down) goes to
    rows, as many to columns, the rest to time; each part has its own base-10000 frequencies. `length` is how many
    coordinates there are; the official tables have as many as the default.
    """

    def __init__(
        self,
        head_dim: int,
        rows: int,
        cols: int,
        device: torch.device | str = "cpu",
        length: int = ROTARY_TABLE_LENGTH,
    ) -> None:
        self.length = length
        pairs = head_dim // 2
        spatial = head_dim // 6
        time = _angles(length, pairs - 2 * spatial)
        grid = _grid_angles(_angles(rows, spatial), _angles(cols, spatial))
        self._time = _rotation(time, device)
        self._grid = _rotation(grid, device)

    def at(self, coordinates: Sequence[int]) -> Rotation:
        """Rotation of all tokens of frames at these coordinates, frame by frame, row by row.

        Raises:
            ValueError: for a coordinate outside the table.
        """
        for coordinate in coordinates:
            if not 0 <= coordinate < self.length:
                raise ValueError(
                    f"coordinate {coordinate} is outside the rotary table of {self.length}; absolute "
                    "coordinates end there, use coordinates='rank' or 'onset' for longer rollouts"
                )
        parts = [self._frames(table, grid, coordinates) for table, grid in zip(self._time, self._grid, strict=True)]
        return Rotation(*parts)

    @staticmethod
    def _frames(time: Tensor, grid: Tensor, coordinates: Sequence[int]) -> Tensor:
        rows = [torch.cat((time[c].expand(len(grid), -1), grid), dim=1) for c in coordinates]  # n (head_dim / 2)
        return torch.cat(rows) if rows else torch.cat((time[:0], grid[:0]), dim=1)


def rotate(x: Tensor, rotation: Rotation) -> Tensor:
    """Rotate pairs (2i, 2i+1) of the last axis; x is ... n head_dim, computed in float32, returned in x's dtype.

    A pair is a complex number and its rotation one product: several times faster than by even and odd halves.
    """
    pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * torch.complex(*rotation)).flatten(-2).to(x.dtype)


def _angles(length: int, pairs: int) -> Tensor:
    """Position times frequency, (length, pairs), float64."""
    frequencies = 10000.0 ** -(torch.arange(pairs, dtype=torch.float64) / max(pairs, 1))
    return torch.outer(torch.arange(length, dtype=torch.float64), frequencies)


def _grid_angles(rows: Tensor, cols: Tensor) -> Tensor:
    """Row and column angles of every patch in reading order, (rows * cols, 2 * pairs)."""
    down = rows.repeat_interleave(len(cols), dim=0)
    across = cols.repeat(len(rows), 1)
    return torch.cat((down, across), dim=1)


def _rotation(angles: Tensor, device: torch.device | str) -> Rotation:
    return Rotation(angles.cos().float().to(device), angles.sin().float().to(device))
