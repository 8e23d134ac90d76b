"""Measurements of a server, in the text format of Prometheus."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator

import numpy as np

HISTORY = 1024
QUANTILES = (0.5, 0.95, 0.99)
COUNTERS = {
    "blocks": "Blocks made.",
    "blocks_dropped": "Blocks that were not sent to a viewer, because its network or browser was too slow.",
    "underruns": "Blocks that came later than the buffer of every client can hide: 25 ms after they were due.",
    "connections_lost": "Connections of a session that ended without a goodbye.",
    "sessions_resumed": "Sessions that came back on another connection.",
    "bytes_sent": "Bytes of messages sent to clients.",
}
REFUSALS = ("access", "busy", "failed", "limit", "malformed", "replaced", "stopping", "version")
"""Reasons for which a connection is refused or ended: no access, or the code of an `Error`."""
SUMMARIES = {
    "time_to_first_block_seconds": "Time from a player's seat to its first block.",
    "block_interarrival_seconds": "Time between two blocks of uninterrupted play, by the player's acknowledgements.",
    "key_to_pixel_seconds": "Time from a key press to the first pixel of the block that answers it, by the client.",
    "late_seconds": "Time for which a client held a picture because the next block was late, one value per block.",
    "block_seconds": "Time to make a block, its commit pass excluded.",
}


class Metrics:
    """Counters, and the newest values of what is summarized."""

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter({name: 0 for name in COUNTERS})
        self.refused: Counter[str] = Counter(dict.fromkeys(REFUSALS, 0))
        self._values: dict[str, deque[float]] = {name: deque(maxlen=HISTORY) for name in SUMMARIES}
        self._sums, self._counts = Counter[str](), Counter[str]()
        self._video_s, self._work_s = 0.0, 0.0

    def count(self, name: str, amount: float = 1) -> None:
        """Add to a counter."""
        self.counters[name] += amount  # type: ignore[assignment]

    def refuse(self, reason: str) -> None:
        """Count a connection that was refused or ended by the server, by the code of the reason."""
        self.refused[reason] += 1

    def observe(self, name: str, value: float) -> None:
        """Add a value to a summary."""
        self._values[name].append(value)
        self._sums[name] += value  # type: ignore[assignment]
        self._counts[name] += 1

    def add_work(self, video_s: float, work_s: float) -> None:
        """Count the duration of a block and the time that it took, with a commit pass: its own, or that before it."""
        self._video_s, self._work_s = self._video_s + video_s, self._work_s + work_s

    @property
    def realtime_factor(self) -> float:
        """Seconds of video made per second of work; 0 before the first block."""
        return self._video_s / self._work_s if self._work_s else 0.0

    def quantile(self, name: str, q: float) -> float:
        """Return a quantile of the newest values of a summary; NaN without one."""
        return float(np.quantile(self._values[name], q)) if self._values[name] else float("nan")

    def text(self, sessions: dict[str, int]) -> str:
        """Return everything in the text format.

        Args:
            sessions: Number of sessions by seat.
        """
        return "\n".join(self._lines(sessions)) + "\n"

    def _lines(self, sessions: dict[str, int]) -> Iterator[str]:
        for name, help_text in COUNTERS.items():
            yield from _head(f"{name}_total", "counter", help_text)
            yield f"infrope_{name}_total {self.counters[name]:g}"
        yield from _head("refused_total", "counter", "Connections refused or ended by the server, by reason.")
        for reason, count in sorted(self.refused.items()):
            yield f'infrope_refused_total{{reason="{reason}"}} {count}'
        yield from _head("realtime_factor", "gauge", "Seconds of video made per second of work; 1 is just enough.")
        yield f"infrope_realtime_factor {self.realtime_factor:.4g}"
        yield from _head("sessions", "gauge", "Sessions by seat.")
        for seat, count in sorted(sessions.items()):
            yield f'infrope_sessions{{seat="{seat}"}} {count}'
        for name, help_text in SUMMARIES.items():
            yield from _head(name, "summary", help_text)
            for q in QUANTILES:
                yield f'infrope_{name}{{quantile="{q}"}} {self.quantile(name, q):.6g}'
            yield f"infrope_{name}_sum {self._sums[name]:.6g}"
            yield f"infrope_{name}_count {self._counts[name]}"


def _head(name: str, kind: str, help_text: str) -> Iterator[str]:
    yield f"# HELP infrope_{name} {help_text}"
    yield f"# TYPE infrope_{name} {kind}"
