"""Compare the time of a block at several window sizes: one row each, then one JSON line.

Try:
    python examples/benchmark.py --windows 6 9 12 21

`infrope bench` shows the parts of a block at one window size; this program calls it once per size.
"""

import json
from typing import Any

import gymnasium

from infrope_env.bench import bench
from infrope_env.output import run_program


def main(
    weights: str = "pocket", windows: tuple[int, ...] = (6, 9, 12, 21), blocks: int = 20, threads: int = 1
) -> None:
    """Time blocks under seeded random actions, with switches and cuts among them.

    Args:
        weights: "pocket" or the path of a world folder.
        windows: Window sizes: latent frames of sink, context and block together.
        blocks: Number of blocks that are timed at each size.
        threads: Number of CPU threads that torch uses.
    """
    results = {size: measure(weights, size, blocks, threads) for size in windows}
    first = next(iter(results.values()))
    print(f"{weights}: {first['frame']} px, {first['dtype']} on {first['device']}, {first['processor']}")
    print(f"{'window':>8}{'p50 ms':>10}{'p95 ms':>10}{'frames/s':>10}")
    for size, report in results.items():
        total = report["block_ms"]["total"]
        frames_per_second = 1000 * report["frames_per_block"] / total["p50"]
        print(f"{size:>8}{total['p50']:>10.1f}{total['p95']:>10.1f}{frames_per_second:>10.1f}")
    print(json.dumps(results))


def measure(weights: str, size: int, blocks: int, threads: int) -> dict[str, Any]:
    """Return the report of one benchmark, read from its JSON line."""
    env = gymnasium.make("infrope_env:infrope/PocketWorld-v0", weights=weights, window=size, disable_env_checker=True)
    report = bench(env, blocks=blocks, threads=threads)
    return json.loads(report.splitlines()[-1])


if __name__ == "__main__":
    run_program(main, description=__doc__)
