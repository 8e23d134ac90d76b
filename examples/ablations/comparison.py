"""What the numbers say of a claim, computed from them. Knows no experiment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from examples.ablations.statistics import Difference, Spread

AGREES, CONTRADICTS, UNDECIDED, NO_DIFFERENCE = "agrees", "contradicts", "undecided", "no difference"
NEGLIGIBLE = 0.005
"""Nothing is given up for less, however certain: what verdicts are on goes from 0 to 1, or counts frames or ms."""


@dataclass(frozen=True)
class Verdict:
    """A sentence, and how it stands to the claim."""

    outcome: str
    text: str


def claimed_better(
    claim: str, better: tuple[str, Sequence[float]], worse: tuple[str, Sequence[float]], more_is_better: bool = True
) -> Verdict:
    """Whether one row beats another, as a claim has it; rows are a name and one value a seed."""
    difference = Difference.of(better[1], worse[1])
    sign = difference.sign if more_is_better else -difference.sign
    outcome = NO_DIFFERENCE if difference.within(NEGLIGIBLE) else {1: AGREES, -1: CONTRADICTS, 0: UNDECIDED}[sign]
    numbers = f"{better[0]} {Spread.of(better[1])}, {worse[0]} {Spread.of(worse[1])}, difference {difference}"
    return Verdict(outcome, f"{claim}: {numbers}.")


def default_is_best(
    what: str, current: str, rows: Mapping[str, Sequence[float]], measure: str, more_is_better: bool = True
) -> Verdict:
    """Whether another choice beats the default beyond chance; rows are one value a seed, by choice."""
    means = {name: Spread.of(values).mean * (1 if more_is_better else -1) for name, values in rows.items()}
    best = max(means, key=lambda name: (means[name], name == current))
    if best == current:
        return Verdict(
            AGREES, f"{what}: none is ahead of the default, {current}, by {measure}: {Spread.of(rows[current])}."
        )
    difference = Difference.of(rows[best], rows[current])
    numbers = f"{best} {Spread.of(rows[best])}, {current} {Spread.of(rows[current])}, difference {difference}"
    if difference.sign == 0 and not difference.within(NEGLIGIBLE):
        return Verdict(UNDECIDED, f"{what}: {best} is ahead of the default by {measure}, within chance: {numbers}.")
    if abs(difference.mean) < NEGLIGIBLE:
        return Verdict(AGREES, f"{what}: none is far enough ahead of the default to matter, by {measure}: {numbers}.")
    return Verdict(CONTRADICTS, f"{what}: {measure} argues for {best} instead of the default, {current}: {numbers}.")
