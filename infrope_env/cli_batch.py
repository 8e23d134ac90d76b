"""`infrope record --prompts FILE`: a rollout of every prompt of a file, with several seeds."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from infrope_env.control.playable import playable
from infrope_env.control.storyboard import blocks_in

if TYPE_CHECKING:
    from infrope_env.cli_options import RolloutOptions
    from infrope_env.recording.quality import Quality

INCOMPLETE = 2
"""Exit code when a prompt was refused."""
EXCLUDED = ("script", "storyboard", "random", "blocks", "subject", "scene", "image")
"""Options of a rollout that a batch has no use for."""


def record_prompts(
    options: RolloutOptions, prompts: Path, seeds: int | None, seconds: float | None, out: Path, quality: Quality
) -> int:
    """Record the batch with progress on stderr, print what was made, and return the exit code.

    Args:
        options: Options of the environment; the seeds begin with `options.seed`, or 0.
        prompts: File of prompts, one on a line.
        seeds: Number of seeds; None means 1.
        seconds: Duration of each rollout, rounded down to whole blocks; None means 60.
        out: Folder of the rollouts' folders.
        quality: Quality of the videos.
    """
    from infrope_env.recording.batch import read_prompts, record_batch

    if given := [name for name in EXCLUDED if getattr(options, name)]:
        raise ValueError(f"--prompts and --{given[0]} exclude each other")
    seeds, seconds = 1 if seeds is None else seeds, 60.0 if seconds is None else seconds
    if seeds < 1:
        raise ValueError(f"expected --seeds to be at least 1, got {seeds}")
    if not 0 < seconds <= 1e6:
        raise ValueError(f"expected --seconds to be more than 0 and at most 1,000,000, got {seconds:g}")
    texts, first = read_prompts(prompts), options.seed or 0
    with contextlib.closing(options.make_env()) as env:
        blocks = blocks_in(seconds, playable(env).window.block)
        outcome = record_batch(env, texts, range(first, first + seeds), blocks, out, _print_progress, quality)
    print(f"{outcome.made} rollouts of {blocks} blocks made in {out}, {outcome.kept} there already")
    for _, reason in outcome.refused:
        print(f"infrope: {reason}", file=sys.stderr)
    return INCOMPLETE if outcome.refused else 0


def _print_progress(number: int, total: int, block: int, blocks: int) -> None:
    """Draw a progress bar on stderr."""
    share = (number - 1 + block / blocks) / total
    end = "\n" if share == 1 else ""
    bar = "#" * int(30 * share)
    print(f"\r[{bar:<30}] rollout {number} of {total}, block {block} of {blocks}", end=end, file=sys.stderr, flush=True)
