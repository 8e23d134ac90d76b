"""How much is played. Knows which rows there are, not what they show."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from examples.ablations.long_rollout import Held
from examples.ablations.metrics import block_at
from examples.ablations.variant import Setting
from infrope_env.config import ROTARY_TABLE_LENGTH, Window
from infrope_env.models.resolve import load_model

LEAST_SEEDS = 3


@dataclass(frozen=True)
class Amounts:
    """Sizes of the experiments.

    Attributes:
        horizons_s: seconds at which held rollouts are judged.
        window_horizons_s: the same where window sizes are compared; some of `horizons_s`.
        steps_horizons_s: the same where numbers of steps and models are compared; some of `horizons_s`.
        every: one block in so many is judged.
        sizes: of windows, in latent frames.
        pasts: states that a change of prompt or a cut begins from, a seed.
        motions: to change to, from each.
        scenes: to reach, from each.
        after: blocks played after a change or a cut.
        cut_coordinates: where cuts go.
        shifts: coordinates by which a sink is moved away.
        steps: numbers of denoising steps.
        timed: blocks a time is the median of.
    """

    horizons_s: tuple[float, ...]
    window_horizons_s: tuple[float, ...]
    steps_horizons_s: tuple[float, ...]
    every: int
    sizes: tuple[int, ...]
    pasts: int
    motions: int
    scenes: int
    after: int
    cut_coordinates: tuple[int, ...]
    shifts: tuple[int, ...]
    steps: tuple[int, ...]
    timed: int


FULL = Amounts(
    horizons_s=(5, 60, 120, 240, 1200),
    window_horizons_s=(5, 60, 240),
    steps_horizons_s=(5, 60),
    every=10,
    sizes=(5, 6, 7, 9, 12, 15, 21),
    pasts=6,
    motions=5,
    scenes=2,
    after=3,
    cut_coordinates=(6, 9, 12, 15, 18, 21, 30, 45, 64, 100, 200, 400, 700, 1000),
    shifts=(3, 6, 9, 12, 15, 18, 24, 32, 45, 64, 90, 128, 180, 256, 360, 512, 720, 1020, 1440, 2040, 2880, 4800),
    steps=(1, 2, 4, 8),
    timed=12,
)
QUICK = Amounts(
    horizons_s=(5, 20),
    window_horizons_s=(5, 20),
    steps_horizons_s=(5, 20),
    every=10,
    sizes=(6, 12, 21),
    pasts=2,
    motions=2,
    scenes=1,
    after=2,
    cut_coordinates=(6, 12, 21, 45, 200, 1000),
    shifts=(6, 18, 45, 128, 360, 1020, 4800),
    steps=(1, 4),
    timed=5,
)


@dataclass(frozen=True)
class Plan:
    """What the laboratory is asked for.

    Attributes:
        weights: the world that everything is measured on.
        teacher: a world folder to set beside it, and so is `control`, a teacher trained without changes of prompt.
        seeds: repetitions of everything, at least three.
    """

    amounts: Amounts
    weights: str = "pocket"
    teacher: str | None = None
    control: str | None = None
    seeds: int = LEAST_SEEDS

    def __post_init__(self) -> None:
        if self.seeds < LEAST_SEEDS:
            raise ValueError(f"expected at least {LEAST_SEEDS} seeds, so that there is a spread, got {self.seeds}")

    @cached_property
    def own(self) -> Setting:
        """The world as it is played."""
        return Setting(self.weights, load_model(self.weights).window)

    def of(self, window: Window, long: bool = False) -> Setting:
        """The world under another window; `long` gives it coordinates for the longest horizon."""
        return Setting(self.weights, window, coordinates=self._coordinates if long else None)

    def ends(self, horizons_s: tuple[float, ...]) -> tuple[int, ...]:
        """The blocks in which these horizons end."""
        return tuple(block_at(seconds) for seconds in horizons_s)

    def held(self, setting: Setting, horizons_s: tuple[float, ...]) -> list[Held]:
        """Held rollouts, one a seed. The world as it is played is held once, to the farthest horizon, for all."""
        ends = self.ends(self.amounts.horizons_s if setting == self.own else horizons_s)
        return [Held(setting, seed, ends, self.amounts.every) for seed in range(self.seeds)]

    @property
    def _coordinates(self) -> int:
        window = self.own.window
        return max(ROTARY_TABLE_LENGTH, (max(self.ends(self.amounts.horizons_s)) + 3) * window.block)
