"""The full VAE of Wan 2.1, computed by diffusers, with the feature caches of its causal convolutions outside of it.

The network is loaded elsewhere, so this module does not import diffusers, which takes seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from infrope_env.pixels.codec import DecoderState, latent_frames

if TYPE_CHECKING:
    from diffusers import AutoencoderKLWan

FIRST_FRAME_MARKER = "Rep"
"""Entry of diffusers' feature cache for a temporal upsampling that has seen the first latent frame only."""

FeatureCache = list[Tensor | str | None]
"""diffusers' `feat_cache`: features, `FIRST_FRAME_MARKER` or None for each causal convolution."""


class WanVAE:
    """Encoder and decoder of Wan 2.1: more faithful than TAEHV, and slower.

    Decoding block by block gives the bytes of a whole decode. The state is large, two frames of features for every
    convolution: at 480x832 in bfloat16, 1.9 GB for each rollout and each saved state.
    """

    frames_per_latent = 4

    def __init__(self, network: AutoencoderKLWan) -> None:
        """Wrap a network that is already on its device and in its dtype."""
        self.network = network.eval().requires_grad_(False)
        self.device, self.dtype = network.device, network.dtype
        self._mean = self._per_channel(network.config.latents_mean)
        self._std = self._per_channel(network.config.latents_std)

    def decode(self, latents: Tensor, state: DecoderState | None) -> tuple[Tensor, DecoderState]:
        """Decode one block to uint8 frames; see `Decoder.decode`."""
        frames, state = self.decode_float(latents, state)
        pixels = frames.float().mul(255).round_().to(torch.uint8)
        return pixels.permute(0, 1, 3, 4, 2).contiguous(), state  # b t c H W -> b t H W c

    def decode_float(self, latents: Tensor, state: DecoderState | None = None) -> tuple[Tensor, DecoderState]:
        """Decode latents b f c h w to frames b t 3 H W in [0, 1], one latent frame at a time as the VAE requires."""
        z = (latents.to(self.device).float() * self._std + self._mean).to(self.dtype)
        z = self.network.post_quant_conv(z.transpose(1, 2))  # b f c h w -> b c f h w
        feat_cache = _empty_cache(self.network.decoder) if state is None else _unpack(state)
        pieces = []
        for index, frame in enumerate(z.split(1, dim=2)):
            first = state is None and index == 0
            pieces.append(self.network.decoder(frame, feat_cache=feat_cache, feat_idx=[0], first_chunk=first))
        frames = torch.cat(pieces, 2).clamp(-1, 1) * 0.5 + 0.5
        return frames.transpose(1, 2), _pack(feat_cache)  # b c t H W -> b t c H W

    def encode(self, frames: Tensor) -> Tensor:
        """Encode frames to float32 latents, the mode of the posterior; see `Encoder.encode`."""
        groups = [1] + [self.frames_per_latent] * (latent_frames(frames.shape[1], self.frames_per_latent) - 1)
        x = (frames.to(self.device).float() * 2 - 1).to(self.dtype).transpose(1, 2)  # b t c H W -> b c t H W
        feat_cache = _empty_cache(self.network.encoder)
        moments = [self.network.encoder(group, feat_cache=feat_cache, feat_idx=[0]) for group in x.split(groups, dim=2)]
        mode, _ = self.network.quant_conv(torch.cat(moments, 2)).chunk(2, dim=1)
        return (mode.transpose(1, 2).float() - self._mean) / self._std  # b c f h w -> b f c h w

    def _per_channel(self, values: list[float]) -> Tensor:
        return torch.tensor(values, device=self.device).view(-1, 1, 1)


def _empty_cache(half: nn.Module) -> FeatureCache:
    """Return one empty entry per convolution; those over a single frame never fill theirs, at the end of the list."""
    return [None] * sum(isinstance(layer, nn.Conv3d) for layer in half.modules())


def _pack(feat_cache: FeatureCache) -> DecoderState:
    """Return the entries in use as tensors; an empty tensor stands for the marker."""
    return tuple(torch.empty(0) if isinstance(entry, str) else entry for entry in feat_cache if entry is not None)


def _unpack(state: DecoderState) -> FeatureCache:
    """Inverse of `_pack`."""
    return [entry if entry.numel() else FIRST_FRAME_MARKER for entry in state]
