"""Configuration of the experiments: how many seeds, blocks and rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from examples.ablations.cost_job import CostJob
from examples.ablations.cut_jobs import CutJob, SceneTransition
from examples.ablations.job import Job
from examples.ablations.long_rollout import LongRolloutJob
from examples.ablations.metrics import block_at
from examples.ablations.switch_jobs import SwitchJob, SwitchPolicy
from examples.ablations.variant import Variant
from infrope_env.config import ROTARY_TABLE_LENGTH, Window
from infrope_env.models.resolve import load_model

MIN_SEEDS = 3


@dataclass(frozen=True)
class Sizes:
    """Sizes of the experiments.

    Attributes:
        horizons_s: Horizons of long rollouts, in seconds.
        window_horizons_s: Horizons where window sizes are compared; a subset of `horizons_s`.
        steps_horizons_s: Horizons where numbers of steps and models are compared; a subset of `horizons_s`.
        measure_every: Blocks per measured block of a long rollout.
        window_sizes: Window sizes in latent frames.
        starts: States per seed that a change of prompt or a cut starts from.
        motions: Motions to change to, per start.
        scenes: Scenes to go to, per start.
        blocks_after: Blocks after a change or a cut.
        cut_coordinates: Coordinates that cuts move the block to.
        sink_shifts: Coordinates by which everything but the sink is moved.
        step_counts: Numbers of denoising steps.
        timed_blocks: Blocks per time measurement.
        memory_windows: Windows in which memory policies are compared.
        memory_horizons_s: Horizons where they are, on one motion; a subset of `horizons_s`.
        steered_horizons_s: Horizons where they are in steered rollouts.
    """

    horizons_s: tuple[float, ...]
    window_horizons_s: tuple[float, ...]
    steps_horizons_s: tuple[float, ...]
    measure_every: int
    window_sizes: tuple[int, ...]
    starts: int
    motions: int
    scenes: int
    blocks_after: int
    cut_coordinates: tuple[int, ...]
    sink_shifts: tuple[int, ...]
    step_counts: tuple[int, ...]
    timed_blocks: int
    memory_windows: tuple[int, ...]
    memory_horizons_s: tuple[float, ...]
    steered_horizons_s: tuple[float, ...]

    def until(self, seconds: float) -> Sizes:
        """Return these sizes without the horizons beyond a time.

        Raises:
            ValueError: An experiment has no horizon left.
        """
        names = ("horizons_s", "window_horizons_s", "steps_horizons_s", "memory_horizons_s", "steered_horizons_s")
        kept = {name: tuple(each for each in getattr(self, name) if each <= seconds) for name in names}
        for horizons_s in kept.values():
            if not horizons_s:
                raise ValueError(
                    f"expected the longest horizon to be at least 60 s (5 s with --quick), got {seconds:g}"
                )
        return replace(self, **kept)  # type: ignore[arg-type]


FULL = Sizes(
    horizons_s=(5, 60, 120, 240, 1200),
    window_horizons_s=(5, 60, 240),
    steps_horizons_s=(5, 60),
    measure_every=10,
    window_sizes=(5, 6, 7, 9, 12, 15, 21),
    starts=6,
    motions=5,
    scenes=2,
    blocks_after=3,
    cut_coordinates=(6, 9, 12, 15, 18, 21, 30, 45, 64, 100, 200, 400, 700, 1000),
    sink_shifts=(3, 6, 9, 12, 15, 18, 24, 32, 45, 64, 90, 128, 180, 256, 360, 512, 720, 1020, 1440, 2040, 2880, 4800),
    step_counts=(1, 2, 4, 8),
    timed_blocks=12,
    memory_windows=(6, 12),
    memory_horizons_s=(60, 240, 1200),
    steered_horizons_s=(60, 240),
)
QUICK = Sizes(
    horizons_s=(5, 20),
    window_horizons_s=(5, 20),
    steps_horizons_s=(5, 20),
    measure_every=10,
    window_sizes=(6, 12, 21),
    starts=2,
    motions=2,
    scenes=1,
    blocks_after=2,
    cut_coordinates=(6, 12, 21, 45, 200, 1000),
    sink_shifts=(6, 18, 45, 128, 360, 1020, 4800),
    step_counts=(1, 4),
    timed_blocks=5,
    memory_windows=(6, 12),
    memory_horizons_s=(5, 20),
    steered_horizons_s=(5, 20),
)


@dataclass(frozen=True)
class ExperimentConfig:
    """Models, sizes and seeds.

    Attributes:
        sizes: Sizes of the experiments.
        weights: The model under test.
        teacher: World folder of its teacher; None leaves out its rows.
        control: World folder of a teacher trained without changes of prompt; None leaves out its rows.
        seeds: Repetitions of every measurement, at least three.
    """

    sizes: Sizes
    weights: str = "pocket"
    teacher: str | None = None
    control: str | None = None
    seeds: int = MIN_SEEDS

    def __post_init__(self) -> None:
        if self.seeds < MIN_SEEDS:
            raise ValueError(f"expected at least {MIN_SEEDS} seeds for a standard deviation, got {self.seeds}")

    @cached_property
    def default(self) -> Variant:
        """The model under test with its own window and steps."""
        return Variant(self.weights, load_model(self.weights).window)

    def variant(self, window: Window, long_table: bool = False) -> Variant:
        """Return the model under another window; `long_table` covers the absolute coordinates of the last horizon."""
        longest = (max(self.end_blocks(self.sizes.horizons_s)) + 3) * window.block
        return Variant(
            self.weights, window, rotary_length=max(ROTARY_TABLE_LENGTH, longest) if long_table else ROTARY_TABLE_LENGTH
        )

    def end_blocks(self, horizons_s: tuple[float, ...]) -> tuple[int, ...]:
        """Return the block in which each horizon ends."""
        return tuple(block_at(seconds) for seconds in horizons_s)

    def long_rollouts(self, variant: Variant, horizons_s: tuple[float, ...]) -> list[Job]:
        """Return one long rollout per seed; all experiments share those of the default, to the last horizon."""
        ends = self.end_blocks(self.sizes.horizons_s if variant == self.default else horizons_s)
        return [LongRolloutJob(variant, seed, ends, self.sizes.measure_every) for seed in range(self.seeds)]

    def switches(
        self, variant: Variant, policies: tuple[SwitchPolicy, ...], lead: int, blocks: int, timed: bool = False
    ) -> list[Job]:
        """Return one job of changes of motion per seed."""
        starts, motions = self.sizes.starts, self.sizes.motions
        return [
            SwitchJob(variant, seed, policies, starts, motions, lead, blocks, timed=timed) for seed in range(self.seeds)
        ]

    def cuts(self, variant: Variant, transitions: tuple[SceneTransition, ...], blocks: int) -> list[Job]:
        """Return one job of changes of scene per seed."""
        starts, scenes = self.sizes.starts, self.sizes.scenes
        return [CutJob(variant, seed, transitions, starts, scenes, blocks=blocks) for seed in range(self.seeds)]

    def costs(self, variant: Variant) -> list[Job]:
        """Return one cost measurement per seed."""
        return [CostJob(variant, seed, self.sizes.timed_blocks) for seed in range(self.seeds)]
