"""The context of one block: visible frames, their coordinates, and the frames that a flush dropped. Integers only."""

from __future__ import annotations

from dataclasses import dataclass

from infrope_env.config import Window
from infrope_env.control.actions import Transition
from infrope_env.dynamics.coordinates import Layout, lay_out


@dataclass(frozen=True)
class ContextStrip:
    """The frames that a block saw, as a player's inspector draws them.

    Attributes:
        index: Index of the block.
        transition: How it followed the block before it.
        cached: Ids of the frames that were cached, oldest first.
        visible: Ids of those it saw, oldest first.
        context: Temporal coordinate of each of them.
        own: Ids of the block's frames.
        block: Temporal coordinate of each of those.
        sink: Number of visible frames, from the first on, that are the sink.
        dropped: Ids of the frames that a flush hid: a block that continued would have seen them.
        mass: Attention mass of every visible frame, then of the block's own; the sum is 1. Empty if not measured.
    """

    index: int
    transition: Transition
    cached: tuple[int, ...]
    visible: tuple[int, ...]
    context: tuple[int, ...]
    own: tuple[int, ...]
    block: tuple[int, ...]
    sink: int
    dropped: tuple[int, ...]
    mass: tuple[float, ...] = ()

    @classmethod
    def of(
        cls,
        index: int,
        transition: Transition,
        cached: tuple[int, ...],
        visible: tuple[int, ...],
        layout: Layout,
        window: Window,
        mass: tuple[float, ...] = (),
    ) -> ContextStrip:
        """Return the strip of a block.

        Args:
            index: Index of the block.
            transition: How it followed the block before it.
            cached: Ids of the frames that were cached when it was laid out.
            visible: Ids of those that it saw.
            layout: Its layout.
            window: Sizes and rules of the attention window.
            mass: As in the class.
        """
        continued = lay_out(cached, Transition.CONTINUE, window) if cached else Layout((), (), ())
        return cls(
            index=index,
            transition=transition,
            cached=cached,
            visible=visible,
            context=layout.context,
            own=tuple(range(index * window.block, (index + 1) * window.block)),
            block=layout.block,
            sink=min(window.sink, len(visible)),
            dropped=tuple(cached[slot] for slot in continued.slots if cached[slot] not in visible),
            mass=mass,
        )

    @property
    def frames(self) -> tuple[int, ...]:
        """Ids of all frames with a coordinate: the visible ones, then the block's own."""
        return (*self.visible, *self.own)

    @property
    def coordinates(self) -> tuple[int, ...]:
        """Temporal coordinate of each of `frames`."""
        return (*self.context, *self.block)
