"""Comparisons of two rows, paired by seed: the difference, its 95 % confidence interval, and an outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from examples.ablations.table import json_entry
from examples.stats import PairedDifference, SeedStatistics

BETTER, WORSE, HIGHER, LOWER = "better", "worse", "higher", "lower"
NO_DIFFERENCE, UNDECIDED, DEFAULT_IS_BEST = "no difference", "undecided", "default is best"
NEGLIGIBLE = 0.005
"""Smallest mean difference that counts. Compared metrics range from 0 to 1, or are in frames, levels or ms."""

COLUMNS = ("expectation", "metric", "first", "second", "first - second", "95 % interval", "outcome of the first")

Better = Literal["higher", "lower"] | None
"""Which value is better; None where neither is, and the outcome is "higher" or "lower"."""


@dataclass(frozen=True)
class Comparison:
    """One line of the comparison table.

    Attributes:
        expectation: Expected result, from the paper or from the choice of a default.
        metric: The metric that is compared.
        first: Name and statistics of the first row.
        second: The same of the second row; None where the default has the best mean, which needs no test.
        difference: First minus second; None without a second row.
        outcome: Outcome of the first row: "better", "worse", "higher", "lower", "no difference" (smaller than
            `NEGLIGIBLE`), "undecided" (the interval contains 0), or "default is best".
    """

    expectation: str
    metric: str
    first: tuple[str, SeedStatistics]
    second: tuple[str, SeedStatistics] | None
    difference: PairedDifference | None
    outcome: str

    def entries(self) -> list[str]:
        """Return the line's entries under `COLUMNS`."""
        rows = ["" if row is None else f"{row[0]}: {row[1]}" for row in (self.first, self.second)]
        numbers = ["", ""] if self.difference is None else [f"{self.difference.mean:+.3g}", self.difference.interval]
        return [self.expectation, self.metric, *rows, *numbers, self.outcome]

    def data(self) -> dict[str, object]:
        """Return the comparison as JSON data."""
        first, second = (row and {"row": row[0], "value": json_entry(row[1])} for row in (self.first, self.second))
        difference = self.difference and asdict(self.difference)
        rows = {"first": first, "second": second, "difference": difference}
        return {"expectation": self.expectation, "metric": self.metric, **rows, "outcome": self.outcome}


def compare(
    expectation: str,
    metric: str,
    first: tuple[str, Sequence[float]],
    second: tuple[str, Sequence[float]],
    better: Better = "higher",
) -> Comparison:
    """Compare two rows, each a name and one value per seed."""
    difference = PairedDifference.of(first[1], second[1])
    rows = [(name, SeedStatistics.of(values)) for name, values in (first, second)]
    return Comparison(expectation, metric, rows[0], rows[1], difference, outcome_of(difference, better))


def compare_with_default(
    what: str, metric: str, default: str, rows: Mapping[str, Sequence[float]], better: Better = "higher"
) -> Comparison:
    """Compare the row with the best mean with the default row.

    Args:
        what: The setting that differs between the rows, for example "window size".
        metric: The metric that is compared.
        default: Name of the default row.
        rows: One value per seed, by row.
        better: Which value is better.
    """
    expectation, default_row = f"No other {what} is better than the default", f"{default} (default)"
    sign = -1 if better == "lower" else 1
    means = {name: SeedStatistics.of(values).mean * sign for name, values in rows.items()}
    best = max(means, key=lambda name: (means[name], name == default))
    if best == default:
        statistics = SeedStatistics.of(rows[default])
        return Comparison(expectation, metric, (default_row, statistics), None, None, DEFAULT_IS_BEST)
    return compare(expectation, metric, (best, rows[best]), (default_row, rows[default]), better)


def outcome_of(difference: PairedDifference, better: Better) -> str:
    """Return the outcome of a difference."""
    if difference.sign == 0:
        return NO_DIFFERENCE if difference.within(NEGLIGIBLE) else UNDECIDED
    if abs(difference.mean) < NEGLIGIBLE:
        return NO_DIFFERENCE
    direction = HIGHER if difference.sign > 0 else LOWER
    return direction if better is None else BETTER if direction == better else WORSE
