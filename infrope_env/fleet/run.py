"""A fleet from its plan to its summary."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from infrope_env.export.exporter import Outcome
from infrope_env.fleet.dispatch import Dispatcher, FleetOutcome
from infrope_env.fleet.exporting import FleetExport
from infrope_env.fleet.plan import EpisodeRequest, Plan
from infrope_env.fleet.pool import Cluster, ray_pool
from infrope_env.fleet.progress import Progress
from infrope_env.fleet.worker import Worker, was_made
from infrope_env.folder_lock import lock_folder, partial_folder


@dataclass(frozen=True)
class FleetResult:
    """Result of a fleet.

    Attributes:
        outcome: Episodes made and failed.
        kept: Number of episodes that were there already.
        exported: Result of the export; None without one.
        summary: Counts, throughput and failures, one line each.
    """

    outcome: FleetOutcome
    kept: int
    exported: Outcome | None
    summary: Sequence[str]


def find_missing(plan: Plan, out: Path) -> list[EpisodeRequest]:
    """Return the episodes of a plan that are not in a folder; ValueError when it has some of another plan."""
    return [episode for episode in plan.episodes if not was_made(out / episode.name, plan.describe(episode))]


def run_fleet(plan: Plan, out: Path, cluster: Cluster, exporting: FleetExport | None = None) -> FleetResult:
    """Make the episodes of a plan that are not there.

    Args:
        plan: The plan.
        out: Folder of the episodes' folders.
        cluster: Where the workers run.
        exporting: Exports the episodes as they finish.

    Raises:
        ExportError: The folder of the export cannot be written to.
        FolderInUse: Another process records a fleet there.
        RecordingError: The disk is full or gone; episodes made before stay.
        RuntimeError: Ray cannot be used, or no worker can start.
        ValueError: The folder has episodes of another plan, or the environment cannot be made.
    """
    out = Path(os.path.abspath(out))  # as workers elsewhere need it
    with lock_folder(out), partial_folder(out) as parts, exporting or contextlib.nullcontext():
        missing = find_missing(plan, out)
        names = {episode.name for episode in missing}
        kept = [episode for episode in plan.episodes if episode.name not in names]
        if exporting is not None:
            for episode in kept:
                exporting.settle(episode.name, made=True)
        progress = Progress(out, missing, plan.block)
        outcome = _make(plan, missing, parts, cluster, progress, exporting) if missing else FleetOutcome()
        exported = None if exporting is None else exporting.finish()
    return FleetResult(outcome, len(kept), exported, progress.summarize(outcome, len(kept)))


def _make(
    plan: Plan,
    missing: Sequence[EpisodeRequest],
    parts: Path,
    cluster: Cluster,
    progress: Progress,
    exporting: FleetExport | None,
) -> FleetOutcome:
    """Start workers and let them make the missing episodes."""
    marker = uuid.uuid4().hex
    (parts / marker).touch()
    arguments = (plan.environment, plan.quality, parts.parent, marker)

    def settle(episode: EpisodeRequest, made: bool) -> None:
        if exporting is not None:
            exporting.settle(episode.name, made)

    def look() -> None:
        progress.look(dispatcher.outcome, dispatcher.running)
        if exporting is not None:
            exporting.check()

    with ray_pool(Worker, arguments, cluster, plan.environment.threads, plan.wants_gpu) as pool:
        dispatcher = Dispatcher(pool, missing, plan.describe, settle)
        try:
            return dispatcher.run(pool.resources.workers, look)
        finally:
            progress.end()
