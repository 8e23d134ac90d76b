"""A cell: from one past, every way of reaching another scene, judged from the first pixel frame on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from examples.ablations.features import Eyes
from examples.ablations.harness import Moment, Rig, with_rules
from examples.ablations.job import Generated, Outcome
from examples.ablations.metrics import Record
from examples.ablations.switch_jobs import hold, past_states, some_others
from examples.pocket_world.evaluate.measures import LUMA, correlation
from examples.pocket_world.world.state import SCENES, WorldState, advance, render_block
from infrope_env.control.actions import Transition

LOOKED_AT = (1, 4, 12)
"""Pixel frames of a cut's first block, counted from 1, in which the new scene should be seen."""


@dataclass(frozen=True)
class Way:
    """One way to another scene: a cut to a coordinate, or, where there is none, a change of prompt."""

    name: str
    coordinate: int | None = None
    on_switch: str = "flush"

    def rules(self) -> dict[str, object]:
        """Of the window."""
        cut = {} if self.coordinate is None else {"cut_coordinate": self.coordinate}
        return {"on_switch": self.on_switch, **cut}

    @property
    def transition(self) -> Transition:
        """By which the new scene's first block follows."""
        return Transition.SWITCH if self.coordinate is None else Transition.CUT


@dataclass(frozen=True)
class Cuts(Generated):
    """Reach other scenes every way, from pasts that all ways share.

    Attributes:
        pasts: subjects, scenes and motions to leave, each held for `lead` blocks.
        targets: scenes to reach, from each.
        blocks: played in the new scene.
    """

    ways: tuple[Way, ...]
    pasts: int
    targets: int
    lead: int = 3
    blocks: int = 3

    @property
    def name(self) -> str:
        """What progress calls it."""
        return f"cuts, {len(self.ways)} ways, {self.weights}, seed {self.seed}"

    def run(self, eyes: Eyes) -> Outcome:
        """One record for every change and way ("way" is its number), and of the first change its first block."""
        past, rigs = Rig(self.setting), [Rig(with_rules(self.setting, **way.rules())) for way in self.ways]
        records: list[Record] = []
        pictures: dict[str, np.ndarray] = {}
        for state in past_states(self.pasts, self.seed):
            moment, shot = self._hold(past, state)
            for scene in some_others(SCENES, state.scene, self.targets, self.seed):
                for number, (way, rig) in enumerate(zip(self.ways, rigs, strict=True)):
                    blocks = list(self._reach(rig, moment, scene, way))
                    records.append({"way": number} | shot.judge(blocks, scene, eyes))
                    pictures.setdefault(str(number), np.stack([shot.last, *blocks[0][[0, 3, 11]], blocks[-1][-1]]))
        return Outcome(records, pictures)

    def _hold(self, rig: Rig, state: WorldState) -> tuple[Moment, Shot]:
        rig.start(state, self.seed)
        for _ in range(self.lead):
            rig.play(state.motion)
        return rig.save(), Shot(hold(state, self.lead), rig.look()[-1])

    def _reach(self, rig: Rig, moment: Moment, scene: str, way: Way) -> Iterator[np.ndarray]:
        rig.restore(moment)
        rig.reach(scene, way.transition)
        yield rig.look()
        for _ in range(self.blocks - 1):
            rig.play(moment.steering.motion)
            yield rig.look()


@dataclass(frozen=True)
class Shot:
    """What is left: the last block before a cut, and its last pixel frame H W 3."""

    state: WorldState
    last: np.ndarray

    def judge(self, blocks: Sequence[np.ndarray], scene: str, eyes: Eyes) -> Record:
        """Numbers of the blocks after it, 12 frames each."""
        first, named = blocks[0], eyes.detectors
        record: Record = {f"scene at {n}": named.name_scene(first[n - 1 : n]) == scene for n in LOOKED_AT}
        record |= {
            "scene later": named.name_scene(blocks[-1]) == scene,
            "subject kept": named.name_subject(first) == self.state.subject,
            "motion kept": named.name_motion(first) == self.state.motion,
            "old scene": float(eyes.odds("scene", first, self.state.scene).mean()),
            "ghost": self._ghost(first, scene),
        }
        return {name: float(value) for name, value in record.items()}

    def _ghost(self, first: np.ndarray, scene: str) -> float:
        """How much more the new pictures resemble the last old one than rendered ones do: difference of correlations.

        Rows are compared without their means, so that an equally bright sky does not count.
        """
        truth = render_block(advance(self.state, scene=scene))
        return resemblance(first, self.last) - resemblance(truth, render_block(self.state)[-1])


def resemblance(frames: np.ndarray, picture: np.ndarray) -> float:
    """Correlation of brightness of frames t H W 3 with one picture H W 3."""
    bright = frames.astype(np.float32) @ LUMA
    return correlation(bright, np.broadcast_to(picture.astype(np.float32) @ LUMA, bright.shape))
