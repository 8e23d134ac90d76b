"""What a rollout hands out and what it needs to go on."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from infrope_env.control.actions import Transition
from infrope_env.dynamics.coordinates import Layout


@dataclass(frozen=True)
class GeneratedBlock:
    """One finished block.

    Attributes:
        index: 0 for the first block after reset.
        latents: clean latent frames, b f c h w.
        transition: how it followed from the block before.
        layout: what it saw and where everything sat.
    """

    index: int
    latents: Tensor
    transition: Transition
    layout: Layout


@dataclass(frozen=True)
class RolloutState:
    """A copy of all that the future of a rollout depends on, besides weights and settings.

    Attributes:
        keys: the cache's un-rotated keys, layers b heads slots n head_dim.
        values: the same for values.
        slot_of: frame id to slot, oldest first.
        next_frame: id of the next latent frame.
        next_block: index of the next block.
        seed: of the noise.
        latents: clean latents of the cached frames, b c h w by frame id; kept by the policy "recache" alone.
    """

    keys: Tensor
    values: Tensor
    slot_of: dict[int, int]
    next_frame: int
    next_block: int
    seed: int
    latents: dict[int, Tensor] = field(default_factory=dict)
