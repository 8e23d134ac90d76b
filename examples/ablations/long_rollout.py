"""Jobs: a long rollout of one motion, measured at intervals, and the rendered frames of the same blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from examples.ablations.features import FeatureExtractor, feature_extractor
from examples.ablations.harness import Harness
from examples.ablations.job import Job, Outcome
from examples.ablations.metrics import BlockMetrics, Record, is_correct
from examples.pocket_world.world.scenes import NEAR_PERIOD, TILE
from examples.pocket_world.world.state import (
    FIRST_PHASE,
    MOTIONS,
    SCENES,
    SUBJECTS,
    WorldState,
    advance,
    render_block,
    spawn,
)

ROLLOUT_MOTIONS = ("walk_right", "wave", "walk_left", "jump")
"""Motions of long rollouts, by seed; all of them move something, so a frozen video is detected."""
MEASURED_AT_START = 8
"""Blocks at the start that are all measured."""
MAX_SAVED_FRAMES = 24
PLACES_COMPARED = 5


def start_state(seed: int) -> WorldState:
    """Return subject, scene and motion of a long rollout; each list is traversed with its own stride over the seeds."""
    motion = ROLLOUT_MOTIONS[seed % len(ROLLOUT_MOTIONS)]
    return spawn(SUBJECTS[(2 * seed + 1) % len(SUBJECTS)], SCENES[(5 * seed + 2) % len(SCENES)], motion)


def measured_blocks(ends: tuple[int, ...], every: int) -> set[int]:
    """Return the first few blocks, one in `every`, and the last two before each end."""
    regular = {*range(1, min(MEASURED_AT_START, max(ends)) + 1), *range(every, max(ends) + 1, every)}
    return regular | {block for end in ends for block in (end - 1, end) if block >= 1}


@dataclass(frozen=True)
class LongRolloutJob(Job):
    """A job that repeats one motion for many blocks.

    Attributes:
        ends: Blocks at which a horizon ends; the response to every other motion is tested there, on a branch.
        every: Blocks per measured block in between.
    """

    ends: tuple[int, ...]
    every: int

    def run(self, extractor: FeatureExtractor) -> Outcome:
        """Return a record per measured block, and pixel frames by block.

        Arrays: the last pixel frame of block 0, of every end, and of blocks where the rollout turns wrong or right.
        """
        harness, truth = Harness(self.variant), start_state(self.seed)
        harness.start(truth, self.seed)
        metrics, measured = BlockMetrics(extractor, harness.frames()[0]), measured_blocks(self.ends, self.every)
        records: list[Record] = []
        arrays, threshold = {"0": harness.frames()[-1]}, likeness_threshold(self.seed)
        for block in range(1, max(self.ends) + 1):
            harness.play(truth.motion)
            truth = advance(truth)
            if block in measured:
                records.append(metrics.measure(harness.frames(), truth, block))
            turned = block in measured and len(arrays) < MAX_SAVED_FRAMES and correctness_changed(records, threshold)
            if block in self.ends or turned:
                arrays[str(block)] = harness.frames()[-1]
            if block in self.ends:
                records[-1]["answers"] = response_rate(harness, truth.motion, extractor)
        return Outcome(records, arrays)


def correctness_changed(records: Sequence[Record], threshold: float) -> bool:
    """Return whether the newest record is wrong after a correct one, or the reverse; the start counts as correct."""
    before, now = [True, *(is_correct(record, threshold) for record in records)][-2:]
    return before != now


def response_rate(harness: Harness, current: str, extractor: FeatureExtractor) -> float:
    """Return the share of the other motions that show in the first block after their action; restore the harness."""
    state, followed = harness.save(), []
    for motion in (motion for motion in MOTIONS if motion != current):
        harness.play(motion)
        followed.append(extractor.detectors.name_motion(harness.frames()) == motion)
        harness.restore(state)
    return float(np.mean(followed))


@lru_cache(maxsize=64)
def likeness_threshold(seed: int) -> float:
    """Return the likeness that shows the right place: halfway between that of other places and 1.

    Other places are measured on rendered frames: a few states of the rollout against every other tile of the scenery.
    Scenes with few objects have a higher threshold.
    """
    truth, others = start_state(seed), []
    for _ in range(PLACES_COMPARED):
        truth = advance(advance(truth))
        metrics = BlockMetrics(feature_extractor(), render_block(truth)[0])
        others += [
            metrics.measure(render_block(replace(truth, scroll=truth.scroll + offset)), truth, 0)["likeness"]
            for offset in range(TILE, NEAR_PERIOD, TILE)
        ]
    return (1 + float(np.mean(others))) / 2


@dataclass(frozen=True)
class RenderedRolloutJob(Job):
    """The rollout of a `LongRolloutJob` rendered by the world: the upper bound of a generator."""

    ends: tuple[int, ...]
    every: int

    def run(self, extractor: FeatureExtractor) -> Outcome:
        """Return a record per measured block, and the last pixel frame of block 0 and of every end."""
        truth = start_state(self.seed)
        first = render_block(truth)
        metrics, measured = BlockMetrics(extractor, first[FIRST_PHASE]), measured_blocks(self.ends, self.every)
        records, arrays = [], {"0": first[-1]}
        for block in range(1, max(self.ends) + 1):
            truth = advance(truth)
            if block in measured:
                records.append(metrics.measure(render_block(truth), truth, block))
            if block in self.ends:
                arrays[str(block)] = render_block(truth)[-1]
        return Outcome(records, arrays)
