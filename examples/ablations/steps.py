"""Experiment: the number of denoising steps, and the student against its teacher."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from examples.ablations.cost_job import cost_table
from examples.ablations.cut_jobs import SceneTransition
from examples.ablations.experiment_config import ExperimentConfig
from examples.ablations.horizon_tables import (
    Outcomes,
    compare_quality,
    compare_quality_with_default,
    plot_over_time,
    quality_table,
)
from examples.ablations.job import Jobs, Outcome
from examples.ablations.metrics import seed_values
from examples.ablations.report import Section
from examples.ablations.store import Store
from examples.ablations.switch_jobs import SwitchPolicy
from examples.ablations.table import Table
from examples.ablations.variant import Variant, even_steps
from infrope_env.models.resolve import load_model

TEACHER = "teacher"
EXPLANATION = (
    "Steps are spaced evenly before the model's own timestep shift. Long rollouts are measured as above. *Motion "
    "right* and *frames until shown* refer to the first block after a change of motion, *scene* and *subject* to a "
    "cut, *later* to its second block."
)


def variants(config: ExperimentConfig) -> dict[str, Variant]:
    """Return the default, the model with every number of steps, and its teacher with its own steps."""
    rows = {default_name(config): config.default}
    for count in config.sizes.step_counts:
        rows.setdefault(steps_name(count), replace(config.default, steps=even_steps(count)))
    if config.teacher is not None:
        rows[TEACHER] = Variant(config.teacher, load_model(config.teacher).window)
    return rows


def default_name(config: ExperimentConfig) -> str:
    """Return the name of the default row: "own steps" where the model's own are not evenly spaced."""
    own = config.default.sampler.steps
    return steps_name(len(own)) if own == even_steps(len(own)) else "own steps"


def steps_name(count: int) -> str:
    """Return a row's name in tables."""
    return f"{count} step" if count == 1 else f"{count} steps"


def jobs(config: ExperimentConfig) -> Jobs:
    """Return long rollouts, changes of motion, cuts and cost measurements by row."""
    rows, horizons_s = variants(config), config.sizes.steps_horizons_s
    flush = {name: (SwitchPolicy("flush", each.window.size),) for name, each in rows.items()}
    cut = {name: (SceneTransition("cut", each.window.cut_coordinate),) for name, each in rows.items()}
    return {
        "rollouts": {name: config.long_rollouts(each, horizons_s) for name, each in rows.items()},
        "switches": {name: config.switches(each, flush[name], lead=3, blocks=1) for name, each in rows.items()},
        "cuts": {name: config.cuts(each, cut[name], blocks=2) for name, each in rows.items()},
        "costs": {name: config.costs(each) for name, each in rows.items()},
    }


def section(config: ExperimentConfig, store: Store, folder: Path) -> Section:
    """Return tables, a picture and comparisons."""
    loaded = {kind: store.load_rows(rows) for kind, rows in jobs(config).items()}
    outcomes = loaded["rollouts"]
    horizons_s, default = config.sizes.steps_horizons_s, default_name(config)
    by_steps = {name: row for name, row in outcomes.items() if name != TEACHER}
    comparisons = compare_quality_with_default("number of steps", default, by_steps, config, max(horizons_s))
    if TEACHER in outcomes:
        expectation = "Self-rollout in training makes the student drift less than its teacher"
        comparisons += compare_quality(expectation, default, TEACHER, outcomes, config, max(horizons_s))
    return Section(
        "Steps, teacher and student",
        [EXPLANATION],
        [
            quality_table(outcomes, config, horizons_s, "model"),
            response_table(loaded["switches"], loaded["cuts"]),
            cost_table("Cost of a block", "model", loaded["costs"]),
        ],
        comparisons,
        {"Drift over time": plot_drift(outcomes, folder / "ablations_steps.png")},
    )


def response_table(switches: Outcomes, cuts: Outcomes) -> Table:
    """Tabulate the responses to changes of motion and to cuts."""
    rows: dict[tuple[str, ...], dict[str, list[float]]] = {}
    for name, row in switches.items():
        switched, cut = ([outcome.records for outcome in each] for each in (row, cuts[name]))
        rows[(name,)] = {
            **{each: seed_values(switched, "policy", 0, each) for each in ("motion right", "frames until shown")},
            **{each: seed_values(cut, "transition", 0, each) for each in ("scene at 1", "scene later")},
            "subject kept in a cut": seed_values(cut, "transition", 0, "subject kept"),
        }
    return Table.of_values("Changes and cuts", ("model",), rows)


def plot_drift(outcomes: Outcomes, path: Path) -> Path:
    """Plot likeness and relative sharpness over the blocks that all rows have measured; return the path."""
    measured = [{record["block"] for record in row[0].records} for row in outcomes.values()]
    common = set.intersection(*measured)
    shared = {
        name: [Outcome([record for record in outcome.records if record["block"] in common]) for outcome in row]
        for name, row in outcomes.items()
    }
    return plot_over_time(shared, path, ("sharpness over the rendered", "sharpness"))
