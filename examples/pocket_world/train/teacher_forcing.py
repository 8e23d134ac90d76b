"""Teacher forcing: all blocks of a clip in one forward, each noisy block attending to clean ones exactly as in play.

Every clip passes through the network twice in one batch: its clean blocks at timestep 0, as in the commit pass, and its
noisy blocks. Both attend to the clean blocks' un-rotated keys, laid out by the same `lay_out` as in play.
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
class AttentionPlan:
    """The visible frames and coordinates of N blocks, N = clips x blocks; `context` is the most frames visible.

    Attributes:
        frames: Index of each visible frame among its clip's latent frames, N context; 0 where there is none.
        context_rotation: Rotation of the visible frames, N 1 (context n) d/2.
        block_rotation: Rotation of the block, N 1 (block n) d/2.
        mask: True where attention is allowed, N 1 1 ((context + block) n).
    """

    frames: Tensor
    context_rotation: Rotation
    block_rotation: Rotation
    mask: Tensor


class AttentionPlanner:
    """Factory of attention plans for clips; it caches the rotations that it computes."""

    def __init__(self, table: RotaryTable, tokens_per_frame: int, device: torch.device | str = "cpu") -> None:
        self._table, self._tokens_per_frame, self._device = table, tokens_per_frame, device
        self._rotations: dict[tuple[int, ...], Rotation] = {}

    @classmethod
    def of_pocket(cls, device: torch.device | str = "cpu") -> AttentionPlanner:
        """Make the planner of the pocket model."""
        table = RotaryTable(POCKET_MODEL.head_dim, POCKET_MODEL.rows, POCKET_MODEL.cols, device)
        return cls(table, POCKET_MODEL.tokens_per_frame, device)

    def __call__(self, clips: Sequence[Sequence[Transition]], windows: Sequence[Window]) -> AttentionPlan:
        """Plan every block of every clip.

        Args:
            clips: Transitions of each clip's blocks.
            windows: Attention window of each clip, all of one size.
        """
        context = windows[0].sink + windows[0].context
        rows = [row for clip, window in zip(clips, windows, strict=True) for row in _lay_out_clip(clip, window)]
        frames = torch.tensor([_pad(ids, context) for ids, _, _ in rows])
        seen = torch.tensor([[i < len(ids) for i in range(context)] + [True] * windows[0].block for ids, _, _ in rows])
        return AttentionPlan(
            frames.to(self._device),
            self._stack([_pad(coordinates, context) for _, coordinates, _ in rows]),
            self._stack([block for _, _, block in rows]),
            seen.repeat_interleave(self._tokens_per_frame, dim=1)[:, None, None].to(self._device),
        )

    def rotations(self, layout: Layout) -> tuple[Rotation, Rotation]:
        """Return the rotations of one block's context and of the block itself, each 1 1 (frames n) d/2."""
        return self._stack([layout.context]), self._stack([layout.block])

    def _stack(self, coordinates: list[tuple[int, ...]]) -> Rotation:
        for key in set(coordinates) - self._rotations.keys():
            self._rotations[key] = self._table.at(key)
        chosen = [self._rotations[key] for key in coordinates]
        return Rotation(*(torch.stack(parts)[:, None] for parts in zip(*chosen, strict=True)))


class TeacherForcingContext:
    """The attention context of a doubled batch: N rows of clean blocks, then the same N blocks with noise."""

    def __init__(self, plan: AttentionPlan, clips: int) -> None:
        self._plan, self._clips = plan, clips
        self._rotation = Rotation(*(_twice(part) for part in plan.block_rotation))
        self._mask = _twice(plan.mask)

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attend from every block to its context and itself; arguments un-rotated, (2 N) heads (block n) d."""
        clean_keys = rotate(self._gather(key), self._plan.context_rotation)
        keys = torch.cat((_twice(clean_keys), rotate(key, self._rotation)), dim=2)
        values = torch.cat((_twice(self._gather(value)), value), dim=2)
        return masked_attention(rotate(query, self._rotation), keys, values, self._mask)

    def write_kv(self, key: Tensor, value: Tensor) -> None:
        """Do nothing: clean and noisy blocks are in one batch, so no keys need to be stored."""

    def _gather(self, x: Tensor) -> Tensor:
        """Return the visible clean frames of every block: (2 N) heads (block n) d -> N heads (context n) d."""
        rows, context = self._plan.frames.shape
        n = self._plan.context_rotation.cos.shape[2] // context
        clean = x[:rows].unflatten(2, (-1, n)).transpose(1, 2)  # N block heads n d
        frames = clean.reshape(self._clips, -1, *clean.shape[2:])  # clips frames heads n d
        return gather_frames(frames, self._plan.frames)


def _twice(x: Tensor) -> Tensor:
    return torch.cat((x, x))


def gather_frames(frames: Tensor, chosen: Tensor) -> Tensor:
    """Pick frames of clips for every row.

    Args:
        frames: Frames of clips, clips frames heads n d.
        chosen: Frame indices, N context; the rows of one clip are adjacent.

    Returns:
        N heads (context n) d.
    """
    clip = torch.arange(len(chosen), device=chosen.device)[:, None] // (len(chosen) // len(frames))
    return frames[clip, chosen].transpose(1, 2).flatten(2, 3)


def masked_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    """Compute softmax attention as plain matrix products, in the value's dtype; without a mask all keys are visible.

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
    """Return for each block its visible frame ids, their coordinates, and the block's coordinates."""
    rows = []
    cached: tuple[int, ...] = ()
    for index, transition in enumerate(transitions):
        layout = lay_out(cached, transition, window)
        visible = tuple(cached[slot] for slot in layout.slots)
        rows.append((visible, layout.context, layout.block))
        cached = (*visible, *range(index * window.block, (index + 1) * window.block))
    return rows


def _pad(values: tuple[int, ...], length: int) -> tuple[int, ...]:
    return (*values, *[0] * (length - len(values)))
