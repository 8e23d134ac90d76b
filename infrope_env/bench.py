"""The time of a block by part, under random actions with switches and cuts among them, and the time from key to pixel.

A report is a header (machine, versions, settings), a table, and one JSON line with the same numbers.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import platform
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import gymnasium
import numpy as np
import torch

from infrope_env.control.actions import ActionSet
from infrope_env.dynamics.attention import attention_taken
from infrope_env.env import InfinityRopeEnv
from infrope_env.player.latency import measure_latency
from infrope_env.recording.run_info import RunInfo

PARTS = ("text", "denoise", "commit", "decode", "total")
WARM_UP_BLOCKS = 4
ERROR_BLOCKS = 6
SWITCH_PROBABILITY, CUT_PROBABILITY = 0.25, 0.1

logger = logging.getLogger(__name__)


def bench(env: gymnasium.Env[Any, Any], blocks: int = 40, threads: int = 1, seed: int = 0) -> str:
    """Time blocks of an environment, then close it.

    Args:
        env: The environment, without a render mode.
        blocks: Number of timed blocks; WARM_UP_BLOCKS more are made before them.
        threads: CPU threads of torch.
        seed: Seed of the noise and of the actions.

    Returns:
        The report; its last line is JSON.

    Raises:
        ValueError: `blocks` or `threads` is below 1.
    """
    if blocks < 1 or threads < 1:
        raise ValueError(f"expected at least 1 block and 1 thread, got {blocks} and {threads}")
    torch.set_num_threads(threads)
    inner = env.unwrapped
    assert isinstance(inner, InfinityRopeEnv)
    transitions, timings = [], []
    env.reset(seed=seed)
    for action in random_actions(inner.action_set, WARM_UP_BLOCKS + blocks, seed):
        *_, info = env.step(action)
        transitions.append(info["transition"])
        timings.append(inner.timings)
    facts = _facts(inner) | {"blocks": blocks, "warm_up_blocks": WARM_UP_BLOCKS, "seed": seed}
    facts["transitions"] = dict(Counter(transitions[WARM_UP_BLOCKS:]))
    facts["block_ms"] = _percentiles(timings[WARM_UP_BLOCKS:])
    lines = _table(facts)
    if inner.model.precision != "float" and env.spec is not None:
        try:
            facts["precision_error"] = error = measure_precision_error(env, seed)
            lines.append(describe_error(inner.model.precision, error))
        except torch.OutOfMemoryError:
            lines.append(f"the error of {inner.model.precision} is unknown: no memory for a second model beside it")
    env.close()
    return "\n".join([*_header(facts), "", *lines, "", json.dumps(facts)])


def bench_latency(env: gymnasium.Env[Any, Any], presses: int = 40, threads: int = 1, seed: int = 0) -> str:
    """Measure the time from key to pixel in live play, then close the environment.

    Args:
        env: The environment, without a render mode.
        presses: Number of simulated key presses.
        threads: CPU threads of torch.
        seed: Seed of the rollout, of the keys and of the moments.

    Returns:
        The report; its last line is JSON.

    Raises:
        ValueError: `presses` or `threads` is below 1.
    """
    if presses < 1 or threads < 1:
        raise ValueError(f"expected at least 1 key press and 1 thread, got {presses} and {threads}")
    torch.set_num_threads(threads)
    inner = env.unwrapped
    assert isinstance(inner, InfinityRopeEnv)
    receipts = measure_latency(env, presses, seed, lambda done: logger.info("key presses: %d of %d", done, presses))
    latencies_ms = [1000 * (receipt.latency_s or 0.0) for receipt in receipts]
    latency = {f"p{q}": round(float(np.percentile(latencies_ms, q)), 1) for q in (10, 50, 90)}
    facts = _facts(inner) | {"presses": presses, "seed": seed, "key_to_pixel_ms": latency}
    env.close()
    line = ", ".join(f"{value:.0f} ms ({name})" for name, value in latency.items())
    return "\n".join([*_machine_lines(facts), f"{presses} key presses, key to pixel: {line}", "", json.dumps(facts)])


def measure_precision_error(env: gymnasium.Env[Any, Any], seed: int = 0) -> dict[str, float | None]:
    """Play the same first blocks with the precision of an environment and without it, and compare them.

    Args:
        env: The environment, made by its id; it is reset.
        seed: Seed of the noise and of the actions.

    Returns:
        "first_block" and "all_blocks": relative errors of the latents, in the Euclidean norm. "psnr_db" of the frames
        of all blocks, None if they are equal. Both rollouts see their own frames, so errors can grow.
    """
    assert env.spec is not None
    inner = env.unwrapped
    assert isinstance(inner, InfinityRopeEnv)
    dtype = str(inner.model.dtype).removeprefix("torch.")
    changes = {"precision": "float", "dtype": dtype, "compile": False}
    with contextlib.closing(
        gymnasium.make(env.spec.id, disable_env_checker=True, **(env.spec.kwargs | changes))
    ) as exact:
        (latents, frames), (exact_latents, exact_frames) = (_play_blocks(each, seed) for each in (env, exact))
    squared = float(((frames.astype(np.float32) - exact_frames) ** 2).mean())
    return {
        "first_block": _relative_error(latents[:1], exact_latents[:1]),
        "all_blocks": _relative_error(latents, exact_latents),
        "psnr_db": round(10 * math.log10(255**2 / squared), 2) if squared else None,
    }


def describe_error(precision: str, error: Mapping[str, float | None]) -> str:
    """Return the line of the report about the error of a precision."""
    first, every = (f"{error[name]:.2%}" for name in ("first_block", "all_blocks"))
    frames = "equal frames" if error["psnr_db"] is None else f"frames {error['psnr_db']:.1f} dB"
    latents = f"latents differ by {first} in the first block, by {every} over {ERROR_BLOCKS}"
    return f"{precision} beside float: {latents}; {frames}"


def _play_blocks(env: gymnasium.Env[Any, Any], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return latents, blocks b f c h w, and frames, blocks t H W 3, of the first blocks of a rollout."""
    inner = env.unwrapped
    assert isinstance(inner, InfinityRopeEnv)
    frames, latents = [env.reset(seed=seed)[0]], [inner.latents.float().cpu().numpy()]
    for action in random_actions(inner.action_set, ERROR_BLOCKS - 1, seed):
        frames.append(env.step(action)[0])
        latents.append(inner.latents.float().cpu().numpy())
    return np.stack(latents), np.stack(frames)


