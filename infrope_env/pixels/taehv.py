"""TAEHV, the tiny video autoencoder (Ollin Boer Bohan), with its streaming state outside the network.

Parameter names are upstream's, so that `taew2_1` loads unchanged; widths are configuration, so that a small decoder
uses the same class. Latents are on the generator's scale, without the Wan VAE's mean and standard deviation. A call may
decode any number of latent frames.
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
    """Widths of a TAEHV. The defaults are those of `taew2_1` (Wan 2.1).

    Attributes:
        latent_channels: Channels of a latent frame. Default 16.
        encoder_width: Channels of the encoder. Default 64.
        decoder_widths: Channels of the decoder's four stages, coarse to fine. Default (256, 128, 64, 64).
        space_upscale: Which of the decoder's first three stages double height and width; the encoder mirrors them.
            Default: all.
        patch: Height and width of the pixel square that the last convolution shuffles out of its channels. Default 1.
    """

    latent_channels: int = 16
    encoder_width: int = 64
    decoder_widths: tuple[int, int, int, int] = (256, 128, 64, 64)
    space_upscale: tuple[bool, bool, bool] = (True, True, True)
    patch: int = 1

    @property
    def space_factor(self) -> int:
        """Height and width of one latent pixel, in pixels."""
        return self.patch * 2 ** sum(self.space_upscale)


class TAEHV(nn.Module):
    """Encoder and decoder between video in [0, 1] and latents, four pixel frames per latent frame."""

    frames_per_latent = 4

    def __init__(self, config: TAEHVConfig | None = None) -> None:
        super().__init__()
        self.config = config or TAEHVConfig()
        self.encoder = _encoder(self.config)
        self.decoder = _decoder(self.config)

    def decode(self, latents: Tensor, state: DecoderState | None) -> tuple[Tensor, DecoderState]:
        """Decode one block to uint8 frames; see `Decoder.decode`."""
        frames, state = self.decode_float(latents, state)
        pixels = frames.float().mul(255).round_().to(torch.uint8)
        return pixels.permute(0, 1, 3, 4, 2).contiguous(), state  # b t c H W -> b t H W c

    def decode_float(self, latents: Tensor, state: DecoderState | None = None) -> tuple[Tensor, DecoderState]:
        """Decode latents b f c h w to frames b t 3 H W in [0, 1]; without a state the first 3 of 4 f are dropped."""
        frames, state = self.decode_unclamped(latents, state)
        return frames.clamp(0, 1), state

    def decode_unclamped(self, latents: Tensor, state: DecoderState | None = None) -> tuple[Tensor, DecoderState]:
        """Decode as `decode_float`, without the final clamp, which has no gradient outside [0, 1]."""
        dtype = next(self.decoder.parameters()).dtype
        frames, next_state = _run_layers(self.decoder, latents.to(dtype), state)
        if self.config.patch > 1:
            frames = F.pixel_shuffle(frames, self.config.patch)
        return (frames[:, self.frames_per_latent - 1 :] if state is None else frames), next_state

    def encode(self, frames: Tensor, state: DecoderState | None = None) -> tuple[Tensor, DecoderState]:
        """Encode frames b t 3 H W in [0, 1], t = 4 f, to latents b f c h w."""
        if self.config.patch > 1:
            frames = F.pixel_unshuffle(frames, self.config.patch)
        return _run_layers(self.encoder, frames, state)


class TAEHVEncoder:
    """The encoder of a TAEHV as an `Encoder` of first blocks."""

    def __init__(self, network: TAEHV) -> None:
        self.network = network

    def encode(self, frames: Tensor) -> Tensor:
        """Encode with the first pixel frame repeated to fill the first latent frame; see `Encoder.encode`."""
        latent_frames(frames.shape[1], self.network.frames_per_latent)  # raises for another number of frames
        padding = frames[:, :1].expand(-1, self.network.frames_per_latent - 1, -1, -1, -1)
        weight = next(self.network.encoder.parameters())
        latents, _ = self.network.encode(torch.cat((padding, frames), 1).to(weight))
        return latents


class Clamp(nn.Module):
    """Soft bound on latents, which keeps a few outliers from dominating the scale."""

    def forward(self, x: Tensor) -> Tensor:
        """Squash to (-3, 3)."""
        return torch.tanh(x / 3) * 3


class MemBlock(nn.Module):
    """Residual block of three convolutions over the features of a frame and of the previous frame."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        layers = [_conv(channels_in * 2, channels_out), nn.ReLU(True), _conv(channels_out, channels_out), nn.ReLU(True)]
        self.conv = nn.Sequential(*layers, _conv(channels_out, channels_out))
        same = channels_in == channels_out
        self.skip = nn.Identity() if same else nn.Conv2d(channels_in, channels_out, 1, bias=False)

    def forward(self, x: Tensor, past: Tensor) -> Tensor:
        """Map features n c h w, with those of the previous frames in `past`, to n c' h w."""
        first = self.conv[0]
        assert isinstance(first, nn.Conv2d)
        weight, past_weight = first.weight.chunk(2, dim=1)  # two convolutions are faster than concatenating the inputs
        y = F.conv2d(x, weight, first.bias, padding=1).add_(F.conv2d(past, past_weight, padding=1))
        return F.relu_(self.conv[1:](y).add_(self.skip(x)))


