"""One line for a whole fleet, and the summary of what it did."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from infrope_env.control.storyboard import FPS, FRAMES_PER_LATENT
from infrope_env.fleet.dispatch import FleetOutcome, Job
from infrope_env.fleet.plan import EpisodeRequest
from infrope_env.folder_lock import PARTIAL
from infrope_env.recording.episode import LOG


@dataclass
class LogCounter:
    """A count of the lines of a log that grows; each look reads what is new.

    Attributes:
        path: The log.
        lines: Lines so far.
        read: Bytes read so far.
    """

    path: Path
    lines: int = 0
    read: int = 0

    def look(self) -> int:
        """Return the number of lines by now."""
        try:
            with self.path.open("rb") as file:
                file.seek(self.read)
                new = file.read()
        except OSError:  # not there yet, or renamed since
            return self.lines
        self.read, self.lines = self.read + len(new), self.lines + new.count(b"\n")
        return self.lines


class Progress:
    """The progress of a fleet, on stderr.

    Attributes:
        blocks: Blocks made so far, those of running episodes included.
    """

    def __init__(self, out: Path, episodes: Sequence[EpisodeRequest], block: int) -> None:
        """Prepare for episodes that are to be made.

        Args:
            out: Folder of the episodes.
            episodes: The episodes.
            block: Latent frames per block.
        """
        self._out, self._episodes, self._block = out, len(episodes), block
        self._total = sum(episode.blocks for episode in episodes)
        self._counters: dict[str, LogCounter] = {}
        self._began, self._shown = time.monotonic(), ""
        self.blocks = 0

    def look(self, outcome: FleetOutcome, running: Mapping[int, Job]) -> None:
        """Count the blocks made, and draw the line if it has changed."""
        partials = {job.partial for job in running.values()}
        self._counters = {name: self._counters.get(name) or self._counter(name) for name in partials}
        made = sum(episode.blocks for episode in outcome.made)
        self.blocks = made + sum(counter.look() for counter in self._counters.values())
        failed = sum(episode.blocks for episode, _ in outcome.failed)
        line = self._line(len(outcome.made), len(outcome.failed), self.blocks + failed, len(running))
        if line != self._shown:
            print(f"\r{line.ljust(len(self._shown))}", end="", file=sys.stderr, flush=True)
            self._shown = line

    def end(self) -> None:
        """End the line."""
        if self._shown:
            print(file=sys.stderr, flush=True)

    def summarize(self, outcome: FleetOutcome, kept: int) -> list[str]:
        """Return the lines of the summary: counts, throughput, failures.

        Args:
            outcome: Result of the fleet.
            kept: Number of episodes that were there already.
        """
        seconds = time.monotonic() - self._began
        there = f", {kept} there already" if kept else ""
        failed = f", {len(outcome.failed)} failed" if outcome.failed else ""
        lines = [f"{len(outcome.made)} episodes made in {self._out}{there}{failed}"]
        if outcome.made:
            blocks = sum(episode.blocks for episode in outcome.made)
            video = video_seconds(blocks, self._block)
            replaced = f", {outcome.replaced} workers replaced" if outcome.replaced else ""
            lines.append(
                f"{blocks} blocks, {video / 60:.1f} minutes of video in {seconds / 60:.1f} minutes: "
                f"{video / seconds:.2f} times real time{replaced}"
            )
        return lines + [f"failed {episode.name}: {reason}" for episode, reason in outcome.failed]

    def _counter(self, partial: str) -> LogCounter:
        return LogCounter(self._out / PARTIAL / partial / "episode_000" / LOG)

    def _line(self, made: int, failed: int, blocks: int, workers: int) -> str:
        share = blocks / max(1, self._total)
        bar, elapsed = "#" * int(20 * share), time.monotonic() - self._began
        parts = [f"{made} of {self._episodes} episodes", f"{blocks} of {self._total} blocks"]
        parts.append(f"{workers} at work" if workers or made == self._episodes else "workers are starting")
        if failed:
            parts.append(f"{failed} failed")
        if 0 < share < 1:
            parts.append(f"{elapsed * (1 - share) / share / 60:.0f} min left")
        return f"[{bar:<20}] {', '.join(parts)}"


def video_seconds(blocks: int, block: int) -> float:
    """Return the duration of blocks; the first block of a rollout is shorter by three pixel frames."""
    return blocks * block * FRAMES_PER_LATENT / FPS
