"""Names and the rounding of weights that the graph in 8-bit integers shares with its callers."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

LAYER_INPUTS = ("modulation", "text_k", "text_v", "context_k", "context_v")
"""Inputs of the graph that each layer has, with its index behind the name: b 6 dim, and the others b heads n d."""
LAYER_OUTPUTS = ("key", "value")
"""Outputs that each layer has: un-rotated keys and values of the block, b n dim."""
LARGEST = 127
LARGEST_WEIGHT_OF_PAIRS = 63
"""Largest weight where two products are added in 16 bits: 2 * 255 * 63 is below 2**15."""


def round_rows(rows: Tensor, largest: int = LARGEST) -> tuple[Tensor, Tensor]:
    """Return float32 rows n d as int8, and scales n 1 by which each row's largest number becomes `largest`."""
    scales = rows.abs().amax(1, keepdim=True).clamp_min_(torch.finfo(torch.float32).tiny).mul_(1 / largest)
    return (rows / scales).round_().clamp_(-largest, largest).to(torch.int8), scales


@lru_cache(maxsize=1)
def largest_weight() -> int:
    """Return the largest weight with which this processor's sums are exact.

    Without instructions for 8-bit products (VNNI), pairs of products are added in 16 bits and cut off there.
    """
    most = torch.full((8, 64), LARGEST, dtype=torch.int8)
    is_exact = bool((torch._int_mm(most, most.t()) == most.shape[1] * LARGEST**2).all())
    return LARGEST if is_exact else LARGEST_WEIGHT_OF_PAIRS
