"""The evaluation's report: rows with confidence intervals, as JSON and as a Markdown table."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from examples.stats import mean_interval, median_range, wilson
from infrope_env.atomic_file import write_atomically


@dataclass(frozen=True)
class Measure:
    """One row of the report.

    Attributes:
        name: Label of the row.
        value: Mean of the samples.
        count: Number of samples.
        low: Lower end of the 95 % interval.
        high: Upper end of the 95 % interval.
        bar: Smallest and largest acceptable value; None where there is no limit.
    """

    name: str
    value: float
    count: int
    low: float
    high: float
    bar: tuple[float | None, float | None] = (None, None)

    @classmethod
    def share(cls, name: str, hits: Sequence[bool], at_least: float | None = None) -> Self:
        """Make the row of a share, with Wilson's interval."""
        low, high = wilson(sum(hits), len(hits))
        return cls(name, sum(hits) / len(hits), len(hits), low, high, (at_least, None))

    @classmethod
    def mean(cls, name: str, values: Sequence[float], bar: tuple[float | None, float | None] = (None, None)) -> Self:
        """Make the row of a mean of at least two values, with the interval of its standard error."""
        value, low, high = mean_interval(values)
        return cls(name, value, len(values), low, high, bar)

    @classmethod
    def median(cls, name: str, values: Sequence[float], at_most: float) -> Self:
        """Make the row of a median; the 5th and 95th percentiles take the place of the interval."""
        value, low, high = median_range(values)
        return cls(f"{name}: median, 5th and 95th percentile", value, len(values), low, high, (None, at_most))

    @property
    def met(self) -> bool | None:
        """True if the value is within the bar; None without a bar."""
        low, high = self.bar
        if low is None and high is None:
            return None
        return (low is None or self.value >= low) and (high is None or self.value <= high)


def git_commit() -> str:
    """Return the repository's commit, or "unknown"."""
    try:
        done = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def write(folder: Path, facts: dict[str, Any], measures: list[Measure]) -> None:
    """Write evaluation.json and evaluation.md, and print the latter.

    Args:
        folder: Folder that receives both files.
        facts: Command, commit, machine, weights and minutes of the run.
        measures: Rows of the report.
    """
    rows = [asdict(measure) | {"met": measure.met} for measure in measures]
    write_atomically(folder / "evaluation.json", (json.dumps(facts | {"measures": rows}, indent=2) + "\n").encode())
    text = "\n".join([*_heading(facts), "", *_table(measures)]) + "\n"
    write_atomically(folder / "evaluation.md", text.encode())
    print(text)


def _heading(facts: dict[str, Any]) -> list[str]:
    """Return the lines above the table: the run, and how to read the rows."""
    sums = ", ".join(f"{name} {value[:16]}" for name, value in facts["weights"].items())
    return [
        f"# Evaluation of the {facts['world']} model",
        "",
        f"`{facts['command']}`, commit {facts['commit']}, {facts['minutes']} minutes on {facts['device']} "
        f"({facts['processor']}, {facts['cpus']} processors, {facts['threads']} thread used, {facts['dtype']}).",
        f"Weights (sha256): {sums}.",
        "*Right*: the detector names what the prompt specifies. *Landmark in place*: less than half of a landmark's "
        "contrast is missing where the world draws it. The scores of the detectors themselves were recorded when they "
        "were trained.",
        "Intervals are 95 %: Wilson's for shares, the standard error's for means. All samples are treated as "
        "independent, so intervals are too narrow where one rollout gives several samples. *Met*: the value, not the "
        "whole interval, is within the bar.",
    ]


def _table(measures: list[Measure]) -> list[str]:
    """Return the rows as a Markdown table."""
    lines = ["| measure | value | samples | interval | bar | met |", "|---|---|---|---|---|---|"]
    for m in measures:
        verdict = {None: "", True: "yes", False: "no"}[m.met]
        value, low, high = (_three_digits(number) for number in (m.value, m.low, m.high))
        lines.append(f"| {m.name} | {value} | {m.count} | {low} to {high} | {_bar(*m.bar)} | {verdict} |")
    return lines


def _three_digits(number: float) -> str:
    return f"{number:.0f}" if abs(number) >= 100 else f"{number:.3g}"


def _bar(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f"{low:g} to {high:g}"
    return f"at least {low:g}" if low is not None else f"at most {high:g}" if high is not None else ""
