"""Measure many rollouts in one process: batches of several sizes beside as many single environments.

    python examples/vector_speed.py                             # 1 to 16 rows on one thread
    python examples/vector_speed.py --rows 8 --threads 2 --processes

A round makes the same blocks in every arm, one arm after the other; the table has medians over rounds. "walking" are
rows that go on, "mixed" are random actions with flushes and cuts. Processes are Gymnasium's, one thread in each. Memory
is that of a new process with this arm alone, and of its children.
"""

import json
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import gymnasium
import numpy as np
import psutil
import torch
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv

import infrope_env
from infrope_env.output import run_program
from infrope_env.recording.run_info import processor

ENV_ID = "infrope/PocketWorld-v0"
Actions = Callable[[int], np.ndarray]


def step_ms(envs: Any, actions: Actions, blocks: int) -> float:
    """Return the wall time of a step in milliseconds, divided by the number of rows."""
    started = time.perf_counter()
    for _ in range(blocks):
        envs.step(actions(envs.num_envs))
    return 1e3 * (time.perf_counter() - started) / blocks / envs.num_envs


def make_arm(name: str, rows: int, options: dict[str, Any]) -> Any:
    """Return the environments of an arm, at their third block."""
    singles = [lambda: infrope_env.make(ENV_ID, **options)] * rows
    makers: dict[str, Callable[[], Any]] = {
        "batch": lambda: gymnasium.make_vec(ENV_ID, num_envs=rows, **options),
        "singles": lambda: SyncVectorEnv(singles),
        "processes": lambda: AsyncVectorEnv(singles, context="spawn"),
    }
    envs = makers[name]()
    envs.reset(seed=0)
    for _ in range(2):
        envs.step(np.zeros(rows, np.int64))
    return envs


def memory_mb(name: str, rows: int, options: dict[str, Any]) -> float:
    """Return the memory of a process that makes an arm, and of its children, in MB.

    Pages that processes share count once where the system tells (Linux), else in each.
    """
    torch.set_num_threads(1)
    envs, process = make_arm(name, rows, options), psutil.Process()
    infos = [each.memory_full_info() for each in (process, *process.children(recursive=True))]
    envs.close()
    return sum(getattr(info, "pss", info.rss) for info in infos) / 2**20


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
    names = ("batch", "singles", "processes")[: 3 if processes else 2]
    results = []
    for count in rows:
        options = {"dtype": dtype, "weights": weights}
        memory = {name: _in_new_process(memory_mb, name, count, options) for name in names}
        arms = {name: make_arm(name, count, options) for name in names}
        torch.set_num_threads(threads)
        times: dict[tuple[str, str], list[float]] = {(arm, play): [] for arm in arms for play in plays}
        for _ in range(rounds):
            for (arm, play), measured in times.items():
                measured.append(step_ms(arms[arm], plays[play], blocks))
        for (arm, play), measured in times.items():
            median = statistics.median(measured)
            ratio = statistics.median(m / s for m, s in zip(measured, times["singles", play], strict=True))
            row = {"rows": count, "arm": arm, "play": play, "row_ms": round(median, 1), "ratio": round(ratio, 3)}
            results.append(row | {"memory_mb": round(memory[arm])})
            print(
                f"{count:3} rows  {arm:9}  {play:8} {1e3 / median:6.2f} blocks/s  {ratio:5.2f} of the time of singles"
                f"  {memory[arm]:5.0f} MB",
                flush=True,
            )
        for envs in arms.values():
            envs.close()
    print(json.dumps(results))


def _in_new_process(function: Callable[..., float], *arguments: Any) -> float:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


if __name__ == "__main__":
    run_program(main, description=__doc__)
