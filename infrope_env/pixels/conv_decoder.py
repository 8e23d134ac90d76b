"""A convolutional decoder of patch latents. It sets right what the generator left uncertain.

The generator's latents are the mean over what it cannot know, and a linear decoder shows their errors as coloured
grain. This decoder was trained on generated latents and the frames that they should give, so it also knows how the
world looks. It works at the resolution of the latents, one latent frame after the other: inverse principal components,
plus a residual network (He et al., 2016) with layer norm that reads the latent frame and the one before it. A bilateral
filter removes what grain is left.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from infrope_env.pixels.codec import DecoderState
from infrope_env.pixels.patch_codec import PatchCodecConfig, PatchEncoder, bilateral_filter, previous_latent_frames


@dataclass(frozen=True)
class ConvDecoderConfig(PatchCodecConfig):
    """Sizes of a convolutional decoder, whose encoder is a `PatchEncoder`.

    Attributes:
        latent_size: Height and width of the latents; every latent pixel has a learned embedding of its place.
        width: Channels between the residual layers.
        hidden_width: Channels inside a residual layer.
        num_layers: Number of residual layers.
    """

    latent_size: tuple[int, int] = (12, 20)
    width: int = 256
    hidden_width: int = 384
    num_layers: int = 4


class ResidualLayer(nn.Module):
    """Layer norm, a 3 x 3 convolution, GELU and a 1 x 1 convolution, added to the input; both n c h w."""

    def __init__(self, width: int, hidden_width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.spread = nn.Conv2d(width, hidden_width, 3, padding=1)
        self.gather = nn.Conv2d(hidden_width, width, 1)
        nn.init.zeros_(self.gather.weight)
        nn.init.zeros_(self.gather.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer."""
        hidden = F.gelu(self.spread(_over_channels(self.norm, x)), approximate="tanh")
        return x + self.gather(hidden)


class ConvDecoder(nn.Module):
    """A `Decoder` whose state is the last latent frame. A new one decodes as the encoder's pseudo-inverse does."""

    frames_per_latent = PatchEncoder.frames_per_latent

    def __init__(self, config: ConvDecoderConfig) -> None:
        super().__init__()
        self.config, width = config, config.width
        self.pixels = nn.Conv2d(config.latent_channels, config.patch_pixels, 1)
        self.features = nn.Conv2d(2 * config.latent_channels, width, 3, padding=1)
        self.place = nn.Parameter(torch.zeros(1, width, *config.latent_size))
        self.layers = nn.Sequential(*(ResidualLayer(width, config.hidden_width) for _ in range(config.num_layers)))
        self.norm = nn.LayerNorm(width)
        self.correction = nn.Conv2d(width, config.patch_pixels, 1)
        nn.init.zeros_(self.correction.weight)
        nn.init.zeros_(self.correction.bias)  # type: ignore[arg-type]

    def decode(self, latents: Tensor, state: DecoderState | None) -> tuple[Tensor, DecoderState]:
        """Decode one block to uint8 frames, b t H W 3; see `Decoder.decode`."""
        latents = latents.to(self.pixels.weight.dtype)
        video = bilateral_filter(self(latents, previous_latent_frames(latents, state)).clamp_(0, 1))
        frames = video.mul_(255).round_().to(torch.uint8)
        frames = frames if state is not None else frames[:, self.frames_per_latent - 1 :]
        return frames.contiguous(), (latents[:, -1].clone(),)

    def forward(self, latents: Tensor, previous: Tensor) -> Tensor:
        """Decode latent frames to video, float32, not yet clamped and filtered.

        Args:
            latents: Latent frames, b f c h w.
            previous: The latent frame before each of them, b f c h w; zeros before the first.

        Returns:
            Video, b t H W 3; t = 4 f.
        """
        both = torch.cat((latents, previous), 2).flatten(0, 1).contiguous(memory_format=torch.channels_last)
        hidden = self.layers(self.features(both) + self.place)
        corrections = self.correction(_over_channels(self.norm, hidden))
        patches = corrections + self.pixels(both[:, : latents.shape[2]])
        t, side = self.frames_per_latent, self.config.side
        shape = {"b": len(latents), "t": t, "y": side, "x": side}
        return rearrange(patches.float(), "(b f) (t c y x) h w -> b (f t) (h y) (w x) c", **shape)

    @torch.no_grad()
    def invert(self, encoder: PatchEncoder) -> None:
        """Set the linear part to the pseudo-inverse of an encoder."""
        components, bias = encoder.components.weight[:, :, 0, 0].double(), encoder.components.bias
        assert bias is not None and self.pixels.bias is not None
        inverse = torch.linalg.pinv(components)
        self.pixels.weight.copy_(inverse[:, :, None, None])
        self.pixels.bias.copy_(-inverse @ bias.double())


def _over_channels(norm: nn.LayerNorm, x: Tensor) -> Tensor:
    """Normalise the channels of n c h w; in the channels-last format nothing is copied."""
    return norm(x.movedim(1, -1)).movedim(-1, 1)
