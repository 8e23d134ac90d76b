"""Experiment: KV Flush against what else can be done to the cache when the prompt changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from examples.ablations.comparison import Verdict, claimed_better, default_is_best
from examples.ablations.experiment_config import Plan
from examples.ablations.job import Cell
from examples.ablations.metrics import Record
from examples.ablations.report import Section
from examples.ablations.statistics import Spread
from examples.ablations.store import Store
from examples.ablations.switch_jobs import Arm, Switches
from examples.ablations.table import Entry, Table
from examples.ablations.variant import resized
from infrope_env.control.actions import Transition
from infrope_env.dynamics.coordinates import lay_out

FULL_CACHE = 21
"""Latent frames of a full cache: all of a training clip."""
MEASURES: dict[str, Callable[[Sequence[float]], float]] = {
    "motion right": lambda values: float(np.mean(values)),
    "blocks until named": lambda values: float(np.mean(values)),
    "frames until shown": lambda values: float(np.mean(values)),
    "seam": lambda values: float(np.mean(values)),
    "subject kept": lambda values: float(np.mean(values)),
    "scene kept": lambda values: float(np.mean(values)),
    "ms": lambda values: float(np.median(values)),
    "passes": lambda values: float(np.mean(values)),
}


def arms(plan: Plan) -> tuple[Arm, ...]:
    """Every policy at the world's own window and with a full cache."""
    own = plan.own.window.size
    policies = (("flush", 1), ("flush", 2), ("none", 1), ("no_cache", 1), ("recache", 1))
    return tuple(
        Arm(arm_name(on_switch, kept, size), size, on_switch, kept)
        for size in dict.fromkeys((own, FULL_CACHE))
        for on_switch, kept in policies
    )


def arm_name(on_switch: str, kept: int, size: int) -> str:
    """For tables."""
    policy = {"none": "cross-attention only", "no_cache": "no cache", "recache": "re-cache"}
    return f"{policy.get(on_switch, f'flush, keeps {kept}')}, window {size}"


def changes(plan: Plan) -> list[Switches]:
    """One cell a seed."""
    amounts = plan.amounts
    lead = -(-FULL_CACHE // plan.own.window.block)
    return [
        Switches(plan.own, seed, arms(plan), amounts.pasts, amounts.motions, lead, amounts.after, timed=True)
        for seed in range(plan.seeds)
    ]


def cells(plan: Plan) -> list[Cell]:
    """All that is played."""
    return list(changes(plan))


def section(plan: Plan, store: Store, folder: Path) -> Section:
    """Table and verdicts."""
    records = [store.load(cell).records for cell in changes(plan)]
    values = {
        arm.name: {name: by_seed(records, "arm", number, name, take) for name, take in MEASURES.items()}
        for number, arm in enumerate(arms(plan))
    }
    rows: list[list[Entry]] = [[name, *(Spread.of(v) for v in row.values())] for name, row in values.items()]
    table = Table("After a change of motion", ("at a change of prompt", *MEASURES), rows)
    return Section("KV Flush", [explanation(plan), same_as_sliding(plan)], [table], verdicts(values, plan))


def by_seed(
    records: Sequence[Sequence[Record]],
    key: str,
    number: int,
    name: str,
    take: Callable[[Sequence[float]], float] = lambda values: float(np.mean(values)),
) -> list[float]:
    """One value a seed: of the records whose `key` is `number`, the mean of `name`, or what else `take` takes."""
    return [take([record[name] for record in seed if record[key] == number]) for seed in records]


def explanation(plan: Plan) -> str:
    """What was done."""
    return (
        "A motion is held until even a full cache is full, then another one is asked for; every row goes on from the "
        "same past as the other rows of its window. *Motion right*: named by the detector in the first block. *Frames "
        "until shown*: pixel frames, after the first that could tell, until the subject's features stay nearer to the "
        f"rendered new motion than to the rendered old one (never: {12 * plan.amounts.after}). *Seam*: how much more "
        "the picture changes from the last old pixel frame to the first new one than a rendered one does, in levels of "
        "255. *ms*: the first block without text and decoding, the median; *passes* through the generator in it. "
        "Re-caching encodes what is visible again under the new prompt, as LongLive does."
    )


def same_as_sliding(plan: Plan) -> str:
    """Whether a flush that keeps two frames does anything at the world's own window."""
    window = plan.own.window
    full = (0, *range(100 - window.size + 1, 100))
    kept = resized(window, window.size, flush_context=2)
    if lay_out(full, Transition.SWITCH, kept) == lay_out(full, Transition.CONTINUE, kept):
        return (
            f"At window {window.size} a flush that keeps two frames, the release's, sees exactly what plain sliding "
            "sees: its row and *cross-attention only* are one and the same."
        )
    return f"At window {window.size} a flush that keeps two frames sees fewer than plain sliding does."


def verdicts(values: Mapping[str, Mapping[str, Sequence[float]]], plan: Plan) -> list[Verdict]:
    """The paper's claims, and whether one frame is the right number to keep."""
    own = plan.own.window

    def row(on_switch: str, kept: int, size: int, measure: str) -> tuple[str, Sequence[float]]:
        name = arm_name(on_switch, kept, size)
        return name, values[name][measure]

    found = [
        claimed_better(
            f"A flush shows a new action in the very next block where a new prompt alone does not ({measure})",
            row("flush", 1, size, measure),
            row("none", 1, size, measure),
            more_is_better=measure == "motion right",
        )
        for size in dict.fromkeys((own.size, FULL_CACHE))
        for measure in ("motion right", "frames until shown")
    ]
    for what, other, measure in (
        ("A flush keeps the picture together where an empty cache does not", "no_cache", "seam"),
        ("A flush is cheaper than re-caching (ms of the first block)", "recache", "ms"),
        ("A flush shows a new action sooner than re-caching (frames until shown)", "recache", "frames until shown"),
    ):
        flushed, compared = (row(policy, 1, own.size, measure) for policy in ("flush", other))
        found.append(claimed_better(what, flushed, compared, more_is_better=False))
    kept = {str(n): values[arm_name("flush", n, FULL_CACHE)]["motion right"] for n in (1, 2)}
    what = f"flush_context (window {FULL_CACHE})"
    return [*found, default_is_best(what, str(1 if own.flush_context < 2 else 2), kept, "motion right")]
