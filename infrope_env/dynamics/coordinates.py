"""Which cached frames a block sees and where each sits in time. Integers only: tensors never enter this module.

The paper's three ideas are one function each, and `lay_out` composes them:

- Block-Relativistic RoPE (`ranks`, `onset_coordinates`): coordinates are relative to the current block, for ever;
- KV Flush (`frames_to_keep`): a prompt change keeps only the sink and the newest frames;
- RoPE Cut (`block_start`): a scene change moves the block itself far from its context, for one block.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from infrope_env.config import Window
from infrope_env.control.actions import Transition


@dataclass(frozen=True)
class Layout:
    """Everything attention needs to know about time, for one block; the same for its queries and its keys.

    Attributes:
        slots: visible cached frames, oldest first, as indices into the cache's frame ids.
        context: coordinate of each of them.
        block: coordinate of each frame of the block.
    """

    slots: tuple[int, ...]
    context: tuple[int, ...]
    block: tuple[int, ...]


def lay_out(frame_ids: tuple[int, ...], transition: Transition, window: Window) -> Layout:
    """Choose what the next block sees and where everything sits.

    Args:
        frame_ids: cached frames, oldest first, sink first; ids count latent frames since reset.
        transition: CONTINUE in the middle of `0 1 2 | 3 4 5` gives, at window 6, context 0 1 2 and block 3 4 5.
        window: sizes and coordinate rule.
    """
    slots = slots_to_keep(len(frame_ids), transition, window)
    visible = tuple(frame_ids[slot] for slot in slots)
    newest = frame_ids[-1] if frame_ids else -1
    context = context_coordinates(visible, newest + window.block, window)
    start = block_start(len(visible), newest, transition, window)
    return Layout(slots, context, tuple(range(start, start + window.block)))


def slots_to_keep(cached: int, transition: Transition, window: Window) -> tuple[int, ...]:
    """Which cached frames stay. In the baseline "no_cache" a switch loses even the sink; the next frames become it."""
    if transition is Transition.SWITCH and window.on_switch == "no_cache":
        return ()
    return visible_slots(cached, window.sink, frames_to_keep(transition, window))


def visible_slots(cached: int, sink: int, recent: int) -> tuple[int, ...]:
    """The first `sink` and the newest `recent` of `cached` frames: 6, 1, 2 gives 0, 4, 5."""
    if sink + recent >= cached:
        return tuple(range(cached))
    return (*range(sink), *range(cached - recent, cached))


def frames_to_keep(transition: Transition, window: Window) -> int:
    """KV Flush: how many of the newest frames stay visible besides the sink."""
    if transition in (Transition.START, Transition.CONTINUE):
        return window.context
    if transition is Transition.SWITCH and window.on_switch in ("none", "recache"):
        return window.context
    return window.kept_on_flush


def re_encoding(
    visible: tuple[int, ...], context: tuple[int, ...], block: int
) -> Iterator[tuple[tuple[int, ...], Layout]]:
    """How the policy "recache" encodes what a block sees anew: frames of one block together, the oldest first.

    Each group sees the groups before it, where the next block will see them: frames 0 16 17 at coordinates 0 1 2 give
    0 alone at 0, then 16 17 at 1 2, with 0 in view.
    """
    start = 0
    for _, group in groupby(visible, key=lambda frame: frame // block):
        frames = tuple(group)
        stop = start + len(frames)
        yield frames, Layout(tuple(range(start)), context[:start], context[start:stop])
        start = stop


def ranks(count: int) -> tuple[int, ...]:
    """Block-Relativistic RoPE, release rule: a frame's coordinate is its rank in the window."""
    return tuple(range(count))


def onset_coordinates(frame_ids: tuple[int, ...], newest: int, onset_index: int) -> tuple[int, ...]:
    """Block-Relativistic RoPE, paper: count back from the newest frame, pinned at the onset index.

    Frames count from 1 here. Up to the onset index a frame is its own coordinate; later frame g sits at
    onset_index - (newest - g), and all that would fall below 1 collapse onto 1 (the paper's semanticization).
    """
    passed = max(0, newest + 1 - onset_index)
    return tuple(max(1, frame + 1 - passed) for frame in frame_ids)


def context_coordinates(visible: tuple[int, ...], newest: int, window: Window) -> tuple[int, ...]:
    """Coordinates of the visible cached frames when the block ends in frame `newest`."""
    if window.coordinates == "rank":
        return ranks(len(visible))
    if window.coordinates == "onset":
        return onset_coordinates(visible, newest, window.onset_index)
    return visible


def block_start(visible: int, newest_cached: int, transition: Transition, window: Window) -> int:
    """Coordinate of the block's first frame; RoPE Cut moves it to the cut coordinate."""
    first = newest_cached + 1
    if transition is Transition.CUT:
        return window.cut_coordinate + (first if window.coordinates == "absolute" else 0)
    if window.coordinates == "rank":
        return visible
    if window.coordinates == "onset":
        last = first + window.block - 1
        return onset_coordinates((last,), last, window.onset_index)[0] - window.block + 1
    return first
