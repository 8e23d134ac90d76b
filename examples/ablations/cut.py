"""Experiment: RoPE Cut, to near and far coordinates, against a flush with the new scene's prompt and a plain change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from examples.ablations.comparison import Verdict, claimed_better, default_is_best
from examples.ablations.cut_jobs import LOOKED_AT, Cuts, Way
from examples.ablations.experiment_config import Plan
from examples.ablations.flush import by_seed
from examples.ablations.harness import with_rules
from examples.ablations.horizon_tables import drawn
from examples.ablations.job import Cell, Outcome
from examples.ablations.plot import curves
from examples.ablations.report import Section
from examples.ablations.statistics import Spread
from examples.ablations.store import Store
from examples.ablations.table import Entry, Table
from examples.pocket_world.evaluate.sheets import SheetRow

FLUSH, PLAIN = "flush, the scene's prompt", "the scene's prompt alone"
SEEN = (6, 12, 21, 200, 1000)
"""Cuts to these are in the picture, besides the default."""
CLEAN = "clean cut"
"""Mean of: new scene at the first pixel frame, new scene in the last block, subject kept, no ghost of the old one."""
MEASURES = (*(f"scene at {n}" for n in LOOKED_AT), "scene later", "subject kept", "motion kept", "old scene", "ghost")


def ways(plan: Plan) -> tuple[Way, ...]:
    """Cuts to every coordinate that the world's window allows, its own among them, and two changes of prompt."""
    own = plan.own.window.cut_coordinate
    coordinates = sorted({own, *plan.amounts.cut_coordinates})
    cuts = [Way(way_name(where), where) for where in coordinates if _allowed(plan, where)]
    return (*cuts, Way(FLUSH), Way(PLAIN, on_switch="none"))


def way_name(coordinate: int) -> str:
    """For tables."""
    return f"cut to {coordinate}"


def _allowed(plan: Plan, coordinate: int) -> bool:
    try:
        with_rules(plan.own, cut_coordinate=coordinate)
    except ValueError:
        return False
    return True


def shots(plan: Plan) -> list[Cuts]:
    """One cell a seed."""
    amounts = plan.amounts
    return [
        Cuts(plan.own, seed, ways(plan), amounts.pasts, amounts.scenes, blocks=amounts.after)
        for seed in range(plan.seeds)
    ]


def cells(plan: Plan) -> list[Cell]:
    """All that is played."""
    return list(shots(plan))


def section(plan: Plan, store: Store, folder: Path) -> Section:
    """Table, pictures and verdicts."""
    outcomes = [store.load(cell) for cell in shots(plan)]
    values = measured([outcome.records for outcome in outcomes], ways(plan))
    rows: list[list[Entry]] = [[name, *(Spread.of(v) for v in row.values())] for name, row in values.items()]
    return Section(
        "RoPE Cut",
        [explanation(plan)],
        [Table("To another scene", ("way", *MEASURES, CLEAN), rows)],
        verdicts(values, plan),
        {
            "Cuts by where they go": by_coordinate(values, plan, folder / "ablations_cut.png"),
            "One cut, some of the ways": sheet(outcomes[0], plan, folder / "ablations_cut_frames.png"),
        },
    )


def measured(records: Sequence[Sequence[dict[str, float]]], rows: Sequence[Way]) -> dict[str, dict[str, list[float]]]:
    """By way and measure, one value a seed."""
    values = {
        way.name: {name: by_seed(records, "way", number, name) for name in MEASURES} for number, way in enumerate(rows)
    }
    for row in values.values():
        rid = [1 - min(max(ghost, 0.0), 1.0) for ghost in row["ghost"]]
        parts = [row["scene at 1"], row["scene later"], row["subject kept"], rid]
        row[CLEAN] = np.mean(parts, axis=0).tolist()
    return values


def explanation(plan: Plan) -> str:
    """What was done."""
    return (
        "From the same past, another scene is reached every way. *Scene at n*: the detector names the new scene in "
        f"pixel frame n alone, counted from 1; *later*: in block {plan.amounts.after}. *Old scene*: the odds that the "
        "detector still gives the old one in the first block. *Ghost*: how much more the first block correlates with "
        "the last old pixel frame than rendered ones do. *Clean cut*: the mean of scene at 1, scene later, subject "
        "kept, and 1 less the ghost."
    )


def verdicts(values: Mapping[str, Mapping[str, Sequence[float]]], plan: Plan) -> list[Verdict]:
    """The paper's claims, and whether the default coordinate is a good one."""
    own = way_name(plan.own.window.cut_coordinate)
    found = [
        claimed_better(
            f"A cut shows the new scene at once where {other} does not (pixel frame 1)",
            (own, values[own]["scene at 1"]),
            (other, values[other]["scene at 1"]),
        )
        for other in (FLUSH, PLAIN)
    ]
    found.append(
        claimed_better(
            "A cut leaves less of the old scene than a flush (ghost)",
            (own, values[own]["ghost"]),
            (FLUSH, values[FLUSH]["ghost"]),
            more_is_better=False,
        )
    )
    cuts = {name: row[CLEAN] for name, row in values.items() if name not in (FLUSH, PLAIN)}
    return [*found, default_is_best("Cut coordinate", own, cuts, CLEAN)]


def by_coordinate(values: Mapping[str, Mapping[str, Sequence[float]]], plan: Plan, path: Path) -> Path:
    """What a cut does, by where it goes."""
    cuts = [way for way in ways(plan) if way.coordinate is not None]
    where = [float(way.coordinate or 0) for way in cuts]
    panels = {
        "the new scene, the same subject": ("scene at 1", "scene later", "subject kept"),
        "what is left of the old scene": ("old scene", "ghost"),
    }
    named = {
        title: {name: (where, [Spread.of(values[way.name][name]) for way in cuts]) for name in names}
        for title, names in panels.items()
    }
    return curves(path, named, "cut coordinate", logarithmic=True)


def sheet(outcome: Outcome, plan: Plan, path: Path) -> Path:
    """A row for some of the ways: before, the first block's pixel frames, the last block's."""
    labels = ["before", *(f"pixel frame {n}" for n in LOOKED_AT), "the last block's"]
    seen = (None, *SEEN, plan.own.window.cut_coordinate)
    strips = [
        SheetRow(way.name, list(outcome.arrays[str(n)]), labels)
        for n, way in enumerate(ways(plan))
        if way.coordinate in seen
    ]
    return drawn(strips, path)
