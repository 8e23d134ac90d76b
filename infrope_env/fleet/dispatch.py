"""Which worker makes which episode: work is handed out, and that of a worker that died goes to another."""

from __future__ import annotations

import contextlib
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from infrope_env.fleet.plan import EpisodeRequest
from infrope_env.recording.writer import RecordingError

MOST_ATTEMPTS = 3
"""Attempts at an episode whose worker died or broke."""
MOST_FAILED_STARTS = 3
"""Workers that die one after another before one was ready."""
WAIT_S = 1.0
"""Longest time between two looks at the progress."""


class WorkerDied(Exception):
    """The process of a worker is gone; the message has Ray's reason."""


class FleetError(RuntimeError):
    """A fleet cannot go on; the message is one sentence. Episodes made before stay."""


@dataclass(frozen=True)
class Event:
    """The end of what a worker was doing.

    Attributes:
        worker: Its number.
        result: What its method returned.
        error: Why it failed; None when it did not.
    """

    worker: int
    result: Any
    error: Exception | None


class Pool(Protocol):
    """Worker processes by number."""

    def start(self) -> int:
        """Start a worker; its first event says whether it is ready."""

    def record(self, worker: int, *arguments: Any) -> None:
        """Let a worker record an episode; an event says how it ended."""

    def stop(self, worker: int) -> None:
        """End a worker."""

    def wait(self, seconds: float) -> list[Event]:
        """Return what ended, waiting for it at most so many seconds."""


@dataclass
class FleetOutcome:
    """Result of a fleet.

    Attributes:
        made: Episodes made.
        failed: Episodes that could not be made, and why.
        replaced: Number of workers that died or broke and were replaced.
    """

    made: list[EpisodeRequest] = field(default_factory=list)
    failed: list[tuple[EpisodeRequest, str]] = field(default_factory=list)
    replaced: int = 0


@dataclass
class Job:
    """An episode and the attempts at it.

    Attributes:
        episode: The episode.
        attempts: Number of attempts so far, the present one included.
        partial: Name of the folder of the present attempt.
    """

    episode: EpisodeRequest
    attempts: int = 0
    partial: str = ""

    def begin(self) -> None:
        """Count an attempt. It has a folder of its own, because a worker that seems dead may still write to the old."""
        self.attempts += 1
        self.partial = f"{self.episode.name}.{uuid.uuid4().hex[:8]}"


class Dispatcher:
    """The state of a fleet at work.

    Attributes:
        outcome: What was made so far.
        running: The episode that each worker makes.
    """

    def __init__(
        self,
        pool: Pool,
        episodes: Iterable[EpisodeRequest],
        describe: Callable[[EpisodeRequest], dict[str, Any]],
        settled: Callable[[EpisodeRequest, bool], object] = lambda episode, made: None,
    ) -> None:
        """Prepare.

        Args:
            pool: The workers.
            episodes: The episodes to make.
            describe: Returns what an episode is made from.
            settled: Called with each episode that is made, or that failed.
        """
        self._pool, self._describe, self._settled = pool, describe, settled
        self._waiting = deque(Job(episode) for episode in episodes)
        self._starting: set[int] = set()
        self._failed_starts = 0
        self.outcome = FleetOutcome()
        self.running: dict[int, Job] = {}

    def run(self, workers: int, look: Callable[[], object]) -> FleetOutcome:
        """Make all episodes.

        Args:
            workers: Number of workers.
            look: Called once a second or more often.

        Raises:
            FleetError: No worker can start.
            RecordingError: The disk is full or gone.
            ValueError: The environment cannot be made.
        """
        for _ in range(min(workers, len(self._waiting))):
            self._starting.add(self._pool.start())
        while self._waiting or self.running:
            for event in self._pool.wait(WAIT_S):
                if event.worker in self._starting:
                    self._settle_start(event)
                else:
                    self._settle_episode(event)
            look()
        return self.outcome

    def _settle_start(self, event: Event) -> None:
        """Give work to a worker that is ready; replace one that died."""
        self._starting.discard(event.worker)
        if event.error is None:
            self._failed_starts = 0
            self._give_work(event.worker)
        elif isinstance(event.error, WorkerDied):
            self._failed_starts += 1
            if self._failed_starts < MOST_FAILED_STARTS:
                self._replace(event.worker)
            elif not self.running and not self._starting:
                raise FleetError(f"No worker can start: {event.error}")
        else:  # every other worker would fail in the same way
            raise event.error if isinstance(event.error, ValueError) else FleetError(f"No worker starts: {event.error}")

    def _settle_episode(self, event: Event) -> None:
        job = self.running.pop(event.worker)
        if event.error is None:
            self.outcome.made.append(job.episode)
            self._settled(job.episode, True)
        elif isinstance(event.error, RecordingError):
            raise event.error
        elif isinstance(event.error, ValueError):
            self._fail(job, str(event.error))
        else:
            self._try_again(job, event.error)
            self._replace(event.worker)
            return
        self._give_work(event.worker)

    def _try_again(self, job: Job, error: Exception) -> None:
        """Put an episode in front of the others, unless it was tried too often."""
        if job.attempts < MOST_ATTEMPTS:
            self._waiting.appendleft(job)
        else:
            reason = "its worker died" if isinstance(error, WorkerDied) else "its worker broke"
            self._fail(job, f"{reason} {job.attempts} times: {error}")

    def _fail(self, job: Job, reason: str) -> None:
        self.outcome.failed.append((job.episode, reason))
        self._settled(job.episode, False)

    def _give_work(self, worker: int) -> None:
        """Hand out the next episode; a worker for whom there is none ends."""
        if not self._waiting:
            self._pool.stop(worker)
            return
        job = self._waiting.popleft()
        job.begin()
        self.running[worker] = job
        self._pool.record(worker, job.episode, job.partial, self._describe(job.episode))

    def _replace(self, worker: int) -> None:
        """End a worker that died or broke, and start another while there is work."""
        with contextlib.suppress(Exception):  # it is gone already
            self._pool.stop(worker)
        if self._waiting:
            self.outcome.replaced += 1
            self._starting.add(self._pool.start())
