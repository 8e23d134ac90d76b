"""Ablations of ∞-RoPE on the pocket model: measurements against rendered ground truth, tables, pictures, comparisons.

Examples:
    python -m examples.ablations --quick                 (minutes; short horizons)
    python -m examples.ablations --workers 2             (hours)
    python -m examples.ablations --only cut --seeds 5

The outcome of every job is stored in --cells and reused, so a run can be interrupted and continued. The report has a
section for every experiment whose jobs are done. --teacher adds rows for the teacher. --control adds a section on a
model that was trained without changes of prompt.
"""

from __future__ import annotations

import os
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import torch

from examples.ablations import attention, cut, flush, memory, rope, steps, training, walks, window_size
from examples.ablations.experiment_config import FULL, QUICK, ExperimentConfig
from examples.ablations.job import Job, Jobs
from examples.ablations.report import Section, write_report
from examples.ablations.store import Store
from examples.pocket_world.evaluate.report import git_commit
from infrope_env.models.resolve import load_model
from infrope_env.recording.run_info import RunInfo

Name = Literal["rope", "walks", "flush", "cut", "window", "attention", "steps", "training", "memory"]

TRAINING_NOTE = (
    "The bundled weights were trained with the defaults: window 6, rank coordinates, a flush at every change of motion "
    "(keeping one frame, or two in one case of five), and a cut at every change of scene (to 45, or to a coordinate "
    "from 20 to 79 in three cases of ten). Every other row is outside this training, so it shows what the defaults are "
    "worth to this model, not to a model that was trained with that row's setting."
)


class Experiment(Protocol):
    """Functions that every experiment module has."""

    def jobs(self, config: ExperimentConfig) -> Jobs:
        """Return the jobs by kind and row."""
        ...

    def section(self, config: ExperimentConfig, store: Store, folder: Path) -> Section:
        """Return the results and write the pictures into a folder."""
        ...


EXPERIMENTS: dict[str, Experiment] = {
    "rope": rope,
    "walks": walks,
    "flush": flush,
    "cut": cut,
    "window": window_size,
    "attention": attention,
    "steps": steps,
    "training": training,
    "memory": memory,
}


@dataclass(frozen=True)
class Options:
    """Command line options.

    Attributes:
        weights: Name of a bundled model, or a world folder.
        teacher: World folder of the teacher.
        control: World folder of a teacher trained equally long on clips with a single prompt.
        only: Experiments to run; all by default.
        seeds: Repetitions of every measurement, at least three.
        quick: Short horizons and few samples.
        longest: Seconds of the longest horizon; longer ones are left out. All by default.
        windows: Windows in which memory policies are compared.
        workers: Processes that run jobs, one thread each; time measurements always run alone.
        report: Write the report from the stored outcomes and run nothing.
        cells: Folder of stored outcomes.
        out: Folder for ablations.md, ablations.json and the pictures.
    """

    weights: str = "pocket"
    teacher: str | None = None
    control: str | None = None
    only: tuple[Name, ...] = ()
    seeds: int = 3
    quick: bool = False
    longest: float | None = None
    windows: tuple[int, ...] = (6, 12)
    workers: int = 1
    report: bool = False
    cells: Path = Path("runs/ablations")
    out: Path = Path("runs/results")


def main(options: Options) -> None:
    """Run the missing jobs, then write and print the report."""
    torch.set_num_threads(1)
    sizes = QUICK if options.quick else FULL
    sizes = replace(sizes, memory_windows=options.windows)
    sizes = sizes if options.longest is None else sizes.until(options.longest)
    config = ExperimentConfig(sizes, options.weights, options.teacher, options.control, options.seeds)
    store = Store(options.cells)
    if not options.report:
        chosen = [EXPERIMENTS[name] for name in options.only or EXPERIMENTS]
        if memory in chosen:
            print(f"memory: about {memory.estimate_minutes(config, store):.0f} minutes of one process", flush=True)
        store.run_missing([job for experiment in chosen for job in all_jobs(experiment, config)], options.workers)
    page = write_report(options.out, report_facts(options, config, store), sections(config, store, options.out))
    print(page.read_text())


def all_jobs(experiment: Experiment, config: ExperimentConfig) -> list[Job]:
    """Return an experiment's jobs as one list."""
    return [job for rows in experiment.jobs(config).values() for row in rows.values() for job in row]


def sections(config: ExperimentConfig, store: Store, folder: Path) -> dict[str, Section]:
    """Return the sections of the experiments whose jobs are done."""
    return {
        name: experiment.section(config, store, folder)
        for name, experiment in EXPERIMENTS.items()
        if (jobs := all_jobs(experiment, config)) and all(store.has(job) for job in jobs)
    }


def report_facts(options: Options, config: ExperimentConfig, store: Store) -> dict[str, Any]:
    """Return machine, command, commits, weights, and the parts that are left out."""
    jobs = list(dict.fromkeys(job for experiment in EXPERIMENTS.values() for job in all_jobs(experiment, config)))
    minutes, commits = store.facts(jobs)
    model = load_model(config.weights)
    return {
        "command": " ".join(["python -m examples.ablations", *sys.argv[1:]]),
        "commit": git_commit(),
        "measured at": commits,
        "minutes": round(minutes, 1),
        "quick": options.quick,
        "seeds": config.seeds,
        "model": model.name,
        "cpus": os.cpu_count(),
        "training": [TRAINING_NOTE] if config.weights == "pocket" else [],
        "left out": missing_parts(config, store),
        **asdict(RunInfo.of(model)),
    }


def missing_parts(config: ExperimentConfig, store: Store) -> list[str]:
    """Return sentences on rows and sections that the report leaves out."""
    found = [
        f"No {name} was given (--{name}): its rows are left out."
        for name in ("teacher", "control")
        if getattr(config, name) is None
    ]
    for name, experiment in EXPERIMENTS.items():
        jobs = all_jobs(experiment, config)
        missing = sum(not store.has(job) for job in jobs)
        if missing:
            found.append(f"The {name} section is left out: {missing} of its {len(jobs)} jobs are not done.")
    return found
