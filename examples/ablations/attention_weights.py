"""Attention weights by frame, recorded through the rollout's context hook, and a layout rule that moves the sink away.

The engine's attention returns no weights. They are computed a second time from the rotated keys, only when recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from infrope_env.config import Window
from infrope_env.control.actions import Transition
from infrope_env.dynamics.cache import LayerContext
from infrope_env.dynamics.coordinates import Layout, lay_out
from infrope_env.dynamics.rollout import Rollout
from infrope_env.dynamics.rope import rotate
from infrope_env.dynamics.transformer import AttentionContext


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

    def sink_share(self, sink: int) -> Tensor:
        """Return the attention to the first `sink` frames: layers heads."""
        return self.weights[..., :sink].sum(-1).mean(-1)

    def context_share(self) -> Tensor:
        """Return the attention to all cached frames, the sink included: layers heads."""
        return self.weights[..., : -self.own].sum(-1).mean(-1)


@dataclass
class RecordingContext:
    """A layer's attention context that also records the weights of every pass: heads own visible."""

    inner: LayerContext
    own: int
    passes: list[Tensor] = field(default_factory=list)

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attend as the inner context does, and record the weights."""
        attended = self.inner.attend(query, key, value)
        weights = attention_weights(query, self.inner)
        self.passes.append(by_frame(weights, query.shape[2] // self.own).mean(0))
        return attended

    def write_kv(self, key: Tensor, value: Tensor) -> None:
        """Write keys and values as the inner context does."""
        self.inner.write_kv(key, value)


class AttentionRecorder:
    """A `ContextHook` that records the attention of the newest block."""

    def __call__(
        self, layout: Layout, visible: tuple[int, ...], contexts: list[LayerContext]
    ) -> Sequence[AttentionContext]:
        """Return recording contexts around those of the next block."""
        self._cached, self._own = visible, len(layout.block)
        self._contexts = [RecordingContext(context, self._own) for context in contexts]
        return self._contexts

    def newest(self, rollout: Rollout) -> AttentionMap:
        """Return the attention of the rollout's newest block, without the commit pass."""
        steps = len(rollout.schedule.sigmas)
        weights = [torch.stack(context.passes[:steps]).mean(0) for context in self._contexts]
        own = range(rollout.next_frame - self._own, rollout.next_frame)
        return AttentionMap((*self._cached, *own), self._own, torch.stack(weights).cpu())


@dataclass
class ShiftedLayout:
    """A `LayoutRule` that moves all coordinates but the sink's, as absolute coordinates do with time.

    Attributes:
        shift: Coordinates to move by.
    """

    shift: int = 0

    def __call__(self, frame_ids: tuple[int, ...], transition: Transition, window: Window) -> Layout:
        """Lay out the next block, then move it."""
        layout = lay_out(frame_ids, transition, window)
        context = tuple(c if rank < window.sink else c + self.shift for rank, c in enumerate(layout.context))
        return Layout(layout.slots, context, tuple(c + self.shift for c in layout.block))


def attention_weights(query: Tensor, context: LayerContext) -> Tensor:
    """Return softmax weights of un-rotated queries over a context's rotated keys: b heads q k in float32."""
    rotated = rotate(query, context.rotation).float()
    return (rotated @ context.keys.float().mT / query.shape[-1] ** 0.5).softmax(-1)


def by_frame(weights: Tensor, tokens_per_frame: int) -> Tensor:
    """Reduce token weights b heads q k to frames, b heads own visible: a mean over queries, a sum over keys."""
    n = tokens_per_frame
    return weights.unflatten(2, (-1, n)).mean(3).unflatten(3, (-1, n)).sum(4)