def _relative_error(latents: np.ndarray, exact: np.ndarray) -> float:
    return round(float(np.linalg.norm(latents - exact) / np.linalg.norm(exact)), 5)


def random_actions(action_set: ActionSet, count: int, seed: int) -> list[int]:
    """Return random actions: motions that last a few blocks each, interrupted by cuts."""
    rng = np.random.default_rng(seed)
    motions = [i for i, action in enumerate(action_set.actions) if action.motion is not None]
    cuts = [i for i, action in enumerate(action_set.actions) if action.scene is not None]
    actions, motion = [], motions[0]
    for chance in rng.random(count):
        if chance < SWITCH_PROBABILITY:
            motion = int(rng.choice(motions))
        actions.append(int(rng.choice(cuts)) if chance > 1 - CUT_PROBABILITY else motion)
    return actions


def _percentiles(timings: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Return milliseconds by part: {"decode": {"p50": 41.2, "p95": 44.0}, ...}."""
    parts_ms = {part: [1000 * timing[f"{part}_s"] for timing in timings] for part in PARTS}
    return {
        part: {f"p{q}": round(float(np.percentile(values, q)), 3) for q in (50, 95)}
        for part, values in parts_ms.items()
    }


def _facts(env: InfinityRopeEnv) -> dict[str, Any]:
    """Return the facts that the numbers depend on: model, settings, machine and versions."""
    height, width = env.model.frame_size
    return {
        "world": env.model.name,
        "frame": f"{width}x{height}",
        "frames_per_block": env.block_shape[0],
        "window": asdict(env.window),
        "steps": env.model.sampler.describe(),
        "attention": taken_by_play(env),
        **asdict(RunInfo.of(env.model)),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "memory_mb": _peak_memory_mb(env.model.device),
    }


def taken_by_play(env: InfinityRopeEnv) -> str:
    """Return the kernel of self-attention that a block with a full window takes, for example "cudnn" or "flash"."""
    config, window = env.model.config, env.window
    query, key = (
        torch.empty(1, config.num_heads, frames * config.tokens_per_frame, config.head_dim, device=env.model.device)
        for frames in (window.block, window.size)
    )
    with torch.inference_mode():
        return attention_taken(*(x.to(env.model.dtype) for x in (query, key, key)))


def _peak_memory_mb(device: torch.device) -> dict[str, float]:
    """Return the peak memory in MB of the process, except on Windows, and of the GPU if there is one."""
    memory = {}
    with contextlib.suppress(ImportError):
        import resource

        unit = 1e6 if sys.platform == "darwin" else 1e6 / 1024  # getrusage counts bytes there, kilobytes elsewhere
        memory["process"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit)
    if device.type == "cuda":
        memory["gpu"] = round(torch.cuda.max_memory_allocated(device) / 1e6)
    return {name: float(value) for name, value in memory.items()}


def _header(facts: dict[str, Any]) -> list[str]:
    """Return the lines about model, machine, versions and settings."""
    transitions = ", ".join(f"{count} {name}" for name, count in facts["transitions"].items())
    lines = [
        *_machine_lines(facts),
        f"{facts['blocks']} blocks ({transitions}) after {facts['warm_up_blocks']} to warm up",
    ]
    if facts["device"] != "cpu":
        lines.append("GPU work is asynchronous: the times of parts measure queueing, the total measures completion.")
    return lines


def _machine_lines(facts: dict[str, Any]) -> list[str]:
    """Return the lines about model, machine and versions."""
    versions = ", ".join(f"{package} {number}" for package, number in facts["versions"].items())
    kind = facts["dtype"] if facts["precision"] == "float" else facts["precision"]
    return [
        f"{facts['world']}: {facts['frame']} px, {facts['frames_per_block']} frames a block, {kind}",
        facts["steps"],
        f"{facts['device']}, {facts['processor']}, {facts['cpus']} CPUs, {facts['threads']} thread(s) used, "
        f"attention by {facts['attention']}",
        f"python {facts['python']}, {versions}",
    ]


def _table(facts: dict[str, Any]) -> list[str]:
    """Return one row per part, then frames per second and peak memory."""
    total_ms = facts["block_ms"]["total"]["p50"]
    rows = [
        f"{part:8}{ms['p50']:10.1f}{ms['p95']:10.1f}{ms['p50'] / total_ms:8.0%}"
        for part, ms in facts["block_ms"].items()
    ]
    memory = ", ".join(f"{name} {size:.0f} MB" for name, size in facts["memory_mb"].items()) or "unknown"
    speed = facts["frames_per_block"] / total_ms * 1000
    return [f"{'':8}{'p50 ms':>10}{'p95 ms':>10}{'share':>8}", *rows, f"{speed:.1f} frames/s; peak memory: {memory}"]
