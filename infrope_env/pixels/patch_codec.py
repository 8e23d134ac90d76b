"""The pocket world's codec: principal components of patches, and a linear decoder by least squares. No training.

A patch of 4 frames x 8 x 8 pixels becomes one latent pixel. The decoder sees the 3 x 3 neighbourhood of each latent
pixel in its own and in the previous latent frame, so that edges and motion continue across patches. Both maps are
solved for in closed form. The errors of a linear map show as grain in areas of one colour; a bilateral filter removes
it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from infrope_env.pixels.codec import DecoderState, latent_frames

EDGE_THRESHOLD = 24 / 255
"""Colour difference of two neighbouring pixels from which the bilateral filter keeps them apart, as an edge."""
FORWARD_NEIGHBOURS = ((0, 1), (1, -1), (1, 0), (1, 1))
"""(row, column) offsets of four of a pixel's eight neighbours: every pair of neighbours occurs once."""


@dataclass(frozen=True)
class PatchCodecConfig:
    """Sizes of a patch codec.

    Attributes:
        latent_channels: Principal components that the latents keep, at most `patch_pixels`. Default 144.
        side: Height and width of a patch in pixels. Default 8.
    """

    latent_channels: int = 144
    side: int = 8

    def __post_init__(self) -> None:
        """Check that a patch has as many components."""
        if not 0 < self.latent_channels <= self.patch_pixels:
            raise ValueError(f"expected 1 to {self.patch_pixels} latent_channels, got {self.latent_channels}")

    @property
    def space_factor(self) -> int:
        """Height and width of one latent pixel, in pixels."""
        return self.side

    @property
    def patch_pixels(self) -> int:
        """Values in a patch: frames x colours x rows x columns."""
        return 3 * PatchEncoder.frames_per_latent * self.side**2


class PatchEncoder(nn.Module):
    """Linear map from video to latents: each channel is a principal component of mean 0 and variance 1.

    Attributes:
        variances: Variance of each component before normalisation, increasing: the last channel is the strongest.
    """

    frames_per_latent = 4
    variances: Tensor

    def __init__(self, config: PatchCodecConfig) -> None:
        super().__init__()
        self.config = config
        self.components = nn.Conv2d(config.patch_pixels, config.latent_channels, 1)
        self.register_buffer("variances", torch.ones(config.latent_channels))

    def encode(self, frames: Tensor) -> Tensor:
        """Encode the pixel frames of a first block, t = 4 f - 3, with the first one repeated; see `Encoder.encode`."""
        latent_frames(frames.shape[1], self.frames_per_latent)  # raises for another number of frames
        padding = frames[:, :1].expand(-1, self.frames_per_latent - 1, -1, -1, -1)
        return self.encode_whole(torch.cat((padding, frames), 1).to(self.components.weight.device))

    def encode_whole(self, video: Tensor) -> Tensor:
        """Encode video b t 3 H W in [0, 1], t = 4 f, to latents b f c h w; every four frames give one latent frame."""
        return self.components(self.patches(video).flatten(0, 1)).unflatten(0, (len(video), -1))

    def patches(self, video: Tensor) -> Tensor:
        """Rearrange video b t c H W to one column of values per latent pixel, b f (t c y x) h w."""
        t, side = self.frames_per_latent, self.config.side
        return rearrange(video, "b (f t) c (h y) (w x) -> b f (t c y x) h w", t=t, y=side, x=side)

    @torch.no_grad()
    def fit(self, sample: Tensor) -> None:
        """Set components and variances to the strongest ones of a sample of patches, n x patch_pixels."""
        values, vectors = torch.linalg.eigh(torch.cov(sample.T).double())
        strongest = slice(-self.config.latent_channels, None)
        weight = (vectors[:, strongest] / values[strongest].sqrt()).T.float()
        self.components.weight.copy_(weight[:, :, None, None])
        assert self.components.bias is not None
        self.components.bias.copy_(-weight @ sample.mean(0))
        self.variances.copy_(values[strongest])


