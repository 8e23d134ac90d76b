"""Compare the speed of the bundled model before and now, and under each choice, arm by arm in turns.

    python -m examples.speed
    python -m examples.speed --arms int8 compiled-int8 --rounds 12
    python -m examples.speed --presses 40                          # key to pixel too; takes the whole machine

Every arm is a process of one thread and plays the same seeded rollouts. In every round each arm plays once, the order
is reversed from round to round, and ratios are taken within a round. A table is printed, then one line of JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from examples.pocket_world.evaluate.report import git_commit
from examples.speed.arms import choose_arms
from examples.speed.process import ROOT, ArmProcess, checkout, exit_on_signals
from examples.speed.table import ArmResult, table
from infrope_env.atomic_file import write_atomically
from infrope_env.recording.run_info import processor

BEFORE = "94f8a8d"
"""The commit before frames came ahead of the commit pass, and before the lead followed the newest blocks."""


@dataclass(frozen=True)
class Options:
    """Settings of the comparison.

    Attributes:
        arms: Names of the arms, see examples/speed/arms.py; by default all that compile nothing.
        rounds: Number of rounds.
        blocks: Blocks of each arm in a round, after the first one.
        presses: Simulated key presses of each arm, for the time from key to pixel; 0 presses none.
        before: Commit to compare with.
        env: Id of the environment.
        weights: Name of a bundled model, or a world folder.
        dtype: Precision of every arm; float32 is the default of processors without bfloat16.
        isa: Largest instruction set of oneDNN, such as AVX512_CORE_VNNI or AVX2: an older processor's 8-bit products.
        out: File that receives the line of JSON.
    """

    arms: tuple[str, ...] = ()
    rounds: int = 8
    blocks: int = 8
    presses: int = 0
    before: str = BEFORE
    env: str = "infrope_env:infrope/PocketWorld-v0"
    weights: str = "pocket"
    dtype: str = "float32"
    isa: str | None = None
    out: Path | None = None


def main(options: Options) -> None:
    """Play all arms and print the table."""
    arms = choose_arms(options.arms)
    arguments = {"device": "cpu", "dtype": options.dtype, "weights": options.weights}
    with contextlib.ExitStack() as stack:
        stack.enter_context(exit_on_signals())
        print(f"checking out {options.before}", flush=True)
        before = stack.enter_context(checkout(options.before))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        processes = []
        for arm in arms:
            print(f"loading {arm.name}", flush=True)
            tree = before if arm.is_before else ROOT
            process = ArmProcess(arm, tree, options.env, arguments, options.isa)
            stack.callback(process.close)
            processes.append(process)
        results = play_rounds(processes, options, folder)
        press_in_turns(processes, results, options)
    facts = {
        "commit": git_commit(),
        "before": options.before,
        "processor": processor(),
        "isa": options.isa,
        "cpus": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "dtype": options.dtype,
        "rounds": options.rounds,
        "blocks": options.blocks,
        "presses": options.presses,
    }
    line = json.dumps(facts | {"arms": [result.to_json(results[0]) for result in results]})
    print("\n".join([json.dumps(facts), "", *table(results), "", line]))
    if options.out is not None:
        write_atomically(options.out, f"{line}\n".encode())


def play_rounds(processes: list[ArmProcess], options: Options, folder: Path) -> list[ArmResult]:
    """Let every arm play in every round, after one round to warm up; return their results in the order of the arms."""
    results = [ArmResult(process.arm, process.first_block_s) for process in processes]
    for round_ in range(options.rounds + 1):
        print(f"round {round_} of {options.rounds}" if round_ else "warming up", flush=True)
        reference = None
        for index in range(len(processes)) if round_ % 2 == 0 else reversed(range(len(processes))):
            if round_:
                results[index].add_round(*processes[index].play(options.blocks, round_, folder))
            else:
                processes[index].play(2, round_, folder)
        if round_:
            reference = results[0].frames
            for result in results:
                result.compare_frames(reference)
    return results


def press_in_turns(processes: list[ArmProcess], results: list[ArmResult], options: Options) -> None:
    """Let every arm answer key presses, ten at a time in turns."""
    for begun in range(0, options.presses, 10):
        print(f"key presses: {begun} of {options.presses}", flush=True)
        for process, result in zip(processes, results, strict=True):
            result.latencies_ms += process.press_keys(min(10, options.presses - begun), begun)
