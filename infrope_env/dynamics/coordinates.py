"""Which cached frames a block sees and the coordinate of each. Integers only: this module never imports torch.

The paper's three ideas are index arithmetic, and `lay_out` composes them:

    KV Flush                  frames_to_keep            a new prompt sees the sink and the newest frames only
    Block-Relativistic RoPE   ranks, onset_coordinates  coordinates are relative to the block, however long the rollout
    RoPE Cut                  block_start               a scene change moves the block far away from its context
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from infrope_env.config import Window
from infrope_env.control.actions import Transition


@dataclass(frozen=True)
class Layout:
    """Visible frames and temporal coordinates of one block; its queries and its keys share them.

    Attributes:
        slots: Visible cached frames, oldest first, as indices into the cache's `frame_ids`.
        context: Coordinate of each visible cached frame.
        block: Coordinate of each frame of the block.
    """

    slots: tuple[int, ...]
    context: tuple[int, ...]
    block: tuple[int, ...]


def lay_out(frame_ids: tuple[int, ...], transition: Transition, window: Window) -> Layout:
    """Return which cached frames the next block sees, and the coordinate of every frame.

    With the default window and cached frames (0, 8, 9, 10, 11, 12):

        CONTINUE  slots (0, 4, 5)  context (0, 1, 2)  block (3, 4, 5)
        SWITCH    slots (0, 5)     context (0, 1)     block (2, 3, 4)
        CUT       slots (0, 5)     context (0, 1)     block (45, 46, 47)

    Args:
        frame_ids: Cached frames, oldest first, sink first; an id counts latent frames since reset.
        transition: How the block follows the one before it.
        window: Sizes and coordinate rule.
    """
    next_frame = frame_ids[-1] + 1 if frame_ids else 0
    slots = slots_to_keep(len(frame_ids), transition, window)  # KV Flush
    visible = tuple(frame_ids[slot] for slot in slots)
    context = context_coordinates(visible, next_frame + window.block - 1, window)  # Block-Relativistic RoPE
    start = block_start(len(visible), next_frame, transition, window)  # RoPE Cut
    return Layout(slots, context, tuple(range(start, start + window.block)))


def slots_to_keep(cached: int, transition: Transition, window: Window) -> tuple[int, ...]:
    """Return the slots that stay visible; the baseline "no_cache" drops even the sink when the prompt changes."""
    if transition is Transition.SWITCH and window.on_switch == "no_cache":
        return ()
    return visible_slots(cached, window.sink, frames_to_keep(transition, window))


def visible_slots(cached: int, sink: int, recent: int) -> tuple[int, ...]:
    """Return the first `sink` and the newest `recent` of `cached` slots: 6, 1, 2 gives (0, 4, 5)."""
    if sink + recent >= cached:
        return tuple(range(cached))
    return (*range(sink), *range(cached - recent, cached))


def frames_to_keep(transition: Transition, window: Window) -> int:
    """KV Flush: return how many of the newest frames stay visible besides the sink; by default 2, after a flush 1."""
    flush = transition is Transition.CUT or (transition is Transition.SWITCH and window.on_switch == "flush")
    return window.kept_on_flush if flush else window.context


def ranks(count: int) -> tuple[int, ...]:
    """Block-Relativistic RoPE, release: return each frame's rank as its coordinate; 3 frames are at (0, 1, 2)."""
    return tuple(range(count))


def onset_coordinates(frame_ids: tuple[int, ...], newest: int, onset_index: int) -> tuple[int, ...]:
    """Block-Relativistic RoPE, paper: count coordinates back from the newest frame, pinned at the onset index.

    Frames (0, 3, 4, 5, 24) with newest 24 and onset index 21 are at (1, 1, 1, 2, 21). Up to the onset index a frame's
    coordinate is its number, counted from 1. Later frame g is at onset_index - (newest - g), and everything that would
    be below 1 collapses onto 1 (the paper's semanticization).
    """
    shift = max(0, newest + 1 - onset_index)
    return tuple(max(1, frame + 1 - shift) for frame in frame_ids)


def context_coordinates(visible: tuple[int, ...], newest: int, window: Window) -> tuple[int, ...]:
    """Return the coordinate of each visible cached frame, for a block whose last frame is `newest`."""
    if window.coordinates == "rank":
        return ranks(len(visible))
    if window.coordinates == "onset":
        return onset_coordinates(visible, newest, window.onset_index)
    return visible


def block_start(visible: int, next_frame: int, transition: Transition, window: Window) -> int:
    """RoPE Cut: return the coordinate of the block's first frame; behind 3 visible frames it is 3, on a cut 45."""
    if transition is Transition.CUT:
        return window.cut_coordinate + (next_frame if window.coordinates == "absolute" else 0)
    if window.coordinates == "rank":
        return visible
    if window.coordinates == "onset":
        return min(next_frame + 1, window.onset_index - window.block + 1)
    return next_frame


def recache_passes(
    visible: tuple[int, ...], context: tuple[int, ...], block: int
) -> Iterator[tuple[tuple[int, ...], Layout]]:
    """Yield the forward passes with which the baseline "recache" encodes the visible frames again, oldest first.

    A pass encodes the visible frames of one block, which attend to those of earlier passes; their coordinates are those
    in the next block's context. Frames (0, 16, 17) at (0, 1, 2) in blocks of 3 give (0,) alone at (0,), then (16, 17)
    at (1, 2) with frame 0 at (0,).

    Args:
        visible: Ids of the visible cached frames, oldest first.
        context: Coordinate of each of them.
        block: Frames per block.

    Yields:
        Frame ids of the pass, and its layout; the layout's slots count the frames of the passes before it.
    """
    start = 0
    for _, group in groupby(visible, key=lambda frame: frame // block):
        frames = tuple(group)
        stop = start + len(frames)
        yield frames, Layout(tuple(range(start)), context[:start], context[start:stop])
        start = stop
