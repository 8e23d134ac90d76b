"""Pixel frames of a rollout, decoded on demand."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from infrope_env.pixels.codec import Decoder, DecoderState

RUN_UP = 3
"""Blocks decoded before the requested one; a causal decoder depends on no more (TAEHV: 7.5 latent frames)."""


class FrameBuffer:
    """Latents of the newest blocks, decoded when frames are requested; `copy.copy` forks it.

    The frames are those of a decoder that decodes every block: decoding continues from the block that was decoded last,
    or starts `RUN_UP` blocks before the newest one.
    """

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._decoder_state: DecoderState | None = None
        self._recent: tuple[Tensor, ...] = ()
        self._pending = 0  # newest blocks that are not decoded yet
        self._frames: np.ndarray | None = None

    def append(self, latents: Tensor) -> None:
        """Add the next block's latents, b f c h w, without decoding them."""
        self._recent = (*self._recent, latents)[-RUN_UP - 1 :]
        self._pending += 1

    @torch.inference_mode()
    def newest(self) -> np.ndarray:
        """Return the newest block's pixel frames, t H W 3 in uint8: 9 for a rollout's first block, then 12.

        Raises:
            ValueError: The buffer is empty.
        """
        if self._pending > len(self._recent):
            self._decoder_state, self._pending = None, len(self._recent)
        for latents in self._recent[len(self._recent) - self._pending :]:
            decoded, self._decoder_state = self._decoder.decode(latents, self._decoder_state)
            self._frames = decoded[0].cpu().numpy()
        self._pending = 0
        if self._frames is None:
            raise ValueError("expected at least one block in the frame buffer, got none; append one first")
        return self._frames
