"""Measure the speed of Wan on a GPU with random weights, and compare it with the release's order of operations.

    python -m tests.gpu.speed --out examples/results/wan_speed_h200.json    # on a GPU with 100 GB, 8 minutes
    python -m tests.gpu.speed --tiny                                        # a rehearsal on the CPU

It needs torch, triton, einops, safetensors, tokenizers, huggingface_hub, filelock and gymnasium; without diffusers the
full VAE is left out. The results are written after every part, and a part that fails does not stop the others. At the
end of its time the program writes what it has, prints the table and ends, whatever is running then.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import torch

from infrope_env.atomic_file import write_atomically
from infrope_env.config import Window
from infrope_env.dynamics.transformer import CausalWanTransformer
from infrope_env.models.compile import compile_decoder
from tests.gpu.arms import (
    ARMS,
    COMPILED,
    COMPILED_GRAPHS,
    EAGER,
    PLAIN,
    RELEASE,
    Arm,
    Networks,
    compare,
    percentiles,
    play_in_turns,
)
from tests.gpu.attention_backends import attention_by_backend
from tests.gpu.decoders import end_to_end, time_decoder
from tests.gpu.gpu_profile import profile_blocks
from tests.gpu.measurements import (
    CYCLE,
    Scale,
    allocated_bytes,
    complaint_of,
    device_name,
    forget_peak,
    peak_bytes,
    play,
    random_fast_decoder,
    random_transformer,
    random_vae,
    synchronisation_in_a_block,
)
from tests.gpu.report import APART, BESIDE, bars, report, so_far

SECONDS_TO_COMPILE = 75.0
"""Estimate of the time in which an arm or a decoder is compiled for one shape; less than that left skips it."""
TIMED_OUT, ATTEMPTS = 2, 5
LEFT_OUT = {"left out": "too little time to compile"}


class Results:
    """Findings by part, written to a file after each."""

    def __init__(self, path: Path | None) -> None:
        self.found: dict[str, object] = {}
        self._path, self._lock = path, threading.Lock()

    def keep(self, part: str, finding: object) -> None:
        """Keep the finding of a part, in place of what it had so far, and write all."""
        with self._lock:
            self.found.pop(so_far(part), None)
            self.found[part] = finding
            if self._path is not None:
                write_atomically(self._path, f"{self.to_json()}\n".encode())

    def to_json(self) -> str:
        """Return everything as one line of JSON."""
        return json.dumps(self.found | {"bars": bars(self.found)}, default=str)

    def show(self) -> None:
        """Print the table and the line of JSON."""
        print("\n".join([*report(self.found), self.to_json()]), flush=True)


class Budget:
    """The time of the whole program."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def left_s(self) -> float:
        """Seconds that are left."""
        return self._end - time.monotonic()


