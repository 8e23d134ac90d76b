"""Linear layers with 8-bit weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Int8Linear(nn.Module):
    """A linear layer without bias: 8-bit weights, one scale per output, arithmetic in the input's dtype."""

    weight: Tensor  # out in, int8
    scale: Tensor  # out, float32

    def __init__(self, weight: Tensor) -> None:
        """Round a weight (out in) to 255 steps per output; the error is half a step at most."""
        super().__init__()
        exact = weight.detach().float()
        scale = exact.abs().amax(dim=1).clamp_min(torch.finfo(torch.float32).tiny) / 127
        self.register_buffer("weight", (exact / scale[:, None]).round().to(torch.int8))
        self.register_buffer("scale", scale)

    def forward(self, x: Tensor) -> Tensor:
        """Map x (... in) to (... out) in x's dtype; bfloat16 represents every 8-bit weight exactly."""
        return (F.linear(x, self.weight.to(x.dtype)) * self.scale).to(x.dtype)


def quantize_linears(model: nn.Module, device: torch.device | str) -> None:
    """Replace every linear layer by an `Int8Linear` on `device`, one after the other."""
    for name, layer in list(model.named_modules()):
        if isinstance(layer, nn.Linear):
            assert layer.bias is None, name
            model.set_submodule(name, Int8Linear(layer.weight.to(device)))
