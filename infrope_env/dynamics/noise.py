"""The noise of a rollout's blocks: its seeded source, and the transfer to the device of the model."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from infrope_env.config import Sampler

NoiseSource = Callable[[int, int, tuple[int, ...]], Tensor]
"""(seed, block index, shape) to standard normal noise; axis 0 is the denoising step."""


def seeded_noise(seed: int, block: int, shape: tuple[int, ...]) -> Tensor:
    """Draw float32 noise on the CPU that depends on seed, block index and shape only."""
    entropy = int(np.random.SeedSequence((seed, block)).generate_state(1, np.uint64)[0] >> np.uint64(1))
    return torch.randn(shape, generator=torch.Generator().manual_seed(entropy))


@dataclass(frozen=True)
class AntiphaseNoise:
    """A source of noise whose neighbouring blocks are correlated negatively; equal to another of equal fields.

    Our reading of FLEX (arXiv 2602.14027), whose antiphase noise is to keep motion from slowing down, and of which no
    code is public: block b gets (w_b - a w_(b-1)) / sqrt(1 + a^2) of independent noises w: the variance of each, and
    the correlation -a / (1 + a^2) with its neighbours; others stay independent. It still depends on seed and block
    alone. Block 0 gets w_0. Flush and cut change nothing about it.

    Attributes:
        correlation: Correlation with the sign turned, above 0 to 0.5.
        source: Source of the independent noises.
    """

    correlation: float
    source: NoiseSource = seeded_noise

    def __call__(self, seed: int, block: int, shape: tuple[int, ...]) -> Tensor:
        """Draw the noise of a block."""
        noise = self.source(seed, block, shape)
        if block == 0:
            return noise
        share = (1 - math.sqrt(1 - 4 * self.correlation**2)) / (2 * self.correlation)
        return (noise - share * self.source(seed, block - 1, shape)) / math.sqrt(1 + share**2)


def noise_of(sampler: Sampler) -> NoiseSource:
    """Return the source of noise of a sampler."""
    return AntiphaseNoise(sampler.antiphase) if sampler.antiphase else seeded_noise


class BlockNoise:
    """Noise on the device of the model, in its dtype. One block's can be drawn before it is needed.

    On a GPU the noise passes through one buffer of pinned memory, so that copying it there waits for nothing; a copy
    from pageable memory would wait until the GPU is idle.
    """

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self._device, self._dtype = device, dtype
        self._drawn: tuple[tuple[object, ...], Tensor] | None = None  # arguments of `draw`, and their noise
        self._pinned: Tensor | None = None
        self._copied: torch.cuda.Event | None = None  # reached when the newest copy has left the pinned buffer

    def draw(self, source: NoiseSource, seed: int, block: int, shape: tuple[int, ...]) -> None:
        """Draw the noise of a block ahead of `take`, which is then given the same arguments."""
        key = (source, seed, block, shape)
        if self._drawn is None or self._drawn[0] != key:
            self._drawn = key, self._stage(source(seed, block, shape).to(self._dtype))

    def take(self, source: NoiseSource, seed: int, block: int, shape: tuple[int, ...]) -> Tensor:
        """Return the noise of a block on the device, drawn now unless it was drawn ahead."""
        self.draw(source, seed, block, shape)
        assert self._drawn is not None
        noise = self._drawn[1].to(self._device, non_blocking=True)
        if self._pinned is not None:
            self._copied = torch.cuda.Event()
            self._copied.record(torch.cuda.current_stream(self._device))
        self._drawn = None
        return noise

    def _stage(self, noise: Tensor) -> Tensor:
        """Return the noise in pinned memory if it goes to a GPU."""
        if self._device.type != "cuda":
            return noise
        if self._pinned is None or self._pinned.shape != noise.shape:
            self._pinned, self._copied = torch.empty_like(noise, pin_memory=True), None
        if self._copied is not None:
            self._copied.synchronize()
        return self._pinned.copy_(noise)
