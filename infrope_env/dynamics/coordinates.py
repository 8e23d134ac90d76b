"""Which cached frames a block sees and the coordinate of each. Integers only: this module never imports torch.

The paper's three ideas are index arithmetic, and `lay_out` composes them:

    KV Flush                  frames_to_keep            a new prompt sees the sink and the newest frames only
    Block-Relativistic RoPE   ranks, onset_coordinates  coordinates are relative to the block, however long the rollout
    RoPE Cut                  block_start               a scene change moves the block far away from its context

Memory policies (`Window.memory`) change which frames are visible, or what takes them in when they leave:

    deep_sink                 rephased                  a sink of half the window, just before the context
    rolling_sink              rolled_slots              the sink shows the first frames in turn, to and fro
    ema, ema_sink             fold_lost_frames          averages take in the frames that no later block sees
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby

from infrope_env.config import Window
from infrope_env.control.actions import Transition

LONG_MEMORY, SHORT_MEMORY = -2, -1
"""Ids of the memory tokens of "ema", which are cached like two frames, behind the sink."""


@dataclass(frozen=True)
class Folding:
    """Frames that averages take in when a block is committed, because no later block sees them.

    Attributes:
        sources: Id of each average, and the ids of the frames that it takes in.
        cached: Ids that are cached afterwards, the block's among them, in order.
    """

    sources: tuple[tuple[int, tuple[int, ...]], ...]
    cached: tuple[int, ...]


@dataclass(frozen=True)
class Layout:
    """Visible frames and temporal coordinates of one block; its queries and its keys share them.

    Attributes:
        slots: Visible cached frames, oldest first, as indices into the cache's `frame_ids`.
        context: Coordinate of each visible cached frame.
        block: Coordinate of each frame of the block.
        hidden: Cached frames that the block does not see but later ones may, likewise. All others are dropped.
        folding: Frames that averages take in when the block is committed; None if there are none.
    """

    slots: tuple[int, ...]
    context: tuple[int, ...]
    block: tuple[int, ...]
    hidden: tuple[int, ...] = ()
    folding: Folding | None = None

    @property
    def kept(self) -> tuple[int, ...]:
        """Cached frames that stay cached, oldest first and each once, as indices into the cache's `frame_ids`."""
        return tuple(sorted({*self.slots, *self.hidden}))


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
    slots = slots_to_see(frame_ids, transition, window)  # KV Flush
    visible = tuple(frame_ids[slot] for slot in slots)
    context = context_coordinates(visible, next_frame, window)  # Block-Relativistic RoPE
    start = block_start(len(visible), next_frame, transition, window)  # RoPE Cut
    layout = Layout(slots, context, tuple(range(start, start + window.block)))
    if window.memory == "rolling_sink" and slots and not forgets(transition, window):
        return replace(layout, hidden=archived_slots(len(frame_ids), window))
    if window.memory in ("ema", "ema_sink"):
        return replace(layout, folding=fold_lost_frames(frame_ids, layout, transition, window))
    return layout


def cached_after(frame_ids: tuple[int, ...], layout: Layout) -> tuple[int, ...]:
    """Return the ids that are cached behind a block, given those before it and its layout."""
    if layout.folding is not None:
        return layout.folding.cached
    next_frame = frame_ids[-1] + 1 if frame_ids else 0
    return (*(frame_ids[slot] for slot in layout.kept), *range(next_frame, next_frame + len(layout.block)))


def slots_to_see(frame_ids: tuple[int, ...], transition: Transition, window: Window) -> tuple[int, ...]:
    """Return the slots that stay visible; the baseline "no_cache" drops even the sink when the prompt changes."""
    if transition is Transition.SWITCH and window.on_switch == "no_cache":
        return ()
    recent, forgotten = frames_to_keep(transition, window), forgets(transition, window)
    if window.memory == "ema":
        return slots_with_memory(frame_ids, window.sink, recent, forgotten)
    if forgotten:  # the rollout's first frame stays; the following ones make another deep or rolling sink
        return visible_slots(len(frame_ids), 1, recent)
    if window.memory == "rolling_sink":
        return rolled_slots(frame_ids, window.sink, window.context, recent)
    return visible_slots(len(frame_ids), window.sink, recent)


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


def context_coordinates(visible: tuple[int, ...], next_frame: int, window: Window) -> tuple[int, ...]:
    """Return the coordinate of each visible cached frame, for a block whose first frame is `next_frame`."""
    if window.coordinates == "rank":
        return ranks(len(visible))
    if window.memory == "deep_sink":
        return rephased(len(visible), block_start(len(visible), next_frame, Transition.CONTINUE, window))
    if window.coordinates == "onset":
        return onset_coordinates(visible, next_frame + window.block - 1, window.onset_index)
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


