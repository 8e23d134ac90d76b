"""Measurements of single choices at full size: attention by backend, window sizes, decoding on a stream of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from infrope_env.config import ModelConfig, Window
from infrope_env.dynamics.rollout import Rollout
from infrope_env.pixels.codec import Decoder
from tests.gpu.measurements import (
    BLOCKS_PER_PROMPT,
    CYCLE,
    START,
    Scale,
    now_s,
    random_embedding,
)

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
        Median milliseconds of one layer by backend; relative error to float64 by backend; and the name of the backend
        that PyTorch takes by itself.
    """
    query, key, value = attention_inputs(scale.generator, scale.device, window)
    exact = F.scaled_dot_product_attention(*(x[:, :1].double() for x in (query, key, value)))  # one head
    millis, errors = {}, {}
    for name, backend in BACKENDS.items():
        with contextlib.suppress(RuntimeError), sdpa_kernel(backend):
            output = F.scaled_dot_product_attention(query, key, value)
            errors[name] = float((output[:, :1].double() - exact).norm() / exact.norm())
            millis[name] = median_ms(lambda: F.scaled_dot_product_attention(query, key, value), scale.device)
    return millis, errors, SDPBackend(torch._fused_sdp_choice(query, key, value)).name


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


@torch.inference_mode()
def play_with_frames(
    rollout: Rollout, decoder: Decoder, scale: Scale, beside_commit: bool
) -> tuple[list[Tensor], dict[str, float]]:
    """Make blocks with their frames in host memory and their commit passes done; return frames, and total ms.

    Args:
        rollout: The rollout; it starts over.
        decoder: The decoder.
        scale: Device and number of blocks.
        beside_commit: Decode and copy on a stream of its own, while the commit pass runs; else one after the other.
    """
    prompts = [random_embedding(rollout, 0), random_embedding(rollout, 1)]
    rollout.reset(0)
    frames, millis, state = [], [], None
    stream = torch.cuda.Stream() if beside_commit and scale.device.type == "cuda" else None
    for index in range(scale.warm_up_blocks + scale.timed_blocks):
        started = now_s(scale.device)
        transition = CYCLE[index % len(CYCLE)] if index else START
        latents = rollout.generate(prompts[index // BLOCKS_PER_PROMPT % 2], transition).latents
        with on_stream(stream):
            decoded, state = decoder.decode(latents, state)
            host = torch.empty(decoded.shape, dtype=decoded.dtype, pin_memory=stream is not None)
            host.copy_(decoded, non_blocking=stream is not None)
        rollout.commit()
        frames.append(host)
        millis.append(1000 * (now_s(scale.device) - started))  # waits for both streams
    timed = millis[scale.warm_up_blocks :]
    return frames, {f"p{q}": round(float(np.percentile(timed, q)), 2) for q in (10, 50, 90)}


@contextlib.contextmanager
def on_stream(stream: torch.cuda.Stream | None) -> Iterator[None]:
    """Queue work on a stream, behind what is queued on the present one; None is the present one."""
    if stream is None:
        yield
        return
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        yield
