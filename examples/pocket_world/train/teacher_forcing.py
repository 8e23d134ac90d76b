"""Teacher forcing: all blocks of a clip at once, each noisy block looking back at clean ones exactly as in play.

Every clip goes through the network twice in one batch: its clean blocks at timestep 0, which is what the commit pass
remembers, and its noisy blocks. Both read the clean blocks' un-rotated keys, laid out by the same `lay_out` as in play.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from examples.pocket_world.train.generator import POCKET_MODEL
from infrope_env.config import Window
from infrope_env.control.actions import Transition
from infrope_env.dynamics.coordinates import Layout, lay_out
from infrope_env.dynamics.rope import RotaryTable, Rotation, rotate


@dataclass(frozen=True)
class Lookback:
    """Where every block of a batch of clips looks and sits; N = clips x blocks, `context` the most frames seen.

    Attributes:
        frames: N context, index of each visible frame among its clip's frames (0 where there is none).
        context_rotation: N 1 (context n) d/2.
        block_rotation: N 1 (block n) d/2.
        mask: N 1 1 ((context + block) n), True where attention may look.
    """

    frames: Tensor
    context_rotation: Rotation
    block_rotation: Rotation
    mask: Tensor


class LookbackMaker:
    """Lays out clips; remembers the rotations it has made."""

    def __init__(self, table: RotaryTable, tokens_per_frame: int, device: torch.device | str = "cpu") -> None:
        self._table, self._tokens_per_frame, self._device = table, tokens_per_frame, device
        self._rotations: dict[tuple[int, ...], Rotation] = {}

    @classmethod
    def of_pocket(cls, device: torch.device | str = "cpu") -> LookbackMaker:
        """For the pocket model."""
        table = RotaryTable(POCKET_MODEL.head_dim, POCKET_MODEL.rows, POCKET_MODEL.cols, device)
        return cls(table, POCKET_MODEL.tokens_per_frame, device)

    def __call__(self, clips: Sequence[Sequence[Transition]], windows: Sequence[Window]) -> Lookback:
        """Lay out every block of every clip; each clip may have a window of its own (equal in size)."""
        context = windows[0].sink + windows[0].context
        rows = [row for clip, window in zip(clips, windows, strict=True) for row in _lay_out_clip(clip, window)]
        frames = torch.tensor([_pad(ids, context) for ids, _, _ in rows])
        seen = torch.tensor([[i < len(ids) for i in range(context)] + [True] * windows[0].block for ids, _, _ in rows])
        return Lookback(
            frames.to(self._device),
            self._stack([_pad(coordinates, context) for _, coordinates, _ in rows]),
            self._stack([block for _, _, block in rows]),
            seen.repeat_interleave(self._tokens_per_frame, dim=1)[:, None, None].to(self._device),
        )

    def rotations(self, layout: Layout) -> tuple[Rotation, Rotation]:
        """Of one block's context and of itself, each 1 1 (frames n) d/2."""
        return self._stack([layout.context]), self._stack([layout.block])

    def _stack(self, coordinates: list[tuple[int, ...]]) -> Rotation:
        for key in set(coordinates) - self._rotations.keys():
            self._rotations[key] = self._table.at(key)
        chosen = [self._rotations[key] for key in coordinates]
        return Rotation(*(torch.stack(parts)[:, None] for parts in zip(*chosen, strict=True)))


class ForcedWindow:
    """The attention window of a twofold batch: N rows of clean blocks, then the same N blocks noisy."""

    def __init__(self, lookback: Lookback, clips: int) -> None:
        self._lookback, self._clips = lookback, clips
        self._rotation = Rotation(*(_twice(part) for part in lookback.block_rotation))
        self._mask = _twice(lookback.mask)

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attention of every block to its context and itself; arguments un-rotated, (2 N) heads (block n) d."""
        clean_keys = rotate(self._gather(key), self._lookback.context_rotation)
        keys = torch.cat((_twice(clean_keys), rotate(key, self._rotation)), dim=2)
        values = torch.cat((_twice(self._gather(value)), value), dim=2)
        return masked_attention(rotate(query, self._rotation), keys, values, self._mask)

    def write_kv(self, key: Tensor, value: Tensor) -> None:
        """Nothing to keep: both parts of the batch pass through together."""

    def _gather(self, x: Tensor) -> Tensor:
        """The visible clean frames of every block: (2 N) heads (block n) d -> N heads (context n) d."""
        rows, context = self._lookback.frames.shape
        n = self._lookback.context_rotation.cos.shape[2] // context
        clean = x[:rows].unflatten(2, (-1, n)).transpose(1, 2)  # N block heads n d
        frames = clean.reshape(self._clips, -1, *clean.shape[2:])  # clips frames heads n d
        return gather_frames(frames, self._lookback.frames)


def _twice(x: Tensor) -> Tensor:
    return torch.cat((x, x))


def gather_frames(frames: Tensor, chosen: Tensor) -> Tensor:
    """Pick frames of clips for every row.

    Args:
        frames: clips frames heads n d.
        chosen: N context; rows of one clip stand together.

    Returns:
        N heads (context n) d.
    """
    clip = torch.arange(len(chosen), device=chosen.device)[:, None] // (len(chosen) // len(frames))
    return frames[clip, chosen].transpose(1, 2).flatten(2, 3)


def masked_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    """Softmax attention in the value's dtype, as plain matrix products; without a mask everything is seen.

    With its backward pass this takes half the time of `scaled_dot_product_attention` on a CPU.
    """
    rows, heads, tokens, width = query.shape
    bias = value.new_zeros(()) if mask is None else torch.where(mask, 0.0, -1e4).to(value.dtype)
    bias = bias.expand(rows, heads, tokens, key.shape[2]).flatten(0, 1)
    query, key = query.to(value.dtype).flatten(0, 1) * width**-0.5, key.to(value.dtype).flatten(0, 1)
    scores = torch.baddbmm(bias, query, key.transpose(1, 2))
    return torch.bmm(scores.softmax(-1), value.flatten(0, 1)).unflatten(0, (rows, heads))


def _lay_out_clip(
    transitions: Sequence[Transition], window: Window
) -> list[tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]]:
    """For each block: visible frame ids, their coordinates, the block's coordinates."""
    rows, cached = [], ()
    for index, transition in enumerate(transitions):
        layout = lay_out(cached, transition, window)
        visible = tuple(cached[slot] for slot in layout.slots)
        rows.append((visible, layout.context, layout.block))
        cached = (*visible, *range(index * window.block, (index + 1) * window.block))
    return rows


def _pad(values: tuple[int, ...], length: int) -> tuple[int, ...]:
    return (*values, *[0] * (length - len(values)))
