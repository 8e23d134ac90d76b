"""The layers of Wan's VAE run group by group of frames, in little memory: weights and structure are diffusers'.

The results are those of diffusers' own forward passes, bit for bit. Less memory is taken in three ways: the frames that
a causal convolution keeps are overwritten in place, features are normalised and doubled without a copy in float32, and
every result is let go at its last use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NORM_EPS = 1e-12


class FeatCache:
    """Newest input frames of every causal convolution of an encoder or decoder, in the order in which they run.

    Attributes:
        tensors: Kept frames of each convolution, b c t h w. A group of frames overwrites them.
        first: Whether the first group is being computed, a single frame before which there is nothing.
        memory_format: Layout of all features.
    """

    def __init__(self, tensors: tuple[Tensor, ...] | None, memory_format: torch.memory_format) -> None:
        """Continue from kept frames; None begins with zeros, which are allocated as convolutions are met."""
        self.tensors, self.first, self.memory_format = list(tensors or ()), tensors is None, memory_format
        self._next = 0

    def end_group(self) -> None:
        """Go back to the first convolution, for the next group of frames."""
        self.first, self._next = False, 0

    def next_entry(self, x: Tensor, frames: int) -> Tensor:
        """Return the kept frames of the next convolution, whose input is like x."""
        if self._next == len(self.tensors):
            self.tensors.append(self.empty(x, x.shape[1], frames, *x.shape[3:]).zero_())
        self._next += 1
        return self.tensors[self._next - 1]

    def empty(self, like: Tensor, channels: int, frames: int, height: int, width: int) -> Tensor:
        """Return uninitialised features b c t h w in the dtype and on the device of others."""
        shape = (like.shape[0], channels, frames, height, width)
        return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=self.memory_format)


def run_layers(half: Any, x: Tensor, cache: FeatCache) -> Tensor:
    """Apply an encoder or decoder to the next group of frames, b c t h w."""
    x = causal_conv(half.conv_in, x, cache)
    for layer in _layers(half):
        x = APPLY[type(layer).__name__](layer, x, cache)
    x = causal_conv(half.conv_out, x, cache, half.norm_out)
    cache.end_group()
    return x


def _layers(half: Any) -> Iterator[nn.Module]:
    """Yield the layers between the first and the last convolution."""
    yield from getattr(half, "down_blocks", ())
    middle = half.mid_block
    yield middle.resnets[0]
    for attention, resnet in zip(middle.attentions, middle.resnets[1:], strict=True):
        yield from (attention, resnet)
    for block in getattr(half, "up_blocks", ()):
        yield from (*block.resnets, *(block.upsamplers or ()))


def causal_conv(conv: nn.Conv3d, x: Tensor, cache: FeatCache, norm: Any = None) -> Tensor:
    """Convolve features b c t h w behind the frames that the cache keeps for this convolution, and keep the newest.

    Features that the caller does not hold are let go at their last use, before the next result is allocated.

    Args:
        conv: Convolution that sees present and earlier frames.
        x: Features of the group.
        cache: Kept frames of all convolutions.
        norm: Normalisation over channels, followed by SiLU, that comes before the convolution.
    """
    if norm is not None:
        x = _normalize(norm, x)
    kept = conv.kernel_size[0] - conv.stride[0]
    padding = (0, conv.kernel_size[1] // 2, conv.kernel_size[2] // 2)
    if kept:
        entry = cache.next_entry(x, kept)
        frames = cache.empty(x, x.shape[1], kept + x.shape[2], *x.shape[3:])
        frames[:, :, :kept], frames[:, :, kept:] = entry, x
        entry.copy_(frames[:, :, -kept:])
        x = frames
        del frames
    return F.conv3d(x, conv.weight, conv.bias, conv.stride, padding)


def _normalize(norm: Any, x: Tensor) -> Tensor:
    """Normalise over channels, then apply SiLU; lengths are float32, of the features no copy in float32 is made.

    A compiler makes one kernel of it without help, and would end a graph at an output that it is given.
    """
    length = torch.linalg.vector_norm(x, dim=1, keepdim=True, dtype=torch.float32).clamp_min_(NORM_EPS)
    if torch.compiler.is_compiling():
        out = torch.div(x, length).to(x.dtype)
    else:
        out = torch.div(x, length, out=torch.empty_like(x))
    return F.silu(out.mul_(norm.scale).mul_(norm.gamma), inplace=True)


def _residual_block(block: Any, x: Tensor, cache: FeatCache) -> Tensor:
    shortcut = x if isinstance(block.conv_shortcut, nn.Identity) else causal_conv(block.conv_shortcut, x, cache)
    return causal_conv(block.conv2, causal_conv(block.conv1, x, cache, block.norm1), cache, block.norm2).add_(shortcut)


def _attention(layer: nn.Module, x: Tensor, _: FeatCache) -> Tensor:
    return layer(x)


def _resample(layer: Any, x: Tensor, cache: FeatCache) -> Tensor:
    """Double or halve height and width, and the number of frames where the layer has a convolution over time."""
    if layer.mode == "upsample3d":
        if cache.first:  # the first latent frame makes one pixel frame
            cache.next_entry(x, layer.time_conv.kernel_size[0] - 1)
        else:
            x = causal_conv(layer.time_conv, x, cache).unflatten(1, (2, -1))
            x = x.permute(0, 2, 3, 1, 4, 5).flatten(2, 3)  # b two c t h w -> b c (t two) h w
    frames = x.transpose(1, 2).flatten(0, 1)  # b c t h w -> (b t) c h w
    if layer.mode.startswith("up"):
        enlarge, conv = layer.resample
        resized = _upsample(enlarge, conv, frames)
    else:
        resized = layer.resample(frames)
    x = resized.unflatten(0, (x.shape[0], -1)).transpose(1, 2)
    if layer.mode == "downsample3d":
        if cache.first:
            cache.next_entry(x, 1).copy_(x)
        else:
            x = causal_conv(layer.time_conv, x, cache)
    return x


def _upsample(upsample: Any, conv: nn.Module, frames: Tensor) -> Tensor:
    """Double n c h w and convolve. diffusers doubles in float32, but copies of pixels are exact in any dtype."""
    return conv(F.interpolate(frames, scale_factor=upsample.scale_factor, mode=upsample.mode))


APPLY: dict[str, Callable[[Any, Tensor, FeatCache], Tensor]] = {
    "WanResidualBlock": _residual_block,
    "WanAttentionBlock": _attention,
    "WanResample": _resample,
}
"""Function of each of diffusers' layers, by its class."""
