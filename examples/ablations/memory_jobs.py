"""Job: a long rollout that is steered, with an action change every few blocks and a cut now and then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from examples.ablations.features import FeatureExtractor, feature_extractor
from examples.ablations.harness import Harness
from examples.ablations.job import Job, Outcome
from examples.ablations.long_rollout import likeness_threshold, start_state
from examples.ablations.metrics import LAST_SHARE, BlockMetrics, Record
from examples.pocket_world.world.scenes import NEAR_PERIOD, TILE
from examples.pocket_world.world.state import MOTIONS, SCENES, WorldState, advance, render_block

CHANGE_EVERY = 4
CUT_EVERY = 20
MEASURED_EVERY = 7
"""Blocks per measured block; no divisor in common with those of changes and cuts, so each distance from them occurs."""


def next_action(truth: WorldState, block: int, chance: np.random.Generator) -> str:
    """Return the action of a block: another scene, another motion, or the motion in force."""
    if block % CUT_EVERY == 0:
        return f"cut_{chance.choice([scene for scene in SCENES if scene != truth.scene])}"
    if block % CHANGE_EVERY == 0:
        return str(chance.choice([motion for motion in MOTIONS if motion != truth.motion]))
    return truth.motion


def after(truth: WorldState, action: str) -> WorldState:
    """Return the state of the world in the next block under an action."""
    return advance(truth, scene=action.removeprefix("cut_")) if action.startswith("cut_") else advance(truth, action)


@dataclass(frozen=True)
class SteeredRolloutJob(Job):
    """A job that changes the motion every four blocks and the scene every twenty; the seed chooses them.

    Attributes:
        ends: Blocks at which a horizon ends.
    """

    ends: tuple[int, ...]

    def run(self, extractor: FeatureExtractor) -> Outcome:
        """Return a record per measured block, with "place right", and the last pixel frame of every end.

        Measured are blocks in the last quarters before the ends, which `late_values` takes.
        """
        harness, truth, chance = Harness(self.variant), start_state(self.seed), np.random.default_rng(self.seed)
        harness.start(truth, self.seed)
        metrics = BlockMetrics(extractor, harness.frames()[0])
        records: list[Record] = []
        arrays = {"0": harness.frames()[-1]}
        for block in range(1, max(self.ends) + 1):
            action = next_action(truth, block, chance)
            harness.play(action)
            truth = after(truth, action)
            regular = block % MEASURED_EVERY == 0 and any(is_late(block, end) for end in self.ends)
            if regular or block in self.ends:
                record = metrics.measure(harness.frames(), truth, block)
                place_right = record["likeness"] >= place_threshold(truth.subject, truth.scene)
                records.append(record | {"place right": float(place_right)})
            if block in self.ends:
                arrays[str(block)] = harness.frames()[-1]
        return Outcome(records, arrays)


@lru_cache(maxsize=64)
def place_threshold(subject: str, scene: str) -> float:
    """Return the likeness that shows the right place in a scene, halfway between that of other places and 1."""
    truth = WorldState(subject, scene, "stand", 0, 0)
    metrics = BlockMetrics(feature_extractor(), render_block(truth)[0])
    others = [
        metrics.measure(render_block(replace(truth, scroll=offset)), truth, 0)["likeness"]
        for offset in range(TILE, NEAR_PERIOD, TILE)
    ]
    return (1 + float(np.mean(others))) / 2


def is_late(block: int, end: int) -> bool:
    """Return whether a block is in the last quarter before an end."""
    return end * (1 - LAST_SHARE) < block <= end


def late_values(records: Sequence[Record], end: int, seed: int) -> Record:
    """Return likeness and the shares of right subjects, scenes and places in the last quarter before a block.

    Records of one motion, which have no "place right", are judged by the threshold of their seed.
    """
    late = [record for record in records if is_late(int(record["block"]), end)]
    if "place right" not in late[0]:
        late = [record | {"place right": float(record["likeness"] >= likeness_threshold(seed))} for record in late]
    names = ("likeness", "subject right", "scene right", "place right", "motion right")
    return {name: float(np.mean([record[name] for record in late])) for name in names}
