"""What each idea of ∞-RoPE is worth on the pocket world, row by row, with spreads, pictures and verdicts.

Try:
    python -m examples.ablations --quick                 (a few minutes; short horizons)
    python -m examples.ablations --workers 2             (hours)
    python -m examples.ablations --only cut --seeds 5

Every finished cell is kept in --cells and not made again, so it can be stopped and started at any time. The report
has a section for every experiment whose cells are all there. Rows for a teacher are added when its world folder is
given, and so is a section on a control that was trained without changes of prompt.
"""

from __future__ import annotations

import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, cast

import torch

from examples.ablations import attention, cut, flush, rope, steps, training, walks, window_size
from examples.ablations.experiment_config import FULL, QUICK, Plan
from examples.ablations.job import Cell
from examples.ablations.report import Section, write
from examples.ablations.store import Store
from examples.pocket_world.evaluate.report import git_commit
from infrope_env.models.resolve import load_model
from infrope_env.recording.run_info import RunInfo

Name = Literal["rope", "walks", "flush", "cut", "window", "attention", "steps", "training"]


TRAINED_UNDER = (
    "The bundled weights were trained under the defaults: window 6, rank coordinates, a flush at every change of "
    "motion (it kept one frame, or two, once in five), a cut at every change of scene (to 45, or to between 20 and "
    "79, three times in ten). Any other row asks for what the model was never shown: it tells what the defaults are "
    "worth to this model, not to one that was trained otherwise."
)


class Experiment(Protocol):
    """What every module of an experiment has."""

    def cells(self, plan: Plan) -> list[Cell]:
        """All that is played."""
        ...

    def section(self, plan: Plan, store: Store, folder: Path) -> Section:
        """What was found, with pictures written into a folder."""
        ...


EXPERIMENTS = cast(
    dict[str, Experiment],
    {
        "rope": rope,
        "walks": walks,
        "flush": flush,
        "cut": cut,
        "window": window_size,
        "attention": attention,
        "steps": steps,
        "training": training,
    },
)


@dataclass(frozen=True)
class Options:
    """Settings.

    Attributes:
        weights: a bundled world's name or a world folder.
        teacher: world folder of the teacher.
        control: world folder of a teacher trained as long, on clips of a single prompt.
        only: experiments to make; all if none is named.
        seeds: repetitions of everything, at least three.
        quick: short horizons and few samples.
        workers: processes to make cells with, one thread each; what measures time is made alone.
        report: write the report from what is there and make nothing.
        cells: folder of finished cells.
        out: folder for ablations.md, ablations.json and the pictures.
    """

    weights: str = "pocket"
    teacher: str | None = None
    control: str | None = None
    only: tuple[Name, ...] = ()
    seeds: int = 3
    quick: bool = False
    workers: int = 1
    report: bool = False
    cells: Path = Path("runs/laboratory")
    out: Path = Path("runs/results")


def main(options: Options) -> None:
    """Make what is missing, then write the report."""
    torch.set_num_threads(1)
    amounts = QUICK if options.quick else FULL
    others = options.teacher, options.control
    plan = Plan(amounts, options.weights, *others, seeds=options.seeds)
    store = Store(options.cells)
    if not options.report:
        wanted = [EXPERIMENTS[name] for name in options.only or EXPERIMENTS]
        store.make([cell for experiment in wanted for cell in experiment.cells(plan)], options.workers)
    page = write(options.out, facts(options, plan, store), sections(plan, store, options.out))
    print(page.read_text())


def sections(plan: Plan, store: Store, folder: Path) -> dict[str, Section]:
    """Of the experiments whose cells are all there."""
    return {
        name: experiment.section(plan, store, folder)
        for name, experiment in EXPERIMENTS.items()
        if (cells := experiment.cells(plan)) and all(store.has(cell) for cell in cells)
    }


def facts(options: Options, plan: Plan, store: Store) -> dict[str, Any]:
    """Machine, command, commit, weights, and what is left out."""
    cells = list(dict.fromkeys(cell for experiment in EXPERIMENTS.values() for cell in experiment.cells(plan)))
    minutes, commits = store.facts(cells)
    world = load_model(plan.weights)
    return {
        "command": " ".join(["python -m examples.ablations", *sys.argv[1:]]),
        "commit": git_commit(),
        "made at": commits,
        "minutes": round(minutes, 1),
        "quick": options.quick,
        "seeds": plan.seeds,
        "world": world.name,
        "cpus": os.cpu_count(),
        "trained under": [TRAINED_UNDER] if plan.weights == "pocket" else [],
        "left out": list(left_out(plan, store)),
        **asdict(RunInfo.of(world)),
    }


def left_out(plan: Plan, store: Store) -> list[str]:
    """Sentences on rows and sections that are missing."""
    absent = [
        f"No {name} was given (--{name}), so it has no rows."
        for name in ("teacher", "control")
        if getattr(plan, name) is None
    ]
    for name, experiment in EXPERIMENTS.items():
        cells = experiment.cells(plan)
        missing = sum(not store.has(cell) for cell in cells)
        if missing:
            absent.append(f"The section on {name} is left out: {missing} of its {len(cells)} cells are to be made.")
    return absent
