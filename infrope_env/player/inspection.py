"""Data of the inspector: the frames that a block attended to, with a picture of each. Imports no pygame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from infrope_env.control.frames import Frames

if TYPE_CHECKING:
    from infrope_env.dynamics.context_strip import ContextStrip

THUMBNAIL_WIDTH = 160  # pixels at most


@runtime_checkable
class InspectableEnv(Protocol):
    """An environment that tells what its blocks see, such as `InfinityRopeEnv`.

    Attributes:
        strip: What the newest block saw; None if that is not known.
    """

    strip: ContextStrip | None

    def measure_attention(self, on: bool) -> None:
        """Measure the attention mass of every block from the next one on, or stop."""


@dataclass(frozen=True, eq=False)
class Inspection:
    """The frames that one block attended to, with their pictures.

    Attributes:
        strip: Ids, coordinates and attention mass of the frames.
        thumbnails: A small picture of each cached frame and of the block's own, H W 3 uint8 by id: its last pixel
            frame. Frames that were cached before play began have none.
    """

    strip: ContextStrip
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
        return cls(strip, cached | dict(zip(strip.own, own, strict=True)))


def inspect_newest(env: object, observation: Frames, before: Inspection | None) -> Inspection | None:
    """Return what the newest block of an environment saw, as `Inspection.of`; None if the environment does not tell."""
    strip = env.strip if isinstance(env, InspectableEnv) else None
    return None if strip is None else Inspection.of(strip, observation, before)


def measure_attention(env: object, on: bool) -> None:
    """Let an environment measure attention, or stop; ValueError if it cannot."""
    if not isinstance(env, InspectableEnv):
        raise ValueError("this environment does not tell what its model sees")
    env.measure_attention(on)
