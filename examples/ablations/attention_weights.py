"""What attention looks at, frame by frame: a rollout that writes it down, and is otherwise the one used for play.

The engine's own attention is called as it is and never gives its weights away; they are computed a second time from
the rotated keys that it read. So nothing is slower where nobody records.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from infrope_env.config import Sampler, Window
from infrope_env.control.actions import Transition
from infrope_env.dynamics.cache import KeyValueCache, LayerContext
from infrope_env.dynamics.coordinates import Layout
from infrope_env.dynamics.rollout import Rollout
from infrope_env.dynamics.rope import RotaryTable, rotate
from infrope_env.dynamics.transformer import CausalWanTransformer


@dataclass(frozen=True)
class Gaze:
    """What one block looked at.

    Attributes:
        frames: ids of the frames it saw, its own last.
        layout: where they sat.
        weights: layers heads own seen; every row of `seen` sums to 1; a mean over denoising passes and batch.
    """

    frames: tuple[int, ...]
    layout: Layout
    weights: Tensor

    @property
    def own(self) -> int:
        """How many of the frames are the block's."""
        return len(self.layout.block)


@dataclass
class RecordingWindow:
    """A layer's window that also keeps, for every pass, what it looked at: heads own seen."""

    inner: LayerContext
    tokens_per_frame: int
    passes: list[Tensor] = field(default_factory=list)

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """As the engine's window; writes down the weights."""
        attended = self.inner.attend(query, key, value)
        weights = attention_weights(query, self.inner)
        self.passes.append(by_frame(weights, self.tokens_per_frame).mean(0))
        return attended

    def write_kv(self, key: Tensor, value: Tensor) -> None:
        """As the engine's window."""
        self.inner.write_kv(key, value)


class RecordingRollout(Rollout):
    """A rollout that knows afterwards what its newest block looked at."""

    def gaze(self) -> Gaze:
        """Of the newest block's denoising passes; the commit pass does not count."""
        steps = len(self.schedule.sigmas)
        weights = [torch.stack(window.passes[:steps]).mean(0) for window in self._windows]
        return Gaze(self._seen, self._layout, torch.stack(weights).cpu())

    def _look_back(self, transition: Transition, past: KeyValueCache) -> tuple[Layout, list[LayerContext]]:
        layout, windows = super()._look_back(transition, past)
        return layout, self._record(layout, windows, past)

    def _record(self, layout: Layout, windows: list[LayerContext], past: KeyValueCache) -> list[LayerContext]:
        """Put a recording window around each."""
        own = range(self.next_frame, self.next_frame + len(layout.block))
        self._seen = (*(past.frame_ids[slot] for slot in layout.slots), *own)
        self._layout = layout
        self._windows = [RecordingWindow(window, self.model.config.tokens_per_frame) for window in windows]
        return self._windows  # type: ignore[return-value]  # a transformer asks for attend and take alone


class ShiftedRollout(RecordingRollout):
    """One that moves everything but the sink by some coordinates: what absolute coordinates do with time.

    Attributes:
        shift: coordinates to move by, at most `farthest`.
    """

    def __init__(self, model: CausalWanTransformer, window: Window, sampler: Sampler, farthest: int) -> None:
        super().__init__(model, window, sampler)
        length = farthest + max(window.size, window.onset_index + 1)
        self._table = RotaryTable(model.config.head_dim, model.config.rows, model.config.cols, self.device, length)
        self.shift = 0

    def _look_back(self, transition: Transition, past: KeyValueCache) -> tuple[Layout, list[LayerContext]]:
        plain, _ = Rollout._look_back(self, transition, past)
        sink = self.window.sink
        moved = tuple(c if rank < sink else c + self.shift for rank, c in enumerate(plain.context))
        layout = Layout(plain.slots, moved, tuple(c + self.shift for c in plain.block))
        return layout, self._record(layout, self._attention.gather(past, layout, self._table), past)


def attention_weights(query: Tensor, window: LayerContext) -> Tensor:
    """Softmax weights of un-rotated queries over a window's rotated keys: b heads q k in float32."""
    rotated = rotate(query, window.rotation).float()
    return (rotated @ window.keys.float().mT / query.shape[-1] ** 0.5).softmax(-1)


def by_frame(weights: Tensor, tokens_per_frame: int) -> Tensor:
    """Weights b heads q k of tokens to those of frames, b heads own seen: a mean over queries, a sum over keys."""
    n = tokens_per_frame
    return weights.unflatten(2, (-1, n)).mean(3).unflatten(3, (-1, n)).sum(4)
