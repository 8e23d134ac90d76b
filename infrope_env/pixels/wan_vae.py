"""The full Wan VAE, computed by diffusers, with the feature caches of its causal convolutions held outside of it.

Knows latents on the scale of the generator and frames in [0, 1]; where weights come from is `load.py`'s business.
diffusers takes seconds to import, so it is not imported here: a network comes in loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from infrope_env.pixels.codec import DecoderState, latent_frames

if TYPE_CHECKING:
    from diffusers import AutoencoderKLWan

REPEAT = "Rep"
"""What diffusers keeps in place of a tensor where a temporal upsampling has only seen the first latent frame."""

FeatureCache = list[Tensor | str | None]


class WanVAE:
    """Encoder and decoder of Wan 2.1: slow and faithful where TAEHV is fast.

    Block by block it gives the bytes of a whole decode. Its memory is large, two feature frames for every convolution:
    at 480x832 in bfloat16, 1.9 GB for each rollout and each saved state.
    """

    frames_per_latent = 4

    def __init__(self, network: AutoencoderKLWan) -> None:
        """Take a network that is where it is to stay, on its device and in its dtype."""
        self.network = network.eval().requires_grad_(False)
        self.device, self.dtype = network.device, network.dtype
        self._mean = self._per_channel(network.config.latents_mean)
        self._std = self._per_channel(network.config.latents_std)

    def decode(self, latents: Tensor, memory: DecoderState | None) -> tuple[Tensor, DecoderState]:
        """Decode one block to uint8 frames; see `Decoder.decode`."""
        frames, memory = self.decode_float(latents, memory)
        pixels = frames.float().mul(255).round_().to(torch.uint8)
        return pixels.permute(0, 1, 3, 4, 2).contiguous(), memory  # b t c H W -> b t H W c

    def decode_float(self, latents: Tensor, memory: DecoderState | None = None) -> tuple[Tensor, DecoderState]:
        """Decode latents b f c h w to frames in [0, 1], b t 3 H W; one latent frame at a time, as the VAE must."""
        z = (latents.to(self.device).float() * self._std + self._mean).to(self.dtype)
        z = self.network.post_quant_conv(z.transpose(1, 2))  # b f c h w -> b c f h w
        cache = _empty_cache(self.network.decoder) if memory is None else _unpack(memory)
        clips = []
        for index, frame in enumerate(z.split(1, dim=2)):
            first = memory is None and index == 0
            clips.append(self.network.decoder(frame, feat_cache=cache, feat_idx=[0], first_chunk=first))
        frames = torch.cat(clips, 2).clamp(-1, 1) * 0.5 + 0.5
        return frames.transpose(1, 2), _pack(cache)  # b c t H W -> b t c H W

    def encode(self, frames: Tensor) -> Tensor:
        """Encode frames to float32 latents, the mode of the posterior; see `Encoder.encode`."""
        groups = [1] + [self.frames_per_latent] * (latent_frames(frames.shape[1], self.frames_per_latent) - 1)
        x = (frames.to(self.device).float() * 2 - 1).to(self.dtype).transpose(1, 2)  # b t c H W -> b c t H W
        cache = _empty_cache(self.network.encoder)
        moments = [self.network.encoder(group, feat_cache=cache, feat_idx=[0]) for group in x.split(groups, dim=2)]
        mode, _ = self.network.quant_conv(torch.cat(moments, 2)).chunk(2, dim=1)
        return (mode.transpose(1, 2).float() - self._mean) / self._std  # b c f h w -> b f c h w

    def _per_channel(self, values: list[float]) -> Tensor:
        return torch.tensor(values, device=self.device).view(-1, 1, 1)


def _empty_cache(half: nn.Module) -> FeatureCache:
    """Room for every causal convolution; those that look at one frame only leave theirs unused, at the end."""
    return [None] * sum(isinstance(layer, nn.Conv3d) for layer in half.modules())


def _pack(cache: FeatureCache) -> DecoderState:
    """Tensors only: an empty one stands for the marker."""
    return tuple(torch.empty(0) if isinstance(entry, str) else entry for entry in cache if entry is not None)


def _unpack(memory: DecoderState) -> FeatureCache:
    return [entry if entry.numel() else REPEAT for entry in memory]
