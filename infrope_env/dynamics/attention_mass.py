"""Attention mass: the share of a block's attention that each frame gets, measured through the rollout's context hook.

The engine's attention returns no weights. They are computed a second time, from the rotated keys, only while a rollout
has an `AttentionProbe` as its hook. What a block attends to, and every byte of it, is the same with and without one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from infrope_env.dynamics.cache import LayerContext
from infrope_env.dynamics.coordinates import Layout
from infrope_env.dynamics.rope import rotate
from infrope_env.dynamics.transformer import AttentionContext

MOST_QUERIES = 128
"""Tokens of a frame whose attention is measured, at most: evenly spaced ones stand for the others."""
WEIGHTS_AT_ONCE = 2**24
"""Attention weights that are computed at once, at most, unless one head has more: eight bytes for each."""


@dataclass(frozen=True)
class AttentionMap:
    """Attention of one block's frames to the frames they see, averaged over denoising passes and batch.

    Attributes:
        frames: Ids of the visible frames; the block's own are last.
        own: Number of the block's own frames.
        weights: Shape layers heads own visible; rows sum to 1.
    """

    frames: tuple[int, ...]
    own: int
    weights: Tensor

    @property
    def mass(self) -> tuple[float, ...]:
        """Attention mass of every visible frame: a mean over layers, heads and the block's frames; the sum is 1."""
        return tuple(self.weights.mean((0, 1, 2)).tolist())

    def sink_share(self, sink: int) -> Tensor:
        """Return the attention to the first `sink` frames: layers heads."""
        return self.weights[..., :sink].sum(-1).mean(-1)

    def context_share(self) -> Tensor:
        """Return the attention to all cached frames, the sink included: layers heads."""
        return self.weights[..., : -self.own].sum(-1).mean(-1)


@dataclass
class MeasuredContext:
    """A layer's attention context that also measures the attention of every pass: heads own visible."""

    inner: LayerContext
    own: int
    passes: list[Tensor] = field(default_factory=list)

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attend as the inner context does, and measure."""
        attended = self.inner.attend(query, key, value)
        self.passes.append(frame_weights(query, self.inner, self.own).mean(0))
        return attended

    def write_kv(self, key: Tensor, value: Tensor) -> None:
        """Write keys and values as the inner context does."""
        self.inner.write_kv(key, value)


class AttentionProbe:
    """A `ContextHook` that measures the attention of the newest block."""

    def __init__(self) -> None:
        self._visible: tuple[int, ...] = ()
        self._contexts: list[MeasuredContext] = []
        self._own = 0

    def __call__(
        self, layout: Layout, visible: tuple[int, ...], contexts: list[LayerContext]
    ) -> Sequence[AttentionContext]:
        """Return measuring contexts around those of the next block."""
        self._visible, self._own = visible, len(layout.block)
        self._contexts = [MeasuredContext(context, self._own) for context in contexts]
        return self._contexts

    def newest(self, block: int) -> AttentionMap | None:
        """Return the attention of the newest block, without its commit pass; None if it was not denoised under a probe.

        Args:
            block: Index of that block.
        """
        passes = len(self._contexts[-1].passes) if self._contexts else 0  # the commit pass stops before the last layer
        if not passes:
            return None
        weights = [torch.stack(context.passes[:passes]).mean(0) for context in self._contexts]
        own = range(block * self._own, (block + 1) * self._own)
        return AttentionMap((*self._visible, *own), self._own, torch.stack(weights).cpu())


def frame_weights(query: Tensor, context: LayerContext, own: int) -> Tensor:
    """Return the attention of a block's frames to the visible ones: b heads own visible, in float32.

    Args:
        query: Un-rotated queries, b heads (own n) head_dim.
        context: The layer's context, after it has attended.
        own: Number of the block's frames.
    """
    n = query.shape[2] // own
    rotated = rotate(query, context.rotation).unflatten(2, (own, n))
    chosen = rotated[:, :, :, :: -(-n // MOST_QUERIES)].flatten(2, 3)
    weights_of_a_head = chosen.shape[0] * chosen.shape[2] * context.keys.shape[2]
    heads = max(1, WEIGHTS_AT_ONCE // weights_of_a_head)
    pairs = zip(chosen.split(heads, dim=1), context.keys.split(heads, dim=1), strict=True)
    return torch.cat([_by_frame(token_weights(queries, keys), own, n) for queries, keys in pairs], dim=1)


def token_weights(query: Tensor, key: Tensor) -> Tensor:
    """Return softmax weights of rotated queries over rotated keys, b heads n head_dim: b heads q k in float32."""
    return (query.float() @ key.float().mT / query.shape[-1] ** 0.5).softmax(-1)


def _by_frame(weights: Tensor, own: int, tokens_per_frame: int) -> Tensor:
    """Reduce token weights, b heads q k, to frames, b heads own visible: a mean over queries, a sum over keys."""
    return weights.unflatten(2, (own, -1)).mean(3).unflatten(3, (-1, tokens_per_frame)).sum(4)
