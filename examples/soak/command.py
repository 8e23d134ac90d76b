"""A soak test: thousands of blocks of random play, and whether memory, open files, threads and time stay flat.

Examples:
    python -m examples.soak --blocks 2000
    python -m examples.soak --blocks 10000 --record rollouts --out soak.json

Random actions, cuts, prompts, saved and restored states (also from disk, in a new environment) and resets. A line is
printed for every group of blocks. At the end, and on Ctrl-C, a line is fitted to each quantity after the warm-up; the
exit code is 0 if all are flat, 1 if one grows, 2 if more blocks are needed to tell, 3 if pixels diverged.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import gymnasium
import psutil
import torch

from examples.pocket_world.evaluate.report import git_commit
from examples.soak.log import HEADER, Group, Sample, Tolerances, trends
from examples.soak.player import Diverged, RandomPlayer
from examples.soak.trend import Trend
from infrope_env.atomic_file import write_atomically
from infrope_env.recording.run_info import RunInfo
from infrope_env.wrappers import RecordRollout


@dataclass(kw_only=True)
class Options:
    """Settings of the run."""

    blocks: int = 2000
    """Number of blocks."""
    weights: str = "pocket"
    """A bundled model, or the path of a world folder."""
    seed: int = 0
    """Seed of all decisions."""
    group: int = 100
    """Blocks that make a line of the table."""
    warm_up: int = 300
    """Blocks that are not judged: buffers and caches fill."""
    threads: int = 1
    """CPU threads of torch."""
    record: Path | None = None
    """Record every episode into this folder."""
    out: Path | None = None
    """JSON file of the measurements, written after every group."""
    tolerances: Tolerances = field(default_factory=Tolerances)
    """Growth over 1,000 blocks that counts as none."""

    def make_env(self) -> gymnasium.Env[Any, Any]:
        """Return a new environment, with a recorder if asked."""
        env = gymnasium.make("infrope_env:infrope/PocketWorld-v0", weights=self.weights, disable_env_checker=True)
        return env if self.record is None else RecordRollout(env, self.record)


class Measured:
    """Measurement around every block: call it with a function that makes one."""

    def __init__(self) -> None:
        """Start without samples."""
        self.samples: list[Sample] = []
        self._process = psutil.Process()

    def __call__(self, make_block: Callable[[], Any]) -> Any:
        """Make a block, add its sample and return the result."""
        started_s, cpu_s = time.perf_counter(), time.process_time()
        made = make_block()
        cpu_s, block_s = time.process_time() - cpu_s, time.perf_counter() - started_s
        self.samples.append(Sample.of(block_s, cpu_s, self._process))
        return made


def play(options: Options, player: RandomPlayer, measured: Measured) -> Iterator[Group]:
    """Play all blocks; yield each group when it is complete."""
    operations: Counter[str] = Counter()
    while player.blocks < options.blocks:
        operations[player.turn()] += 1
        if len(measured.samples) >= options.group:
            group = Group.of(player.blocks, measured.samples, operations)
            measured.samples.clear()
            operations.clear()
            yield group


def main(options: Options) -> int:
    """Play, print a line per group and the summary, and return the exit code."""
    torch.set_num_threads(options.threads)
    groups: list[Group] = []
    ended, measured, started_s = "complete", Measured(), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        player = RandomPlayer(options.make_env, Path(folder), options.seed, measured)
        facts = describe(options, player)
        print(f"{facts['model']} on {facts['processor']}, {facts['cpus']} CPUs, {options.threads} thread(s)\n{HEADER}")
        try:
            for group in play(options, player, measured):
                groups.append(group)
                print(group.row(), flush=True)
                save(options, facts, groups, "running")
        except KeyboardInterrupt:
            ended = "interrupted"
        except Diverged as error:
            ended = f"diverged: {error}"
        player.close()
    facts["minutes"] = round((time.monotonic() - started_s) / 60, 1)
    save(options, facts, groups, ended)
    return summarize(groups, trends(groups, options.warm_up, options.tolerances), ended)


def describe(options: Options, player: RandomPlayer) -> dict[str, Any]:
    """Return command, commit, machine, versions and weights."""
    model = player.inner.model
    return {
        "command": " ".join(["python -m examples.soak", *sys.argv[1:]]),
        "commit": git_commit(),
        "model": model.name,
        "cpus": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "python": platform.python_version(),
        "system": platform.platform(),
        "blocks": options.blocks,
        "warm_up": options.warm_up,
        "seed": options.seed,
        "recorded": options.record is not None,
        **asdict(RunInfo.of(model)),
    }


def save(options: Options, facts: dict[str, Any], groups: list[Group], ended: str) -> None:
    """Write the measurements so far as JSON, if asked."""
    if options.out is None:
        return
    found = trends(groups, options.warm_up, options.tolerances)
    content = {
        **facts,
        "ended": ended,
        "trends": {name: {**asdict(trend), "verdict": trend.verdict} for name, trend in found.items()},
        "groups": [asdict(group) for group in groups],
    }
    write_atomically(options.out, (json.dumps(content, indent=1) + "\n").encode())


def summarize(groups: list[Group], found: dict[str, Trend], ended: str) -> int:
    """Print how every quantity grew, and return the exit code."""
    operations = sum((Counter(group.operations) for group in groups), Counter[str]())
    print(
        f"\n{ended}: {groups[-1].blocks if groups else 0} blocks; "
        + ", ".join(f"{count} {name}" for name, count in operations.most_common())
    )
    for name, trend in found.items():
        print(
            f"{name:10} {trend.growth:+.3g} over 1,000 blocks, 95 % {trend.low:.3g} to {trend.high:.3g}, "
            f"tolerance {trend.tolerance:.3g}: {trend.verdict}"
        )
    verdicts = [trend.verdict for trend in found.values()]
    if ended.startswith("diverged"):
        return 3
    return 1 if "grows" in verdicts else 2 if "unclear" in verdicts else 0
