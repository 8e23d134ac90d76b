"""Progress of encoding, as log lines with an estimate.

For example "encoding prompts: 3 of 693, 39 s each, about 7 h 29 min left".
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

LOG_EVERY_S = 5.0

logger = logging.getLogger(__name__)


class EncodingProgress:
    """Logs the first report, the last, and one every few seconds.

    Attributes:
        seconds_each: Seconds a prompt takes, as far as it is known.
    """

    def __init__(
        self,
        title: str = "encoding prompts",
        seconds_each: float | None = None,
        *,
        every_s: float = LOG_EVERY_S,
        log: logging.Logger = logger,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin now.

        Args:
            title: First words of every line.
            seconds_each: An estimate to begin with.
            every_s: Least seconds between two lines.
            log: Logger of the lines, by default that of prompts which somebody waits for.
            clock: Returns seconds.
        """
        self.seconds_each = seconds_each
        self._title, self._every_s, self._log, self._clock = title, every_s, log, clock
        self._began_s, self._due_s = clock(), float("-inf")

    def report(self, done: float, total: int) -> None:
        """Register that `done` of `total` prompts are encoded, the last one perhaps in part."""
        now = self._clock()
        if done > 0:
            self.seconds_each = (now - self._began_s) / done
        if done == total or now >= self._due_s:
            self._log.info("%s", describe(self._title, done, total, self.seconds_each))
            self._due_s = now + self._every_s


def describe(title: str, done: float, total: int, seconds_each: float | None) -> str:
    """Return a line of progress, with an estimate where the time of a prompt is known."""
    line = f"{title}: {int(done)} of {total}"
    if seconds_each is None:
        return line
    line += f", {duration(seconds_each)} each"
    return line if done == total else f"{line}, about {duration((total - done) * seconds_each)} left"


def duration(seconds: float) -> str:
    """Return a duration in at most two units: "0.4 s", "39 s", "12 min 5 s", "7 h 29 min"."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    hours, minutes = whole // 3600, whole % 3600 // 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"
