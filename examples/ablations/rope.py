"""Experiment: Block-Relativistic RoPE by either rule, against absolute coordinates with and without a sink."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from examples.ablations.attention_jobs import Distances, without_sink
from examples.ablations.comparison import CONTRADICTS, UNDECIDED, Verdict, claimed_better
from examples.ablations.experiment_config import Plan
from examples.ablations.horizon_tables import (
    JUDGED_BY,
    best_by_quality,
    curve,
    drawn,
    over_time,
    qualities,
    quality_table,
    sheet,
)
from examples.ablations.job import Cell, Outcome
from examples.ablations.long_rollout import Held, Rendered, least_likeness
from examples.ablations.metrics import Record, fails_from
from examples.ablations.plot import curves
from examples.ablations.report import Section
from examples.ablations.statistics import Spread
from examples.ablations.store import Store
from examples.ablations.table import Entry, Table
from examples.ablations.variant import Setting
from examples.pocket_world.evaluate.sheets import SheetRow
from infrope_env.config import COORDINATE_RULES, ROTARY_TABLE_LENGTH
from infrope_env.dynamics.rope import RotaryTable

Failures = Mapping[str, Sequence[int | None]]
"""The block from which on something is lost, or None, by rule and seed."""

SECONDS_A_BLOCK = 0.75
NO_SINK = "absolute, no sink"
LONG_ENOUGH_S = 60
"""Absolute coordinates that hold for less prove nothing: the paper promises trouble beyond the trained 5 s."""


def arms(plan: Plan) -> dict[str, Setting]:
    """Every coordinate rule with the world's own sink, and absolute coordinates in a plain sliding window."""
    settings = {
        rule: plan.of(replace(plan.own.window, coordinates=rule), long=rule == "absolute") for rule in COORDINATE_RULES
    }
    return settings | {NO_SINK: without_sink(settings["absolute"])}


def held(plan: Plan) -> dict[str, list[Held]]:
    """Held rollouts, by rule."""
    return {name: plan.held(setting, plan.amounts.horizons_s) for name, setting in arms(plan).items()}


def rendered(plan: Plan) -> list[Rendered]:
    """What the world itself draws."""
    ends = plan.ends(plan.amounts.horizons_s)
    return [Rendered(plan.weights, seed, ends, plan.amounts.every) for seed in range(plan.seeds)]


def distances(plan: Plan) -> dict[str, list[Distances]]:
    """One block with its sink ever farther away, and one without a sink."""
    settings = {"with its sink": plan.own, "without a sink": without_sink(plan.own)}
    return {
        name: [Distances(setting, seed, plan.amounts.shifts) for seed in range(plan.seeds)]
        for name, setting in settings.items()
    }


def cells(plan: Plan) -> list[Cell]:
    """All that is played."""
    rollouts = [cell for row in held(plan).values() for cell in row]
    return [*rendered(plan), *(cell for row in distances(plan).values() for cell in row), *rollouts]


def section(plan: Plan, store: Store, folder: Path) -> Section:
    """Tables, pictures and verdicts."""
    outcomes = {name: [store.load(cell) for cell in row] for name, row in held(plan).items()}
    lost = failures(outcomes, range(plan.seeds))
    with_truth = outcomes | {"rendered": [store.load(cell) for cell in rendered(plan)]}
    far = {name: [store.load(cell).records for cell in row] for name, row in distances(plan).items()}
    pictures = {
        "The last pixel frame at each horizon, first seed": sheet(
            {name: row[0] for name, row in with_truth.items()},
            plan,
            plan.amounts.horizons_s,
            folder / "ablations_rope.png",
        ),
        "Over time": over_time(with_truth, folder / "ablations_rope_time.png"),
        "One block, its sink moved away": over_distance(far, folder / "ablations_rope_distance.png"),
    }
    if strips := failure_strips(outcomes, lost, plan):
        pictures["Where subject, scene or place is lost"] = drawn(strips, folder / "ablations_rope_failures.png")
    return Section(
        "Block-Relativistic RoPE",
        [explanation(plan), failures_in_words(lost, plan), distances_in_words(far), end_of_the_table(plan)],
        [
            quality_table(with_truth, plan, plan.amounts.horizons_s, "coordinates"),
            failure_table(lost, range(plan.seeds)),
        ],
        verdicts(outcomes, lost, plan),
        pictures,
    )


def failures(outcomes: Mapping[str, Sequence[Outcome]], seeds: Sequence[int]) -> Failures:
    """The block from which on subject, scene or place is lost, by rule and seed."""
    least = [least_likeness(seed) for seed in seeds]
    return {
        name: [fails_from(outcome.records, floor) for outcome, floor in zip(row, least, strict=True)]
        for name, row in outcomes.items()
    }


def failure_table(lost: Failures, seeds: Sequence[int]) -> Table:
    """Seconds, by seed."""
    rows: list[list[Entry]] = [
        [name, *("holds" if block is None else f"{block * SECONDS_A_BLOCK:.0f} s" for block in row)]
        for name, row in lost.items()
    ]
    title = "From when on subject, scene or place is wrong in at least half of what follows"
    return Table(title, ("coordinates", *(f"seed {seed}" for seed in seeds)), rows)


