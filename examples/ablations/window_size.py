"""Experiment: what a longer window is worth, and what it costs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from examples.ablations.cost_job import Costs
from examples.ablations.experiment_config import Plan
from examples.ablations.horizon_tables import best_by_quality, quality_table
from examples.ablations.job import Cell
from examples.ablations.long_rollout import Held
from examples.ablations.report import Section
from examples.ablations.statistics import Spread
from examples.ablations.store import Store
from examples.ablations.table import Entry, Table
from examples.ablations.variant import resized


def sizes(plan: Plan) -> list[int]:
    """Those that leave room for a context, the world's own among them."""
    window = plan.own.window
    least = window.sink + window.block + 1
    return sorted({window.size, *(size for size in plan.amounts.sizes if size >= least)})


def held(plan: Plan) -> dict[int, list[Held]]:
    """Held rollouts, by size."""
    return {
        size: plan.held(plan.of(resized(plan.own.window, size)), plan.amounts.window_horizons_s) for size in sizes(plan)
    }


def costs(plan: Plan) -> dict[int, list[Costs]]:
    """Times, by size."""
    settings = {size: plan.of(resized(plan.own.window, size)) for size in sizes(plan)}
    return {
        size: [Costs(setting, seed, plan.amounts.timed) for seed in range(plan.seeds)]
        for size, setting in settings.items()
    }


def cells(plan: Plan) -> list[Cell]:
    """All that is played."""
    return [cell for by_size in (held(plan), costs(plan)) for row in by_size.values() for cell in row]


def section(plan: Plan, store: Store, folder: Path) -> Section:
    """Tables and verdicts."""
    outcomes = {str(size): [store.load(cell) for cell in row] for size, row in held(plan).items()}
    horizons_s = plan.amounts.window_horizons_s
    return Section(
        "Window size",
        [
            "Sink, context and block together, in latent frames; what is measured is explained above. Times are those "
            "of a block without text and decoding, with a full window and nothing running beside."
        ],
        [quality_table(outcomes, plan, horizons_s, "window"), cost_table(plan, store)],
        best_by_quality("Window size", str(plan.own.window.size), outcomes, plan, max(horizons_s)),
    )


def cost_table(plan: Plan, store: Store) -> Table:
    """Time, and memory of keys and values, by size."""
    rows: list[list[Entry]] = []
    for size, row in costs(plan).items():
        records = [store.load(cell).records for cell in row]
        times = [float(np.median([record["ms"] for record in seed])) for seed in records]
        rows.append([str(size), Spread.of(times), records[0][0]["passes"], records[0][0]["memory"]])
    return Table("What a window costs", ("window", "ms a block, median", "passes", "keys and values, MB"), rows)
