"""Linear layers in 8-bit floats (float8_e4m3fn), for GPUs that multiply them.

Each row of tokens and each output has a scale, so that its largest number becomes the largest of the type. Sums are
those of the GPU's matrix units; the result is in the tokens' dtype.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from infrope_env.dynamics.transformer import Attention, CausalWanTransformer, DiTBlock

FP8 = torch.float8_e4m3fn
LARGEST = torch.finfo(FP8).max
SMALLEST_MAXIMUM = 1e-12
"""Lower bound of a row's largest number: a row of zeros has a scale, too."""
ALIGNMENT = 16
"""Inputs and outputs of a layer must be multiples of this."""


class Fp8Linear(nn.Module):
    """A linear layer whose weight is rounded once, and whose tokens are rounded in every call."""

    def __init__(self, layer: nn.Linear) -> None:
        """Round the weight of a layer whose inputs and outputs are multiples of `ALIGNMENT`."""
        super().__init__()
        weight, scales = round_rows(layer.weight.detach())
        self.weight = nn.Parameter(weight, requires_grad=False)  # outputs inputs
        self.scales = nn.Parameter(scales.t().contiguous(), requires_grad=False)  # 1 outputs
        self.bias = layer.bias

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens ... inputs to ... outputs."""
        rows, scales = round_rows(x.flatten(0, -2))
        y = torch._scaled_mm(
            rows,
            self.weight.t(),
            scale_a=scales,
            scale_b=self.scales,
            bias=self.bias,
            out_dtype=x.dtype,
            use_fast_accum=True,
        )
        return y.unflatten(0, x.shape[:-1])


def round_rows(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return rows n d as 8-bit floats, and float32 scales n 1: products of both are the rows, to four bits."""
    exact = rows.float()
    scales = exact.abs().amax(1, keepdim=True).clamp_min(SMALLEST_MAXIMUM) / LARGEST
    return (exact / scales).clamp(-LARGEST, LARGEST).to(FP8), scales


def round_to_fp8(transformer: CausalWanTransformer) -> None:
    """Round the large linear layers of a transformer in place: those that all tokens of a block pass through.

    Embeddings, the output layer, and the keys and values of the text keep their precision, as do layers of sizes that
    the GPU cannot multiply.
    """
    for layer in transformer.blocks:
        assert isinstance(layer, DiTBlock)
        _replace(layer.self_attn, ("q", "k", "v", "o"))
        _replace(layer.cross_attn, ("q", "o"))
        _replace(layer.ffn, ("0", "2"))


def _replace(parent: Attention | nn.Sequential, names: tuple[str, ...]) -> None:
    for name in names:
        linear = parent.get_submodule(name)
        assert isinstance(linear, nn.Linear)
        if linear.in_features % ALIGNMENT == linear.out_features % ALIGNMENT == 0:
            setattr(parent, name, Fp8Linear(linear))
