"""The pocket world's codec: principal components of patches, and the best linear way back. Nothing in it is trained.

A patch of 4 frames x 8 x 8 pixels becomes one latent pixel. The way back sees each latent pixel, its eight neighbours
and the latent frame before, so that edges and movement run on across patches. Both maps are solved for, in a minute.
What a linear map cannot do is to tell an even sky from its own mistakes, so neighbours of nearly one colour are then
drawn together.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from infrope_env.pixels.codec import DecoderState, latent_frames

NEARLY_ONE_COLOUR = 24 / 255
"""Neighbours that differ by less are drawn together; a drawn edge is a larger step."""
HALF_OF_THE_NEIGHBOURS = ((0, 1), (1, -1), (1, 0), (1, 1))


@dataclass(frozen=True)
class PatchCodecConfig:
    """Sizes of a patch codec.

    Attributes:
        latent_channels: principal components kept.
        side: pixels a side of a patch.
    """

    latent_channels: int = 144
    side: int = 8

    def __post_init__(self) -> None:
        """Refuse more components than a patch has pixels."""
        if not 0 < self.latent_channels <= self.patch_pixels:
            raise ValueError(f"expected 1 to {self.patch_pixels} latent_channels, got {self.latent_channels}")

    @property
    def space_factor(self) -> int:
        """Pixels a side of one latent pixel."""
        return self.side

    @property
    def patch_pixels(self) -> int:
        """Values in a patch: frames, colours, rows, columns."""
        return 3 * PatchEncoder.frames_per_latent * self.side**2


class PatchEncoder(nn.Module):
    """Video to latents: each channel is a principal component at mean 0 and deviation 1, the strongest last."""

    frames_per_latent = 4
    variances: Tensor

    def __init__(self, config: PatchCodecConfig) -> None:
        super().__init__()
        self.config = config
        self.components = nn.Conv2d(config.patch_pixels, config.latent_channels, 1)
        self.register_buffer("variances", torch.ones(config.latent_channels))

    def encode(self, frames: Tensor) -> Tensor:
        """Encode the beginning of a video, t = 4 f - 3; see `Encoder.encode`."""
        latent_frames(frames.shape[1], self.frames_per_latent)  # raises where there is no such beginning
        first = frames[:, :1].expand(-1, self.frames_per_latent - 1, -1, -1, -1)
        return self.encode_whole(torch.cat((first, frames), 1).to(self.components.weight.device))

    def encode_whole(self, video: Tensor) -> Tensor:
        """Encode video b t 3 H W in [0, 1], t = 4 f, to latents b f c h w, each from its own four frames."""
        return self.components(self.patches(video).flatten(0, 1)).unflatten(0, (len(video), -1))

    def patches(self, video: Tensor) -> Tensor:
        """One column of pixels a latent pixel: b t c H W -> b f (t c y x) h w."""
        t, side = self.frames_per_latent, self.config.side
        return rearrange(video, "b (f t) c (h y) (w x) -> b f (t c y x) h w", t=t, y=side, x=side)

    @torch.no_grad()
    def fit(self, sample: Tensor) -> None:
        """Take the principal components of patches (n pixels), and keep their variances."""
        values, vectors = torch.linalg.eigh(torch.cov(sample.T).double())
        kept = slice(-self.config.latent_channels, None)
        weight = (vectors[:, kept] / values[kept].sqrt()).T.float()
        self.components.weight.copy_(weight[:, :, None, None])
        assert self.components.bias is not None
        self.components.bias.copy_(-weight @ sample.mean(0))
        self.variances.copy_(values[kept])


class PatchDecoder(nn.Module):
    """Latents to video; see `Decoder`. Its memory is the last latent frame."""

    frames_per_latent = PatchEncoder.frames_per_latent

    def __init__(self, config: PatchCodecConfig) -> None:
        super().__init__()
        self.config = config
        self.pixels = nn.Conv2d(2 * config.latent_channels, config.patch_pixels, 3, padding=1)

    def decode(self, latents: Tensor, memory: DecoderState | None) -> tuple[Tensor, DecoderState]:
        """Decode one block to uint8 frames, b t H W 3; see `Decoder.decode`."""
        latents = latents.to(self.pixels.weight.dtype)
        frames = self._decode_bounded(latents, before(latents, memory)).mul_(255).round_().to(torch.uint8)
        frames = frames if memory is not None else frames[:, self.frames_per_latent - 1 :]
        return frames.contiguous(), (latents[:, -1].clone(),)

    def _decode_bounded(self, latents: Tensor, past: Tensor) -> Tensor:
        """Frames in [0, 1], b t H W 3, the three before time zero included."""
        pixels = self.pixels(torch.cat((latents, past), 2).flatten(0, 1)).float().clamp_(0, 1)
        t, side = self.frames_per_latent, self.config.side
        shape = {"b": len(latents), "t": t, "y": side, "x": side}
        return smoothed(rearrange(pixels, "(b f) (t c y x) h w -> b (f t) (h y) (w x) c", **shape))

    @torch.no_grad()
    def fit(self, encoder: PatchEncoder, videos: Iterable[Tensor], noise: float) -> None:
        """Solve for the least squared error.

        Args:
            encoder: makes the latents.
            videos: each 1 t 3 H W in [0, 1], t = 4 f.
            noise: deviation of the errors that the faintest channel will have in play; a stronger one is taken to be
                more exact. Keeps the map from relying on faint differences.
        """
        seen_twice = seen_pixels = torch.zeros(())
        count = 0
        for video in videos:
            latents = encoder.encode_whole(video)
            seen, pixels = _looking_around(latents), encoder.patches(video)[0].movedim(1, -1).flatten(0, 2)
            seen_twice, seen_pixels = seen_twice + seen.T @ seen, seen_pixels + seen.T @ pixels
            count += len(seen)
        errors = noise * roughness(encoder.variances)
        spread = torch.cat((errors.repeat(2).repeat_interleave(9), errors.new_zeros(1))) ** 2 * count
        solution = torch.linalg.solve((seen_twice + spread.diag()).double(), seen_pixels.double()).float()
        self.pixels.weight.copy_(solution[:-1].T.unflatten(1, (-1, 3, 3)))
        assert self.pixels.bias is not None
        self.pixels.bias.copy_(solution[-1])


def smoothed(frames: Tensor) -> Tensor:
    """Take the grain out of even areas and leave edges as they are; frames b t H W c in [0, 1].

    A bilateral filter (Tomasi and Manduchi, 1998) of 3 x 3 pixels, its weight in colour a triangle. What one pixel
    gains its neighbour loses, so no colour drifts.
    """
    result = frames.clone()
    height, width = frames.shape[2:4]
    for down, right in HALF_OF_THE_NEIGHBOURS:
        here = (..., slice(0, height - down), slice(max(0, -right), width - max(0, right)), slice(None))
        there = (..., slice(down, height), slice(max(0, right), width - max(0, -right)), slice(None))
        step = frames[there] - frames[here]
        step *= step.abs().mul_(-1 / NEARLY_ONE_COLOUR).add_(1).clamp_(min=0).div_(9)  # in place: much faster
        result[here] += step
        result[there] -= step
    return result


def roughness(variances: Tensor) -> Tensor:
    """How wrong each channel may be, the faintest one 1: what is strong in the picture has to be more exact."""
    return (variances / variances.min()) ** -0.25


def before(latents: Tensor, memory: DecoderState | None) -> Tensor:
    """Latents b f c h w one frame earlier; zeros before time zero."""
    first = torch.zeros_like(latents[:, :1]) if memory is None else memory[0].unsqueeze(1)
    return torch.cat((first, latents[:, :-1]), 1)


def _looking_around(latents: Tensor) -> Tensor:
    """All that the decoder sees, and a one for its bias: latents 1 f c h w to rows (f h w)."""
    around = F.unfold(torch.cat((latents, before(latents, None)), 2)[0], 3, padding=1)  # f 2c h w -> f (2c 3 3) (h w)
    rows = around.movedim(1, -1).flatten(0, 1)
    return torch.cat((rows, torch.ones_like(rows[:, :1])), 1)
