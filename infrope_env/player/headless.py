"""Plays without a window: one block after the other, as fast as they come."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from infrope_env.control.controller import Controller


@dataclass(frozen=True)
class Made:
    """A block that was made: the name of its action, the environment's info, and how long it took."""

    action: str
    info: Mapping[str, Any]
    made_s: float


Report = Callable[[Made, int, int], None]
"""(newest block, how many are made, of how many)"""


def stand_still(observation: NDArray[np.uint8], info: Mapping[str, Any]) -> int:
    """The controller of nobody: action 0."""
    return 0


def drive(
    env: gymnasium.Env[NDArray[np.uint8], Any],
    controller: Controller,
    blocks: int,
    seed: int | None = None,
    options: dict[str, Any] | None = None,
) -> Iterator[Made]:
    """Make `blocks` blocks, those of resets included, and hand each out when it is done.

    Args:
        env: reset here, not before.
        controller: asked before every block that no reset makes.
        blocks: how many.
        seed: of the first reset; a rollout that ends is followed by one with another seed.
        options: of every reset.
    """
    names, ended = env.get_wrapper_attr("action_names"), True
    for _ in range(blocks):
        began = time.perf_counter()
        if ended:
            observation, info = env.reset(seed=seed, options=options)
            seed, ended = None, False
        else:
            observation, _, terminated, truncated, info = env.step(controller(observation, info))
            ended = terminated or truncated
        made_s = time.perf_counter() - began
        yield Made("reset" if info["action"] is None else names[info["action"]], info, made_s)


def print_block(made: Made, done: int, total: int) -> None:
    """One line on stdout: block, action, transition, milliseconds."""
    info = made.info
    print(
        f"block {info['block']:>5}  {made.action:<14} {info['transition']:<9} {1000 * made.made_s:7.0f} ms", flush=True
    )


def print_progress(made: Made, done: int, total: int) -> None:
    """A line on stderr that fills up."""
    bar, end = "#" * (30 * done // total), "\n" if done == total else ""
    print(f"\r[{bar:<30}] block {done} of {total}", end=end, file=sys.stderr, flush=True)


def summarize(blocks: Sequence[Made]) -> str:
    """What it came to: blocks, pixel frames, their rate, and how long blocks took."""
    frames = sum(made.info["num_frames"] for made in blocks)
    total_s = sum(made.made_s for made in blocks)
    p50, p95 = np.percentile([1000 * made.made_s for made in blocks], [50, 95])
    rate = f"{frames} pixel frames in {total_s:.1f} s ({frames / max(total_s, 1e-9):.1f} per second)"
    return f"{len(blocks)} blocks, {rate}; a block takes {p50:.0f} ms (p50), {p95:.0f} ms (p95)"
