"""A layout rule that moves the sink away from everything else, as absolute coordinates do with time."""

from __future__ import annotations

from dataclasses import dataclass

from infrope_env.config import Window
from infrope_env.control.actions import Transition
from infrope_env.dynamics.coordinates import Layout, lay_out


@dataclass
class ShiftedLayout:
    """A `LayoutRule` that moves all coordinates but the sink's, as absolute coordinates do with time.

    Attributes:
        shift: Coordinates to move by.
    """

    shift: int = 0

    def __call__(self, frame_ids: tuple[int, ...], transition: Transition, window: Window) -> Layout:
        """Lay out the next block, then move it."""
        layout = lay_out(frame_ids, transition, window)
        context = tuple(c if rank < window.sink else c + self.shift for rank, c in enumerate(layout.context))
        return Layout(layout.slots, context, tuple(c + self.shift for c in layout.block))
