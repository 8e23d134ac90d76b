"""Experiment: coordinate rules on long walks, where likeness shows whether the place along the way is right."""

from __future__ import annotations

from pathlib import Path

from examples.ablations.comparison import compare, compare_with_default
from examples.ablations.experiment_config import ExperimentConfig
from examples.ablations.horizon_tables import horizon_sheet, plot_over_time, quality_table, quality_values
from examples.ablations.job import Job, Jobs, Outcome
from examples.ablations.long_rollout import LongRolloutJob, RenderedRolloutJob, start_state
from examples.ablations.report import Section
from examples.ablations.rope import RENDERED, failure_blocks, failure_table, variants
from examples.ablations.store import Store
from examples.pocket_world.world.state import WALKING_SPEED

EXTRA_WALKS = 2
"""Walks in addition to one per seed: results differ much between walks."""


def horizons_s(config: ExperimentConfig) -> tuple[float, ...]:
    """Return the horizons of the walks."""
    return tuple(h for h in config.sizes.horizons_s if h <= max(config.sizes.window_horizons_s))


def walks(config: ExperimentConfig) -> list[tuple[int, tuple[int, ...]]]:
    """Return seeds whose motion is a walk, and their end blocks; those of `rope` are reused with its horizons."""
    seeds = (seed for seed in range(1000) if start_state(seed).motion in WALKING_SPEED)
    chosen = [next(seeds) for _ in range(config.seeds + EXTRA_WALKS)]
    return [
        (seed, config.end_blocks(config.sizes.horizons_s if seed < config.seeds else horizons_s(config)))
        for seed in chosen
    ]


def jobs(config: ExperimentConfig) -> Jobs:
    """Return the walks by coordinate rule, and the rendered ones."""
    every, chosen = config.sizes.measure_every, walks(config)
    rows: dict[str, list[Job]] = {
        name: [LongRolloutJob(variant, seed, ends, every) for seed, ends in chosen]
        for name, variant in variants(config).items()
    }
    rendered: list[Job] = [RenderedRolloutJob(config.default, seed, ends, every) for seed, ends in chosen]
    return {"rollouts": {**rows, RENDERED: rendered}}


def section(config: ExperimentConfig, store: Store, folder: Path) -> Section:
    """Return tables, pictures and comparisons."""
    last, seconds = config.end_blocks(horizons_s(config))[-1], horizons_s(config)[-1]
    rollouts = store.load_rows(jobs(config)["rollouts"])
    outcomes = {name: [until(outcome, last) for outcome in row] for name, row in rollouts.items()}
    generated = {name: row for name, row in outcomes.items() if name != RENDERED}
    likeness = {name: quality_values(row, last)["likeness"] for name, row in generated.items()}
    seeds, default = [seed for seed, _ in walks(config)], config.default.window.coordinates
    expectation = "Relative coordinates keep the place on a walk better than absolute ones"
    last_walk = {name: row[-1] for name, row in outcomes.items()}
    return Section(
        "Walks",
        [explanation(seeds)],
        [
            quality_table(outcomes, config, horizons_s(config), "coordinates"),
            failure_table(failure_blocks(generated, seeds), seeds),
        ],
        [
            *(
                compare(expectation, f"likeness at {seconds:g} s", (default, likeness[default]), (other, values))
                for other, values in likeness.items()
                if other.startswith("absolute")
            ),
            compare_with_default("coordinate rule", f"likeness on walks at {seconds:g} s", default, likeness),
        ],
        {
            "Last pixel frame at each horizon, last walk": horizon_sheet(
                last_walk, config, horizons_s(config), folder / "ablations_walks.png"
            ),
            "Walks over time": plot_over_time(outcomes, folder / "ablations_walks_time.png"),
        },
    )


def explanation(seeds: list[int]) -> str:
    """Return the paragraph on what is measured."""
    return (
        "Scenery is periodic, and the generator has to infer the place from the frames it sees. Walks of seeds "
        f"{', '.join(map(str, seeds))}, measured as above; *likeness* shows whether the scenery is that of the place."
    )


def until(outcome: Outcome, last: int) -> Outcome:
    """Return the outcome without the records after a block."""
    return Outcome([record for record in outcome.records if record["block"] <= last], outcome.arrays)
