"""Keys and values of earlier frames: the cache of a rollout, and the buffers that one block's attention reads.

`KeyValueCache` holds un-rotated keys and values in a fixed number of slots, tagged with frame ids; stored frames never
move. `ContextBuffers` holds the tensors that attention reads while one block is denoised: the visible frames' keys,
rotated once per block, and behind them the block's own. A `Layout` lists the visible frames and their coordinates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import torch
import torch.nn.functional as F
from torch import Tensor

from infrope_env.dynamics.coordinates import LONG_MEMORY, SHORT_MEMORY, Folding, Layout
from infrope_env.dynamics.rope import RotaryTable, Rotation, rotate

ROTATED_AT_ONCE = 2**24
"""Numbers of cached keys that are rotated at once, at most: a rotation takes ten bytes for each."""

EMA_RATES = {LONG_MEMORY: 0.01, SHORT_MEMORY: 0.1}
"""Rates of the memory tokens (MemRoPE)."""
EMA_SINK_RATE = 0.001
"""Rate of every frame of a sink that takes in others (Reward-Forcing: 0.999 of the old, 0.001 of the new)."""


@dataclass(frozen=True)
class CacheShape:
    """Sizes of the cache's axes: layers b heads slots tokens_per_frame head_dim."""

    layers: int
    batch: int
    heads: int
    slots: int
    tokens_per_frame: int
    head_dim: int

    @property
    def axes(self) -> tuple[int, ...]:
        """Sizes in the order of the axes."""
        return (self.layers, self.batch, self.heads, self.slots, self.tokens_per_frame, self.head_dim)

    def allocate(self, device: torch.device, dtype: torch.dtype) -> Tensor:
        """Return zeros of this shape."""
        return torch.zeros(self.axes, device=device, dtype=dtype)


