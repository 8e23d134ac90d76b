"""The data of a rollout: a block that is being made, a finished one, and a copy of the rollout's state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from infrope_env.control.actions import Transition
from infrope_env.dynamics.cache import ContextBuffers, KeyValueCache
from infrope_env.dynamics.coordinates import Layout
from infrope_env.dynamics.transformer import AttentionContext, Network, TextKV


@dataclass(frozen=True)
class PreparedBlock:
    """Everything that the forward passes of a block read besides its latents.

    Attributes:
        text: Cross-attention keys and values of its prompt.
        contexts: Contexts by layer, in the buffers, which nothing else uses until the commit pass is done.
        layout: Layout of the block.
        transition: How it follows the block before it.
        cache: Cache that the block sees: the rollout's own, or the one that "recache" made.
        buffers: Buffers of the contexts.
        network: What denoises the block, and commits it.
        started: Time at which its making began, by `time.perf_counter`.
    """

    text: TextKV
    contexts: Sequence[AttentionContext]
    layout: Layout
    transition: Transition
    cache: KeyValueCache
    buffers: ContextBuffers
    network: Network
    started: float


@dataclass(frozen=True)
class DueCommit:
    """Input of the commit pass of a denoised block.

    Attributes:
        latents: Clean latents of the block, b f c h w.
        block: What its forward passes read.
    """

    latents: Tensor
    block: PreparedBlock


@dataclass(frozen=True)
class GeneratedBlock:
    """A finished block.

    Attributes:
        index: Number of the block; 0 is the first block after reset.
        latents: Clean latent frames, b f c h w.
        transition: How the block follows the one before it.
        layout: Cached frames that the block saw, and the coordinates of context and block.
        cached: Ids of the frames that were cached when its making began, oldest first.
        visible: Ids of those that it saw.
    """

    index: int
    latents: Tensor
    transition: Transition
    layout: Layout
    cached: tuple[int, ...]
    visible: tuple[int, ...]


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
        averages: Averages of the memory policies "ema" and "ema_sink" by id, as in the cache; empty under the others.
    """

    keys: Tensor
    values: Tensor
    slot_of: dict[int, int]
    next_frame: int
    next_block: int
    seed: int
    latents: dict[int, Tensor] = field(default_factory=dict)
    has_generated: bool = True
    averages: dict[int, Tensor] = field(default_factory=dict)
