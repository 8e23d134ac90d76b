"""Measure many rollouts in one process: batches of several sizes beside as many single environments.

    python examples/vector_speed.py                             # 1 to 16 rows on one thread
    python examples/vector_speed.py --rows 8 --threads 2 --processes

A round makes the same blocks in every arm, one arm after the other; the table has medians over rounds. "walking" are
rows that go on, "mixed" are random actions with flushes and cuts. Processes are Gymnasium's, one thread in each.
"""

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv

import infrope_env
from infrope_env.output import run_program
from infrope_env.recording.run_info import processor

ENV_ID = "infrope/PocketWorld-v0"
Actions = Callable[[int], np.ndarray]


def own_mb() -> float:
    """Return the resident memory of this process in MB; 0 where there is no /proc."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS")), 0.0)


def step_ms(envs: Any, actions: Actions, blocks: int) -> float:
    """Return the wall time of a step in milliseconds, divided by the number of rows."""
    started = time.perf_counter()
    for _ in range(blocks):
        envs.step(actions(envs.num_envs))
    return 1e3 * (time.perf_counter() - started) / blocks / envs.num_envs


def make_arms(rows: int, threads: int, processes: bool, options: dict[str, Any]) -> dict[str, Any]:
    """Return the environments of every arm, at their third block."""
    arms: dict[str, Any] = {"batch": gymnasium.make_vec(ENV_ID, num_envs=rows, **options)}
    singles = [lambda: infrope_env.make(ENV_ID, **options)] * rows
    arms["singles"] = SyncVectorEnv(singles)
    if processes:
        arms["processes"] = AsyncVectorEnv(singles, context="spawn")
    for envs in arms.values():
        envs.reset(seed=0)
        for _ in range(2):
            envs.step(np.zeros(rows, np.int64))
    torch.set_num_threads(threads)
    return arms


def main(
    rows: tuple[int, ...] = (1, 2, 4, 8, 16),
    threads: int = 1,
    rounds: int = 5,
    blocks: int = 2,
    processes: bool = False,
    dtype: str = "float32",
    weights: str = "pocket",
) -> None:
    """Print blocks a second of every arm, and all numbers as one line of JSON."""
    torch.set_num_threads(threads)
    chance = np.random.default_rng(0)
    plays: dict[str, Actions] = {
        "walking": lambda count: np.full(count, 2, np.int64),
        "mixed": lambda count: chance.integers(12, size=count),
    }
    print(f"{processor()}, torch {torch.__version__}, {threads} threads, {dtype}")
    results = []
    for count in rows:
        before, arms = own_mb(), make_arms(count, threads, processes, {"dtype": dtype, "weights": weights})
        times: dict[tuple[str, str], list[float]] = {(arm, play): [] for arm in arms for play in plays}
        for _ in range(rounds):
            for (arm, play), measured in times.items():
                measured.append(step_ms(arms[arm], plays[play], blocks))
        for (arm, play), measured in times.items():
            median = statistics.median(measured)
            ratio = statistics.median(m / s for m, s in zip(measured, times["singles", play], strict=True))
            results.append(
                {"rows": count, "arm": arm, "play": play, "row_ms": round(median, 1), "ratio": round(ratio, 3)}
            )
            print(
                f"{count:3} rows  {arm:9}  {play:8} {1e3 / median:6.2f} blocks/s  {ratio:5.2f} of singles", flush=True
            )
        print(f"{count:3} rows  {own_mb() - before:.0f} MB more in this process")
        for envs in arms.values():
            envs.close()
    print(json.dumps(results))


if __name__ == "__main__":
    run_program(main, description=__doc__)