class KeyValueCache:
    """Un-rotated keys and values of the cached latent frames. Only `Rollout` writes it, when it commits a block.

    Attributes:
        shape: Sizes of the axes of keys and values.
        keys: Un-rotated keys, layers b heads slots n head_dim, where n is tokens per frame. Slots that hold no cached
            frame have undefined content and are never read.
        values: Values, same shape.
    """

    def __init__(self, shape: CacheShape, device: torch.device, dtype: torch.dtype) -> None:
        self.shape = shape
        self.keys = shape.allocate(device, dtype)
        self.values = shape.allocate(device, dtype)
        self._slot_of: dict[int, int] = {}
        self._averages: dict[int, Tensor] = {}

    @property
    def averages(self) -> dict[int, Tensor]:
        """Averages by id, float32 or finer: keys and values, 2 layers b heads n head_dim. Slots have them rounded."""
        return dict(self._averages)

    @property
    def slot_of(self) -> dict[int, int]:
        """Slot of each cached frame by frame id, oldest first; a copy."""
        return dict(self._slot_of)

    @property
    def frame_ids(self) -> tuple[int, ...]:
        """Ids of the cached frames, oldest first."""
        return tuple(self._slot_of)

    @property
    def slots(self) -> tuple[int, ...]:
        """Slot of each cached frame, in the order of `frame_ids`."""
        return tuple(self._slot_of.values())

    def keep(self, order: Sequence[int]) -> None:
        """Drop every frame except those at these indices of `frame_ids`. No tensor is copied or cleared."""
        self._slot_of = self._slots_at(order)
        self._averages = {frame: average for frame, average in self._averages.items() if frame in self._slot_of}

    def store(
        self,
        frame_ids: Sequence[int],
        keys: Tensor,
        values: Tensor,
        *,
        kept: Sequence[int] | None = None,
        folding: Folding | None = None,
    ) -> None:
        """Write frames into slots that no kept frame uses.

        Which frames are cached changes only after the tensors are written, so an interrupted call can be repeated.

        Args:
            frame_ids: Ids of the frames; all are newer than the cached ones.
            keys: Un-rotated keys, layers b heads (frames n) head_dim.
            values: Values, same shape.
            kept: Indices into `frame_ids` of the cached frames that stay, oldest first; None keeps all.
            folding: Frames, cached or new, that averages take in; None if there are none.

        Raises:
            ValueError: The cache has too few free slots.
        """
        slot_of = self.slot_of if kept is None else self._slots_at(kept)
        averages = {frame: average for frame, average in self._averages.items() if frame in slot_of}
        occupied = {*slot_of.values(), *(self._slot_of.values() if folding else ())}
        free = [slot for slot in range(self.shape.slots) if slot not in occupied]
        n = self.shape.tokens_per_frame
        for index, (frame_id, slot) in enumerate(zip(frame_ids, free[: len(frame_ids)], strict=True)):
            tokens = slice(index * n, (index + 1) * n)
            self.keys[:, :, :, slot] = keys[:, :, :, tokens]
            self.values[:, :, :, slot] = values[:, :, :, tokens]
            slot_of[frame_id] = slot
        if folding is not None:
            averages |= self._fold(folding, slot_of, averages)
            places = slot_of | self._write_averages(folding, averages, free[len(frame_ids) :])
            slot_of = {frame_id: places[frame_id] for frame_id in folding.cached}
        self._slot_of, self._averages = slot_of, averages

    def _fold(self, folding: Folding, slot_of: dict[int, int], averages: dict[int, Tensor]) -> dict[int, Tensor]:
        """Return the averages with what they take in: the mean of its frames, at the average's rate.

        They are kept in float32, because a step of 0.001 is rounded away in bfloat16. A memory token begins with the
        first mean; a frame of the sink begins as itself.
        """
        places = self._slot_of | slot_of
        means = {frames: self._mean([places[frame] for frame in frames]) for _, frames in folding.sources}
        folded = {}
        for target, frames in folding.sources:
            start = averages.get(target, means[frames] if target < 0 else self._exact(slot_of[target]))
            folded[target] = start.lerp(means[frames], EMA_RATES.get(target, EMA_SINK_RATE))
        return folded

    def _mean(self, slots: Sequence[int]) -> Tensor:
        """Return the mean of slots, as `_exact`; holds no more than two at once."""
        total = self._exact(slots[0])
        for slot in slots[1:]:
            total += self._exact(slot)
        return total / len(slots)

    def _exact(self, slot: int) -> Tensor:
        """Return keys and values of a slot, 2 layers b heads n head_dim, in float32 or finer."""
        pair = torch.stack((self.keys[:, :, :, slot], self.values[:, :, :, slot]))
        return pair.to(torch.promote_types(pair.dtype, torch.float32))

    def _write_averages(self, folding: Folding, averages: dict[int, Tensor], free: Sequence[int]) -> dict[int, int]:
        """Write the averages that have taken in frames into free slots; return slots by id."""
        targets = [target for target, _ in folding.sources]
        for target, slot in zip(targets, free[: len(targets)], strict=True):
            self.keys[:, :, :, slot], self.values[:, :, :, slot] = averages[target]
        return dict(zip(targets, free, strict=False))

    def _slots_at(self, order: Sequence[int]) -> dict[int, int]:
        """Return id and slot of the cached frames at these indices of `frame_ids`."""
        frame_ids = self.frame_ids
        return {frame_ids[index]: self._slot_of[frame_ids[index]] for index in order}

    def copy_from(
        self, keys: Tensor, values: Tensor, slot_of: dict[int, int], averages: dict[int, Tensor] | None = None
    ) -> None:
        """Replace the whole content, in place, by a copy of another cache's."""
        self.keys.copy_(keys)
        self.values.copy_(values)
        self._slot_of = dict(slot_of)
        self._averages = {frame: average.to(self.keys.device) for frame, average in (averages or {}).items()}


@dataclass
class LayerContext:
    """Keys and values that one layer's self-attention reads: the context's and, behind them, the block's own.

    Attributes:
        keys: Rotated keys, b heads (context n + block n) head_dim, the block's last.
        values: Values, same shape.
        fresh_keys: Un-rotated keys of the block for the commit, b heads (block n) head_dim.
        rotation: Rotation of the block's tokens.
    """

    keys: Tensor
    values: Tensor
    fresh_keys: Tensor
    rotation: Rotation

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attend from the block to its context and itself; arguments un-rotated, all b heads (block n) head_dim."""
        self.write_kv(key, value)
        return F.scaled_dot_product_attention(rotate(query, self.rotation), self.keys, self.values)

    def write_kv(self, key: Tensor, value: Tensor) -> None:
        """Write the block's own keys and values, un-rotated, behind the context's."""
        block_tokens = key.shape[2]
        self.fresh_keys.copy_(key)
        self.keys[:, :, -block_tokens:] = rotate(key, self.rotation)
        self.values[:, :, -block_tokens:] = value


@dataclass
class BatchContext:
    """One layer's contexts of a batch whose rows see different numbers of frames. Nothing is padded.

    Attributes:
        groups: Rows that see equally many frames, and their context; the groups cover all rows in order.
    """

    groups: Sequence[tuple[slice, LayerContext]]

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attend once per number of visible frames; arguments as in `LayerContext.attend`."""
        return torch.cat([context.attend(query[rows], key[rows], value[rows]) for rows, context in self.groups])

    def write_kv(self, key: Tensor, value: Tensor) -> None:
        """Write every row's keys and values, un-rotated, behind its context's."""
        for rows, context in self.groups:
            context.write_kv(key[rows], value[rows])