class Speed:
    """The parts of the program, in the order of their worth, over one generator."""

    def __init__(self, scale: Scale, results: Results, budget: Budget) -> None:
        self.scale, self.results, self.budget = scale, results, budget
        self.transformer: CausalWanTransformer = random_transformer(scale.generator, scale.device, torch.bfloat16)
        self.networks = Networks(self.transformer, scale.compile_backend)
        self.arms: dict[str, Arm] = {}

    def run(self, wanted: Sequence[str] = ()) -> None:
        """Run all parts, or those whose names begin with a wanted word."""
        for name, part in self.parts().items():
            if wanted and not name.startswith(tuple(wanted)):
                continue
            started = time.monotonic()
            print(f"{name}: {self.budget.left_s:.0f} s are left", flush=True)
            try:
                self.results.keep(name, part())
            except Exception as error:
                traceback.print_exc()
                self.results.keep(name, failure(error))
            self.results.keep(f"{name}, seconds", round(time.monotonic() - started, 1))
            self.free()

    def parts(self) -> dict[str, Callable[[], object]]:
        """Return all parts by name. What compiles most comes last."""
        small, large = self.scale.windows
        return {
            "attention": self.attention,
            f"window {small}, plain": lambda: self.compare_arms(small, PLAIN),
            f"window {small}": lambda: self.compare_arms(small, ARMS),
            "profile": self.profile,
            "end to end": self.end_to_end,
            "synchronisation": self.synchronisation,
            "decoders, plain": lambda: self.decoders(compiled=False),
            f"window {large}, plain": lambda: self.compare_arms(large, PLAIN),
            f"window {large}": lambda: self.compare_arms(large, ARMS),
            "decoders, compiled": lambda: self.decoders(compiled=True),
        }

    def attention(self) -> dict[str, object]:
        """Time every backend of attention, and name the one that play takes."""
        found = {}
        for size in self.scale.windows:
            millis, errors, taken = attention_by_backend(self.scale, Window.parse(size))
            found[f"window {size}"] = {"ms": millis, "relative_error": errors, "taken": taken}
        return found

    def compare_arms(self, size: int, names: Sequence[str]) -> dict[str, object]:
        """Time arms in turns. One that needs to be compiled is left out where too little time is left."""
        self.arms.clear()
        self.free()
        found: dict[str, object] = {}
        for name in names:
            if name not in PLAIN and self.budget.left_s < SECONDS_TO_COMPILE:
                found[name] = LEFT_OUT
                continue
            before = allocated_bytes(self.scale.device)
            forget_peak(self.scale.device)
            try:
                arm = Arm.make(name, self.networks, Window.parse(size))
                warm_up_s = arm.warm_up(self.scale.warm_up_blocks // 2)
            except Exception as error:  # one arm that this machine cannot run leaves the others
                traceback.print_exc()
                found[name] = failure(error)
                continue
            self.arms[name] = arm
            kept, most = (
                round((count(self.scale.device) - before) / 1e9, 2) for count in (allocated_bytes, peak_bytes)
            )
            found[name] = {"warm_up_s": round(warm_up_s, 1), "allocated_gb": kept, "peak_gb": most}
            self.results.keep(so_far(f"window {size}"), found)
        rounds, blocks = (2, 4) if names == PLAIN else (4, self.scale.timed_blocks // 4)
        for played in play_in_turns(list(self.arms.values()), rounds, max(blocks, 1)):
            for name, arm in self.arms.items():
                row = found[name]
                assert isinstance(row, dict)
                row |= {"rounds": played, "ms": arm.percentiles()}
            self.results.keep(so_far(f"window {size}"), found)
            if self.budget.left_s < 20:
                break
        noise = self.arms[EAGER].noise_alone()
        for name, arm in self.arms.items():
            row = found[name]
            assert isinstance(row, dict)
            row["beside eager"] = compare(arm, self.arms[EAGER], noise)
            row["finite"] = bool(arm.first_block.isfinite().all()) if arm.first_block is not None else False
        if COMPILED in self.arms and COMPILED_GRAPHS in self.arms:
            found["graphs of compiled code"] = compare(self.arms[COMPILED_GRAPHS], self.arms[COMPILED], noise)
        return found

    def profile(self) -> dict[str, object]:
        """Count kernels, launches and idle time of every arm."""
        found: dict[str, object] = {}
        for name, arm in self.arms.items():
            arm.fill()
            arm.make_block()
            found[name] = profile_blocks(arm.make_block, self.scale.profiled_blocks, self.scale.device)
        return found

    def synchronisation(self) -> dict[str, object]:
        """Name the first operation of a block that waits for the GPU, by arm; "" without one.

        Every arm but the release's plays the steady state; the plain ones play every kind of block, too.
        """
        found: dict[str, object] = {}
        if self.scale.device.type != "cuda":
            return {"left out": "the CPU has no queue to wait for"}
        for name, arm in self.arms.items():
            if name == RELEASE:
                continue
            arm.fill()
            arm.make_block()
            found[name] = complaint_of(lambda arm=arm: [arm.make_block() for _ in range(3)])  # type: ignore[misc]
            if name in PLAIN:
                play(arm.rollout, CYCLE)  # captures every shape
                found[f"{name}, every kind of block"] = synchronisation_in_a_block(arm.rollout)
        return found

    def decoders(self, compiled: bool) -> dict[str, object]:
        """Time both decoders, and the copy of their frames to the host."""
        found: dict[str, object] = {}
        makers = {"taew2_1": random_fast_decoder, "wan_vae": random_vae}
        if find_spec("diffusers") is None:
            del makers["wan_vae"]
            found["wan_vae"] = {"left out": "diffusers is not here"}
        for name, make in makers.items():
            if compiled and self.budget.left_s < SECONDS_TO_COMPILE:
                found[name] = LEFT_OUT
                continue
            torch.manual_seed(0)
            decoder = make(self.scale)
            if compiled:
                compile_decoder(decoder, self.scale.compile_backend)
            found[name] = time_decoder(decoder, self.scale)
            self.results.keep(so_far(f"decoders, {'compiled' if compiled else 'plain'}"), found)
        return found

    def end_to_end(self) -> dict[str, object]:
        """Time blocks until their frames are in host memory and their commit passes are done, with the fast decoder.

        The decoder is compiled for all arms but the release's, if there is time.
        """
        found: dict[str, object] = {}
        plain, fast = (random_fast_decoder(self.scale) for _ in range(2))
        if self.budget.left_s > 2 * SECONDS_TO_COMPILE:
            compile_decoder(fast, self.scale.compile_backend)
        for name, arm in self.arms.items():
            rows, digests = dict[str, object](), list[list[str]]()
            for beside_commit in (False,) if name == RELEASE else (False, True):
                decoder = plain if name == RELEASE else fast
                made, millis = end_to_end(arm, decoder, self.scale.timed_blocks // 2, beside_commit)
                digests.append(made)
                rows[BESIDE if beside_commit else APART] = percentiles(millis)
            found[name] = rows | {"equal frames": all(each == digests[0] for each in digests)}
            self.results.keep(so_far("end to end"), found)
        return found

    def free(self) -> None:
        """Give back memory that no arm uses."""
        gc.collect()
        if self.scale.device.type == "cuda":
            torch.cuda.empty_cache()


def failure(error: Exception) -> dict[str, object]:
    """Return the finding of a part or an arm that ended with an error."""
    return {"failed": f"{type(error).__name__}: {error}"[:500]}


def end_in_time(results: Results, seconds: float) -> threading.Timer:
    """End this process when its time is over, with the results so far."""

    def end() -> None:
        try:
            for _ in range(ATTEMPTS):
                with contextlib.suppress(RuntimeError):  # a finding changes while it is written
                    results.keep("ended", "at the end of its time")
                    results.show()
                    break
        finally:
            os._exit(TIMED_OUT)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    return timer


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table and one line of JSON; return 1 if a part failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.gpu.speed", description=__doc__.split("\n\n")[0])
    parser.add_argument("--out", type=Path, help="file that receives the results, after every part")
    parser.add_argument("--minutes", type=float, default=8.0, help="time of the whole program, 8 by default")
    parser.add_argument("--tiny", action="store_true", help="rehearse on the CPU with a tiny network")
    parser.add_argument("--parts", nargs="+", default=(), help="first words of the parts to run; all by default")
    parser.add_argument("--blocks", type=int, help="timed blocks of every arm, 30 by default")
    given = parser.parse_args(arguments)
    if not given.tiny and not torch.cuda.is_available():
        parser.error("this needs a GPU; --tiny rehearses on the CPU with a tiny network")
    scale = Scale.tiny() if given.tiny else Scale(torch.device("cuda"))
    scale = scale if given.blocks is None else replace(scale, timed_blocks=given.blocks)
    results = Results(given.out)
    timer = end_in_time(results, 60 * given.minutes)
    facts = {"device": device_name(scale.device), "torch": torch.__version__, "timed_blocks": scale.timed_blocks}
    results.keep("run", facts | {"rehearsal": given.tiny})
    with torch.inference_mode():
        Speed(scale, results, Budget(60 * given.minutes)).run(given.parts)
    timer.cancel()
    results.show()
    return int(any(isinstance(part, dict) and "failed" in part for part in results.found.values()))


if __name__ == "__main__":
    sys.exit(main())
