"""Job: time and memory of a block when the window is full."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from examples.ablations.features import FeatureExtractor
from examples.ablations.harness import Harness
from examples.ablations.job import Job, Outcome
from examples.ablations.long_rollout import start_state
from examples.ablations.table import Entry, Table
from examples.stats import SeedStatistics, median


@dataclass(frozen=True)
class CostJob(Job):
    """A job that measures the time of `blocks` blocks; no other job runs at the same time."""

    blocks: int
    timed: bool = field(default=True, kw_only=True)

    def run(self, extractor: FeatureExtractor) -> Outcome:
        """Return one record per block: "ms" without text and decoding, "passes", "memory" of the cache in MB."""
        harness, state = Harness(self.variant), start_state(self.seed)
        harness.start(state, self.seed)
        full = 1 + self.variant.window.size // self.variant.window.block
        cache = harness.rollout.cache
        records = []
        for _ in range(full + self.blocks):
            harness.play(state.motion)
            averages = sum(average.nbytes for average in cache.averages.values())
            memory_mb = (cache.keys.nbytes + cache.values.nbytes + averages) / 1e6
            records.append({"ms": harness.block_ms, "passes": float(harness.passes), "memory": memory_mb})
        return Outcome(records[full:])


def cost_table(title: str, row_label: str, outcomes: Mapping[str, Sequence[Outcome]], memory: bool = False) -> Table:
    """Tabulate time per block (median of a seed's blocks), passes and, on request, cache memory."""
    columns = ("ms per block, median", "passes", *(("keys and values, MB",) if memory else ()))
    rows: list[list[Entry]] = []
    for name, row in outcomes.items():
        times = SeedStatistics.of([median([record["ms"] for record in outcome.records]) for outcome in row])
        first = row[0].records[0]
        rows.append([name, times, first["passes"], *([first["memory"]] if memory else [])])
    return Table(title, (row_label, *columns), rows)