def forgets(transition: Transition, window: Window) -> bool:
    """Return whether a block drops the memory of the frames before: at cuts, or at every flush (`Window.forget`)."""
    if transition is Transition.CUT:
        return window.forget != "never"
    return transition is Transition.SWITCH and window.forget == "flush" and window.on_switch == "flush"


def rephased(count: int, start: int) -> tuple[int, ...]:
    """Deep Forcing (arXiv 2512.05081): return coordinates of `count` frames just before those of a block at `start`.

    The sink follows the context, whatever time has passed since; 4 frames before a block at 24 are at (20, 21, 22, 23).
    Coordinates that are ranks are so in any case. A flush keeps the deep sink, unless it forgets.
    """
    return tuple(range(start - count, start))


def rolled_slots(frame_ids: tuple[int, ...], sink: int, context: int, recent: int) -> tuple[int, ...]:
    """Rolling Sink (arXiv 2602.07775): return the slots of a sink whose content rolls, and of the newest frames.

    The first sink + context frames are an archive that stays cached. Where a longer window would have the frames before
    the context, the sink has frames of the archive, read to and fro: with an archive of 6, frames 6, 7, 8 are the
    archive's 5, 4, 3, and frames 12, 13, 14 its 0, 1, 2. Until the archive is full the sink is the first frames.
    A flush shortens the context, and the sink rolls on.

    Args:
        frame_ids: Cached frames, the archive first.
        sink: Frames of the sink.
        context: Frames of the context between flushes.
        recent: Newest frames that this block may see.
    """
    period = sink + context
    if len(frame_ids) <= period:
        return visible_slots(len(frame_ids), sink, recent)
    now = period + frame_ids[-1] - frame_ids[period - 1]  # frames since the archive began, as if none were dropped
    rolled = (to_and_fro(frame, period) for frame in range(now - period, now - context))
    newest = range(len(frame_ids) - recent, len(frame_ids))
    return (*rolled, *(slot for slot in newest if frame_ids[-1] - frame_ids[slot] == len(frame_ids) - 1 - slot))


def to_and_fro(frame: int, period: int) -> int:
    """Return the place of a frame in an archive that is read forwards and backwards by turns."""
    turn, place = divmod(frame, period)
    return period - 1 - place if turn % 2 else place


def archived_slots(cached: int, window: Window) -> tuple[int, ...]:
    """Return the slots of a full archive of "rolling_sink"; before it is full, a flush drops what it hides."""
    period = window.sink + window.context
    return tuple(range(period)) if cached > period else ()


def slots_with_memory(frame_ids: tuple[int, ...], sink: int, recent: int, forgotten: bool) -> tuple[int, ...]:
    """MemRoPE (arXiv 2603.12513): return the slots of sink, memory tokens and newest frames.

    A flush keeps the memory tokens, which take in the frames that it drops; one that forgets has neither.
    """
    memory = sum(frame < 0 for frame in frame_ids)
    slots = visible_slots(len(frame_ids), sink + memory, recent)
    return tuple(slot for slot in slots if not forgotten or frame_ids[slot] >= 0)


def fold_lost_frames(
    frame_ids: tuple[int, ...], layout: Layout, transition: Transition, window: Window
) -> Folding | None:
    """Return what averages take in when a block is committed: the frames that no later block can see.

    Those are frames that a flush has dropped, unless it forgets, and frames beyond sink and context. MemRoPE folds them
    into two memory tokens at two rates; Reward-Forcing folds frame g into frame g mod sink of the sink.
    """
    next_frame = frame_ids[-1] + 1 if frame_ids else 0
    kept = [frame_ids[slot] for slot in layout.kept]
    frames = [*(frame for frame in kept if frame >= 0), *range(next_frame, next_frame + window.block)]
    within_reach = [frames[slot] for slot in visible_slots(len(frames), window.sink, window.context)]
    dropped = [frame for frame in frame_ids if frame >= 0 and frame not in kept]
    if forgets(transition, window) or not layout.slots:
        dropped = []
    lost = (*dropped, *(frame for frame in frames if frame not in within_reach))
    if not lost:
        return None
    sink, rest = within_reach[: window.sink], within_reach[window.sink :]
    if window.memory == "ema":
        return Folding(((LONG_MEMORY, lost), (SHORT_MEMORY, lost)), (*sink, LONG_MEMORY, SHORT_MEMORY, *rest))
    taken = {target: tuple(frame for frame in lost if frame % window.sink == i) for i, target in enumerate(sink)}
    return Folding(tuple((target, frames) for target, frames in taken.items() if frames), tuple(within_reach))


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
