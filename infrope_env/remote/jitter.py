"""Blocks from a network, shown one after the other behind a small buffer. Reads no clock.

A block that arrives waits until the one on show has ended. The time for which blocks wait is the buffer: it is kept
just above the jitter of the newest arrivals by showing pixel frames a little longer or shorter, which also follows the
clock of the server. A block that comes late holds the last picture; after that the buffer is larger.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from infrope_env.player.playback import BlockFrames, Playback, ShownFrame

HISTORY = 8  # blocks over which the slack is measured
LEAST_BUFFER_S, MOST_BUFFER_S = 0.025, 0.4
STALE_S = 0.04  # a block as late as this makes earlier measurements obsolete
STALL_S = 1.0  # a block as late as this is no jitter: no buffer could have helped
STRETCH, HURRY = 0.06, 0.2  # share by which a frame is shown longer or shorter at most; the latter far behind
MOST_QUEUED = 3  # blocks that wait


@dataclass(frozen=True)
class _Waiting:
    block: BlockFrames
    frame_s: float
    arrived_s: float
    after_gap: bool

    @property
    def duration_s(self) -> float:
        return self.frame_s * len(self.block.frames)


class JitterBuffer:
    """A queue of blocks, and the one on show.

    Attributes:
        buffer_s: Seconds by which a block should be there before it is due.
        underruns: Number of blocks that came after the one before had ended.
        late_s: Seconds for which the last picture was held before the block on show.
    """

    def __init__(self) -> None:
        self.buffer_s, self.underruns, self.late_s = LEAST_BUFFER_S, 0, 0.0
        self._queue: deque[_Waiting] = deque()
        self._slack_s: deque[float] = deque(maxlen=HISTORY)  # as if all had been shown at the present delay
        self._current: Playback | None = None
        self._gap = False

    def add(self, block: BlockFrames, frame_s: float, now: float) -> None:
        """Add a block that has arrived.

        Args:
            block: The block; an immediate one replaces all others at once.
            frame_s: Seconds for which each of its frames is shown.
            now: Time in seconds.
        """
        arrived = _Waiting(block, frame_s, now, self._gap)
        self.frame_at(now)  # nobody may have looked for long
        if block.immediate or self._current is None:
            self._replace(arrived, now)
            return
        if len(self._queue) >= MOST_QUEUED:  # they came all at once after a long silence
            self._replace(self._queue.pop(), now)
        if not self._gap:
            self._measure(self._end_s() - now)
        self._gap = False
        self._queue.append(arrived)

    def gap(self) -> None:
        """Expect no block in time: play is paused, or the connection is lost."""
        self._gap = True

    def frame_at(self, now: float) -> ShownFrame | None:
        """Return the pixel frame on show at `now`, in seconds; None before the first block."""
        while self._queue and self._current is not None and now >= self._current.end_s:
            due_s, waiting = self._current.end_s, self._queue.popleft()
            held_s = max(0.0, waiting.arrived_s - due_s)
            self.late_s = 0.0 if waiting.after_gap else held_s
            self._begin(waiting, due_s + held_s)
        return None if self._current is None else self._current.frame_at(now)

    def _replace(self, waiting: _Waiting, now: float) -> None:
        self._queue.clear()
        self._slack_s.clear()
        self._gap, self.late_s = False, 0.0
        self._begin(waiting, now)

    def _begin(self, waiting: _Waiting, start_s: float) -> None:
        """Show a block from a time on, stretched so that the least slack of the newest blocks becomes the buffer."""
        least_s = min(self._slack_s, default=0.0)
        share = (self.buffer_s - least_s) / waiting.duration_s
        stretch = min(max(share, -HURRY if share < -HURRY else -STRETCH), STRETCH)
        self._current = Playback(waiting.block, start_s, waiting.frame_s * (1 + stretch))
        self._slack_s = deque((slack_s + stretch * waiting.duration_s for slack_s in self._slack_s), maxlen=HISTORY)

    def _measure(self, slack_s: float) -> None:
        """Take the time for which a block will have waited, negative when it is late."""
        late_s = max(0.0, -slack_s)
        self.underruns += late_s > 0
        if late_s > STALE_S:
            self._slack_s.clear()
        else:
            self._slack_s.append(max(0.0, slack_s))
        grown_s = max(LEAST_BUFFER_S, 0.98 * self.buffer_s, self.buffer_s + late_s / 2 * (late_s < STALL_S))
        self.buffer_s = min(grown_s, MOST_BUFFER_S)

    def _end_s(self) -> float:
        assert self._current is not None
        return self._current.end_s + sum(waiting.duration_s for waiting in self._queue)
