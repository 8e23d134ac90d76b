"""What held rollouts show: tables by horizon, verdicts, sheets and curves. Shared by the experiments that hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from examples.ablations.comparison import Verdict, default_is_best
from examples.ablations.experiment_config import Plan
from examples.ablations.job import Outcome
from examples.ablations.metrics import QUALITIES, Record, quality
from examples.ablations.plot import Curve, curves
from examples.ablations.statistics import Spread
from examples.ablations.table import Entry, Table
from examples.pocket_world.evaluate.sheets import SheetRow, draw

JUDGED_BY = ("overall", "likeness")
"""As VBench would, and by what the world itself shows."""


def qualities(outcomes: Sequence[Outcome], end: int) -> dict[str, list[float]]:
    """By name, one value a seed that has it."""
    each = [quality(outcome.records, end) for outcome in outcomes]
    return {name: [one[name] for one in each if name in one] for name in QUALITIES}


def quality_table(
    outcomes: Mapping[str, Sequence[Outcome]], plan: Plan, horizons_s: Sequence[float], what: str
) -> Table:
    """Lines by horizon and by what the rows are."""
    lines: list[list[Entry]] = [
        [f"{seconds:g} s", name, *quality_entries(row, end)]
        for seconds, end in zip(horizons_s, plan.ends(tuple(horizons_s)), strict=True)
        for name, row in outcomes.items()
    ]
    return Table(f"Held motions, by horizon and {what}", ("horizon", what, *QUALITIES), lines)


def best_by_quality(
    what: str, current: str, outcomes: Mapping[str, Sequence[Outcome]], plan: Plan, seconds: float
) -> list[Verdict]:
    """Whether another row is better than the present default at a horizon."""
    (end,) = plan.ends((seconds,))
    return [
        default_is_best(
            what,
            current,
            {name: qualities(row, end)[measure] for name, row in outcomes.items()},
            f"{measure} at {seconds:g} s",
        )
        for measure in JUDGED_BY
    ]


def quality_entries(outcomes: Sequence[Outcome], end: int) -> list[Entry]:
    """One row's, in the order of QUALITIES."""
    return [Spread.of(values) if values else None for values in qualities(outcomes, end).values()]


def sheet(outcomes: Mapping[str, Outcome], plan: Plan, horizons_s: tuple[float, ...], path: Path) -> Path:
    """A row for every rule, a column for every horizon."""
    ends = (0, *plan.ends(horizons_s))
    labels = ["first block", *(f"{seconds:g} s" for seconds in horizons_s)]
    strips = [SheetRow(name, [outcome.arrays[str(end)] for end in ends], labels) for name, outcome in outcomes.items()]
    return drawn(strips, path)


def drawn(strips: list[SheetRow], path: Path) -> Path:
    """Strips below each other, in a file."""
    height, width = strips[0].frames[0].shape[:2]
    path.parent.mkdir(parents=True, exist_ok=True)
    draw(strips, (width * 3 // 2, height * 3 // 2), gap=6).save(path, optimize=True)
    return path


def over_time(outcomes: Mapping[str, Sequence[Outcome]], path: Path) -> Path:
    """Features against the rendered world's, and against the first frame, by block."""
    panels = {"likeness to the rendered world": "likeness", "scene, likeness to the first frame": "scene to first"}
    named = {
        title: {name: curve([o.records for o in row], "block", measure) for name, row in outcomes.items()}
        for title, measure in panels.items()
    }
    return curves(path, named, "block", logarithmic=True)


def curve(records: Sequence[Sequence[Record]], across: str, measure: str, start: int = 0) -> Curve:
    """A measure along records that all seeds have, from record `start` on."""
    rows = list(zip(*records, strict=True))[start:]
    return [row[0][across] for row in rows], [Spread.of([record[measure] for record in row]) for row in rows]
