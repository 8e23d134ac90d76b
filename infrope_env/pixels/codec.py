"""Protocols of codecs: a decoder that streams block by block with an explicit state, and an encoder of first blocks."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

DecoderState = tuple[Tensor, ...]
"""Everything that a decoder keeps of earlier blocks. Tensors only, so that a state can be copied and saved."""


class Decoder(Protocol):
    """Decoder of latent frames to pixel frames. Holds weights only, so that many rollouts can share it.

    Attributes:
        frames_per_latent: Pixel frames per latent frame; 4 for Wan.
    """

    frames_per_latent: int

    def decode(self, latents: Tensor, state: DecoderState | None) -> tuple[Tensor, DecoderState]:
        """Decode one block.

        Args:
            latents: Latent frames, b f c h w.
            state: State that the previous call returned; None for the first block of a rollout.

        Returns:
            frames: Pixel frames, b t H W 3, uint8; t is 4 f - 3 for the first block, whose first latent frame gives a
                single pixel frame, and 4 f for later ones.
            state: State for the next call.

        The given state belongs to the call: its tensors may be overwritten, and are undefined when the call fails.
        """
        ...


class Encoder(Protocol):
    """Encoder of given pixel frames to the latent frames of a rollout's first block."""

    def encode(self, frames: Tensor) -> Tensor:
        """Encode pixel frames: the first one gives a latent frame by itself, every further four give one.

        Args:
            frames: Pixel frames, b t 3 H W in [0, 1], on any device; t is 4 f - 3.

        Returns:
            Latent frames, b f c h w, on the scale of the generator's output and the decoder's input.

        Raises:
            ValueError: t is not 4 f - 3.
        """
        ...


def latent_frames(pixel_frames: int, frames_per_latent: int) -> int:
    """Return the number of latent frames of a first block: at four per latent frame, 1, 5, 9 pixel frames give 1, 2, 3.

    Raises:
        ValueError: No first block has this number of pixel frames.
    """
    if pixel_frames < 1 or pixel_frames % frames_per_latent != 1 % frames_per_latent:
        counts = f"1, {1 + frames_per_latent}, {1 + 2 * frames_per_latent}, ..."
        raise ValueError(f"expected {counts} pixel frames to encode, as a first block has, got {pixel_frames}")
    return 1 + (pixel_frames - 1) // frames_per_latent
