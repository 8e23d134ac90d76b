"""What every decoder promises: latent frames in, pixel frames out, block by block, with an explicit memory."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

Memory = tuple[Tensor, ...]
"""All a decoder remembers of earlier blocks. Pure data: copy it and you have copied the decoder's past."""


class Decoder(Protocol):
    """Turns latent frames into pixel frames. Holds weights only, so that many rollouts can share one."""

    frames_per_latent: int

    def decode(self, latents: Tensor, memory: Memory | None) -> tuple[Tensor, Memory]:
        """Decode one block.

        Args:
            latents: b f c h w.
            memory: what the previous call returned; None for the first block of a rollout.

        Returns:
            frames: b t H W 3, uint8; t is 4 f - 3 for the first block (it starts with a single frame), then 4 f.
            memory: for the next call.
        """
        ...
