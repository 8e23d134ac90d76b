"""Experiment: memory policies at equal windows, on one motion and under changes and cuts."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from examples.ablations.comparison import Comparison, compare
from examples.ablations.cost_job import CostJob, cost_table
from examples.ablations.experiment_config import ExperimentConfig
from examples.ablations.features import feature_extractor
from examples.ablations.horizon_tables import horizon_sheet
from examples.ablations.job import Job, Jobs, Outcome
from examples.ablations.long_rollout import LongRolloutJob
from examples.ablations.memory_jobs import CHANGE_EVERY, CUT_EVERY, MEASURED_EVERY, SteeredRolloutJob, late_values
from examples.ablations.report import Section
from examples.ablations.store import Store
from examples.ablations.table import Table
from examples.ablations.variant import Variant
from examples.pocket_world.world.state import MOTIONS
from infrope_env.config import FORGET_RULES, Window

POLICIES = ("sink", "deep_sink", "rolling_sink", "ema", "jitter")
FORGETFUL = ("deep_sink", "rolling_sink", "ema")
COMPARED = ("likeness", "place right")
STEADY, STEERED, COSTS = "one motion", "steered", "costs"

EXPLANATION = (
    "Every policy divides the same window; `infrope_env/dynamics/README.md` describes them. *One motion* are the long "
    f"rollouts explained above. *Steered* rollouts change the motion every {CHANGE_EVERY} blocks and cut to another "
    f"scene every {CUT_EVERY}. A policy that forgets drops its memory at cuts, or at every flush; the others keep it. "
    "No scene of a steered rollout lasts longer than 15 s, so these need not be as long. "
    "Likeness, and the shares of blocks with the right subject, scene, place and motion, are taken from the last "
    "quarter before the horizon. A place is right where likeness is at least halfway between that of other places "
    "of the scene and 1."
)


def row_name(memory: str, size: int, forget: str = "never") -> str:
    """Return the name of a row: "ema, window 6, forgets at cuts"."""
    suffix = {"never": "", "cut": ", forgets at cuts", "flush": ", forgets at flushes"}[forget]
    return f"{memory}, window {size}{suffix}"


def variants(config: ExperimentConfig, forget_rules: Sequence[str] = ("never",)) -> dict[str, Variant]:
    """Return every policy at every window; at the first one those that can forget also under each of the rules."""
    rows = {}
    for size in config.sizes.memory_windows:
        for memory in POLICIES:
            for forget in forget_rules if memory in FORGETFUL and size == first_window(config) else ("never",):
                fields = {"size": size, "memory": memory, "forget": forget}
                window = Window.parse(fields, default=config.default.window)
                rows[row_name(memory, size, forget)] = config.variant(window)
    return rows


def jobs(config: ExperimentConfig) -> Jobs:
    """Return long rollouts, steered rollouts and cost measurements by row."""
    steered_ends, seeds = config.end_blocks(config.sizes.steered_horizons_s), range(config.seeds)
    return {
        STEADY: {
            name: config.long_rollouts(variant, config.sizes.memory_horizons_s)
            for name, variant in variants(config).items()
        },
        STEERED: {
            name: [SteeredRolloutJob(variant, seed, steered_ends) for seed in seeds]
            for name, variant in variants(config, FORGET_RULES).items()
        },
        COSTS: {name: config.costs(variant) for name, variant in variants(config).items()},
    }


def section(config: ExperimentConfig, store: Store, folder: Path) -> Section:
    """Return tables, pictures and comparisons."""
    outcomes = {kind: store.load_rows(rows) for kind, rows in jobs(config).items()}
    horizons_s = {STEADY: config.sizes.memory_horizons_s, STEERED: config.sizes.steered_horizons_s}
    tables, comparisons = [], []
    for kind, own_horizons_s in horizons_s.items():
        tables.append(quality_table(kind, outcomes[kind], config, own_horizons_s))
        for size in config.sizes.memory_windows:
            comparisons += compare_policies(kind, size, outcomes[kind], config, max(own_horizons_s))
    comparisons += compare_forgetting(outcomes[STEERED], config, max(horizons_s[STEERED]))
    first = {name: row[0] for name, row in outcomes[STEADY].items()}
    sheet = horizon_sheet(first, config, horizons_s[STEADY], folder / "ablations_memory.png")
    return Section(
        "Memory",
        [EXPLANATION],
        [*tables, cost_table("Cost of a block", "memory", outcomes[COSTS], memory=True)],
        comparisons,
        {"One motion: last pixel frame at each horizon, first seed": sheet},
    )


def quality_table(
    kind: str, outcomes: Mapping[str, Sequence[Outcome]], config: ExperimentConfig, horizons_s: tuple[float, ...]
) -> Table:
    """Tabulate likeness and shares of right blocks by horizon and row."""
    rows: dict[tuple[str, ...], dict[str, list[float]]] = {
        (f"{seconds:g} s", name): values_at(row, end)
        for seconds, end in zip(horizons_s, config.end_blocks(horizons_s), strict=True)
        for name, row in outcomes.items()
    }
    return Table.of_values(f"{kind.capitalize()}: by horizon and memory", ("horizon", "memory"), rows)


def values_at(outcomes: Sequence[Outcome], end: int) -> dict[str, list[float]]:
    """Return every metric at a horizon, one value per seed."""
    by_seed = [late_values(outcome.records, end, seed) for seed, outcome in enumerate(outcomes)]
    return {name: [values[name] for values in by_seed] for name in by_seed[0]}


def compare_policies(
    kind: str, size: int, outcomes: Mapping[str, Sequence[Outcome]], config: ExperimentConfig, seconds: float
) -> list[Comparison]:
    """Compare every policy with the plain sink of the same window."""
    pairs = [(row_name(memory, size), row_name("sink", size)) for memory in POLICIES[1:]]
    return compare_rows("Another memory is better than the sink", kind, pairs, outcomes, config, seconds)


def compare_forgetting(
    outcomes: Mapping[str, Sequence[Outcome]], config: ExperimentConfig, seconds: float
) -> list[Comparison]:
    """Compare every rule of forgetting with none, in steered rollouts at the first window."""
    rules, size = [rule for rule in FORGET_RULES if rule != "never"], first_window(config)
    pairs = [(row_name(memory, size, rule), row_name(memory, size)) for memory in FORGETFUL for rule in rules]
    expectation = "Memory that is dropped at changes is better than memory that is kept"
    return compare_rows(expectation, STEERED, pairs, outcomes, config, seconds)


def first_window(config: ExperimentConfig) -> int:
    """Return the window in which the rules of forgetting are compared."""
    return config.sizes.memory_windows[0]


def compare_rows(
    expectation: str,
    kind: str,
    pairs: Sequence[tuple[str, str]],
    outcomes: Mapping[str, Sequence[Outcome]],
    config: ExperimentConfig,
    seconds: float,
) -> list[Comparison]:
    """Compare pairs of rows, each two names, at a horizon."""
    (end,) = config.end_blocks((seconds,))
    values = {name: values_at(outcomes[name], end) for name in {name for names in pairs for name in names}}
    return [
        compare(
            expectation,
            f"{kind}: {metric} at {seconds:g} s",
            (first, values[first][metric]),
            (second, values[second][metric]),
        )
        for first, second in pairs
        for metric in COMPARED
    ]


def estimate_minutes(config: ExperimentConfig, store: Store) -> float:
    """Return about how many minutes the jobs that are not done take in one process: runs a short one, after a block."""
    extractor, short = feature_extractor(), SteeredRolloutJob(config.default, 0, (2 * MEASURED_EVERY,))
    replace(short, ends=(1,)).run(extractor)
    started = time.monotonic()
    short.run(extractor)
    per_block = (time.monotonic() - started) / blocks_of(short)
    every = {job for rows in jobs(config).values() for row in rows.values() for job in row if not store.has(job)}
    return sum(map(blocks_of, every)) * per_block / 60


def blocks_of(job: Job) -> int:
    """Return the number of blocks that a job makes, those that test the response at a horizon included."""
    if isinstance(job, LongRolloutJob):
        return max(job.ends) + 1 + len(job.ends) * (len(MOTIONS) - 1)
    if isinstance(job, SteeredRolloutJob):
        return max(job.ends) + 1
    return job.blocks + 1 + job.variant.window.size // job.variant.window.block if isinstance(job, CostJob) else 0
