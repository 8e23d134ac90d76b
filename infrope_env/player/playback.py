"""The block on show, and which of its pixel frames is shown when. Reads no clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from infrope_env.control.frames import Frames
from infrope_env.player.inspection import Inspection

Info = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class BlockFrames:
    """The pixel frames of one block, ready to be shown.

    Attributes:
        frames: Valid pixel frames, t H W 3 uint8.
        info: Info of the environment.
        immediate: Whether the block replaces the one on show at once, because of a reset or restore by the player.
        inspection: What the block saw; None where that is not known.
    """

    frames: Frames
    info: Info
    immediate: bool = False
    inspection: Inspection | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class ShownFrame:
    """The pixel frame on show.

    Attributes:
        block: The block it belongs to.
        index: Its index among the block's frames.
    """

    block: BlockFrames
    index: int

    @property
    def pixels(self) -> Frames:
        """The image, H W 3 uint8."""
        return self.block.frames[self.index]


@dataclass(frozen=True)
class Playback:
    """A block on show. Its last pixel frame stays until another block begins.

    Attributes:
        block: The block.
        start_s: Time at which its first pixel frame is shown, in seconds on the clock of the stream.
        frame_s: Seconds for which each pixel frame is shown.
    """

    block: BlockFrames
    start_s: float
    frame_s: float

    @property
    def end_s(self) -> float:
        """Time at which the next block is due, in seconds on the same clock."""
        return self.start_s + len(self.block.frames) * self.frame_s

    def frame_at(self, now: float) -> ShownFrame:
        """Return the pixel frame on show at `now`, in seconds."""
        index = int((now - self.start_s) / self.frame_s + 1e-6)
        return ShownFrame(self.block, min(max(index, 0), len(self.block.frames) - 1))
