"""One arm of the comparison: an environment in a process of its own, which plays when it is told to.

It runs in the present tree and in that of an earlier commit, so it uses only what both have. Requests are lines of JSON
on stdin: {"play": FILE, "blocks": N, "seed": S} and {"presses": N, "seed": S}. Each is answered by a line on stdout.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

LATENCY = Path(__file__).parents[2] / "infrope_env" / "player" / "latency.py"


def main() -> None:
    """Load the environment, wait for compiled code if any, say so, and answer requests until stdin ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else is printed goes to stderr
    import gymnasium
    import torch

    torch.set_num_threads(1)
    id, arguments = sys.argv[1], json.loads(sys.argv[2])
    began = time.monotonic()
    env = gymnasium.make(id, disable_env_checker=True, **arguments)
    env.reset(seed=0)
    if code := getattr(env.unwrapped, "background_code", None):  # earlier commits have none
        code.wait()
    answer: dict[str, Any] = {"first_block_s": round(time.monotonic() - began, 2)}
    while True:
        print(json.dumps(answer), file=answers, flush=True)
        line = sys.stdin.readline()
        if not line:
            break
        request = json.loads(line)
        if "play" in request:
            answer = {"blocks": play(env, request["blocks"], request["seed"], Path(request["play"]))}
        else:
            answer = {"latencies_s": press_keys(env, request["presses"], request["seed"])}


def play(env: Any, blocks: int, seed: int, file: Path) -> list[dict[str, float]]:
    """Play random actions, write the frames to a file, and return the times of every block, in milliseconds.

    Times are CPU time of this thread, which does all the work: other programs on the machine do not count.
    """
    from infrope_env.bench import random_actions

    wall, time.perf_counter = time.perf_counter, time.thread_time  # the environment's clock
    try:
        env.reset(seed=seed)
        frames, parts = [], []
        for action in random_actions(env.unwrapped.action_set, blocks, seed):
            frames.append(env.step(action)[0])
            parts.append({name[:-2]: 1000 * value for name, value in env.unwrapped.timings.items()})
    finally:
        time.perf_counter = wall
    np.save(file, np.stack(frames))
    return parts


def press_keys(env: Any, presses: int, seed: int) -> list[float]:
    """Return the seconds from key to pixel of simulated presses, measured by the present tree in any tree."""
    if importlib.util.find_spec("infrope_env.control.keyboard") is None:
        import controllers.keyboard  # where earlier commits have it

        sys.modules["infrope_env.control.keyboard"] = controllers.keyboard
    spec = importlib.util.spec_from_file_location("present_latency", LATENCY)
    assert spec is not None and spec.loader is not None
    latency = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(latency)
    return [receipt.latency_s for receipt in latency.measure_latency(env, presses, seed)]


if __name__ == "__main__":
    main()
