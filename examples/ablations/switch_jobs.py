"""A cell: from one past, every way of changing the prompt, judged pixel frame by pixel frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from examples.ablations.features import Eyes
from examples.ablations.harness import Moment, Rig, with_rules
from examples.ablations.job import Generated, Outcome
from examples.ablations.metrics import Record
from examples.ablations.variant import Setting, resized
from examples.pocket_world.world.state import (
    MOTIONS,
    SCENES,
    SUBJECTS,
    WorldState,
    advance,
    render_block,
    spawn,
)

ALIKE = 0.995
"""Rendered frames whose features agree this well cannot tell the new action from the old one."""
STEADILY = 0.8
"""An action shows from the frame on from which so many of the frames that can tell show it."""


@dataclass(frozen=True)
class Arm:
    """One way: a window size, and rules for the change of prompt."""

    name: str
    size: int
    on_switch: str = "flush"
    flush_context: int = 1


@dataclass(frozen=True)
class Switches(Generated):
    """Change motions under every arm, from pasts that all arms share.

    Attributes:
        pasts: motions to change from, each held for `lead` blocks.
        targets: motions to change to, from each.
        blocks: judged after the change.
    """

    arms: tuple[Arm, ...]
    pasts: int
    targets: int
    lead: int = 7
    blocks: int = 3

    @property
    def name(self) -> str:
        """What progress calls it."""
        return f"changes of prompt, {len(self.arms)} ways, {self.weights}, seed {self.seed}"

    def run(self, eyes: Eyes) -> Outcome:
        """One record for every change and arm; "arm" is its number."""
        return Outcome([record for size in sorted({a.size for a in self.arms}) for record in self._of_size(size, eyes)])

    def _of_size(self, size: int, eyes: Eyes) -> Iterator[Record]:
        """All arms whose windows are as long: they can go on from one saved past, which keeps what re-caching needs."""
        base = Setting(self.weights, resized(self.setting.window, size, on_switch="recache"), self.setting.steps)
        past = Rig(base)
        rigs = {
            number: Rig(with_rules(base, on_switch=arm.on_switch, flush_context=arm.flush_context))
            for number, arm in enumerate(self.arms)
            if arm.size == size
        }
        for state in past_states(self.pasts, self.seed):
            moment, before = self._hold(past, state), hold(state, self.lead)
            last = past.look()[-1]
            for motion in some_others(MOTIONS, state.motion, self.targets, self.seed):
                for number, rig in rigs.items():
                    yield {"arm": number} | self._change(rig, moment, Change(before, motion, last), eyes)

    def _hold(self, rig: Rig, state: WorldState) -> Moment:
        rig.start(state, self.seed)
        for _ in range(self.lead):
            rig.play(state.motion)
        rig.look()
        return rig.save()

    def _change(self, rig: Rig, moment: Moment, change: Change, eyes: Eyes) -> Record:
        rig.restore(moment)
        blocks, costs = [], []
        for _ in range(self.blocks):
            rig.play(change.motion)
            costs.append((rig.block_ms, rig.passes))
            blocks.append(rig.look())
        return change.judge(blocks, eyes) | {"ms": costs[0][0], "passes": float(costs[0][1])}


@dataclass(frozen=True)
class Change:
    """A change of motion.

    Attributes:
        before: the last block before it.
        motion: asked for from then on.
        last: the last pixel frame before it, H W 3.
    """

    before: WorldState
    motion: str
    last: np.ndarray

    def judge(self, blocks: Sequence[np.ndarray], eyes: Eyes) -> Record:
        """Numbers of the blocks after the change, 12 frames each."""
        first = blocks[0]
        truths = list(following(self.before, self.motion, len(blocks)))
        named = [eyes.detectors.name_motion(block) == self.motion for block in blocks]
        record: Record = {
            "motion right": named[0],
            "blocks until named": named.index(True) + 1 if True in named else len(blocks) + 1,
            "frames until shown": self._delay(blocks, truths, eyes),
            "seam": self._jolt(first, truths[0]),
            "subject kept": eyes.detectors.name_subject(first) == self.before.subject,
            "scene kept": eyes.detectors.name_scene(first) == self.before.scene,
        }
        return {name: float(value) for name, value in record.items()}

    def _delay(self, blocks: Sequence[np.ndarray], truths: Sequence[np.ndarray], eyes: Eyes) -> int:
        """Pixel frames from the first at which the world itself would show the new motion until it shows to stay."""
        old = np.concatenate(list(following(self.before, self.before.motion, len(blocks))))
        return frames_until_shown(np.concatenate(list(blocks)), np.concatenate(list(truths)), old, eyes)

    def _jolt(self, first: np.ndarray, truth: np.ndarray) -> float:
        """How much more the picture changes across the seam than the rendered one does, in levels of 255."""
        return step(self.last, first[0]) - step(render_block(self.before)[-1], truth[0])


def frames_until_shown(frames: np.ndarray, new: np.ndarray, old: np.ndarray, eyes: Eyes) -> int:
    """How late a new action shows.

    Args:
        frames: t H W 3 after the change.
        new: what the world would draw.
        old: what it would draw had nothing changed.
        eyes: to compare them with.

    Returns:
        frames after the first that can tell the two apart; 0 is at once, t if it never stays.
    """
    seen, asked, before = (eyes.features("subject", each) for each in (frames, new, old))
    telling = ((asked * before).sum(1) < ALIKE).numpy()
    shown = ((seen * asked).sum(1) > (seen * before).sum(1)).numpy()
    moments = np.flatnonzero(telling)
    for count, moment in enumerate(moments):
        if shown[moment] and shown[moments[count:]].mean() >= STEADILY:
            return int(moment - moments[0])
    return len(frames)


def step(one: np.ndarray, other: np.ndarray) -> float:
    """Mean absolute difference of two pictures, 0 to 255."""
    return float(np.abs(one.astype(np.float32) - other.astype(np.float32)).mean())


def past_states(count: int, seed: int) -> list[WorldState]:
    """States to begin from: motions in turn, subjects and scenes by seed."""
    return [
        spawn(
            SUBJECTS[(seed + n) % len(SUBJECTS)],
            SCENES[(2 * seed + n) % len(SCENES)],
            MOTIONS[(seed + n) % len(MOTIONS)],
        )
        for n in range(count)
    ]


def some_others(names: tuple[str, ...], name: str, count: int, seed: int) -> list[str]:
    """So many of the other names, another selection for every seed."""
    others = [other for other in names if other != name]
    return [others[(seed + 2 * n) % len(others)] for n in range(min(count, len(others)))]


def hold(state: WorldState, blocks: int) -> WorldState:
    """Where a held motion has led after so many more blocks."""
    for _ in range(blocks):
        state = advance(state)
    return state


def following(state: WorldState, motion: str, blocks: int) -> Iterator[np.ndarray]:
    """What the world draws after a block, under a motion."""
    for _ in range(blocks):
        state = advance(state, motion)
        yield render_block(state)
