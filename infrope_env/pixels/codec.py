"""What codecs promise: a decoder works block by block with an explicit memory, an encoder only at the beginning."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

DecoderState = tuple[Tensor, ...]
"""All a decoder remembers of earlier blocks. Pure data: copy it and you have copied the decoder's past."""


class Decoder(Protocol):
    """Turns latent frames into pixel frames. Holds weights only, so that many rollouts can share one."""

    frames_per_latent: int

    def decode(self, latents: Tensor, memory: DecoderState | None) -> tuple[Tensor, DecoderState]:
        """Decode one block.

        Args:
            latents: b f c h w.
            memory: what the previous call returned; None for the first block of a rollout.

        Returns:
            frames: b t H W 3, uint8; t is 4 f - 3 for the first block (it starts with a single frame), then 4 f.
            memory: for the next call.
        """
        ...


class Encoder(Protocol):
    """Turns the beginning of a video into the latent frames of a rollout's first block: a decoder's inverse."""

    def encode(self, frames: Tensor) -> Tensor:
        """Encode pixel frames, the first of which stands alone as it does in a first block.

        Args:
            frames: b t 3 H W in [0, 1], on any device; t is 4 f - 3.

        Returns:
            latents, b f c h w, on the scale that the generator makes and the decoder takes.

        Raises:
            ValueError: t is not 4 f - 3.
        """
        ...


def latent_frames(pixel_frames: int, frames_per_latent: int) -> int:
    """How many latent frames the beginning of a video becomes: 1 is 1, 5 are 2, 9 are 3 at four to a latent frame.

    Raises:
        ValueError: for a number that no first block has.
    """
    if pixel_frames < 1 or pixel_frames % frames_per_latent != 1 % frames_per_latent:
        counts = f"1, {1 + frames_per_latent}, {1 + 2 * frames_per_latent}, ..."
        raise ValueError(f"expected {counts} pixel frames to encode, as a first block has, got {pixel_frames}")
    return 1 + (pixel_frames - 1) // frames_per_latent
