"""TAEHV, the tiny autoencoder for video (Ollin Boer Bohan), with its streaming memory held outside the network.

The parameter names are upstream's, so that `taew2_1` loads as it is; the widths are configuration, so that small
ones use the same class. Takes latents on the generator's own scale, without the Wan VAE's mean and deviation. Knows
nothing about blocks: any number of frames may come at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infrope_env.pixels.codec import DecoderState, latent_frames


@dataclass(frozen=True)
class TAEHVConfig:
    """Widths of a TAEHV. The defaults are `taew2_1` (Wan 2.1).

    Attributes:
        decoder_widths: channels of the decoder's four stages, coarse to fine.
        space_upscale: which of the decoder's three stages double height and width; the encoder mirrors it.
        patch: pixels a side that the last convolution shuffles out of its channels.
    """

    latent_channels: int = 16
    encoder_width: int = 64
    decoder_widths: tuple[int, int, int, int] = (256, 128, 64, 64)
    space_upscale: tuple[bool, bool, bool] = (True, True, True)
    patch: int = 1

    @property
    def space_factor(self) -> int:
        """Pixels a side of one latent pixel."""
        return self.patch * 2 ** sum(self.space_upscale)


class TAEHV(nn.Module):
    """Encoder and decoder between video in [0, 1] and latents, four pixel frames to a latent frame."""

    frames_per_latent = 4

    def __init__(self, config: TAEHVConfig | None = None) -> None:
        super().__init__()
        self.config = config or TAEHVConfig()
        self.encoder = _encoder(self.config)
        self.decoder = _decoder(self.config)

    def decode(self, latents: Tensor, memory: DecoderState | None) -> tuple[Tensor, DecoderState]:
        """Decode one block to uint8 frames; see `Decoder.decode`."""
        frames, memory = self.decode_float(latents, memory)
        pixels = frames.float().mul(255).round_().to(torch.uint8)
        return pixels.permute(0, 1, 3, 4, 2).contiguous(), memory  # b t c H W -> b t H W c

    def decode_float(self, latents: Tensor, memory: DecoderState | None = None) -> tuple[Tensor, DecoderState]:
        """Decode to frames in [0, 1], b t 3 H W. Without a memory the three frames before time zero are dropped."""
        frames, memory = self.decode_unbounded(latents, memory)
        return frames.clamp(0, 1), memory

    def decode_unbounded(self, latents: Tensor, memory: DecoderState | None = None) -> tuple[Tensor, DecoderState]:
        """As `decode_float` without the final clamp, which would hide errors outside [0, 1] from training."""
        dtype = next(self.decoder.parameters()).dtype
        frames, next_memory = _run(self.decoder, latents.to(dtype), memory)
        frames = _unpatch(frames, self.config.patch)
        return (frames[:, self.frames_per_latent - 1 :] if memory is None else frames), next_memory

    def encode(self, frames: Tensor, memory: DecoderState | None = None) -> tuple[Tensor, DecoderState]:
        """Encode frames in [0, 1], b t 3 H W with t a multiple of four, to latents b t/4 c h w."""
        return _run(self.encoder, _patch(frames, self.config.patch), memory)


class TAEHVEncoder:
    """The encoder half as an `Encoder`: what the decoder drops at the start of time, it puts in front again."""

    def __init__(self, network: TAEHV) -> None:
        self.network = network

    def encode(self, frames: Tensor) -> Tensor:
        """See `Encoder.encode`; the first frame is repeated to fill the first latent frame."""
        latent_frames(frames.shape[1], self.network.frames_per_latent)
        before = frames[:, :1].expand(-1, self.network.frames_per_latent - 1, -1, -1, -1)
        weight = next(self.network.encoder.parameters())
        latents, _ = self.network.encode(torch.cat((before, frames), 1).to(weight))
        return latents


class Clamp(nn.Module):
    """Soft bound on latents: a few outliers must not set the scale of everything."""

    def forward(self, x: Tensor) -> Tensor:
        """Squash to (-3, 3)."""
        return torch.tanh(x / 3) * 3


class MemBlock(nn.Module):
    """Residual block of three convolutions that also sees the same features one frame earlier."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        layers = [_conv(channels_in * 2, channels_out), nn.ReLU(True), _conv(channels_out, channels_out), nn.ReLU(True)]
        self.conv = nn.Sequential(*layers, _conv(channels_out, channels_out))
        same = channels_in == channels_out
        self.skip = nn.Identity() if same else nn.Conv2d(channels_in, channels_out, 1, bias=False)

    def forward(self, x: Tensor, past: Tensor) -> Tensor:
        """Map features n c h w and their one-frame-older copy to n c' h w."""
        first = self.conv[0]
        assert isinstance(first, nn.Conv2d)
        now, then = first.weight.chunk(2, dim=1)  # joining x and past instead would cost more than the additions
        y = F.conv2d(x, now, first.bias, padding=1).add_(F.conv2d(past, then, padding=1))
        return F.relu_(self.conv[1:](y).add_(self.skip(x)))


class TPool(nn.Module):
    """Merges `stride` consecutive frames into one."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv = nn.Conv2d(channels * stride, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(b t) c h w -> (b t/stride) c h w."""
        return self.conv(x.reshape(-1, self.stride * x.shape[1], *x.shape[2:]))


class TGrow(nn.Module):
    """Splits each frame into `stride` consecutive ones."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv = nn.Conv2d(channels, channels * stride, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(b t) c h w -> (b t*stride) c h w."""
        return self.conv(x).reshape(-1, *x.shape[1:])


