"""Experiment: Block-Relativistic RoPE by both rules against absolute coordinates, with and without a sink."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from examples.ablations.attention_jobs import SinkDistanceJob
from examples.ablations.experiment_config import ExperimentConfig
from examples.ablations.horizon_tables import (
    Outcomes,
    compare_quality,
    compare_quality_with_default,
    draw_strips,
    horizon_sheet,
    metric_curve,
    plot_over_time,
    quality_table,
)
from examples.ablations.job import Jobs
from examples.ablations.long_rollout import RenderedRolloutJob, likeness_threshold
from examples.ablations.metrics import Record, failure_block
from examples.ablations.plot import plot_curves
from examples.ablations.report import Section
from examples.ablations.store import Store
from examples.ablations.table import Entry, Table
from examples.ablations.variant import Variant
from examples.pocket_world.evaluate.sheets import SheetRow
from examples.stats import SeedStatistics
from infrope_env.config import COORDINATE_RULES, ROTARY_TABLE_LENGTH

FailureBlocks = Mapping[str, Sequence[int | None]]
"""Block of failure per seed, or None, by row."""

SECONDS_PER_BLOCK = 0.75
ABSOLUTE, NO_SINK, RENDERED = "absolute", "absolute, no sink", "rendered"
WITH_SINK, WITHOUT_SINK = "with its sink", "without a sink"


def variants(config: ExperimentConfig) -> dict[str, Variant]:
    """Return every coordinate rule with the default sink, and absolute coordinates in a plain sliding window."""
    rows: dict[str, Variant] = {
        rule: config.variant(replace(config.default.window, coordinates=rule), long_table=rule == ABSOLUTE)
        for rule in COORDINATE_RULES
    }
    return rows | {NO_SINK: rows[ABSOLUTE].without_sink()}


def jobs(config: ExperimentConfig) -> Jobs:
    """Return the long rollouts by coordinate rule, and the jobs that move one block away from its sink."""
    sizes, seeds, default = config.sizes, range(config.seeds), config.default
    ends = config.end_blocks(sizes.horizons_s)
    moved = {WITH_SINK: default, WITHOUT_SINK: default.without_sink()}
    return {
        "rollouts": {
            **{name: config.long_rollouts(each, sizes.horizons_s) for name, each in variants(config).items()},
            RENDERED: [RenderedRolloutJob(default, seed, ends, sizes.measure_every) for seed in seeds],
        },
        "distances": {
            name: [SinkDistanceJob(each, seed, sizes.sink_shifts) for seed in seeds] for name, each in moved.items()
        },
    }


def section(config: ExperimentConfig, store: Store, folder: Path) -> Section:
    """Return tables, pictures and comparisons."""
    rollouts, distances = store.load_rows(jobs(config)["rollouts"]), store.load_rows(jobs(config)["distances"])
    by_distance = {name: [outcome.records for outcome in row] for name, row in distances.items()}
    generated = {name: row for name, row in rollouts.items() if name != RENDERED}
    failures = failure_blocks(generated, range(config.seeds))
    horizons_s, default = config.sizes.horizons_s, config.default.window.coordinates
    first_seed = {name: row[0] for name, row in rollouts.items()}
    pictures = {
        "Last pixel frame at each horizon, first seed": horizon_sheet(
            first_seed, config, horizons_s, folder / "ablations_rope.png"
        ),
        "Metrics over time": plot_over_time(rollouts, folder / "ablations_rope_time.png"),
        "One block by the distance of its sink": plot_distances(by_distance, folder / "ablations_rope_distance.png"),
    }
    if strips := failure_strips(generated, failures, config):
        pictures["Failures: first block, block of failure, end"] = draw_strips(
            strips, folder / "ablations_rope_failures.png"
        )
    rules = {name: row for name, row in generated.items() if name != NO_SINK}
    expectation = "Relative coordinates stay right longer than absolute ones"
    return Section(
        "Block-Relativistic RoPE",
        [explanation(config), failure_summary(failures, config), distance_summary(by_distance), table_end(config)],
        [
            quality_table(rollouts, config, horizons_s, "coordinates"),
            failure_table(failures, range(config.seeds)),
        ],
        [
            *compare_quality(expectation, default, ABSOLUTE, generated, config, max(horizons_s)),
            *compare_quality_with_default("coordinate rule", default, rules, config, max(horizons_s)),
        ],
        pictures,
    )


def failure_blocks(outcomes: Outcomes, seeds: Sequence[int]) -> FailureBlocks:
    """Return the block from which on subject, scene or place is wrong, by row and seed."""
    thresholds = [likeness_threshold(seed) for seed in seeds]
    return {
        name: [failure_block(outcome.records, threshold) for outcome, threshold in zip(row, thresholds, strict=True)]
        for name, row in outcomes.items()
    }


def failure_table(failures: FailureBlocks, seeds: Sequence[int]) -> Table:
    """Tabulate the time of failure by row and seed."""
    rows: list[list[Entry]] = [
        [name, *("none" if block is None else f"{block * SECONDS_PER_BLOCK:.0f} s" for block in row)]
        for name, row in failures.items()
    ]
    title = "Time of failure: from here on, subject, scene or place is wrong in at least half of the measured blocks"
    return Table(title, ("coordinates", *(f"seed {seed}" for seed in seeds)), rows)


def failure_summary(failures: FailureBlocks, config: ExperimentConfig) -> str:
    """Return a sentence on how many rollouts fail, and when."""
    last = max(config.sizes.horizons_s)
    failed = {name: [block for block in row if block is not None] for name, row in failures.items()}
    if not failed[ABSOLUTE]:
        return (
            f"**Absolute coordinates do not fail on this model within {last:g} s**: subject, scene and place stay "
            f"right with all {config.seeds} seeds, although the sink is "
            f"{last / SECONDS_PER_BLOCK * config.default.window.block:.0f} coordinates away."
        )
    first_s = min(failed[ABSOLUTE]) * SECONDS_PER_BLOCK
    relative = len(failed[config.default.window.coordinates])
    return (
        f"With absolute coordinates, {len(failed[ABSOLUTE])} of {config.seeds} rollouts lose subject, scene or place, "
        f"the first after {first_s:.0f} s. With the default rule, {relative} of {config.seeds} do within {last:g} s."
    )


def distance_summary(by_distance: Mapping[str, Sequence[Sequence[Record]]]) -> str:
    """Return sentences on the effect of the sink's distance."""
    with_sink, without_sink = by_distance[WITH_SINK], by_distance[WITHOUT_SINK]
    shifts = [int(record["shift"]) for record in with_sink[0]]
    changes = [SeedStatistics.of([seed[i]["change"] for seed in with_sink]) for i in range(len(shifts))]
    largest = max(range(len(shifts)), key=lambda i: changes[i].mean)
    near, far = (SeedStatistics.of([seed[i]["sink"] for seed in with_sink]) for i in (0, -1))
    plain = SeedStatistics.of([seed[-1]["change"] for seed in without_sink])
    return (
        "Rotary embeddings depend on differences of coordinates only, and the block is always next to the newest "
        "context frames. So absolute coordinates act only through the distance of the sink. When one block is "
        "generated again with its sink moved away, its latents change most at a shift of "
        f"{shifts[largest]} coordinates (relative root mean square {changes[largest]}). The sink's share of attention "
        f"is {near} at its usual place and {far} at a shift of {shifts[-1]}. Without a sink, a shift of {shifts[-1]} "
        f"changes the latents by {plain}, which is rounding."
    )


