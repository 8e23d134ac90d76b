"""Attention of one layer at full size, by backend."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from infrope_env.config import ModelConfig, Window
from infrope_env.dynamics.attention import attention_taken
from tests.gpu.measurements import Scale, now_s

BACKENDS = {
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "flash": SDPBackend.FLASH_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "math": SDPBackend.MATH,
}
REPEATS = 20


@torch.inference_mode()
def attention_by_backend(scale: Scale, window: Window) -> tuple[dict[str, float], dict[str, float], str]:
    """Attend from a block to a full window with every backend that can.

    Returns:
        Median milliseconds of one layer by backend; relative error to float64 by backend; and the backend of play.
    """
    query, key, value = attention_inputs(scale.generator, scale.device, window)
    exact = F.scaled_dot_product_attention(*(x[:, :1].double() for x in (query, key, value)))  # one head
    millis, errors = {}, {}
    for name, backend in BACKENDS.items():
        with contextlib.suppress(RuntimeError), sdpa_kernel(backend):
            output = F.scaled_dot_product_attention(query, key, value)
            errors[name] = float((output[:, :1].double() - exact).norm() / exact.norm())
            millis[name] = median_ms(lambda: F.scaled_dot_product_attention(query, key, value), scale.device)
    return millis, errors, attention_taken(query, key, value)


def attention_inputs(config: ModelConfig, device: torch.device, window: Window) -> list[Tensor]:
    """Return query, key and value of one layer in bfloat16, b heads n d: a block's, and a full window's."""
    random, n = torch.Generator(device).manual_seed(0), config.tokens_per_frame
    frames = (window.block, window.size, window.size)
    shapes = [(1, config.num_heads, count * n, config.head_dim) for count in frames]
    return [torch.randn(shape, generator=random, device=device, dtype=torch.bfloat16) for shape in shapes]


def median_ms(call: Callable[[], object], device: torch.device) -> float:
    """Return the median of a call's milliseconds on the device, after three to warm up."""
    millis = []
    for _ in range(3 + REPEATS):
        started = now_s(device)
        call()
        millis.append(1000 * (now_s(device) - started))
    return round(float(np.median(millis[3:])), 3)
