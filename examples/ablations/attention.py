"""Experiment: what attention looks at, in pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from examples.ablations.attention_jobs import CHANGED, HELD, Maps
from examples.ablations.comparison import Verdict, claimed_better
from examples.ablations.experiment_config import Plan
from examples.ablations.job import Cell, Outcome
from examples.ablations.plot import frame_maps, head_maps
from examples.ablations.report import Section
from examples.ablations.statistics import Spread
from examples.ablations.store import Store
from examples.ablations.table import Entry, Table
from examples.ablations.variant import resized

LONGER = 12
"""A window long enough to see a band in."""


def maps(plan: Plan) -> dict[int, list[Maps]]:
    """By window size, one a seed."""
    window = plan.own.window
    return {
        size: [Maps(plan.of(resized(window, size)), seed) for seed in range(plan.seeds)]
        for size in dict.fromkeys((window.size, LONGER))
    }


def cells(plan: Plan) -> list[Cell]:
    """All that is played."""
    return [cell for row in maps(plan).values() for cell in row]


def section(plan: Plan, store: Store, folder: Path) -> Section:
    """Pictures, a table and verdicts."""
    outcomes = {size: [store.load(cell) for cell in row] for size, row in maps(plan).items()}
    own = outcomes[plan.own.window.size]
    heads = {name: np.mean([o.arrays[name] for o in own], axis=0) for name in ("sink", "context", "cut context")}
    titles = {"sink": "on the sink", "context": "on all that is cached", "cut context": "the same, in a cut"}
    return Section(
        "Attention",
        [explanation(plan), sink_heads(heads["sink"], plan)],
        [share_table(outcomes)],
        verdicts(own, plan),
        {
            "Attention of frames to frames, a mean over layers, heads, passes and tokens; first seed": picture(
                outcomes, plan, folder / "ablations_attention.png"
            ),
            "Shares of attention, by layer and head": head_maps(
                folder / "ablations_heads.png", {titles[name]: shares for name, shares in heads.items()}
            ),
        },
    )


def explanation(plan: Plan) -> str:
    """What was done."""
    return (
        f"A motion is held for {HELD} blocks, another one for {CHANGED}, then comes a cut; what every block's tokens "
        "attend to is summed by frame. A row is a frame, so it sums to 1 over the frames it sees; white was not seen."
    )


def picture(outcomes: dict[int, list[Outcome]], plan: Plan, path: Path) -> Path:
    """Maps side by side, with the change and the cut marked."""
    block = plan.own.window.block
    marks = {"prompt changes": float(HELD * block), "cut": float((HELD + CHANGED) * block)}
    return frame_maps(path, {f"window {size}": (row[0].arrays["map"], marks) for size, row in outcomes.items()})


def sink_heads(shares: np.ndarray, plan: Plan) -> str:
    """Which layers and heads look at the sink more than at twice an equal share."""
    equal = plan.own.window.sink / plan.own.window.size
    found = [(share, layer, head) for (layer, head), share in np.ndenumerate(shares) if share > 2 * equal]
    names = [f"layer {layer} head {head} ({share:.2f})" for share, layer, head in sorted(found, reverse=True)[:8]]
    if not names:
        return f"No head gives the sink twice its equal share of {equal:.2f}."
    return f"Heads that give the sink more than twice its equal share of {equal:.2f}: {', '.join(names)}."


def share_table(outcomes: dict[int, list[Outcome]]) -> Table:
    """Means over layers and heads."""
    names = ("sink", "context", "cut context")
    rows: list[list[Entry]] = [
        [str(size), *(Spread.of([o.records[0][name] for o in row]) for name in names)] for size, row in outcomes.items()
    ]
    columns = ("window", "on the sink", "on all that is cached", "on all that is cached, in a cut")
    return Table("Share of a block's attention", columns, rows)


def verdicts(own: Sequence[Outcome], plan: Plan) -> list[Verdict]:
    """Whether the sink is one, and whether a cut looks away."""
    window = plan.own.window
    shares = {name: [outcome.records[0][name] for outcome in own] for name in ("sink", "context", "cut context")}
    equal = [window.sink / window.size] * len(own)
    kept = [share * flushed_part(plan) for share in shares["context"]]
    return [
        claimed_better(
            "The sink draws more attention than its equal share", ("sink", shares["sink"]), ("equal", equal)
        ),
        claimed_better(
            "A cut's block looks away from its history (share on what is cached, for as many frames)",
            ("cut", shares["cut context"]),
            ("usual", kept),
            more_is_better=False,
        ),
    ]


def flushed_part(plan: Plan) -> float:
    """How much of what is usually cached a flush leaves visible, by frames."""
    window = plan.own.window
    return (window.sink + window.kept_on_flush) / (window.sink + window.context)
