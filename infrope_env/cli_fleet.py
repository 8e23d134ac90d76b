"""The subcommand `infrope fleet`: the episodes of a plan, recorded by many processes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from infrope_env.cli_export import find_target, print_outcome

if TYPE_CHECKING:
    from infrope_env.fleet.plan import Plan

INCOMPLETE = 1
"""Exit code when episodes failed, or were left out of the export."""


@dataclass(kw_only=True)
class Fleet:
    """Record the episodes of a plan with many processes, here or on a Ray cluster. The same command again goes on."""

    plan: tyro.conf.Positional[Path]
    """A TOML file that lists episodes: their seeds, controllers and lengths."""
    out: Path
    """Folder of the episodes, one folder for each; on a cluster, one that all machines share."""
    workers: int | None = None
    """Number of processes; by default one per GPU, or per core where the plan uses none."""
    address: str | None = None
    """Address of a Ray cluster, such as auto or 10.0.0.1:6379; by default Ray starts on this machine."""
    to: Literal["lerobot", "vbench", "frames"] | None = None
    """Export the episodes as they finish, in the order of the plan."""
    dataset: Path | None = None
    """Folder of the export; by default a folder in --out with the name of the format."""
    dry_run: bool = False
    """Check the plan and list its episodes; nothing is made."""

    def run(self) -> int:
        """Make the episodes that are not there with progress on stderr, print a summary, return the exit code."""
        from infrope_env.fleet.plan import read_plan

        if self.workers is not None and self.workers < 1:
            raise ValueError(f"expected --workers to be at least 1, got {self.workers}")
        if self.dataset is not None and self.to is None:
            raise ValueError("--dataset is the folder of an export: give --to too")
        plan = read_plan(self.plan)
        return self._list(plan) if self.dry_run else self._make(plan)

    def _list(self, plan: Plan) -> int:
        """Print a line for every episode, and their sum."""
        from infrope_env.fleet.progress import video_seconds
        from infrope_env.fleet.run import find_missing

        missing = {episode.name for episode in find_missing(plan, self.out)}
        for episode in plan.episodes:
            state = "to be made" if episode.name in missing else "there already"
            print(f"{episode.name}: {episode.controller}, {episode.blocks} blocks, {state}")
        blocks = sum(episode.blocks for episode in plan.episodes if episode.name in missing)
        minutes = video_seconds(blocks, plan.block) / 60
        there = len(plan.episodes) - len(missing)
        print(f"{len(missing)} episodes to be made, {there} there already: {blocks} blocks, {minutes:.1f} min of video")
        return 0

    def _make(self, plan: Plan) -> int:
        from infrope_env.fleet.pool import Cluster
        from infrope_env.fleet.run import FleetExport, run_fleet

        exporting = None
        if self.to is not None:
            dataset, names = self.dataset or self.out / self.to, [episode.name for episode in plan.episodes]
            exporting = FleetExport(self.out, names, dataset, find_target(self.to))
        result = run_fleet(plan, self.out, Cluster(self.workers, self.address), exporting)
        for line in result.summary:
            print(line)
        left_out = 0
        if exporting is not None and result.exported is not None:
            left_out = print_outcome(result.exported, exporting.dataset)
        return INCOMPLETE if result.outcome.failed or left_out else 0
