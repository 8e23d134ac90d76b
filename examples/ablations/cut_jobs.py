"""Job: one change of scene by every transition, measured from the first pixel frame on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from examples.ablations.features import FeatureExtractor
from examples.ablations.harness import Harness
from examples.ablations.job import Job, Outcome
from examples.ablations.metrics import Record
from examples.ablations.switch_jobs import other_names, play_lead, start_states
from examples.pocket_world.evaluate.measures import LUMA, correlation
from examples.pocket_world.world.state import SCENES, WorldState, advance, render_block

MEASURED_FRAMES = (1, 4, 12)
"""Pixel frames of the first block, counted from 1, in which the scene is named."""


@dataclass(frozen=True)
class SceneTransition:
    """A transition to another scene: a cut to a coordinate or, without one, a change of prompt."""

    name: str
    coordinate: int | None = None
    on_switch: str = "flush"

    def window_rules(self) -> dict[str, object]:
        """Return the fields of the window that the transition sets."""
        cut = {} if self.coordinate is None else {"cut_coordinate": self.coordinate}
        return {"on_switch": self.on_switch, **cut}


@dataclass(frozen=True)
class CutJob(Job):
    """A job that goes to other scenes by every transition, from shared starts.

    Attributes:
        transitions: The transitions to compare.
        starts: Subjects, scenes and motions to start from, each played for `lead` blocks.
        targets: Scenes to go to, from each.
        blocks: Blocks in the new scene.
    """

    transitions: tuple[SceneTransition, ...]
    starts: int
    targets: int
    lead: int = 3
    blocks: int = 3

    def run(self, extractor: FeatureExtractor) -> Outcome:
        """Return one record per change and transition ("transition" is its number), and frames of the first change.

        Arrays: by number of the transition, the last frame before it, the `MEASURED_FRAMES`, and the last frame.
        """
        start = Harness(self.variant)
        harnesses = [Harness(self.variant.with_rules(**each.window_rules())) for each in self.transitions]
        records: list[Record] = []
        arrays: dict[str, np.ndarray] = {}
        measured = [frame - 1 for frame in MEASURED_FRAMES]
        for state in start_states(self.starts, self.seed):
            before, last = play_lead(start, state, self.seed, self.lead)
            saved = start.save()
            for scene in other_names(SCENES, state.scene, self.targets, self.seed):
                for number, (transition, harness) in enumerate(zip(self.transitions, harnesses, strict=True)):
                    harness.restore(saved)
                    blocks = self._play_change(harness, transition, scene, state.motion)
                    records.append({"transition": number} | cut_metrics(before, last, blocks, scene, extractor))
                    arrays.setdefault(str(number), np.stack([last, *blocks[0][measured], blocks[-1][-1]]))
        return Outcome(records, arrays)

    def _play_change(self, harness: Harness, by: SceneTransition, scene: str, motion: str) -> list[np.ndarray]:
        """Go to the scene and keep the motion; return the frames of every block."""
        if by.coordinate is None:
            harness.change_scene(scene)
        else:
            harness.play(f"cut_{scene}")
        blocks = [harness.frames()]
        for _ in range(self.blocks - 1):
            harness.play(motion)
            blocks.append(harness.frames())
        return blocks


def cut_metrics(
    before: WorldState, last: np.ndarray, blocks: Sequence[np.ndarray], scene: str, extractor: FeatureExtractor
) -> Record:
    """Measure a change of scene.

    Args:
        before: State of the last block before the change.
        last: Last pixel frame before the change, H W 3.
        blocks: Blocks after the change, 12 pixel frames each.
        scene: The new scene.
        extractor: Detectors and features.
    """
    detectors, first = extractor.detectors, blocks[0]
    rendered = render_block(advance(before, scene=scene))
    record: Record = {f"scene at {n}": detectors.name_scene(first[n - 1 : n]) == scene for n in MEASURED_FRAMES}
    record |= {
        "scene later": detectors.name_scene(blocks[-1]) == scene,
        "subject kept": detectors.name_subject(first) == before.subject,
        "motion kept": detectors.name_motion(first) == before.motion,
        "old scene": float(extractor.probabilities("scene", first, before.scene).mean()),
        "ghost": image_correlation(first, last) - image_correlation(rendered, render_block(before)[-1]),
    }
    return {name: float(value) for name, value in record.items()}


def image_correlation(frames: np.ndarray, image: np.ndarray) -> float:
    """Return the correlation of luma between frames t H W 3 and one image H W 3.

    Row means are removed, so an equally bright sky does not count.
    """
    luma = frames.astype(np.float32) @ LUMA
    return correlation(luma, np.broadcast_to(image.astype(np.float32) @ LUMA, luma.shape))
