"""Timing of play: durations of blocks, the start of the next block, the duration of a pixel frame. Reads no clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

MARGIN_S, HISTORY = 0.015, 8  # chosen by simulation of idle, noisy and suddenly loaded machines

MOST_PEAK = 1.5
"""Longest block that is expected to come again, relative to the time that blocks hardly exceed."""


class Pace:
    """Statistics of recent block times, and the timing that follows from them.

    The history is short: a block is begun early only as long as the machine is slow, and seconds later no longer. A
    block that comes late holds the last picture for the time it is late.

    Attributes:
        fps: Pixel frames per second at most.
        margin_s: Seconds by which a block should be ready before it is due.
        peak_decay: Factor per block by which the excess of the longest block is forgotten; 0 remembers none. A
            remembered one is expected to come again: blocks are begun earlier, and fewer are late on a machine whose
            block times vary.
    """

    def __init__(self, fps: float, margin_s: float = MARGIN_S, history: int = HISTORY, peak_decay: float = 0.0) -> None:
        """Start without measurements; keep those of the newest `history` blocks."""
        self.fps, self.margin_s, self.peak_decay = fps, margin_s, peak_decay
        self._peak_s = 0.0
        self._recent_s: deque[float] = deque(maxlen=history)
        self._recent_commits_s: deque[float] = deque(maxlen=history)
        self._first_s: float | None = None

    def add(self, duration_s: float, first: bool = False) -> None:
        """Add the time that one block took.

        Args:
            duration_s: Seconds.
            first: Whether it is the first block of a rollout. Such a block is shorter and not warmed up, so its time
                counts only until another block is measured.
        """
        if first:
            self._first_s = duration_s
        else:
            self._recent_s.append(duration_s)
            if self.peak_decay:
                faded_s = self.expected_s + (self._peak_s - self.expected_s) * self.peak_decay
                self._peak_s = min(max(duration_s, faded_s), MOST_PEAK * self.expected_s)

    def add_commit(self, duration_s: float) -> None:
        """Add the time that a block's commit pass took after its frames were ready, in seconds."""
        self._recent_commits_s.append(duration_s)

    @property
    def expected_s(self) -> float:
        """Seconds that the next block will hardly exceed; 0 without a measurement."""
        return _second_longest(self._recent_s) if self._recent_s else self._first_s or 0.0

    @property
    def newest_commit_s(self) -> float:
        """Seconds that the newest commit pass took; 0 without a measurement."""
        return self._recent_commits_s[-1] if self._recent_commits_s else 0.0

    @property
    def period_s(self) -> float:
        """Seconds from the start of one block to the earliest start of the next: block, margin and commit pass."""
        commit_s = _second_longest(self._recent_commits_s) if self._recent_commits_s else 0.0
        return self.expected_s + self.margin_s + commit_s

    @property
    def lead_s(self) -> float:
        """Seconds before a block is due at which its generation begins."""
        return max(self.expected_s, self._peak_s) + self.margin_s

    def frame_s(self, num_frames: int) -> float:
        """Return the seconds to show each pixel frame of a block: 1 / fps, or more if the next block needs longer."""
        return max(1 / self.fps, self.period_s / num_frames)


def _second_longest(durations_s: Iterable[float]) -> float:
    """Return the second longest duration, because the longest may be a single hiccup; the only one if there is one."""
    return sorted(durations_s)[-2:][0]


class FrameRate:
    """Pixel frames really shown per second, measured over the newest ones."""

    def __init__(self, history: int = 24) -> None:
        self._shown_s: deque[float] = deque(maxlen=history)

    def add(self, now: float) -> None:
        """Count a pixel frame shown at `now`, in seconds."""
        self._shown_s.append(now)

    @property
    def fps(self) -> float:
        """Pixel frames per second; 0 before the second one."""
        passed_s = self._shown_s[-1] - self._shown_s[0] if self._shown_s else 0.0
        return (len(self._shown_s) - 1) / passed_s if passed_s else 0.0
