"""Noise levels: shifted timesteps, re-noising, and the clean estimate from the network's output."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from infrope_env.config import Prediction, Sampler

TABLE_STEPS = 1000
"""Entries of the release's timestep table; a sampler's steps are indices into it."""


@dataclass(frozen=True)
class Schedule:
    """Noise levels of the denoising steps after the shift.

    Attributes:
        timesteps: Input of the network, 1000 to 0, falling; shift 5 takes steps (1000, 750, 500, 250) to
            (1000, 937.5, 833.33, 625).
        sigmas: Noise share at each step, 1 to above 0: timestep / 1000, or its nearest entry in the release's table.
    """

    timesteps: tuple[float, ...]
    sigmas: tuple[float, ...]

    @classmethod
    def of(cls, sampler: Sampler, first_block: bool = False) -> Schedule:
        """Return the schedule of a sampler, looked up in a float32 table as in the release.

        The release's table has no entry for timestep 0. A step 0 feeds the network 0 and takes the sigma of the last
        entry, 0.00498 at shift 5, for the noise that is added before it and for the clean estimate after it.

        Args:
            sampler: Denoising steps and shift.
            first_block: Return the schedule of the first block.
        """
        fractions = torch.linspace(1, 0, TABLE_STEPS + 1)
        timesteps = shift_timesteps(fractions, sampler.shift)
        sigmas = sampler.shift * fractions / (1 + (sampler.shift - 1) * fractions)
        steps = (first_block and sampler.first_steps) or sampler.steps
        if sampler.warped:
            entries = [TABLE_STEPS - step for step in steps]
            inputs = timesteps[entries].tolist()
        else:
            entries = [int((timesteps - step).abs().argmin()) for step in steps]
            inputs = [float(step) for step in steps]
        return cls(tuple(inputs), tuple(sigmas[[min(entry, TABLE_STEPS - 1) for entry in entries]].tolist()))


def shift_timesteps(fractions: Tensor, shift: float) -> Tensor:
    """Bend evenly spaced noise fractions towards high noise.

    Args:
        fractions: Noise fractions in [0, 1], any shape.
        shift: Strength; 1 leaves the fractions unchanged, ∞-RoPE uses 5.

    Returns:
        Timesteps in [0, 1000], same shape; shift 5 takes [1, .75, .5, .25] to [1000, 937.5, 833.3, 625].
    """
    return shift * fractions / (1 + (shift - 1) * fractions) * 1000


def add_noise(clean: Tensor, noise: Tensor, sigma: float | Tensor) -> Tensor:
    """Return (1 - sigma) * clean + sigma * noise, all of one shape, computed in float32, in the noise's dtype."""
    return ((1 - sigma) * clean.float() + sigma * noise.float()).to(noise.dtype)


def clean_estimate(prediction: Prediction, output: Tensor, noisy: Tensor, sigma: float | Tensor) -> Tensor:
    """Return the clean latent that the network's output implies, for either kind of prediction.

    Args:
        prediction: Meaning of the output, see `ModelConfig.prediction`.
        output: Output of the network.
        noisy: Input of the network, same shape.
        sigma: Noise level of the input, 0 to 1.
    """
    return output if prediction == "clean" else velocity_to_clean(noisy, output, sigma)


def velocity_to_clean(noisy: Tensor, velocity: Tensor, sigma: float | Tensor) -> Tensor:
    """Return noisy - sigma * velocity, where velocity is noise - clean. Computes in float64, as in the release."""
    return (noisy.double() - sigma * velocity.double()).to(velocity.dtype)
