"""Experiment: a control that was trained without changes. It separates the effects of training and mechanisms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from examples.ablations.comparison import Comparison, compare
from examples.ablations.cut import CLEAN_CUT, FLUSH, PROMPT_ALONE, transition_values
from examples.ablations.cut_jobs import SceneTransition
from examples.ablations.experiment_config import ExperimentConfig
from examples.ablations.horizon_tables import Outcomes, quality_table
from examples.ablations.job import Jobs
from examples.ablations.metrics import seed_values
from examples.ablations.report import Section
from examples.ablations.store import Store
from examples.ablations.switch_jobs import SwitchPolicy
from examples.ablations.table import Table, Values
from examples.ablations.variant import Variant
from infrope_env.models.resolve import WorldFolder, load_model, resolve
from infrope_env.models.world_folder import load_card

SHIPPED, TEACHER, CONTROL = "as shipped", "teacher", "control"
FLUSHED, CROSS_ATTENTION = "flush", "cross-attention only"
CUT = "cut"
SWITCH_METRICS = ("motion right", "blocks until named", "frames until shown", "subject kept", "scene kept")
CUT_METRICS = ("scene at 1", "scene at 12", "scene later", "subject kept", "old scene", "ghost", CLEAN_CUT)


def variants(config: ExperimentConfig) -> dict[str, Variant]:
    """Return the model, its teacher if given, and the control; nothing without a control."""
    if config.control is None:
        return {}
    weights = {SHIPPED: config.weights, TEACHER: config.teacher, CONTROL: config.control}
    return {name: Variant(each, load_model(each).window) for name, each in weights.items() if each is not None}


def policies(variant: Variant) -> tuple[SwitchPolicy, ...]:
    """Return the policies at a change of prompt: with a flush and without."""
    size = variant.window.size
    return SwitchPolicy(FLUSHED, size), SwitchPolicy(CROSS_ATTENTION, size, "none")


def transitions(variant: Variant) -> tuple[SceneTransition, ...]:
    """Return the transitions to another scene."""
    cut = SceneTransition(CUT, variant.window.cut_coordinate)
    return cut, SceneTransition(FLUSH), SceneTransition(PROMPT_ALONE, on_switch="none")


def jobs(config: ExperimentConfig) -> Jobs:
    """Return long rollouts and changes of motion and scene by model; none without a control."""
    rows, sizes, blocks = variants(config), config.sizes, config.sizes.blocks_after
    return {
        "rollouts": {name: config.long_rollouts(each, sizes.steps_horizons_s) for name, each in rows.items()},
        "switches": {name: config.switches(each, policies(each), lead=7, blocks=blocks) for name, each in rows.items()},
        "cuts": {name: config.cuts(each, transitions(each), blocks) for name, each in rows.items()},
    }


def section(config: ExperimentConfig, store: Store, folder: Path) -> Section:
    """Return tables and comparisons; there are no pictures."""
    loaded, models = {kind: store.load_rows(rows) for kind, rows in jobs(config).items()}, variants(config)
    switched, cut = switch_rows(loaded["switches"], models), cut_rows(loaded["cuts"], models)
    iterations = {name: trained_iterations(variant.weights) for name, variant in models.items()}
    changed = {labels: {metric: row[metric] for metric in CUT_METRICS} for labels, row in cut.items()}
    return Section(
        "Training",
        [explanation(iterations)],
        [
            quality_table(loaded["rollouts"], config, config.sizes.steps_horizons_s, "model"),
            Table.of_values("Changes of motion", ("model", "at a change of prompt"), switched),
            Table.of_values("Changes of scene", ("model", "transition"), changed),
        ],
        comparisons(switched, cut),
    )


def explanation(iterations: Mapping[str, str]) -> str:
    """Return the paragraph on how the models were trained."""
    counts = "; ".join(f"{name}: {each}" for name, each in iterations.items())
    return (
        "Rollouts, changes and cuts are measured as above. The control is a teacher trained from scratch on clips with "
        "one subject, one motion and one scene each; the teacher was trained on clips with changes and cuts. Only the "
        f"student was trained by self-rollout. Training iterations per stage: {counts}."
    )


def trained_iterations(weights: str) -> str:
    """Return the iterations of every training stage that a world folder's card records."""
    card = load_card(cast(WorldFolder, resolve(weights)).path)
    runs = cast(Mapping[str, Mapping[str, float]], card.training.get("runs", {}))
    counts = [f"{run} {row['iteration'] + 1:.0f}" for run, row in runs.items() if "iteration" in row]
    return ", ".join(counts) or "unknown"


def switch_rows(outcomes: Outcomes, models: Mapping[str, Variant]) -> Values:
    """Return the metrics of changes of motion by model and policy."""
    return {
        (name, policy.name): {metric: seed_values(records, "policy", number, metric) for metric in SWITCH_METRICS}
        for name, row in outcomes.items()
        for records in [[outcome.records for outcome in row]]
        for number, policy in enumerate(policies(models[name]))
    }


def cut_rows(outcomes: Outcomes, models: Mapping[str, Variant]) -> Values:
    """Return the metrics of changes of scene by model and transition."""
    return {
        (name, transition): values
        for name, row in outcomes.items()
        for records in [[outcome.records for outcome in row]]
        for transition, values in transition_values(records, transitions(models[name])).items()
    }


def comparisons(switched: Values, cut: Values) -> list[Comparison]:
    """Compare the mechanisms on the control, and the teacher with the control."""
    motion, scene = "motion right", "scene at 1"

    def row(values: Values, model: str, by: str, metric: str) -> tuple[str, Sequence[float]]:
        return f"{model}, {by}", values[model, by][metric]

    flushed, cut_to = row(switched, CONTROL, FLUSHED, motion), row(cut, CONTROL, CUT, scene)
    flush = "A flush makes a model respond that was trained without changes"
    takes = "A cut takes a model to another scene that was trained without cuts"
    found = [
        compare(flush, motion, flushed, row(switched, CONTROL, CROSS_ATTENTION, motion)),
        compare(takes, scene, cut_to, row(cut, CONTROL, PROMPT_ALONE, scene)),
    ]
    if (TEACHER, CUT) not in cut:
        return found  # the model as shipped differs from the control in more than its clips
    taught = "Training on changes makes a small model respond to them"
    followed = "Training on cuts makes a small model follow them"
    return [
        *found,
        compare(taught, motion, row(switched, TEACHER, FLUSHED, motion), flushed),
        compare(followed, scene, row(cut, TEACHER, CUT, scene), cut_to),
    ]
