"""Teacher forcing: all blocks of a clip at once, each noisy block looking back at clean ones exactly as in play.

Every clip goes through the network twice in one batch: its clean blocks at timestep 0, which is what the commit pass
remembers, and its noisy blocks. Both read the clean blocks' un-rotated keys, laid out by the same `lay_out` as in play.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from infrope_env.config import Window
from infrope_env.control.actions import Transition
from infrope_env.dynamics.coordinates import lay_out
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

    def of_block(self, index: int, blocks: int) -> Lookback:
        """The rows of one block of every clip; clips have `blocks` blocks."""
        rows = slice(index, None, blocks)
        rotations = (Rotation(r.cos[rows], r.sin[rows]) for r in (self.context_rotation, self.block_rotation))
        return Lookback(self.frames[rows], *rotations, self.mask[rows])


class LookbackMaker:
    """Lays out clips; remembers the rotations it has made."""

    def __init__(self, table: RotaryTable, tokens_per_frame: int, device: torch.device | str = "cpu") -> None:
        self._table, self._tokens_per_frame, self._device = table, tokens_per_frame, device
        self._rotations: dict[tuple[int, ...], Rotation] = {}

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

    def take(self, key: Tensor, value: Tensor) -> None:
        """Nothing to keep: both parts of the batch pass through together."""

    def _gather(self, x: Tensor) -> Tensor:
        """The visible clean frames of every block: (2 N) heads (block n) d -> N heads (context n) d."""
        rows, context = self._lookback.frames.shape
        n = self._lookback.context_rotation.cos.shape[2] // context
        clean = x[:rows].unflatten(2, (-1, n)).transpose(1, 2)  # N block heads n d
        frames = clean.reshape(self._clips, -1, *clean.shape[2:])  # clips frames heads n d
        return gather_frames(frames, self._lookback.frames)


class RolloutWindow:
    """One layer's window during a rollout of several clips at once, each with transitions of its own."""

    def __init__(self) -> None:
        self._keys: list[Tensor] = []
        self._values: list[Tensor] = []
        self._latest: tuple[Tensor, Tensor] | None = None
        self.lookback: Lookback | None = None

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attention of every clip's block to what it sees; arguments un-rotated, b heads (block n) d."""
        self.take(key, value)
        look = self.lookback
        assert look is not None
        keys, values = rotate(key, look.block_rotation), value
        if self._keys:
            past = rotate(gather_frames(torch.cat(self._keys, 1), look.frames), look.context_rotation)
            keys = torch.cat((past.to(keys.dtype), keys), dim=2)
            values = torch.cat((gather_frames(torch.cat(self._values, 1), look.frames).to(value.dtype), value), dim=2)
        mask = look.mask[..., -keys.shape[2] :]
        return masked_attention(rotate(query, look.block_rotation), keys, values, mask)

    def take(self, key: Tensor, value: Tensor) -> None:
        """Hold on to the latest pass's keys and values."""
        self._latest = key, value

    def commit(self, tokens_per_frame: int) -> None:
        """Remember the latest pass's frames: b frames heads n d."""
        assert self._latest is not None
        for kept, latest in zip((self._keys, self._values), self._latest, strict=True):
            kept.append(latest.detach().unflatten(2, (-1, tokens_per_frame)).transpose(1, 2))


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


def masked_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """Softmax attention in the value's dtype, as plain matrix products.

    With its backward pass this takes half the time of `scaled_dot_product_attention` on a CPU.
    """
    rows, heads, tokens, width = query.shape
    bias = torch.where(mask, 0.0, -1e4).to(value.dtype).expand(rows, heads, tokens, -1).flatten(0, 1)
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
