"""The cells that an inspector shows of a block, from the layout alone."""

from typing import Any

from infrope_env.config import Window
from infrope_env.control.actions import Transition
from infrope_env.dynamics.context_strip import ContextStrip
from infrope_env.dynamics.coordinates import lay_out
from infrope_env.player.inspection import Cell, cells_of

Facts = tuple[int, str, int | None, bool]
"""Id, kind, coordinate, and whether the coordinate jumps."""


def facts_of(cells: list[dict[str, Any]] | tuple[Cell, ...]) -> list[Facts]:
    """Return the cells without their attention mass."""
    each = [vars(cell) if isinstance(cell, Cell) else cell for cell in cells]
    return [(cell["frame"], cell["kind"], cell["coordinate"], cell["jump"]) for cell in each]


def laid_out(info: dict[str, Any], window: Window | None = None) -> list[Facts]:
    """Return the facts of the cells of a block in the default window: sink 0 and the frames of the block before."""
    window, index, transition = window or Window(), info["block"], Transition(info["transition"])
    first = index * window.block
    cached = tuple(sorted({0, *range(first - window.block, first)})) if index else ()
    layout = lay_out(cached, transition, window)
    visible = tuple(cached[slot] for slot in layout.slots)
    return facts_of(cells_of(ContextStrip.of(index, transition, cached, visible, layout, window)))
