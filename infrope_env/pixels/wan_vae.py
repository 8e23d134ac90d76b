"""The full VAE of Wan 2.1, computed by diffusers, with the feature caches of its causal convolutions outside of it.

The network is loaded elsewhere, so this module does not import diffusers, which takes seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from infrope_env.pixels.codec import DecoderState, latent_frames
from infrope_env.pixels.wan_vae_layers import FeatCache, run_layers

if TYPE_CHECKING:
    from diffusers import AutoencoderKLWan


class WanVAE:
    """Encoder and decoder of Wan 2.1: more faithful than TAEHV, and slower.

    Decoding block by block gives the bytes of a whole decode. The state is large, two frames of features for every
    convolution: at 480x832 in float16, 1.9 GB for each rollout and, in host memory, for each saved state. A block
    overwrites the state that it is given.

    Attributes:
        run_decoder: What decodes a latent frame, except the first one of a rollout: `run_layers`, or code compiled of
            it.
    """

    frames_per_latent = 4

    def __init__(self, network: AutoencoderKLWan) -> None:
        """Wrap a network that is already on its device and in its dtype."""
        self.network = network.eval().requires_grad_(False)
        self.device, self.dtype = network.device, network.dtype
        channels_last = network.decoder.conv_in.weight.is_contiguous(memory_format=torch.channels_last_3d)
        self._memory_format = torch.channels_last_3d if channels_last else torch.contiguous_format
        self.run_decoder: Callable[[Any, Tensor, FeatCache], Tensor] = run_layers
        self._mean = self._per_channel(network.config.latents_mean)
        self._std = self._per_channel(network.config.latents_std)

    def decode(self, latents: Tensor, state: DecoderState | None) -> tuple[Tensor, DecoderState]:
        """Decode one block to uint8 frames; see `Decoder.decode`."""
        frames, state = self.decode_float(latents, state)
        pixels = frames.mul(255).round_().to(torch.uint8)
        return pixels.permute(0, 1, 3, 4, 2).contiguous(), state  # b t c H W -> b t H W c

    def decode_float(self, latents: Tensor, state: DecoderState | None = None) -> tuple[Tensor, DecoderState]:
        """Decode latents b f c h w to float32 frames b t 3 H W in [0, 1], one latent frame at a time.

        The state's tensors are overwritten and returned.
        """
        z = (latents.to(self.device).float() * self._std + self._mean).to(self.dtype)
        z = self.network.post_quant_conv(z.transpose(1, 2))  # b f c h w -> b c f h w
        feat_cache = FeatCache(state, self._memory_format)
        groups = []
        for frame in z.split(1, dim=2):
            run = run_layers if feat_cache.first else self.run_decoder
            groups.append(run(self.network.decoder, frame, feat_cache))
        frames = torch.cat(groups, 2).float().clamp_(-1, 1).mul_(0.5).add_(0.5)
        return frames.transpose(1, 2), tuple(feat_cache.tensors)  # b c t H W -> b t c H W

    def encode(self, frames: Tensor) -> Tensor:
        """Encode frames to float32 latents, the mode of the posterior; see `Encoder.encode`."""
        sizes = [1] + [self.frames_per_latent] * (latent_frames(frames.shape[1], self.frames_per_latent) - 1)
        x = (frames.to(self.device).float() * 2 - 1).to(self.dtype).transpose(1, 2)  # b t c H W -> b c t H W
        feat_cache = FeatCache(None, self._memory_format)
        moments = [run_layers(self.network.encoder, group, feat_cache) for group in x.split(sizes, dim=2)]
        mode, _ = self.network.quant_conv(torch.cat(moments, 2)).chunk(2, dim=1)
        return (mode.transpose(1, 2).float() - self._mean) / self._std  # b c f h w -> b f c h w

    def _per_channel(self, values: list[float]) -> Tensor:
        return torch.tensor(values, device=self.device).view(-1, 1, 1)


def lay_out_for_gpu(network: AutoencoderKLWan) -> AutoencoderKLWan:
    """Lay weights out with channels last, in which a GPU convolves features in three dimensions faster."""
    for module in network.modules():
        if isinstance(module, nn.Conv3d):
            module.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        elif isinstance(module, nn.Conv2d):
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network
