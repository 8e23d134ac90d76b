"""Data of the inspector: the frames that a block attended to, with a picture of each. Imports no pygame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from infrope_env.control.frames import Frames

if TYPE_CHECKING:
    from infrope_env.dynamics.context_strip import ContextStrip

THUMBNAIL_WIDTH = 160  # pixels at most

Kind = Literal["sink", "memory", "context", "block", "dropped"]
"""Kind of a frame: "memory" is a memory token, "block" one of the block's own frames, "dropped" hidden by a flush."""


@runtime_checkable
class InspectableEnv(Protocol):
    """An environment that tells what its blocks see, such as `InfinityRopeEnv`.

    Attributes:
        strip: What the newest block saw; None if that is not known.
    """

    strip: ContextStrip | None

    def measure_attention(self, on: bool) -> None:
        """Measure the attention mass of every block from the next one on, or stop."""


@dataclass(frozen=True)
class Cell:
    """A frame of the strip.

    Attributes:
        frame: Id of the frame; negative for memory tokens.
        kind: Kind of the frame.
        coordinate: Temporal coordinate; None for a frame that was dropped.
        mass: Attention mass; None if it was not measured.
        jump: Whether the coordinate does not follow that of the frame before.
    """

    frame: int
    kind: Kind
    coordinate: int | None = None
    mass: float | None = None
    jump: bool = False


def cells_of(strip: ContextStrip) -> tuple[Cell, ...]:
    """Return the frames of a strip from left to right: visible ones, the block's own, and between them dropped ones."""
    kinds: list[Kind] = [_kind(frame, index, strip.sink) for index, frame in enumerate(strip.visible)]
    kinds += ["block"] * len(strip.own)
    masses: Sequence[float | None] = strip.mass or [None] * len(kinds)
    seen = [Cell(*each) for each in zip(strip.frames, kinds, strip.coordinates, masses, strict=True)]
    pairs = pairwise([None, *strip.coordinates])
    jumps = [before is not None and after != before + 1 for before, after in pairs if after is not None]
    seen = [replace(cell, jump=jump) for cell, jump in zip(seen, jumps, strict=True)]
    dropped = [Cell(frame, "dropped") for frame in strip.dropped]
    cells: list[Cell] = []
    for cell in seen:
        while dropped and cell.kind != "sink" and cell.frame > dropped[0].frame:
            cells.append(dropped.pop(0))
        cells.append(cell)
    return tuple(cells)


@dataclass(frozen=True, eq=False)
class Inspection:
    """The frames that one block attended to, with their pictures.

    Attributes:
        block: Index of the block.
        transition: Name of its transition, such as "cut".
        cells: The frames from left to right, at least the block's own.
        thumbnails: A small picture of each cached frame and of the block's own, H W 3 uint8 by id: its last pixel
            frame. Frames that were cached before play began have none.
    """

    block: int
    transition: str
    cells: tuple[Cell, ...]
    thumbnails: Mapping[int, Frames]

    @classmethod
    def of(cls, strip: ContextStrip, observation: Frames, before: Inspection | None) -> Inspection:
        """Return the inspection of a block.

        Args:
            strip: What it saw.
            observation: Its observation, t H W 3, as many pixel frames for each of its own frames.
            before: That of the block before it; None if it has none.
        """
        known = {} if before is None else before.thumbnails
        per_frame = len(observation) // len(strip.own)
        step = -(-observation.shape[2] // THUMBNAIL_WIDTH)
        own = observation[per_frame - 1 :: per_frame, ::step, ::step].copy()
        cached = {frame: known[frame] for frame in strip.cached if frame in known}
        thumbnails = cached | dict(zip(strip.own, own, strict=True))
        return cls(strip.index, strip.transition.value, cells_of(strip), thumbnails)

    @property
    def visible(self) -> tuple[Cell, ...]:
        """The frames that have a coordinate."""
        return tuple(cell for cell in self.cells if cell.coordinate is not None)

    @property
    def is_measured(self) -> bool:
        """Whether the attention mass of the visible frames is known."""
        return all(cell.mass is not None for cell in self.visible)


def inspect_newest(env: object, observation: Frames, before: Inspection | None) -> Inspection | None:
    """Return what the newest block of an environment saw, as `Inspection.of`; None if the environment does not tell."""
    strip = env.strip if isinstance(env, InspectableEnv) else None
    return None if strip is None else Inspection.of(strip, observation, before)


def measure_attention(env: object, on: bool) -> None:
    """Let an environment measure attention, or stop; ValueError if it cannot."""
    if not isinstance(env, InspectableEnv):
        raise ValueError("this environment does not tell what its model sees")
    env.measure_attention(on)


def stop_measuring(env: object) -> None:
    """Let an environment measure attention no longer, if it can at all."""
    if isinstance(env, InspectableEnv):
        env.measure_attention(False)


def _kind(frame: int, index: int, sink: int) -> Kind:
    """Return the kind of a visible cached frame, given its index among them."""
    return "memory" if frame < 0 else "sink" if index < sink else "context"