class PatchDecoder(nn.Module):
    """Linear map from latents to video, then a bilateral filter; a `Decoder` whose state is the last latent frame."""

    frames_per_latent = PatchEncoder.frames_per_latent

    def __init__(self, config: PatchCodecConfig) -> None:
        super().__init__()
        self.config = config
        self.pixels = nn.Conv2d(2 * config.latent_channels, config.patch_pixels, 3, padding=1)

    def decode(self, latents: Tensor, state: DecoderState | None) -> tuple[Tensor, DecoderState]:
        """Decode one block to uint8 frames, b t H W 3; see `Decoder.decode`."""
        latents = latents.to(self.pixels.weight.dtype)
        features = torch.cat((latents, previous_latent_frames(latents, state)), 2)
        pixels = self.pixels(features.flatten(0, 1)).float().clamp_(0, 1)
        t, side = self.frames_per_latent, self.config.side
        shape = {"b": len(latents), "t": t, "y": side, "x": side}
        frames = rearrange(pixels, "(b f) (t c y x) h w -> b (f t) (h y) (w x) c", **shape)
        frames = bilateral_filter(frames).mul_(255).round_().to(torch.uint8)
        frames = frames if state is not None else frames[:, t - 1 :]
        return frames.contiguous(), (latents[:, -1].clone(),)

    @torch.no_grad()
    def fit(self, encoder: PatchEncoder, videos: Iterable[Tensor], noise: float) -> None:
        """Set weight and bias to the least-squares solution for latents with noise.

        Args:
            encoder: Encoder that makes the latents.
            videos: Videos, each 1 t 3 H W in [0, 1], t = 4 f.
            noise: Standard deviation of the expected error of the weakest channel; `channel_noise_scale` gives the
                others'. Keeps the map from relying on differences that the generator cannot reproduce.
        """
        features_features = features_pixels = torch.zeros(())  # sums of products, for the normal equations
        count = 0
        for video in videos:
            latents = encoder.encode_whole(video)
            features, pixels = _neighbourhood_features(latents), encoder.patches(video)[0].movedim(1, -1).flatten(0, 2)
            features_features = features_features + features.T @ features
            features_pixels = features_pixels + features.T @ pixels
            count += len(features)
        deviations = noise * channel_noise_scale(encoder.variances)
        ridge = torch.cat((deviations.repeat(2).repeat_interleave(9), deviations.new_zeros(1))) ** 2 * count
        solution = torch.linalg.solve((features_features + ridge.diag()).double(), features_pixels.double()).float()
        self.pixels.weight.copy_(solution[:-1].T.unflatten(1, (-1, 3, 3)))
        assert self.pixels.bias is not None
        self.pixels.bias.copy_(solution[-1])


def bilateral_filter(frames: Tensor) -> Tensor:
    """Remove grain from areas of one colour and keep edges (Tomasi and Manduchi, 1998).

    The kernel is 3 x 3 pixels, and its weight falls linearly with the difference in colour to 0 at `EDGE_THRESHOLD`.
    Every pixel gains what its neighbour loses, so the mean colour stays the same.

    Args:
        frames: Pixel frames, b t H W c in [0, 1].

    Returns:
        Filtered frames, a new tensor of the same shape.
    """
    result = frames.clone()
    height, width = frames.shape[2:4]
    for down, right in FORWARD_NEIGHBOURS:
        here = (..., slice(0, height - down), slice(max(0, -right), width - max(0, right)), slice(None))
        there = (..., slice(down, height), slice(max(0, right), width - max(0, -right)), slice(None))
        step = frames[there] - frames[here]
        step *= step.abs().mul_(-1 / EDGE_THRESHOLD).add_(1).clamp_(min=0).div_(9)  # in place: much faster
        result[here] += step
        result[there] -= step
    return result


def channel_noise_scale(variances: Tensor) -> Tensor:
    """Return the relative standard deviation of latent errors per channel: 1 for the weakest, less for stronger ones.

    A strong component covers more of the picture's variance, so an error of the same size in its latent shows more.
    Variances (1, 16) give (1, 0.5).
    """
    return (variances / variances.min()) ** -0.25


def previous_latent_frames(latents: Tensor, state: DecoderState | None) -> Tensor:
    """Shift latents b f c h w by one latent frame; the state's frame, or zeros without one, comes first."""
    first = torch.zeros_like(latents[:, :1]) if state is None else state[0].unsqueeze(1)
    return torch.cat((first, latents[:, :-1]), 1)


def _neighbourhood_features(latents: Tensor) -> Tensor:
    """Return the decoder's input for each latent pixel and a 1 for the bias: latents 1 f c h w to rows (f h w)."""
    both = torch.cat((latents, previous_latent_frames(latents, None)), 2)[0]
    rows = F.unfold(both, 3, padding=1).movedim(1, -1).flatten(0, 1)  # f 2c h w -> f (2c 3 3) (h w) -> (f h w) (2c 3 3)
    return torch.cat((rows, torch.ones_like(rows[:, :1])), 1)
