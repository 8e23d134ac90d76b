"""The table of the comparison: milliseconds of a block by part, ratios with intervals, difference of the pixels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from examples.speed.arms import Arm
from examples.stats import STUDENT_T_95

PARTS = ("denoise", "commit", "decode", "total")


@dataclass
class ArmResult:
    """Measurements of an arm.

    Attributes:
        arm: The arm.
        first_block_s: Seconds until its first block.
        rounds: Median milliseconds of a block by part, one entry per round.
        frames: Frames of the newest round, blocks t H W 3.
        squared_errors: Mean squared difference of its pixels from those of the first arm, one per round.
        latencies_ms: Milliseconds from key to pixel.
    """

    arm: Arm
    first_block_s: float
    rounds: list[dict[str, float]] = field(default_factory=list)
    frames: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint8))
    squared_errors: list[float] = field(default_factory=list)
    latencies_ms: list[float] = field(default_factory=list)

    def add_round(self, blocks: Sequence[dict[str, float]], frames: np.ndarray) -> None:
        """Keep the times of a round, a mapping by part for each block, and its frames."""
        self.rounds.append({part: float(np.median([block[part] for block in blocks])) for part in PARTS})
        self.frames = frames

    def compare_frames(self, reference: np.ndarray) -> None:
        """Keep the difference of the newest frames from those of the first arm."""
        self.squared_errors.append(float(((self.frames.astype(np.float32) - reference) ** 2).mean()))

    def block_ms(self, part: str) -> float:
        """Return the mean over rounds of the medians of a part."""
        return float(np.mean([each[part] for each in self.rounds]))

    @property
    def psnr(self) -> float:
        """Peak signal-to-noise ratio to the first arm in dB; infinite where all pixels are equal."""
        error = float(np.mean(self.squared_errors))
        return 10 * math.log10(255**2 / error) if error else math.inf

    def ratio(self, first: ArmResult) -> tuple[float, float, float]:
        """Return the ratio of its block time to the first arm's, paired by round: mean, and 95 % interval."""
        ratios = [mine["total"] / its["total"] for mine, its in zip(self.rounds, first.rounds, strict=True)]
        return student_interval(ratios)

    def latency_ms(self, percentile: int) -> float:
        """Return a percentile of the time from key to pixel; nan where no key was pressed."""
        return float(np.percentile(self.latencies_ms, percentile)) if self.latencies_ms else math.nan

    def to_json(self, first: ArmResult) -> dict[str, Any]:
        """Return every number of the row, and the ratios that were measured."""
        mean, low, high = self.ratio(first)
        row: dict[str, Any] = {"name": self.arm.name, "arguments": self.arm.arguments, "bar": self.arm.bar}
        row |= {f"{part}_ms": round(self.block_ms(part), 1) for part in PARTS}
        row |= {"ratio": round(mean, 3), "interval": [round(low, 3), round(high, 3)]}
        row |= {"psnr_db": round(self.psnr, 1) if math.isfinite(self.psnr) else None}
        row |= {"first_block_s": self.first_block_s}
        if self.latencies_ms:
            row |= {f"key_to_pixel_p{q}_ms": round(self.latency_ms(q)) for q in (50, 90)}
        return row


def student_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return a mean and its 95 % interval by Student's t; a single value has an infinite interval."""
    mean, count = float(np.mean(values)), len(values)
    if count < 2:
        return mean, -math.inf, math.inf
    quantile = STUDENT_T_95[min(count - 2, len(STUDENT_T_95) - 1)]
    half = quantile * float(np.std(values, ddof=1)) / math.sqrt(count)
    return mean, mean - half, mean + half


def table(results: Sequence[ArmResult]) -> Iterator[str]:
    """Yield the lines of the table."""
    first = results[0]
    names = ("arm", *(f"{part} ms" for part in PARTS), "ratio to before", "bar", "PSNR dB", "key p50", "key p90")
    yield f"| {' | '.join(names)} |"
    yield f"|{'---|' * len(names)}"
    for result in results:
        mean, low, high = result.ratio(first)
        cells = [result.arm.name, *(f"{result.block_ms(part):.1f}" for part in PARTS)]
        cells += [f"{mean:.3f} ({low:.3f} to {high:.3f})", "" if result.arm.bar is None else f"{result.arm.bar:g}"]
        cells += ["equal" if math.isinf(result.psnr) else f"{result.psnr:.1f}"]
        cells += [f"{result.latency_ms(q):.0f}" if result.latencies_ms else "" for q in (50, 90)]
        yield f"| {' | '.join(cells)} |"
