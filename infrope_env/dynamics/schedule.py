"""Noise levels: shifted timesteps, re-noising, and the step from velocity to clean estimate."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from infrope_env.config import Prediction, Sampler

TABLE_STEPS = 1000
"""Entries of the release's timestep table, which the few steps index into."""


@dataclass(frozen=True)
class Schedule:
    """The denoising steps as the network is told them.

    Attributes:
        timesteps: 0..1000, falling; shift 5 takes (1000, 750, 500, 250) to (1000, 937.5, 833.33, 625).
        sigmas: noise share at each, 0..1.
    """

    timesteps: tuple[float, ...]
    sigmas: tuple[float, ...]

    @classmethod
    def of(cls, sampler: Sampler) -> Schedule:
        """Look the sampler's steps up in the float32 table, as the release does."""
        fractions = torch.linspace(1, 0, TABLE_STEPS + 1)
        timesteps = shift_timesteps(fractions, sampler.shift)
        sigmas = sampler.shift * fractions / (1 + (sampler.shift - 1) * fractions)
        entries = [TABLE_STEPS - step for step in sampler.steps]
        return cls(tuple(timesteps[entries].tolist()), tuple(sigmas[entries].tolist()))


def shift_timesteps(fractions: Tensor, shift: float) -> Tensor:
    """Bend evenly spaced noise fractions towards high noise.

    Args:
        fractions: noise fractions in [0, 1], any shape.
        shift: 1 leaves them unchanged; ∞-RoPE uses 5.

    Returns:
        timesteps in [0, 1000], same shape; shift 5 takes [1, .75, .5, .25] to [1000, 937.5, 833.3, 625].
    """
    return shift * fractions / (1 + (shift - 1) * fractions) * 1000


def add_noise(clean: Tensor, noise: Tensor, sigma: float | Tensor) -> Tensor:
    """Mix a clean latent with Gaussian noise at level sigma, in float32, returned in the noise's dtype."""
    return ((1 - sigma) * clean.float() + sigma * noise.float()).to(noise.dtype)


def read_clean(prediction: Prediction, output: Tensor, noisy: Tensor, sigma: float | Tensor) -> Tensor:
    """The clean latent that a network's output stands for, see `ModelConfig.prediction`."""
    return output if prediction == "clean" else clean_estimate(noisy, output, sigma)


def clean_estimate(noisy: Tensor, velocity: Tensor, sigma: float | Tensor) -> Tensor:
    """The clean latent that a velocity (noise - clean) at level sigma implies; in float64 as the release does."""
    return (noisy.double() - sigma * velocity.double()).to(velocity.dtype)
