"""A cell: one motion held for long, judged now and then, and now and then asked for something else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from examples.ablations.features import Eyes, open_eyes
from examples.ablations.harness import Rig
from examples.ablations.job import Generated, Outcome
from examples.ablations.metrics import Judge, Record, is_right
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

HELD_MOTIONS = ("walk_right", "wave", "walk_left", "jump")
"""By seed in turn: only motions in which something moves, so that a still picture is noticed."""
EVERY_BLOCK_UNTIL = 8
MOST_PICTURES = 24
PLACES_COMPARED = 5


def held_state(seed: int) -> WorldState:
    """Who does what where at the start; seeds go through subjects, scenes and motions in steps of different length."""
    motion = HELD_MOTIONS[seed % len(HELD_MOTIONS)]
    return spawn(SUBJECTS[(2 * seed + 1) % len(SUBJECTS)], SCENES[(5 * seed + 2) % len(SCENES)], motion)


def judged_blocks(ends: tuple[int, ...], every: int) -> set[int]:
    """The first few, then one in `every`, and both before and at each end."""
    regular = {*range(1, min(EVERY_BLOCK_UNTIL, max(ends)) + 1), *range(every, max(ends) + 1, every)}
    return regular | {block for end in ends for block in (end - 1, end) if block >= 1}


@dataclass(frozen=True)
class Held(Generated):
    """Hold a motion to the last of the blocks `ends`.

    Attributes:
        ends: blocks at which a horizon ends; there, every other motion is asked for too, for one block each.
        every: one block in so many is judged in between.
    """

    ends: tuple[int, ...]
    every: int

    @property
    def name(self) -> str:
        """What progress calls it."""
        window = self.setting.window
        steps = "" if self.setting.steps is None else f", {len(self.setting.steps)} steps"
        rule = f"{window.coordinates}, window {window.size}, sink {window.sink}{steps}"
        return f"{max(self.ends)} blocks held, {rule}, {self.weights}, seed {self.seed}"

    def run(self, eyes: Eyes) -> Outcome:
        """Records of the judged blocks; the last pixel frame at every end, and where names turn right or wrong."""
        rig, truth = Rig(self.setting), held_state(self.seed)
        rig.start(truth, self.seed)
        judge, judged = Judge(eyes, rig.look()[0]), judged_blocks(self.ends, self.every)
        records: list[Record] = []
        pictures, least = {"0": rig.look()[-1]}, least_likeness(self.seed)
        for block in range(1, max(self.ends) + 1):
            rig.play(truth.motion)
            truth = advance(truth)
            if block in judged:
                records.append(judge.glance(rig.look(), truth, block))
            if block in self.ends or (block in judged and len(pictures) < MOST_PICTURES and turns(records, least)):
                pictures[str(block)] = rig.look()[-1]
            if block in self.ends:
                records[-1]["answers"] = share_answered(rig, eyes)
        return Outcome(records, pictures)


def turns(records: Sequence[Record], least: float) -> bool:
    """Whether subject, scene and place have just become right, or wrong; at the start they are taken for right."""
    before, now = [True, *(is_right(record, least) for record in records)][-2:]
    return before != now


def share_answered(rig: Rig, eyes: Eyes) -> float:
    """How many of the other motions show in the first block after they are asked for; the rig goes on as it was."""
    here, answered = rig.save(), []
    for motion in (motion for motion in MOTIONS if motion != here.steering.motion):
        rig.play(motion)
        answered.append(eyes.detectors.name_motion(rig.look()) == motion)
        rig.restore(here)
    return float(np.mean(answered))


@lru_cache(maxsize=64)
def least_likeness(seed: int) -> float:
    """Likeness that shows a held rollout in its place: halfway from what other places of the way have to 1.

    Rendered, at a few places of the way against all others; in a scene of few things they look more alike.
    """
    truth, others = held_state(seed), []
    for _ in range(PLACES_COMPARED):
        truth = advance(advance(truth))
        judge = Judge(open_eyes(), render_block(truth)[0])
        others += [
            judge.glance(render_block(replace(truth, scroll=truth.scroll + away)), truth, 0)["likeness"]
            for away in range(TILE, NEAR_PERIOD, TILE)
        ]
    return (1 + float(np.mean(others))) / 2


@dataclass(frozen=True)
class Rendered:
    """The same, as the world itself draws it: what can be reached."""

    weights: str
    seed: int
    ends: tuple[int, ...]
    every: int
    timed: bool = False

    @property
    def name(self) -> str:
        """What progress calls it."""
        return f"{max(self.ends)} blocks rendered, seed {self.seed}"

    def run(self, eyes: Eyes) -> Outcome:
        """Records of the judged blocks, and the last pixel frame at every end."""
        truth = held_state(self.seed)
        first = render_block(truth)
        judge, judged = Judge(eyes, first[FIRST_PHASE]), judged_blocks(self.ends, self.every)
        records, pictures = [], {"0": first[-1]}
        for block in range(1, max(self.ends) + 1):
            truth = advance(truth)
            if block in judged:
                records.append(judge.glance(render_block(truth), truth, block))
            if block in self.ends:
                pictures[str(block)] = render_block(truth)[-1]
        return Outcome(records, pictures)