class ContextBuffers:
    """Preallocated keys and values for one block's attention, all layers; smaller layouts use a part of them."""

    def __init__(self, shape: CacheShape, block: int, device: torch.device, dtype: torch.dtype) -> None:
        keys = shape.allocate(device, dtype).flatten(3, 4)  # layers b heads (slots n) head_dim
        self._use(
            keys, torch.zeros_like(keys), torch.zeros_like(keys[:, :, :, : block * shape.tokens_per_frame]), shape
        )

    def _use(self, keys: Tensor, values: Tensor, fresh_keys: Tensor, shape: CacheShape) -> None:
        self._keys, self._values, self._fresh_keys, self._shape = keys, values, fresh_keys, shape
        self._tokens_per_frame, self._block_tokens = shape.tokens_per_frame, fresh_keys.shape[3]
        self._layout, self._visible_tokens = Layout((), (), ()), 0
        self._group = max(1, ROTATED_AT_ONCE // keys[0, :, :, : shape.tokens_per_frame].numel())  # layers

    def row(self, row: int) -> ContextBuffers:
        """Return the buffers of one row of the batch, which share its memory."""
        view, rows = object.__new__(ContextBuffers), slice(row, row + 1)
        view._use(self._keys[:, rows], self._values[:, rows], self._fresh_keys[:, rows], replace(self._shape, batch=1))
        return view

    def batch_contexts(self, rows: Sequence[ContextBuffers], first: int, table: RotaryTable) -> list[BatchContext]:
        """Return the contexts of consecutive rows, by layer, for one forward pass of all of them.

        Args:
            rows: Buffers of rows `first`, `first` + 1, ..., each with its newest layout gathered.
            first: Index of the first of them in this batch.
            table: Rotations by coordinate.
        """
        layers: list[list[tuple[slice, LayerContext]]] = [[] for _ in self._keys]
        start = 0
        for visible, same in groupby(rows, key=lambda row: row._visible_tokens):
            group = list(same)
            inside, outside = slice(start, start + len(group)), slice(first + start, first + start + len(group))
            rotation, start = table.of_rows([row._layout.block for row in group]), inside.stop
            fresh = self._fresh_keys[:, :, :, : group[0]._block_tokens]
            for layer, groups in enumerate(layers):
                keys, values = (tensor[layer, outside, :, :visible] for tensor in (self._keys, self._values))
                groups.append((inside, LayerContext(keys, values, fresh[layer, outside], rotation)))
        return [BatchContext(groups) for groups in layers]

    def gather(self, cache: KeyValueCache, layout: Layout, table: RotaryTable) -> list[LayerContext]:
        """Copy the visible frames out of the cache, rotate their keys, and make room for the block behind them.

        Args:
            cache: Cached frames; only read.
            layout: Visible frames, their coordinates and the block's.
            table: Rotations by coordinate.

        Returns:
            One context per layer: views of these buffers, valid until the next call.

        Raises:
            ValueError: A coordinate is outside the table.
        """
        n = self._tokens_per_frame
        slots = [cache.slots[index] for index in layout.slots]
        for index, (slot, coordinate) in enumerate(zip(slots, layout.context, strict=True)):
            tokens, rotation = slice(index * n, (index + 1) * n), table.at((coordinate,))
            for keys, cached in zip(self._keys.split(self._group), cache.keys.split(self._group), strict=True):
                keys[:, :, :, tokens] = rotate(cached[:, :, :, slot], rotation)
            self._values[:, :, :, tokens] = cache.values[:, :, :, slot]
        self._layout, self._block_tokens = layout, len(layout.block) * n
        self._visible_tokens = len(slots) * n + self._block_tokens
        rotation, visible = table.at(layout.block), slice(0, self._visible_tokens)
        return [
            LayerContext(
                self._keys[layer][:, :, visible], self._values[layer][:, :, visible], self.fresh_keys[layer], rotation
            )
            for layer in range(len(self._keys))
        ]

    @property
    def fresh_keys(self) -> Tensor:
        """Un-rotated keys of the block as last written, layers b heads (block n) head_dim."""
        return self._fresh_keys[:, :, :, : self._block_tokens]

    @property
    def fresh_values(self) -> Tensor:
        """Values of the block as last written, layers b heads (block n) head_dim."""
        return self._values[:, :, :, self._visible_tokens - self._block_tokens : self._visible_tokens]
