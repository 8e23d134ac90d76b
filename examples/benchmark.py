"""What a longer memory costs: the time of a block by the size of the window, one row each, then one JSON line.

Try:
    python examples/benchmark.py --windows 6 9 12 21

`infrope bench` says where the time goes at one size; this calls it once for each.
"""

import json

import gymnasium
import tyro

from infrope_env.bench import bench


def main(
    weights: str = "pocket", windows: tuple[int, ...] = (6, 9, 12, 21), blocks: int = 20, threads: int = 1
) -> None:
    """Time blocks under random actions, switches and cuts among them.

    Args:
        weights: a bundled world, or the path of a world folder.
        windows: latent frames that attention spans: sink, context and block.
        blocks: to time at each size.
        threads: of torch on the processor.
    """
    results = {size: measure(weights, size, blocks, threads) for size in windows}
    first = next(iter(results.values()))
    print(f"{first['world']}: {first['frame']} px, {first['dtype']} on {first['device']}, {first['processor']}")
    print(f"{'window':>8}{'p50 ms':>10}{'p95 ms':>10}{'frames/s':>10}")
    for size, facts in results.items():
        total = facts["block_ms"]["total"]
        frames_per_second = 1000 * facts["frames_per_block"] / total["p50"]
        print(f"{size:>8}{total['p50']:>10.1f}{total['p95']:>10.1f}{frames_per_second:>10.1f}")
    print(json.dumps(results))


def measure(weights: str, size: int, blocks: int, threads: int) -> dict:
    """The facts of one benchmark, as its last line gives them."""
    env = gymnasium.make("infrope_env:infrope/PocketWorld-v0", weights=weights, window=size, disable_env_checker=True)
    report = bench(env, blocks=blocks, threads=threads)
    return json.loads(report.splitlines()[-1])


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
