"""Experiment: which coordinate rule finds its way. Walks alone, more of them than seeds: nothing else has a place."""

from __future__ import annotations

from pathlib import Path

from examples.ablations.comparison import Verdict, claimed_better, default_is_best
from examples.ablations.experiment_config import Plan
from examples.ablations.horizon_tables import over_time, qualities, quality_table, sheet
from examples.ablations.job import Cell, Outcome
from examples.ablations.long_rollout import Held, Rendered, held_state
from examples.ablations.report import Section
from examples.ablations.rope import arms, failure_table, failures
from examples.ablations.store import Store
from examples.pocket_world.world.state import WALKING_SPEED

MORE_WALKS = 2
"""Than seeds: what a walk loses differs much between walks."""
TRUTH = "rendered"


def horizons_s(plan: Plan) -> tuple[float, ...]:
    """Seconds at which walks are judged."""
    return tuple(h for h in plan.amounts.horizons_s if h <= max(plan.amounts.window_horizons_s))


def walks(plan: Plan) -> list[tuple[int, tuple[int, ...]]]:
    """Seeds that walk, and the blocks in which their horizons end; what is held farther anyway is not played again."""
    seeds = (seed for seed in range(1000) if held_state(seed).motion in WALKING_SPEED)
    chosen = [next(seeds) for _ in range(plan.seeds + MORE_WALKS)]
    return [(seed, plan.ends(plan.amounts.horizons_s if seed < plan.seeds else horizons_s(plan))) for seed in chosen]


def held(plan: Plan) -> dict[str, list[Cell]]:
    """Walks by rule, and what the world itself draws."""
    every = plan.amounts.every
    rows: dict[str, list[Cell]] = {
        name: [Held(setting, seed, ends, every) for seed, ends in walks(plan)] for name, setting in arms(plan).items()
    }
    return rows | {TRUTH: [Rendered(plan.weights, seed, ends, every) for seed, ends in walks(plan)]}


def cells(plan: Plan) -> list[Cell]:
    """All that is played."""
    return [cell for row in held(plan).values() for cell in row]


def section(plan: Plan, store: Store, folder: Path) -> Section:
    """Tables, pictures and verdicts."""
    last = plan.ends(horizons_s(plan))[-1]
    outcomes = {name: [until(store.load(cell), last) for cell in row] for name, row in held(plan).items()}
    generated = {name: row for name, row in outcomes.items() if name != TRUTH}
    likeness = {name: qualities(row, last)["likeness"] for name, row in generated.items()}
    seeds = [seed for seed, _ in walks(plan)]
    return Section(
        "Finding the way",
        [
            "The way of every scene goes round, and a generator has to know where on it it is, from what it sees. "
            f"Walks of seeds {', '.join(map(str, seeds))}, judged as above: *likeness* tells whether what they pass is "
            "what is there."
        ],
        [
            quality_table(outcomes, plan, horizons_s(plan), "coordinates"),
            failure_table(failures(generated, seeds), seeds),
        ],
        verdicts(likeness, plan),
        {
            "The last pixel frame at each horizon, last walk": sheet(
                {name: row[-1] for name, row in outcomes.items()},
                plan,
                horizons_s(plan),
                folder / "ablations_walks.png",
            ),
            "Walks over time": over_time(outcomes, folder / "ablations_walks_time.png"),
        },
    )


def until(outcome: Outcome, last: int) -> Outcome:
    """As if it had ended with this block."""
    return Outcome([record for record in outcome.records if record["block"] <= last], outcome.arrays)


def verdicts(likeness: dict[str, list[float]], plan: Plan) -> list[Verdict]:
    """Relative coordinates against all others, at the last horizon."""
    own, seconds = plan.own.window.coordinates, horizons_s(plan)[-1]
    found = [
        claimed_better(
            f"Relative coordinates find their way where {other} ones do not (likeness at {seconds:g} s)",
            (own, likeness[own]),
            (other, likeness[other]),
        )
        for other in likeness
        if other.startswith("absolute")
    ]
    return [*found, default_is_best("Coordinate rule", own, likeness, f"likeness on walks at {seconds:g} s")]
