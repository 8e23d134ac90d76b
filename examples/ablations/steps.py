"""Experiment: fewer and more denoising steps, teacher and student."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from examples.ablations.comparison import Verdict, claimed_better
from examples.ablations.cost_job import Costs
from examples.ablations.cut_jobs import Cuts, Way
from examples.ablations.experiment_config import Plan
from examples.ablations.flush import by_seed
from examples.ablations.horizon_tables import JUDGED_BY, best_by_quality, curve, qualities, quality_table
from examples.ablations.job import Cell, Outcome
from examples.ablations.long_rollout import Held
from examples.ablations.plot import curves
from examples.ablations.report import Section
from examples.ablations.statistics import Spread
from examples.ablations.store import Store
from examples.ablations.switch_jobs import Arm, Switches
from examples.ablations.table import Entry, Table
from examples.ablations.variant import Setting, even_steps
from infrope_env.models.resolve import load_model

ANSWERS = ("motion right", "frames until shown", "scene at 1", "scene later", "subject kept in a cut")


def arms(plan: Plan) -> dict[str, Setting]:
    """The world with every number of steps, and its teacher with its own."""
    rows = {}
    for count in plan.amounts.steps:
        steps = even_steps(count)
        rows[steps_name(count)] = plan.own if steps == plan.own.sampler.steps else replace(plan.own, steps=steps)
    if plan.teacher is not None:
        rows["teacher"] = Setting(plan.teacher, load_model(plan.teacher).window)
    return rows


def steps_name(count: int) -> str:
    """For tables."""
    return f"{count} step" if count == 1 else f"{count} steps"


def own_name(plan: Plan) -> str:
    """The row of the world as it is played; added when its steps are none of the others'."""
    return next((name for name, setting in arms(plan).items() if setting == plan.own), "own steps")


def rows(plan: Plan) -> dict[str, Setting]:
    """All arms, the world as it is played in any case."""
    return {own_name(plan): plan.own} | arms(plan)


def held(plan: Plan) -> dict[str, list[Held]]:
    """Held rollouts, by row."""
    return {name: plan.held(setting, plan.amounts.steps_horizons_s) for name, setting in rows(plan).items()}


def changes(plan: Plan) -> dict[str, list[Switches]]:
    """Changes of prompt, by row."""
    amounts = plan.amounts
    return {
        name: [
            Switches(setting, seed, (Arm("flush", setting.window.size),), amounts.pasts, amounts.motions, 3, 1)
            for seed in range(plan.seeds)
        ]
        for name, setting in rows(plan).items()
    }


def shots(plan: Plan) -> dict[str, list[Cuts]]:
    """Cuts, by row."""
    amounts = plan.amounts
    return {
        name: [
            Cuts(setting, seed, (Way("cut", setting.window.cut_coordinate),), amounts.pasts, amounts.scenes, 3, 2)
            for seed in range(plan.seeds)
        ]
        for name, setting in rows(plan).items()
    }


def costs(plan: Plan) -> dict[str, list[Costs]]:
    """Times, by row."""
    return {
        name: [Costs(setting, seed, plan.amounts.timed) for seed in range(plan.seeds)]
        for name, setting in rows(plan).items()
    }


def cells(plan: Plan) -> list[Cell]:
    """All that is played."""
    return [cell for kind in (held, changes, shots, costs) for row in kind(plan).values() for cell in row]


def section(plan: Plan, store: Store, folder: Path) -> Section:
    """Tables, a picture and verdicts."""
    outcomes = {name: [store.load(cell) for cell in row] for name, row in held(plan).items()}
    answers = {name: answered(name, plan, store) for name in outcomes}
    return Section(
        "Steps, teacher and student",
        [
            "Steps are spaced evenly and bent by the world's own shift. What is held is judged as above; *motion right*"
            " and *frames until shown* are of the first block after a change of motion, *scene* and *subject* of a cut,"
            " *later* of its second block."
        ],
        [
            quality_table(outcomes, plan, plan.amounts.steps_horizons_s, "model"),
            answer_table(answers),
            cost_table(plan, store),
        ],
        verdicts(outcomes, plan),
        {"Drift with time, from a block's own mistakes": drift(outcomes, folder / "ablations_steps.png")},
    )


def answered(name: str, plan: Plan, store: Store) -> dict[str, list[float]]:
    """How a row answers changes and cuts, one value a seed."""
    switched = [store.load(cell).records for cell in changes(plan)[name]]
    cut = [store.load(cell).records for cell in shots(plan)[name]]
    found = [by_seed(switched, "arm", 0, measure) for measure in ANSWERS[:2]]
    found += [by_seed(cut, "way", 0, measure) for measure in ("scene at 1", "scene later", "subject kept")]
    return dict(zip(ANSWERS, found, strict=True))


def answer_table(answers: Mapping[str, Mapping[str, Sequence[float]]]) -> Table:
    """Changes and cuts."""
    lines: list[list[Entry]] = [[name, *(Spread.of(v) for v in row.values())] for name, row in answers.items()]
    return Table("Changes and cuts", ("model", *ANSWERS), lines)


def cost_table(plan: Plan, store: Store) -> Table:
    """Time of a block."""
    lines: list[list[Entry]] = []
    for name, row in costs(plan).items():
        records = [store.load(cell).records for cell in row]
        times = Spread.of([float(np.median([record["ms"] for record in seed])) for seed in records])
        lines.append([name, times, records[0][0]["passes"]])
    return Table("What a block costs", ("model", "ms, median", "passes"), lines)


def drift(outcomes: Mapping[str, Sequence[Outcome]], path: Path) -> Path:
    """Likeness to the rendered world, and sharpness over its, by block."""
    last = min(max(record["block"] for record in row[0].records) for row in outcomes.values())
    records = {
        name: [[record for record in outcome.records if record["block"] <= last] for outcome in row]
        for name, row in outcomes.items()
    }
    common = set.intersection(*({r["block"] for r in row[0]} for row in records.values()))
    shared = {
        name: [[record for record in seed if record["block"] in common] for seed in row]
        for name, row in records.items()
    }
    panels = {"likeness to the rendered world": "likeness", "sharpness over the rendered": "sharpness"}
    return curves(
        path,
        {
            title: {name: curve(row, "block", measure) for name, row in shared.items()}
            for title, measure in panels.items()
        },
        "block",
        logarithmic=True,
    )


def verdicts(outcomes: Mapping[str, Sequence[Outcome]], plan: Plan) -> list[Verdict]:
    """Whether the number of steps is right, and what the teacher lacks."""
    seconds, end = max(plan.amounts.steps_horizons_s), max(plan.ends(plan.amounts.steps_horizons_s))
    own = own_name(plan)
    steps = {name: row for name, row in outcomes.items() if name != "teacher"}
    found = best_by_quality("Number of steps", own, steps, plan, seconds)
    for measure in JUDGED_BY if "teacher" in outcomes else ():
        claim = f"Self-rollout makes the student steadier than its teacher ({measure} at {seconds:g} s)"
        student, teacher = (qualities(outcomes[name], end)[measure] for name in (own, "teacher"))
        found.append(claimed_better(claim, (own, student), ("teacher", teacher)))
    return found