class TPool(nn.Module):
    """Layer that merges `stride` consecutive frames into one."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv = nn.Conv2d(channels * stride, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (b t) c h w to (b t/stride) c h w."""
        return self.conv(x.reshape(-1, self.stride * x.shape[1], *x.shape[2:]))


class TGrow(nn.Module):
    """Layer that expands each frame to `stride` consecutive ones."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv = nn.Conv2d(channels, channels * stride, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (b t) c h w to (b t*stride) c h w."""
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


def _run_layers(network: nn.Sequential, x: Tensor, state: DecoderState | None) -> tuple[Tensor, DecoderState]:
    """Apply a stack of 2-D layers to b t c h w; the state holds each MemBlock's newest input frame, b c h w."""
    batch = x.shape[0]
    newest: Iterator[Tensor | None] = iter(state) if state is not None else iter(lambda: None, 0)
    next_state: list[Tensor] = []
    x = x.flatten(0, 1)  # b t c h w -> (b t) c h w
    layers = iter(network)
    for layer in layers:
        if isinstance(layer, nn.Upsample):
            grow, conv = next(layers), next(layers)
            assert isinstance(grow, TGrow) and isinstance(conv, nn.Conv2d)
            x = _upsample(x, layer.scale_factor == 2, grow, conv)
        elif isinstance(layer, MemBlock):
            frames = x.unflatten(0, (batch, -1))  # (b t) c h w -> b t c h w
            x = layer(x, _previous_frames(frames, next(newest)).flatten(0, 1))
            next_state.append(frames[:, -1].detach().clone())
        else:
            x = layer(x)
    return x.unflatten(0, (batch, -1)), tuple(next_state)


def _previous_frames(frames: Tensor, first: Tensor | None) -> Tensor:
    """Shift b t c h w by one frame; `first` (b c h w), or zeros without one, comes first. Keeps the memory format."""
    shifted = torch.empty_like(frames)
    shifted[:, 0] = 0 if first is None else first
    shifted[:, 1:] = frames[:, :-1]
    return shifted


def _upsample(x: Tensor, doubles: bool, grow: TGrow, conv: nn.Conv2d) -> Tensor:
    """Apply upsampling, TGrow and convolution, three linear layers in a row, as one convolution.

    Maps (b t) c h w to (b t*stride) c' H W. Every call computes the kernel again, which takes a hundredth of the time
    of applying it.
    """
    inner = grow.conv.weight[:, :, 0, 0].unflatten(0, (grow.stride, -1))  # (s k) c 1 1 -> s k c
    kernel = torch.einsum("skc,okyx->socyx", inner, conv.weight)
    if doubles:
        return _convolve_doubled(x, kernel)
    y = F.conv2d(x, kernel.flatten(0, 1), padding=1).unflatten(1, kernel.shape[:2])
    return y.permute(0, 1, 3, 4, 2).flatten(0, 1).permute(0, 3, 1, 2)  # n s o h w -> (n s) o h w, channels last


def _convolve_doubled(x: Tensor, kernel: Tensor) -> Tensor:
    """Double n c h w in height and width (nearest neighbour) and convolve with s o c 3 3, to (n s) o 2h 2w.

    After doubling, the 3 x 3 pixels under the kernel are copies of only 2 x 2 pixels of x; which ones depends on the
    parity of the output pixel's row and column. Four 2 x 2 kernels therefore give the same result for less than half
    of the work.
    """
    (n, _, h, w), (s, o) = x.shape, kernel.shape[:2]
    taps = _taps_by_parity(kernel)
    kernel = torch.einsum("pay,qbx,socyx->pqsocab", taps, taps, kernel).flatten(0, 3)
    y = F.conv2d(x, kernel, padding=1).unflatten(1, (2, 2, s, o))
    result = y.new_empty(n, s, h, 2, w, 2, o)
    for p, q in ((0, 0), (0, 1), (1, 0), (1, 1)):
        result[:, :, :, p, :, q] = y[:, p, q, :, :, p : p + h, q : q + w].permute(0, 1, 3, 4, 2)
    return result.view(n * s, 2 * h, 2 * w, o).permute(0, 3, 1, 2)


def _taps_by_parity(like: Tensor) -> Tensor:
    """Return which of a kernel's 3 taps fall on which of 2 pixels, for even and odd output: parity pixel tap, 2 2 3."""
    taps = like.new_zeros(2, 2, 3)
    taps[0, 0, :1], taps[0, 1, 1:], taps[1, 0, :2], taps[1, 1, 2:] = 1, 1, 1, 1
    return taps
