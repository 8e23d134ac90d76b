"""The results of a rollout: a finished block, and a copy of the rollout's state."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from infrope_env.control.actions import Transition
from infrope_env.dynamics.coordinates import Layout


@dataclass(frozen=True)
class GeneratedBlock:
    """A finished block.

    Attributes:
        index: Number of the block; 0 is the first block after reset.
        latents: Clean latent frames, b f c h w.
        transition: How the block follows the one before it.
        layout: Cached frames that the block saw, and the coordinates of context and block.
    """

    index: int
    latents: Tensor
    transition: Transition
    layout: Layout


@dataclass(frozen=True)
class RolloutState:
    """A copy of everything that a rollout's future depends on, except weights and settings.

    Attributes:
        keys: Un-rotated keys of the cache, layers b heads slots n head_dim.
        values: Values of the cache, same shape.
        slot_of: Slot of each cached frame by frame id, oldest first.
        next_frame: Id of the next latent frame.
        next_block: Index of the next block.
        seed: Seed of the noise.
        latents: Clean latents of the cached frames, b c h w by frame id. Only the policy "recache" needs them; empty
            under the others.
        has_generated: Whether a block has been generated, not only prefilled. The first one may have steps of its own.
    """

    keys: Tensor
    values: Tensor
    slot_of: dict[int, int]
    next_frame: int
    next_block: int
    seed: int
    latents: dict[int, Tensor] = field(default_factory=dict)
    has_generated: bool = True
