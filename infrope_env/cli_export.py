"""The subcommand `infrope export`: recordings as datasets and benchmark entries."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

if TYPE_CHECKING:
    from infrope_env.export.exporter import Outcome, Target

Format = Literal["lerobot", "vbench", "wbench", "frames"]
INCOMPLETE = 1
"""Exit code when episodes were left out."""


@dataclass(kw_only=True)
class Export:
    """Export recorded episodes as a dataset or in the layout of a benchmark. The same command again goes on."""

    episodes: tyro.conf.Positional[tuple[Path, ...]]
    """Episodes, or folders of them."""
    to: Format
    """lerobot: a dataset, format v3.0. vbench, wbench: videos and prompts as the benchmark reads them. frames: PNG."""
    out: Path
    """Folder of the export; episodes are added to those it has."""
    cases: Path | None = None
    """Folder of WBench's case files, for --to wbench."""
    tampered: bool = False
    """Export episodes that were changed after they were written, too."""

    def run(self) -> int:
        """Export with progress on stderr, print what was added and left out, and return the exit code."""
        from infrope_env.export.exporter import export
        from infrope_env.export.selection import find_episodes

        if not self.episodes:
            raise ValueError("expected episodes, or folders of them, such as 'infrope export rollouts --to frames'")
        make_target, episodes = find_target(self.to, self.cases), find_episodes(self.episodes)
        report = partial(_print_progress, len(episodes))
        outcome = export(episodes, self.out, make_target, self.tampered, report)
        return print_outcome(outcome, self.out)


def find_target(to: Format, cases: Path | None = None) -> Callable[[Path], Target]:
    """Return what opens an exported folder in a format.

    Args:
        to: The format.
        cases: Folder of WBench's case files.

    Raises:
        ValueError: A package is missing, or the cases do not belong to the format or cannot be read.
    """
    if (to == "wbench") != (cases is not None):
        raise ValueError("--to wbench and --cases, the folder of WBench's case files, belong together")
    if to == "lerobot":
        return _lerobot()
    if to == "vbench":
        from infrope_env.export.vbench import VBenchFolder

        return VBenchFolder
    if cases is not None:
        from infrope_env.export.wbench import WBenchFolder, read_cases

        found = read_cases(cases)
        return lambda out: WBenchFolder(out, found)
    from infrope_env.export.frames import FramesFolder

    return FramesFolder


def _lerobot() -> Callable[[Path], Target]:
    try:
        from infrope_env.export.lerobot import LeRobotFolder
    except ModuleNotFoundError as error:
        if error.name != "pyarrow":
            raise
        raise ValueError("--to lerobot needs pyarrow: pip install 'infrope-env[export]'") from error
    return LeRobotFolder


def _print_progress(total: int, number: int, folder: Path) -> None:
    """Draw a progress bar on stderr."""
    bar = "#" * (30 * number // total)
    print(
        f"\r[{bar:<30}] episode {number} of {total}: {folder}",
        end="\n" if number == total else "",
        file=sys.stderr,
    )


def print_outcome(outcome: Outcome, out: Path) -> int:
    """Print what was done, one line per finding, and return the exit code."""
    for folder, remark in outcome.remarks:
        print(f"{folder}: {remark}")
    for folder, reason in outcome.refused:
        print(f"left out {folder}: {reason}.")
    kept = f", {len(outcome.kept)} there already" if outcome.kept else ""
    left_out = f", {len(outcome.refused)} left out" if outcome.refused else ""
    print(f"{len(outcome.added)} episodes added to {out} ({outcome.seconds:.1f} s of video){kept}{left_out}")
    return INCOMPLETE if outcome.refused else 0
