"""Forty episodes of the bundled model by two workers, through two kills. Run by hand: it computes for minutes.

    python -m tests.fleet.real_fleet survive WORK      # kill a worker by its pid, then the driver; start again; replay
    python -m tests.fleet.real_fleet throughput WORK   # one worker against two, alternating, as a ratio

`survive` also checks that no process of a killed driver stays, and that finished episodes are not made again.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import psutil
import torch

from infrope_env.recording import verify
from tests.fleet.processes import finished, fleet, logs, wait_for, workers

EPISODES, BLOCKS, PAIRS = 40, 8, 3
PLAN = """
[environment]
threads = 1
[episodes.walk]
seeds = {seeds}
random = true
blocks = {blocks}
"""


def write_plan(work: Path, seeds: int, blocks: int) -> Path:
    """Write a plan and return its path."""
    work.mkdir(parents=True, exist_ok=True)
    (path := work / "plan.toml").write_text(PLAN.format(seeds=seeds, blocks=blocks))
    return path


def survive(work: Path, episodes: int = EPISODES) -> None:
    """Make the episodes through two kills, and replay them all."""
    plan, out = write_plan(work, episodes, BLOCKS), work / "out"
    with fleet(plan, "--out", out, "--workers", 2) as process:
        wait_for(lambda: len(finished(out)) >= episodes // 8 and workers(process), 3600)
        victim = workers(process)[0]
        print(f"killed worker {victim.pid} with {len(finished(out))} episodes finished", flush=True)
        victim.kill()
        wait_for(lambda: len(finished(out)) >= episodes // 2 and logs(out), 3600)
        started = process.children(recursive=True)
        process.kill()
        began = time.monotonic()
        kept = {name: (out / name).stat().st_ino for name in finished(out)}
        print(f"killed the driver {process.pid} with {len(kept)} episodes finished", flush=True)
        left = psutil.wait_procs(started, timeout=120)[1]
        print(
            f"{len(left)} of its {len(started)} processes are left after {time.monotonic() - began:.0f} s", flush=True
        )
        assert not left
    with fleet(plan, "--out", out, "--workers", 2) as process:
        output, errors = process.communicate(timeout=3600)
        assert process.returncode == 0, errors
    print(output, end="")
    made = {name: (out / name).stat().st_ino for name in finished(out)}
    assert len(made) == episodes and kept.items() <= made.items() and not (out / ".partial").exists()
    torch.set_num_threads(1)
    for name in sorted(made):
        report = verify(out / name / "episode_000")
        assert report.ok and report.blocks == BLOCKS, report.summary()
    print(f"{len(made)} episodes are there, every block of each is the same in a replay")


def throughput(work: Path) -> None:
    """Compare one worker with two, from the first block to the end, so without the start of Ray and the model."""
    plan, times = write_plan(work, 8, 2 * BLOCKS), {1: [], 2: []}
    for pair in range(PAIRS):
        for count in (1, 2):
            out = work / f"pair-{pair}-{count}"
            with fleet(plan, "--out", out, "--workers", count) as process:
                wait_for(lambda out=out: logs(out), 600)
                began = time.monotonic()
                process.communicate(timeout=3600)
                assert process.returncode == 0
            times[count].append(time.monotonic() - began)
            print(f"{count} workers: {times[count][-1]:.1f} s", flush=True)
    ratios = sorted(one / two for one, two in zip(times[1], times[2], strict=True))
    print(f"two workers are {ratios[len(ratios) // 2]:.2f} times as fast as one (of {PAIRS} pairs: {ratios})")


if __name__ == "__main__":
    command, folder = sys.argv[1:]
    {"survive": survive, "throughput": throughput}[command](Path(folder))
