"""The kernels of attention: their order of preference, and the one that is taken."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

HOPPER = (9, 0)
HOPPER_ORDER = [
    SDPBackend.CUDNN_ATTENTION,
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
    SDPBackend.MATH,
]
"""Order on GPUs of compute capability 9.0: PyTorch's own flash kernel there is the one of the generation before."""


def attention_order(device: torch.device) -> AbstractContextManager[None]:
    """Return a context in which attention takes the fastest kernel that a device has for its inputs.

    On Hopper that is the first of `HOPPER_ORDER`, whatever the version of PyTorch prefers; elsewhere PyTorch chooses.
    """
    if _is_hopper(device):
        return sdpa_kernel(HOPPER_ORDER, set_priority=True)
    return nullcontext()


def attention_taken(query: Tensor, key: Tensor, value: Tensor) -> str:
    """Return the kernel that play takes for inputs b heads n d, for example "cudnn" or "flash"."""
    with attention_order(query.device):
        choice = SDPBackend(torch._fused_sdp_choice(query, key, value))
    return choice.name.removesuffix("_ATTENTION").lower()


@lru_cache
def _is_hopper(device: torch.device) -> bool:
    return device.type == "cuda" and torch.cuda.get_device_capability(device) == HOPPER
