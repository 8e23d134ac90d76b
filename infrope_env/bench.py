"""How long a block takes and where the time goes, under random actions with switches and cuts among them.

The report is a header (machine, versions, settings), a table, and one JSON line with the same numbers.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import sys
from collections import Counter
from dataclasses import asdict
from typing import Any

import gymnasium
import numpy as np
import torch

from infrope_env.control.actions import ActionSet
from infrope_env.env import InfinityRopeEnv
from infrope_env.recording.run_info import RunInfo

PARTS = ("text", "denoise", "commit", "decode", "total")
WARM_UP_BLOCKS = 4
SWITCH_CHANCE, CUT_CHANCE = 0.25, 0.1


def bench(env: gymnasium.Env[Any, Any], blocks: int = 40, threads: int = 1, seed: int = 0) -> str:
    """Time blocks of an environment, then close it.

    Args:
        env: made for this, without a render mode.
        blocks: timed ones; a few more go before them.
        threads: of torch on the processor.
        seed: of the noise and of the actions.

    Returns:
        the report; its last line is JSON.

    Raises:
        ValueError: no block to time, or no thread to do it.
    """
    if blocks < 1 or threads < 1:
        raise ValueError(f"expected at least 1 block and 1 thread, got {blocks} and {threads}")
    torch.set_num_threads(threads)
    world = env.unwrapped
    assert isinstance(world, InfinityRopeEnv)
    actions = random_actions(world.action_set, WARM_UP_BLOCKS + blocks, seed)
    env.reset(seed=seed)
    steps = [_timed_step(env, world, action) for action in actions][WARM_UP_BLOCKS:]
    facts = _facts(world) | {"blocks": blocks, "warm_up_blocks": WARM_UP_BLOCKS, "seed": seed}
    facts["transitions"] = dict(Counter(transition for transition, _ in steps))
    facts["block_ms"] = _percentiles([timings for _, timings in steps])
    env.close()
    return "\n".join([*_header(facts), "", *_table(facts), "", json.dumps(facts)])


def random_actions(action_set: ActionSet, count: int, seed: int) -> list[int]:
    """Motions held for a few blocks, with a switch now and then and, more rarely, a cut."""
    rng = np.random.default_rng(seed)
    motions = [i for i, action in enumerate(action_set.actions) if action.motion is not None]
    cuts = [i for i, action in enumerate(action_set.actions) if action.scene is not None]
    chosen, held = [], motions[0]
    for chance in rng.random(count):
        if chance < SWITCH_CHANCE:
            held = int(rng.choice(motions))
        chosen.append(int(rng.choice(cuts)) if chance > 1 - CUT_CHANCE else held)
    return chosen


def _timed_step(env: gymnasium.Env[Any, Any], world: InfinityRopeEnv, action: int) -> tuple[str, dict[str, float]]:
    *_, info = env.step(action)
    return info["transition"], world.timings


def _percentiles(timings: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Milliseconds by part: {"decode": {"p50": 41.2, "p95": 44.0}, ...}."""
    millis = {part: [1000 * timing[f"{part}_s"] for timing in timings] for part in PARTS}
    return {
        part: {f"p{q}": round(float(np.percentile(values, q)), 3) for q in (50, 95)} for part, values in millis.items()
    }


def _facts(world: InfinityRopeEnv) -> dict[str, Any]:
    height, width = world.model.frame_size
    return {
        "world": world.model.name,
        "frame": f"{width}x{height}",
        "frames_per_block": world.block_shape[0],
        "window": asdict(world.window),
        **asdict(RunInfo.of(world.model)),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "memory_mb": _peak_memory_mb(world.model.device),
    }


def _peak_memory_mb(device: torch.device) -> dict[str, float]:
    """Most memory held so far, of the process and, if there is one, of the GPU."""
    unit = 1e6 if sys.platform == "darwin" else 1e6 / 1024  # getrusage counts bytes there, kilobytes elsewhere
    memory = {"process": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit)}
    if device.type == "cuda":
        memory["gpu"] = round(torch.cuda.max_memory_allocated(device) / 1e6)
    return {name: float(value) for name, value in memory.items()}


def _header(facts: dict[str, Any]) -> list[str]:
    versions = ", ".join(f"{package} {number}" for package, number in facts["versions"].items())
    transitions = ", ".join(f"{count} {name}" for name, count in facts["transitions"].items())
    lines = [
        f"{facts['world']}: {facts['frame']} px, {facts['frames_per_block']} frames a block, {facts['dtype']}",
        f"{facts['device']}, {facts['processor']}, {facts['cpus']} CPUs, {facts['threads']} thread(s) used",
        f"python {facts['python']}, {versions}",
        f"{facts['blocks']} blocks ({transitions}) after {facts['warm_up_blocks']} to warm up",
    ]
    if facts["device"] != "cpu":
        lines.append("On a GPU work is queued: the parts say when it was asked for, the total when it was done.")
    return lines


def _table(facts: dict[str, Any]) -> list[str]:
    """One row per part, then what it means for play."""
    total = facts["block_ms"]["total"]["p50"]
    rows = [
        f"{part:8}{ms['p50']:10.1f}{ms['p95']:10.1f}{ms['p50'] / total:8.0%}" for part, ms in facts["block_ms"].items()
    ]
    memory = ", ".join(f"{name} {size:.0f} MB" for name, size in facts["memory_mb"].items())
    speed = facts["frames_per_block"] / total * 1000
    return [f"{'':8}{'p50 ms':>10}{'p95 ms':>10}{'share':>8}", *rows, f"{speed:.1f} frames/s; peak memory: {memory}"]