def failures_in_words(failed: Failures, plan: Plan) -> str:
    """Whether absolute coordinates fail here, and when, and whether relative ones do."""
    last = max(plan.amounts.horizons_s)
    lost = {name: [block for block in row if block is not None] for name, row in failed.items()}
    if not lost["absolute"]:
        return (
            f"**Absolute coordinates do not fail on this model within {last:g} s**: subject, scene and place stay "
            f"right with every one of {plan.seeds} seeds, although the sink is {last / SECONDS_A_BLOCK * 3:.0f} "
            "coordinates away."
        )
    first = min(lost["absolute"]) * SECONDS_A_BLOCK
    relative = len(lost[plan.own.window.coordinates])
    return (
        f"Absolute coordinates lose subject, scene or place with {len(lost['absolute'])} of {plan.seeds} seeds, at "
        f"{first:.0f} s for the first time; the default rule with {relative} of {plan.seeds}, within {last:g} s."
    )


def distances_in_words(far: Mapping[str, Sequence[Sequence[Record]]]) -> str:
    """What the distance of the sink changes."""
    shifts = [int(record["shift"]) for record in far["with its sink"][0]]
    most = max(range(len(shifts)), key=lambda i: Spread.of([seed[i]["change"] for seed in far["with its sink"]]).mean)
    sink = [Spread.of([seed[i]["sink"] for seed in far["with its sink"]]) for i in (0, -1)]
    change = Spread.of([seed[most]["change"] for seed in far["with its sink"]])
    plain = Spread.of([seed[-1]["change"] for seed in far["without a sink"]])
    return (
        "Rotary embeddings see differences of coordinates only, and block and newest frames always lie side by side. "
        "So nothing but the sink can notice absolute time. One block, made again with its sink moved away, changes "
        f"most when it is {shifts[most]} coordinates farther off (root mean square {change} of its latents'); the "
        f"sink's share of attention is {sink[0]} where it belongs and {sink[1]} at {shifts[-1]}. Without a sink, "
        f"moving everything by {shifts[-1]} changes {plain}: rounding."
    )


def end_of_the_table(plan: Plan) -> str:
    """Where the official rotary table ends, and what the engine says there."""
    block = plan.own.window.block
    last = (ROTARY_TABLE_LENGTH // block) * SECONDS_A_BLOCK
    try:
        RotaryTable(12, 1, 1).at((ROTARY_TABLE_LENGTH,))
        said = "nothing"
    except ValueError as error:
        said = str(error)
    return (
        f"The official rotary table has {ROTARY_TABLE_LENGTH} coordinates: absolute ones end there, after "
        f"{last:.0f} s, and the engine says: *{said}*. To look past that, the absolute rows have a longer table."
    )


def explanation(plan: Plan) -> str:
    """What was done."""
    window = plan.own.window
    return (
        "A motion is held, and judged by detectors trained on rendered frames. Consistency is the mean cosine of the "
        "detectors' features to the first frame and to the frame before, as VBench takes it; dynamic degree the share "
        "of blocks that move at least half as much as rendered ones; imaging the sharpness over the rendered one's; "
        "overall their mean. Likeness is the mean cosine to the features of what the world itself would show there "
        "and then; a place is lost where it is less than half way up from what other places of the way have. Names "
        "are right, and likeness is taken, in the last quarter before the horizon; scroll is the speed of walks over "
        "the true one; answers are other motions that show in the first block after they are asked for. Window "
        f"{window.size}, sink {window.sink}."
    )


def verdicts(outcomes: Mapping[str, Sequence[Outcome]], lost: Failures, plan: Plan) -> list[Verdict]:
    """Relative against absolute at the longest horizon, and whether the default rule is the best."""
    seconds, end = max(plan.amounts.horizons_s), max(plan.ends(plan.amounts.horizons_s))
    own, found = plan.own.window.coordinates, []
    for measure in JUDGED_BY:
        claim = f"Relative coordinates hold where absolute ones do not ({measure} at {seconds:g} s)"
        relative, absolute = (qualities(outcomes[name], end)[measure] for name in (own, "absolute"))
        found.append(claimed_better(claim, (own, relative), ("absolute", absolute)))
    rules = {name: row for name, row in outcomes.items() if name != NO_SINK}
    found += best_by_quality("Coordinate rule", own, rules, plan, seconds)
    if all(block is None for block in lost["absolute"]):
        outcome = CONTRADICTS if seconds >= LONG_ENOUGH_S else UNDECIDED
        found.append(
            Verdict(outcome, f"Absolute coordinates lose no subject, no scene and no place within {seconds:g} s.")
        )
    return found


def failure_strips(outcomes: Mapping[str, Sequence[Outcome]], failed: Failures, plan: Plan) -> list[SheetRow]:
    """Of every rollout that loses subject or scene: the first block, where it is lost, the end."""
    end = max(plan.ends(plan.amounts.horizons_s))
    strips = []
    for name, row in outcomes.items():
        for seed, (outcome, block) in enumerate(zip(row, failed[name], strict=True)):
            if block is not None and str(block) in outcome.arrays:
                lost = f"lost, {block * SECONDS_A_BLOCK:.0f} s"
                frames = [outcome.arrays[str(number)] for number in (0, block, end)]
                strips.append(SheetRow(f"{name}, seed {seed}", frames, ["first block", lost, "end"]))
    return strips


def over_distance(far: Mapping[str, Sequence[Sequence[Record]]], path: Path) -> Path:
    """Change of a block, and share of attention, by coordinates."""
    moved = {name: curve(row, "shift", "change", start=1) for name, row in far.items()}
    share = {"with its sink": curve(far["with its sink"], "shift", "sink", start=1)}
    return curves(
        path, {"change of the block's latents": moved, "share of attention on the sink": share}, "coordinates", True
    )