def table_end(config: ExperimentConfig) -> str:
    """Return a sentence on the end of the official rotary table."""
    last_s = (ROTARY_TABLE_LENGTH // config.default.window.block) * SECONDS_PER_BLOCK
    return (
        f"The official rotary table has {ROTARY_TABLE_LENGTH} coordinates. Absolute coordinates reach its end after "
        f"{last_s:.0f} s, where the engine raises an error. The absolute rows have a longer table."
    )


def explanation(config: ExperimentConfig) -> str:
    """Return the paragraph on what is measured."""
    window = config.default.window
    return (
        "One motion is kept for the whole rollout. Detectors that were trained on rendered frames name subject, scene "
        "and motion. *Consistency* is the mean cosine of the detectors' features to the first frame and to the frame "
        "before, as in VBench. *Dynamic degree* is the share of blocks that change at least half as much per frame as "
        "the rendered block. *Imaging* is the sharpness relative to the rendered block. *Overall* is the mean of these "
        "four. *Likeness* is the mean cosine of the scene's features to those of the frames that the world renders for "
        "the same block. A place counts as lost where likeness is below halfway between that of other places and 1. "
        "Names and likeness are taken from the last quarter before the horizon. *Scroll* is the speed of walks "
        "relative to the true one. *Answers* is the share of the other motions that show in the first block after "
        f"their action. Window {window.size}, sink {window.sink}."
    )


def failure_strips(outcomes: Outcomes, failures: FailureBlocks, config: ExperimentConfig) -> list[SheetRow]:
    """Return a strip per failed rollout: the first block, the block of failure, the end."""
    end = max(config.end_blocks(config.sizes.horizons_s))
    strips = []
    for name, row in outcomes.items():
        for seed, (outcome, block) in enumerate(zip(row, failures[name], strict=True)):
            if block is not None and str(block) in outcome.arrays:
                frames = [outcome.arrays[str(number)] for number in (0, block, end)]
                labels = ["first block", f"failure, {block * SECONDS_PER_BLOCK:.0f} s", "end"]
                strips.append(SheetRow(f"{name}, seed {seed}", frames, labels))
    return strips


def plot_distances(by_distance: Mapping[str, Sequence[Sequence[Record]]], path: Path) -> Path:
    """Plot the change of the block and the sink's share of attention by shift; return the path."""
    changes = {name: metric_curve(row, "shift", "change", start=1) for name, row in by_distance.items()}
    share = {WITH_SINK: metric_curve(by_distance[WITH_SINK], "shift", "sink", start=1)}
    panels = {"change of the block's latents": changes, "share of attention on the sink": share}
    return plot_curves(path, panels, "coordinates", logarithmic=True)
