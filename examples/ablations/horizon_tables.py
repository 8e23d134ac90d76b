"""Tables, comparisons, image strips and curves of long rollouts, shared by the experiments that make them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from examples.ablations.comparison import Comparison, compare, compare_with_default
from examples.ablations.experiment_config import ExperimentConfig
from examples.ablations.job import Outcome
from examples.ablations.metrics import QUALITY_METRICS, Record, quality
from examples.ablations.plot import Curve, plot_curves
from examples.ablations.table import Entry, Table
from examples.pocket_world.evaluate.sheets import SheetRow, draw
from examples.stats import SeedStatistics

Outcomes = Mapping[str, Sequence[Outcome]]
"""Outcomes of long rollouts, one per seed, by row."""

COMPARED_METRICS = ("overall", "likeness")
"""VBench's kind of summary, and the agreement with the rendered world."""


def quality_values(outcomes: Sequence[Outcome], end: int) -> dict[str, list[float]]:
    """Return the quality metrics up to a block, one value per seed that has it."""
    by_seed = [quality(outcome.records, end) for outcome in outcomes]
    return {metric: [values[metric] for values in by_seed if metric in values] for metric in QUALITY_METRICS}


def quality_table(outcomes: Outcomes, config: ExperimentConfig, horizons_s: tuple[float, ...], row_label: str) -> Table:
    """Tabulate the quality metrics by horizon and row."""
    lines: list[list[Entry]] = []
    for seconds, end in zip(horizons_s, config.end_blocks(horizons_s), strict=True):
        for name, row in outcomes.items():
            values = quality_values(row, end).values()
            lines.append([f"{seconds:g} s", name, *(SeedStatistics.of(each) if each else None for each in values)])
    return Table(f"Long rollouts by horizon and {row_label}", ("horizon", row_label, *QUALITY_METRICS), lines)


def compare_quality(
    expectation: str, first: str, second: str, outcomes: Outcomes, config: ExperimentConfig, seconds: float
) -> list[Comparison]:
    """Compare two rows at a horizon."""
    (end,) = config.end_blocks((seconds,))
    values = {name: quality_values(outcomes[name], end) for name in (first, second)}
    return [
        compare(expectation, f"{each} at {seconds:g} s", (first, values[first][each]), (second, values[second][each]))
        for each in COMPARED_METRICS
    ]


def compare_quality_with_default(
    what: str, default: str, outcomes: Outcomes, config: ExperimentConfig, seconds: float
) -> list[Comparison]:
    """Compare the best row with the default row at a horizon."""
    (end,) = config.end_blocks((seconds,))
    values = {name: quality_values(row, end) for name, row in outcomes.items()}
    return [
        compare_with_default(what, f"{each} at {seconds:g} s", default, {name: v[each] for name, v in values.items()})
        for each in COMPARED_METRICS
    ]


def horizon_sheet(
    outcomes: Mapping[str, Outcome], config: ExperimentConfig, horizons_s: tuple[float, ...], path: Path
) -> Path:
    """Draw the last pixel frame at every horizon (columns) by row; return the path."""
    ends = (0, *config.end_blocks(horizons_s))
    labels = ["first block", *(f"{seconds:g} s" for seconds in horizons_s)]
    strips = [SheetRow(name, [outcome.arrays[str(end)] for end in ends], labels) for name, outcome in outcomes.items()]
    return draw_strips(strips, path)


def draw_strips(strips: list[SheetRow], path: Path) -> Path:
    """Draw strips below each other into a file; return its path."""
    height, width = strips[0].frames[0].shape[:2]
    path.parent.mkdir(parents=True, exist_ok=True)
    draw(strips, (width * 3 // 2, height * 3 // 2), gap=6).save(path, optimize=True)
    return path


def plot_over_time(
    outcomes: Outcomes,
    path: Path,
    second_panel: tuple[str, str] = ("scene, likeness to the first frame", "scene to first"),
) -> Path:
    """Plot likeness to the rendered world, and another metric with its title, by block; return the path."""
    panels = dict((("likeness to the rendered world", "likeness"), second_panel))
    named = {
        title: {name: metric_curve([o.records for o in row], "block", metric) for name, row in outcomes.items()}
        for title, metric in panels.items()
    }
    return plot_curves(path, named, "block", logarithmic=True)


def metric_curve(records: Sequence[Sequence[Record]], x: str, metric: str, start: int = 0) -> Curve:
    """Return the statistics over seeds of a metric along the records, from record `start` on."""
    points = list(zip(*records, strict=True))[start:]
    statistics = [SeedStatistics.of([record[metric] for record in point]) for point in points]
    return [point[0][x] for point in points], statistics
