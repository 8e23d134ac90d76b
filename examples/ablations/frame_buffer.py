"""Pixel frames of a rollout, decoded only where somebody looks."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from infrope_env.pixels.codec import Decoder, DecoderState

RUN_UP = 3
"""Blocks decoded before the one that is looked at; a causal decoder remembers no more (TAEHV: 7.5 latent frames)."""


class Film:
    """The newest blocks of a rollout; `copy.copy` gives one that can go another way."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._memory: DecoderState | None = None
        self._recent: tuple[Tensor, ...] = ()
        self._waiting = 0
        self._frames: np.ndarray | None = None

    def add(self, latents: Tensor) -> None:
        """Take the next block, b f c h w; nothing is decoded."""
        self._recent = (*self._recent, latents)[-RUN_UP - 1 :]
        self._waiting += 1

    @torch.inference_mode()
    def look(self) -> np.ndarray:
        """The newest block's pixel frames, t H W 3 in uint8: 9 for a rollout's first block, then 12.

        The same as if every block had been decoded: from the last one looked at, or from a run-up that is long enough.
        """
        if self._waiting > len(self._recent):
            self._memory = None
            self._waiting = len(self._recent)
        for latents in self._recent[len(self._recent) - self._waiting :]:
            decoded, self._memory = self._decoder.decode(latents, self._memory)
            self._frames = decoded[0].cpu().numpy()
        self._waiting = 0
        if self._frames is None:
            raise ValueError("expected a block to look at, got none yet; add one first")
        return self._frames
