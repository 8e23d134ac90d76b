"""How long blocks take, and what follows for the screen. Arithmetic only: no clock, no threads."""

from __future__ import annotations

from collections import deque

import numpy as np


class Pace:
    """How long blocks took lately, and what follows: when to begin one and how long to show a pixel frame."""

    def __init__(self, fps: float, margin_s: float = 0.03, memory: int = 24) -> None:
        """Show at most `fps` pixel frames per second; be ready `margin_s` early; remember `memory` blocks."""
        self.fps = fps
        self.margin_s = margin_s
        self._recent: deque[float] = deque(maxlen=memory)
        self._first: float | None = None

    def add(self, made_s: float, first: bool = False) -> None:
        """Count one block. A first block, shorter and not warmed up, only counts until there is another."""
        if first:
            self._first = made_s
        else:
            self._recent.append(made_s)

    @property
    def p95_s(self) -> float:
        """The time that 19 of 20 recent blocks keep to; 0 before any was made."""
        if self._recent:
            return float(np.percentile(self._recent, 95))
        return self._first or 0.0

    @property
    def lead_s(self) -> float:
        """How long before a block is due it must begin."""
        return self.p95_s + self.margin_s

    def frame_s(self, num_frames: int) -> float:
        """How long each of a clip's pixel frames stays: 1 / fps, longer where the next block takes longer."""
        return max(1 / self.fps, self.lead_s / num_frames)
