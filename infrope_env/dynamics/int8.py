"""Linear layers that multiply in 8-bit integers, for processors without bfloat16.

Weights are rounded once, inputs in every call; each output of a layer and each token has a scale of its own. Products
and sums are exact integers, so the two roundings are the only error: about 1 % of a layer's output.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn

from infrope_env.dynamics.transformer import CausalWanTransformer, DiTBlock

LARGEST = 127
LARGEST_WEIGHT_OF_PAIRS = 63
"""Largest weight where two products are added in 16 bits: 2 * 255 * 63 is below 2**15."""


class Int8Linear(nn.Module):
    """A linear layer in 8-bit integers; sums are scaled and biased in float32, and returned in the input's dtype.

    Attributes:
        weight: Rounded weight, int8, out in.
        scale: Scale of each output, out.
        bias: Bias, float32, out.
    """

    weight: Tensor
    scale: Tensor
    bias: Tensor

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight, scale = round_rows(linear.weight.detach().float(), largest_weight())
        self.register_buffer("weight", weight)
        self.register_buffer("scale", scale.flatten())
        self.register_buffer("bias", linear.bias.detach().float())

    def forward(self, x: Tensor) -> Tensor:
        """Map ... in to ... out."""
        rows, scales = round_rows(x.flatten(0, -2).float())
        sums = torch._int_mm(rows, self.weight.t())  # int32
        y = sums.float().mul_(scales).mul_(self.scale).add_(self.bias)
        return y.to(x.dtype).unflatten(0, x.shape[:-1])


def round_rows(rows: Tensor, largest: int = LARGEST) -> tuple[Tensor, Tensor]:
    """Return float32 rows n d as int8, and scales n 1 by which each row's largest number becomes `largest`."""
    scales = rows.abs().amax(1, keepdim=True).clamp_min_(torch.finfo(torch.float32).tiny).mul_(1 / largest)
    return (rows / scales).round_().clamp_(-largest, largest).to(torch.int8), scales


def round_linears(transformer: CausalWanTransformer) -> CausalWanTransformer:
    """Replace the linear layers that every pass multiplies tokens with, in place; return the transformer.

    The projections of text, time, patches and output stay as they are: they take little time or run once per prompt.
    """
    for block in transformer.blocks:
        assert isinstance(block, DiTBlock)
        for parent, names in ((block.self_attn, "qkvo"), (block.cross_attn, "qo"), (block.ffn, "02")):
            for name in names:
                setattr(parent, name, Int8Linear(getattr(parent, name)))
    return transformer


@lru_cache(maxsize=1)
def largest_weight() -> int:
    """Return the largest weight with which this processor's sums are exact.

    Without instructions for 8-bit products (VNNI), pairs of products are added in 16 bits and cut off there.
    """
    most = torch.full((8, 64), LARGEST, dtype=torch.int8)
    is_exact = bool((torch._int_mm(most, most.t()) == most.shape[1] * LARGEST**2).all())
    return LARGEST if is_exact else LARGEST_WEIGHT_OF_PAIRS
