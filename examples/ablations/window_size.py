"""Experiment: effect and cost of the window size."""

from __future__ import annotations

from pathlib import Path

from examples.ablations.cost_job import cost_table
from examples.ablations.experiment_config import ExperimentConfig
from examples.ablations.horizon_tables import compare_quality_with_default, quality_table
from examples.ablations.job import Jobs
from examples.ablations.report import Section
from examples.ablations.store import Store
from examples.ablations.variant import Variant, resized

EXPLANATION = (
    "The size counts sink, context and block, in latent frames; the metrics are explained above. Times are those of a "
    "block without text encoding and decoding, with a full window and no other job running."
)


def variants(config: ExperimentConfig) -> dict[str, Variant]:
    """Return the sizes that leave room for a context, the default size included."""
    window = config.default.window
    smallest = window.sink + window.block + 1
    sizes = sorted({window.size, *(size for size in config.sizes.window_sizes if size >= smallest)})
    return {str(size): config.variant(resized(window, size)) for size in sizes}


def jobs(config: ExperimentConfig) -> Jobs:
    """Return long rollouts and cost measurements by size."""
    rows, horizons_s = variants(config), config.sizes.window_horizons_s
    return {
        "rollouts": {name: config.long_rollouts(variant, horizons_s) for name, variant in rows.items()},
        "costs": {name: config.costs(variant) for name, variant in rows.items()},
    }


def section(config: ExperimentConfig, store: Store, folder: Path) -> Section:
    """Return tables and comparisons; there are no pictures."""
    outcomes, costs = store.load_rows(jobs(config)["rollouts"]), store.load_rows(jobs(config)["costs"])
    horizons_s, default = config.sizes.window_horizons_s, str(config.default.window.size)
    return Section(
        "Window size",
        [EXPLANATION],
        [
            quality_table(outcomes, config, horizons_s, "window"),
            cost_table("Cost of a window", "window", costs, memory=True),
        ],
        compare_quality_with_default("window size", default, outcomes, config, max(horizons_s)),
    )
