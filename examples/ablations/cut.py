"""Experiment: RoPE Cut to near and far coordinates, against changes of prompt with and without a flush."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from examples.ablations.comparison import Comparison, compare, compare_with_default
from examples.ablations.cut_jobs import MEASURED_FRAMES, SceneTransition
from examples.ablations.experiment_config import ExperimentConfig
from examples.ablations.horizon_tables import draw_strips
from examples.ablations.job import Jobs, Outcome
from examples.ablations.metrics import Record, seed_values
from examples.ablations.plot import plot_curves
from examples.ablations.report import Section
from examples.ablations.store import Store
from examples.ablations.table import Table
from examples.pocket_world.evaluate.sheets import SheetRow
from examples.stats import SeedStatistics

FLUSH, PROMPT_ALONE = "flush, the scene's prompt", "the scene's prompt alone"
DRAWN_COORDINATES = (6, 12, 21, 200, 1000)
"""Cuts in the picture, besides the default."""
CLEAN_CUT = "clean cut"
"""Mean of "scene at 1", "scene later", "subject kept" and 1 - ghost."""
METRICS = (
    *(f"scene at {n}" for n in MEASURED_FRAMES),
    "scene later",
    "subject kept",
    "motion kept",
    "old scene",
    "ghost",
)

Values = Mapping[str, Mapping[str, Sequence[float]]]
"""One value per seed, by transition and metric."""


def transitions(config: ExperimentConfig) -> tuple[SceneTransition, ...]:
    """Return cuts to every coordinate that the window accepts, the default's included, and two changes of prompt."""
    coordinates = sorted({config.default.window.cut_coordinate, *config.sizes.cut_coordinates})
    cuts = [SceneTransition(cut_name(each), each) for each in coordinates if _is_valid(config, each)]
    return (*cuts, SceneTransition(FLUSH), SceneTransition(PROMPT_ALONE, on_switch="none"))


def _is_valid(config: ExperimentConfig, coordinate: int) -> bool:
    try:
        config.default.with_rules(cut_coordinate=coordinate)
    except ValueError:
        return False
    return True


def cut_name(coordinate: int) -> str:
    """Return a cut's name in tables."""
    return f"cut to {coordinate}"


def jobs(config: ExperimentConfig) -> Jobs:
    """Return the changes of scene."""
    return {"cuts": {"default": config.cuts(config.default, transitions(config), config.sizes.blocks_after)}}


def section(config: ExperimentConfig, store: Store, folder: Path) -> Section:
    """Return a table, pictures and comparisons."""
    outcomes = [store.load(job) for job in jobs(config)["cuts"]["default"]]
    values = transition_values([outcome.records for outcome in outcomes], transitions(config))
    return Section(
        "RoPE Cut",
        [explanation(config)],
        [Table.of_values("Changes of scene", ("transition",), {(name,): row for name, row in values.items()})],
        comparisons(values, cut_name(config.default.window.cut_coordinate)),
        {
            "Cuts by coordinate": plot_coordinates(values, config, folder / "ablations_cut.png"),
            "One change of scene by several transitions": sheet(
                outcomes[0], config, folder / "ablations_cut_frames.png"
            ),
        },
    )


def transition_values(
    records: Sequence[Sequence[Record]], compared: Sequence[SceneTransition]
) -> dict[str, dict[str, list[float]]]:
    """Return one value per seed, by transition and metric."""
    values = {
        transition.name: {metric: seed_values(records, "transition", number, metric) for metric in METRICS}
        for number, transition in enumerate(compared)
    }
    for row in values.values():
        no_ghost = [1 - min(max(ghost, 0.0), 1.0) for ghost in row["ghost"]]
        parts = [row["scene at 1"], row["scene later"], row["subject kept"], no_ghost]
        row[CLEAN_CUT] = np.mean(parts, axis=0).tolist()
    return values


def explanation(config: ExperimentConfig) -> str:
    """Return the paragraph on what is measured."""
    return (
        "Every transition continues from the same saved state to the same scene. *Scene at n*: the detector names the "
        f"new scene in pixel frame n of the first block, counted from 1; *later*: in block "
        f"{config.sizes.blocks_after}. *Old scene*: mean probability that the detector gives to the old scene in the "
        "first block. *Ghost*: correlation of the first block with the last frame of the old scene, minus that of "
        "rendered frames. *Clean cut*: the mean of scene at 1, scene later, subject kept, and 1 - ghost."
    )


def comparisons(values: Values, default: str) -> list[Comparison]:
    """Compare the default cut with changes of prompt, and with cuts to other coordinates."""

    def row(name: str, metric: str) -> tuple[str, Sequence[float]]:
        return name, values[name][metric]

    sooner, cleaner = "A cut shows the new scene sooner", "A cut leaves less of the old scene"
    cuts = {name: row[CLEAN_CUT] for name, row in values.items() if name not in (FLUSH, PROMPT_ALONE)}
    return [
        compare(sooner, "scene at 1", row(default, "scene at 1"), row(FLUSH, "scene at 1")),
        compare(sooner, "scene at 1", row(default, "scene at 1"), row(PROMPT_ALONE, "scene at 1")),
        compare(cleaner, "ghost", row(default, "ghost"), row(FLUSH, "ghost"), better="lower"),
        compare_with_default("cut coordinate", CLEAN_CUT, default, cuts),
    ]


def plot_coordinates(values: Values, config: ExperimentConfig, path: Path) -> Path:
    """Plot the metrics of cuts by coordinate; return the path."""
    cuts = {each.coordinate: each.name for each in transitions(config) if each.coordinate is not None}
    panels = {
        "the new scene, the same subject": ("scene at 1", "scene later", "subject kept"),
        "what is left of the old scene": ("old scene", "ghost"),
    }
    curves = {
        title: {name: (list(cuts), [SeedStatistics.of(values[row][name]) for row in cuts.values()]) for name in metrics}
        for title, metrics in panels.items()
    }
    return plot_curves(path, curves, "cut coordinate", logarithmic=True)


def sheet(outcome: Outcome, config: ExperimentConfig, path: Path) -> Path:
    """Draw some transitions (rows): the last frame before, frames of the first block, the last frame."""
    labels = ["before", *(f"pixel frame {n}" for n in MEASURED_FRAMES), "last frame"]
    drawn = (None, *DRAWN_COORDINATES, config.default.window.cut_coordinate)
    strips = [
        SheetRow(transition.name, list(outcome.arrays[str(number)]), labels)
        for number, transition in enumerate(transitions(config))
        if transition.coordinate in drawn
    ]
    return draw_strips(strips, path)