def _conv(channels_in: int, channels_out: int, stride: int = 1, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=bias)


def _encoder(config: TAEHVConfig) -> nn.Sequential:
    width = config.encoder_width
    layers: list[nn.Module] = [_conv(3 * config.patch**2, width), nn.ReLU()]
    for time_stride, halve in zip((2, 2, 1), reversed(config.space_upscale), strict=True):
        layers += [TPool(width, time_stride), _conv(width, width, stride=2 if halve else 1, bias=False)]
        layers += [MemBlock(width, width) for _ in range(3)]
    return nn.Sequential(*layers, _conv(width, config.latent_channels))


def _decoder(config: TAEHVConfig) -> nn.Sequential:
    widths = config.decoder_widths
    layers: list[nn.Module] = [Clamp(), _conv(config.latent_channels, widths[0]), nn.ReLU()]
    for stage, (time_stride, double) in enumerate(zip((1, 2, 2), config.space_upscale, strict=True)):
        layers += [MemBlock(widths[stage], widths[stage]) for _ in range(3)]
        layers += [nn.Upsample(scale_factor=2 if double else 1), TGrow(widths[stage], time_stride)]
        layers += [_conv(widths[stage], widths[stage + 1], bias=False)]
    return nn.Sequential(*layers, nn.ReLU(), _conv(widths[-1], 3 * config.patch**2))


def _run(network: nn.Sequential, x: Tensor, memory: DecoderState | None) -> tuple[Tensor, DecoderState]:
    """Send b t c h w through a stack of 2-D layers; each MemBlock takes its past from, and leaves it in, the memory."""
    batch = x.shape[0]
    past: Iterator[Tensor | None] = iter(memory) if memory is not None else iter(lambda: None, 0)
    kept: list[Tensor] = []
    x = x.flatten(0, 1)  # b t c h w -> (b t) c h w
    layers = iter(network)
    for layer in layers:
        if isinstance(layer, nn.Upsample):
            grow, conv = next(layers), next(layers)
            assert isinstance(grow, TGrow) and isinstance(conv, nn.Conv2d)
            x = _grow(x, layer.scale_factor == 2, grow, conv)
        elif isinstance(layer, MemBlock):
            frames = x.unflatten(0, (batch, -1))  # (b t) c h w -> b t c h w
            x = layer(x, _one_frame_earlier(frames, next(past)).flatten(0, 1))
            kept.append(frames[:, -1].detach().clone())
        else:
            x = layer(x)
    return x.unflatten(0, (batch, -1)), tuple(kept)


def _one_frame_earlier(frames: Tensor, last: Tensor | None) -> Tensor:
    """Shift b t c h w by one frame, memory layout kept; `last` (b c h w), or zeros at the start of time, in front."""
    shifted = torch.empty_like(frames)
    shifted[:, 0] = 0 if last is None else last
    shifted[:, 1:] = frames[:, :-1]
    return shifted


def _grow(x: Tensor, doubles: bool, grow: TGrow, conv: nn.Conv2d) -> Tensor:
    """Upsampling, growth and convolution as one convolution: all are linear, with nothing between.

    Maps (b t) c h w to (b t*stride) c' H W. The kernel is made anew at every call, which costs a hundredth of using it.
    """
    inner = grow.conv.weight[:, :, 0, 0].unflatten(0, (grow.stride, -1))  # (s k) c 1 1 -> s k c
    kernel = torch.einsum("skc,okyx->socyx", inner, conv.weight)
    if doubles:
        return _convolve_doubled(x, kernel)
    y = F.conv2d(x, kernel.flatten(0, 1), padding=1).unflatten(1, kernel.shape[:2])
    return y.permute(0, 1, 3, 4, 2).flatten(0, 1).permute(0, 3, 1, 2)  # n s o h w -> (n s) o h w, channels last


def _convolve_doubled(x: Tensor, kernel: Tensor) -> Tensor:
    """Double n c h w in height and width and convolve it with s o c 3 3, to (n s) o 2h 2w.

    A pixel of the result sees only 2 x 2 pixels of x, and which depends on the corner of x's pixel that it is: four
    kernels of that size do less than half of the work.
    """
    (n, _, h, w), (s, o) = x.shape, kernel.shape[:2]
    corners = _taps_of_corners(kernel)
    kernel = torch.einsum("pay,qbx,socyx->pqsocab", corners, corners, kernel).flatten(0, 3)
    y = F.conv2d(x, kernel, padding=1).unflatten(1, (2, 2, s, o))
    result = y.new_empty(n, s, h, 2, w, 2, o)
    for p, q in ((0, 0), (0, 1), (1, 0), (1, 1)):
        result[:, :, :, p, :, q] = y[:, p, q, :, :, p : p + h, q : q + w].permute(0, 1, 3, 4, 2)
    return result.view(n * s, 2 * h, 2 * w, o).permute(0, 3, 1, 2)


def _taps_of_corners(like: Tensor) -> Tensor:
    """Which of three taps meet in which of two pixels, for both sides of a pixel: 2 2 3; made on the device."""
    taps = like.new_zeros(2, 2, 3)
    taps[0, 0, :1], taps[0, 1, 1:], taps[1, 0, :2], taps[1, 1, 2:] = 1, 1, 1, 1
    return taps


def _unpatch(frames: Tensor, patch: int) -> Tensor:
    return F.pixel_shuffle(frames, patch) if patch > 1 else frames


def _patch(frames: Tensor, patch: int) -> Tensor:
    return F.pixel_unshuffle(frames, patch) if patch > 1 else frames
