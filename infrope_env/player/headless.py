"""Play without a window: blocks are generated as fast as possible and reported one by one."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

from infrope_env.control.controller import Controller
from infrope_env.control.frames import Frames
from infrope_env.control.playable import playable


@dataclass(frozen=True)
class TimedBlock:
    """A generated block and the time it took.

    Attributes:
        action: Name of its action; "reset" for a first block.
        info: Info of the environment.
        duration_s: Seconds that `reset` or `step` took.
    """

    action: str
    info: Mapping[str, Any]
    duration_s: float


BlockCallback = Callable[[TimedBlock, int, int], None]
"""Called with the newest block, the number of blocks so far, and the total."""


def stand_still(observation: Frames, info: Mapping[str, Any]) -> int:
    """Return action 0: the default controller."""
    return 0


def drive(
    env: gymnasium.Env[Frames, Any],
    controller: Controller,
    blocks: int,
    seed: int | None = None,
    options: dict[str, Any] | None = None,
) -> Iterator[TimedBlock]:
    """Generate blocks under a controller and yield each one.

    Args:
        env: The environment; it is reset first, and again when a rollout ends.
        controller: Chooses the action of every block but those that a reset makes.
        blocks: Number of blocks, those of resets included.
        seed: Seed of the first reset; later resets draw their own.
        options: Options of every reset.
    """
    names, ended = playable(env).action_names, True
    for _ in range(blocks):
        began = time.perf_counter()
        if ended:
            observation, info = env.reset(seed=seed, options=options)
            seed, ended = None, False
        else:
            observation, _, terminated, truncated, info = env.step(controller(observation, info))
            ended = terminated or truncated
        duration_s = time.perf_counter() - began
        yield TimedBlock("reset" if info["action"] < 0 else names[info["action"]], info, duration_s)


def print_block(block: TimedBlock, count: int, total: int) -> None:
    """Print one line to stdout: block, action, transition, milliseconds."""
    index, transition = block.info["block"], block.info["transition"]
    print(f"block {index:>5}  {block.action:<14} {transition:<9} {1000 * block.duration_s:7.0f} ms", flush=True)


def print_progress(block: TimedBlock, count: int, total: int) -> None:
    """Draw a progress bar on stderr."""
    bar, end = "#" * (30 * count // total), "\n" if count == total else ""
    print(f"\r[{bar:<30}] block {count} of {total}", end=end, file=sys.stderr, flush=True)


def summarize(blocks: Sequence[TimedBlock]) -> str:
    """Return one line: number of blocks and pixel frames, frame rate, p50 and p95 of the block times."""
    frames = sum(block.info["num_frames"] for block in blocks)
    total_s = sum(block.duration_s for block in blocks)
    p50, p95 = np.percentile([1000 * block.duration_s for block in blocks], [50, 95])
    rate = f"{frames} pixel frames in {total_s:.1f} s ({frames / max(total_s, 1e-9):.1f} per second)"
    return f"{len(blocks)} blocks, {rate}; a block takes {p50:.0f} ms (p50), {p95:.0f} ms (p95)"
