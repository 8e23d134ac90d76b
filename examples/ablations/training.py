"""Experiment: a model that was never shown a change. What training contributes, and what the mechanisms do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from examples.ablations.comparison import Verdict, claimed_better
from examples.ablations.cut import CLEAN, FLUSH, PLAIN, measured
from examples.ablations.cut_jobs import Cuts, Way
from examples.ablations.experiment_config import Plan
from examples.ablations.flush import by_seed
from examples.ablations.horizon_tables import quality_table
from examples.ablations.job import Cell
from examples.ablations.long_rollout import Held
from examples.ablations.report import Section
from examples.ablations.statistics import Spread
from examples.ablations.store import Store
from examples.ablations.switch_jobs import Arm, Switches
from examples.ablations.table import Entry, Table
from examples.ablations.variant import Setting
from infrope_env.models.resolve import WorldFolder, load_model, resolve
from infrope_env.models.world_folder import load_card

SHIPPED, TEACHER, CONTROL = "as shipped", "teacher", "control"
FLUSHED, TOLD = "flush", "cross-attention only"
CUT = "cut"
ANSWERS = ("motion right", "blocks until named", "frames until shown", "subject kept", "scene kept")
REACHED = ("scene at 1", "scene at 12", "scene later", "subject kept", "old scene", "ghost", CLEAN)

Rows = Mapping[tuple[str, str], Mapping[str, Sequence[float]]]
"""Measures by model and way, each one value a seed."""


def models(plan: Plan) -> dict[str, Setting]:
    """The world, its teacher and the control, as far as they are given; none without a control."""
    if plan.control is None:
        return {}
    folders = {SHIPPED: plan.weights, TEACHER: plan.teacher, CONTROL: plan.control}
    return {name: Setting(each, load_model(each).window) for name, each in folders.items() if each is not None}


def held(plan: Plan) -> dict[str, list[Held]]:
    """Held rollouts, by model."""
    return {name: plan.held(setting, plan.amounts.steps_horizons_s) for name, setting in models(plan).items()}


def arms(setting: Setting) -> tuple[Arm, ...]:
    """How a prompt is changed: with a flush, and without."""
    return Arm(FLUSHED, setting.window.size), Arm(TOLD, setting.window.size, "none")


def ways(setting: Setting) -> tuple[Way, ...]:
    """How another scene is reached."""
    return Way(CUT, setting.window.cut_coordinate), Way(FLUSH), Way(PLAIN, on_switch="none")


def changes(plan: Plan) -> dict[str, list[Switches]]:
    """Changes of motion, by model."""
    sizes = plan.amounts
    return {
        name: [
            Switches(setting, seed, arms(setting), sizes.pasts, sizes.motions, blocks=sizes.after)
            for seed in range(plan.seeds)
        ]
        for name, setting in models(plan).items()
    }


def shots(plan: Plan) -> dict[str, list[Cuts]]:
    """Ways to another scene, by model."""
    sizes = plan.amounts
    return {
        name: [
            Cuts(setting, seed, ways(setting), sizes.pasts, sizes.scenes, blocks=sizes.after)
            for seed in range(plan.seeds)
        ]
        for name, setting in models(plan).items()
    }


def cells(plan: Plan) -> list[Cell]:
    """All that is played; nothing without a control."""
    return [cell for kind in (held, changes, shots) for row in kind(plan).values() for cell in row]


def section(plan: Plan, store: Store, folder: Path) -> Section:
    """Tables and verdicts; there are no pictures."""
    del folder
    outcomes = {name: [store.load(cell) for cell in row] for name, row in held(plan).items()}
    answers, reached = answered(plan, store), arrived(plan, store)
    return Section(
        "Training",
        [explanation(models(plan))],
        [
            quality_table(outcomes, plan, plan.amounts.steps_horizons_s, "model"),
            table("After a change of motion", answers, ANSWERS),
            table("To another scene", reached, REACHED),
        ],
        verdicts(answers, reached),
    )


def explanation(rows: Mapping[str, Setting]) -> str:
    """What was trained on what."""
    told = "; ".join(f"{name}: {learnt(setting.weights)}" for name, setting in rows.items())
    return (
        "What is held, changed and cut is judged as above. The control is a teacher trained from nothing on clips in "
        "each of which one subject does one thing in one place, the teacher one that was shown changes and cuts. "
        f"Neither played by itself in training, as the student did. Iterations that each has learnt for: {told}."
    )


def learnt(world: str) -> str:
    """Iterations of every run that a world folder's record tells of."""
    card = load_card(cast(WorldFolder, resolve(world)).path)
    runs = cast(Mapping[str, Mapping[str, float]], card.training.get("runs", {}))
    return (
        ", ".join(f"{run} {row['iteration'] + 1:.0f}" for run, row in runs.items() if "iteration" in row) or "unknown"
    )


def answered(plan: Plan, store: Store) -> Rows:
    """What the block after a change of motion shows."""
    return {
        (name, arm.name): {measure: by_seed(records, "arm", number, measure) for measure in ANSWERS}
        for name, row in changes(plan).items()
        for records in [[store.load(cell).records for cell in row]]
        for number, arm in enumerate(arms(row[0].setting))
    }


def arrived(plan: Plan, store: Store) -> Rows:
    """What the blocks in another scene show."""
    return {
        (name, way): values
        for name, row in shots(plan).items()
        for way, values in measured([store.load(cell).records for cell in row], ways(row[0].setting)).items()
    }


def table(title: str, rows: Rows, measures: Sequence[str]) -> Table:
    """A line for every model and way."""
    lines: list[list[Entry]] = [
        [*name, *(Spread.of(values[measure]) for measure in measures)] for name, values in rows.items()
    ]
    return Table(title, ("model", "by", *measures), lines)


def verdicts(answers: Rows, reached: Rows) -> list[Verdict]:
    """What the mechanisms do for a model that was shown no change, and what showing it changes adds."""
    comparisons = [
        ("A flush makes a model answer that was shown no change", answers, "motion right", FLUSHED, TOLD),
        ("A cut brings a model to another scene that was shown none", reached, "scene at 1", CUT, PLAIN),
    ]
    found = [
        claimed_better(f"{claim} ({measure})", (by, rows[CONTROL, by][measure]), (other, rows[CONTROL, other][measure]))
        for claim, rows, measure, by, other in comparisons
    ]
    if (TEACHER, CUT) not in reached:
        return found  # what is shipped differs from the control in more than what it was shown
    lessons = [
        ("Training on changes is what makes a small model answer them", answers, "motion right", FLUSHED),
        ("Training on cuts is what makes a small model follow them", reached, "scene at 1", CUT),
    ]
    return found + [
        claimed_better(
            f"{claim} ({measure}, {by})",
            (TEACHER, rows[TEACHER, by][measure]),
            (CONTROL, rows[CONTROL, by][measure]),
        )
        for claim, rows, measure, by in lessons
    ]
