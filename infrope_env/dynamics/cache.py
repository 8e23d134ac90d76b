"""The frames a rollout remembers, and the window of them that one block looks through.

`KeyValueCache` holds un-rotated keys and values in a fixed number of slots, tagged with frame ids: nothing grows and
nothing moves. `ContextBuffers` holds what attention reads while one block is denoised: the visible frames' keys,
rotated once, and behind them room for the block's own. Neither knows why a frame is visible or where it sits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from infrope_env.dynamics.coordinates import Layout
from infrope_env.dynamics.rope import RotaryTable, Rotation, rotate


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
        """The sizes in order."""
        return (self.layers, self.batch, self.heads, self.slots, self.tokens_per_frame, self.head_dim)

    def allocate(self, device: torch.device, dtype: torch.dtype) -> Tensor:
        """A zeroed tensor of this shape."""
        return torch.zeros(self.axes, device=device, dtype=dtype)


class KeyValueCache:
    """Un-rotated keys and values of the remembered latent frames; written by `Rollout` alone, at a block's commit.

    Attributes:
        keys: layers b heads slots n head_dim; n is tokens per frame.
        values: the same.
        frame_ids: the remembered frames, oldest first. Only these slots are ever read.
    """

    def __init__(self, shape: CacheShape, device: torch.device, dtype: torch.dtype) -> None:
        self.shape = shape
        self.keys = shape.allocate(device, dtype)
        self.values = shape.allocate(device, dtype)
        self._slot_of: dict[int, int] = {}

    @property
    def slot_of(self) -> dict[int, int]:
        """Frame id to slot, oldest first; a copy."""
        return dict(self._slot_of)

    @property
    def frame_ids(self) -> tuple[int, ...]:
        """Remembered frames, oldest first."""
        return tuple(self._slot_of)

    @property
    def slots(self) -> tuple[int, ...]:
        """The slot of each remembered frame, in the order of `frame_ids`."""
        return tuple(self._slot_of.values())

    def keep(self, order: Sequence[int]) -> None:
        """Forget every frame but those at these indices of `frame_ids`. Nothing is copied or cleared."""
        frame_ids = self.frame_ids
        self._slot_of = {frame_ids[index]: self._slot_of[frame_ids[index]] for index in order}

    def store(self, frame_ids: Sequence[int], keys: Tensor, values: Tensor) -> None:
        """Remember frames in free slots.

        Args:
            frame_ids: ids of the new frames, newer than all remembered ones.
            keys: un-rotated, layers b heads (frames n) head_dim.
            values: the same.
        """
        free = [slot for slot in range(self.shape.slots) if slot not in self._slot_of.values()]
        n = self.shape.tokens_per_frame
        for index, (frame_id, slot) in enumerate(zip(frame_ids, free[: len(frame_ids)], strict=True)):
            tokens = slice(index * n, (index + 1) * n)
            self.keys[:, :, :, slot] = keys[:, :, :, tokens]
            self.values[:, :, :, slot] = values[:, :, :, tokens]
            self._slot_of[frame_id] = slot

    def copy_from(self, keys: Tensor, values: Tensor, slot_of: dict[int, int]) -> None:
        """Become what a snapshot says."""
        self.keys.copy_(keys)
        self.values.copy_(values)
        self._slot_of = dict(slot_of)


@dataclass
class LayerContext:
    """What one layer's self-attention reads and where it leaves the block's own keys and values.

    Attributes:
        keys: rotated, b heads (context n + block n) head_dim, the block's own last.
        values: the same.
        fresh_keys: un-rotated keys of the block, b heads (block n) head_dim, for the commit.
        rotation: of the block's tokens.
    """

    keys: Tensor
    values: Tensor
    fresh_keys: Tensor
    rotation: Rotation

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Softmax attention of the block to its context and itself; arguments un-rotated, b heads (block n) d."""
        self.write_kv(key, value)
        return F.scaled_dot_product_attention(rotate(query, self.rotation), self.keys, self.values)

    def write_kv(self, key: Tensor, value: Tensor) -> None:
        """Put the block's own keys and values, un-rotated, behind the context's."""
        own = key.shape[2]
        self.fresh_keys.copy_(key)
        self.keys[:, :, -own:] = rotate(key, self.rotation)
        self.values[:, :, -own:] = value


class ContextBuffers:
    """Preallocated room for what one block's attention reads, for all layers."""

    def __init__(self, shape: CacheShape, block: int, device: torch.device, dtype: torch.dtype) -> None:
        self._tokens_per_frame = shape.tokens_per_frame
        self._own_tokens = block * shape.tokens_per_frame
        self._keys = shape.allocate(device, dtype).flatten(3, 4)  # layers b heads (slots n) head_dim
        self._values = torch.zeros_like(self._keys)
        self._fresh_keys = torch.zeros_like(self._keys[:, :, :, : self._own_tokens])
        self._visible_tokens = 0

    def gather(self, cache: KeyValueCache, layout: Layout, table: RotaryTable) -> list[LayerContext]:
        """Bring the visible frames in, keys rotated to their coordinates, and leave room for the layout's block.

        Only this window changes; what the cache remembers does not.
        """
        n = self._tokens_per_frame
        slots = [cache.slots[index] for index in layout.slots]
        for index, (slot, coordinate) in enumerate(zip(slots, layout.context, strict=True)):
            tokens = slice(index * n, (index + 1) * n)
            self._keys[:, :, :, tokens] = rotate(cache.keys[:, :, :, slot], table.at((coordinate,)))
            self._values[:, :, :, tokens] = cache.values[:, :, :, slot]
        self._own_tokens = len(layout.block) * n
        self._visible_tokens = len(slots) * n + self._own_tokens
        rotation = table.at(layout.block)
        return [self._layer(index, rotation) for index in range(len(self._keys))]

    @property
    def fresh_keys(self) -> Tensor:
        """Un-rotated keys of the block as last computed, layers b heads (block n) head_dim."""
        return self._fresh_keys[:, :, :, : self._own_tokens]

    @property
    def fresh_values(self) -> Tensor:
        """Values of the block as last computed, layers b heads (block n) head_dim."""
        return self._values[:, :, :, self._visible_tokens - self._own_tokens : self._visible_tokens]

    def _layer(self, index: int, rotation: Rotation) -> LayerContext:
        visible = slice(0, self._visible_tokens)
        return LayerContext(
            self._keys[index][:, :, visible], self._values[index][:, :, visible], self.fresh_keys[index], rotation
        )
