"""One judged block as numbers, and many of them as the qualities that VBench names, from ground-truth features.

subject and background consistency   mean cosine to the rollout's first frame and to the frame before, halved
                                     between the two, of the subject's and the scene's features
dynamic degree                       share of blocks that move at least half as much as the world itself would
imaging                              sharpness over the rendered one's; more than it counts as less
overall                              the mean of the four
likeness                             mean cosine of the same features to those of what the world itself would show
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from examples.ablations.features import Eyes, likeness
from examples.pocket_world.evaluate.measures import scroll_speed, sharpness
from examples.pocket_world.world.state import BLOCK_FRAMES, WALKING_SPEED, WorldState, render_block

Record = dict[str, float]
"""Numbers by name; truths are 0 and 1."""

FEWEST_WRONG = 3
"""Judged blocks that a rollout has to go on for after it has failed: fewer, at its very end, may be chance."""
LAST_SHARE = 0.25
"""Names are right "at" a horizon when they are in the last quarter before it."""
QUALITIES = (
    "subject consistency",
    "background consistency",
    "dynamic degree",
    "imaging",
    "overall",
    "likeness",
    "subject right",
    "scene right",
    "motion right",
    "scroll",
    "answers",
)


class Judge:
    """Compares the blocks of one rollout with its first frame and with the world's own."""

    def __init__(self, eyes: Eyes, first_frame: np.ndarray) -> None:
        self._eyes = eyes
        self._first = {kind: eyes.features(kind, first_frame[None]) for kind in ("subject", "scene")}

    def glance(self, frames: np.ndarray, truth: WorldState, number: int) -> Record:
        """Judge block `number`, 12 frames H W 3, which should show `truth`."""
        named, rendered = self._eyes.detectors, render_block(truth)
        record: Record = {
            "block": number,
            "subject right": named.name_subject(frames) == truth.subject,
            "scene right": named.name_scene(frames) == truth.scene,
            "motion right": named.name_motion(frames) == truth.motion,
            "moves": change(frames) >= change(rendered) / 2,
            "sharpness": sharpness(frames) / sharpness(rendered),
            "likeness": self._likeness_to(frames, rendered),
        }
        for kind in ("subject", "scene"):
            features = self._eyes.features(kind, frames)
            record |= {f"{kind} to first": likeness(features, self._first[kind]), f"{kind} to last": steady(features)}
        if speed := WALKING_SPEED.get(truth.motion):
            record["scroll"] = scroll_speed(frames) / speed
        return {name: float(value) for name, value in record.items()}

    def _likeness_to(self, frames: np.ndarray, rendered: np.ndarray) -> float:
        pairs = [(self._eyes.features(kind, x) for x in (frames, rendered)) for kind in ("subject", "scene")]
        return float(np.mean([likeness(*pair) for pair in pairs]))


def steady(features: Tensor) -> float:
    """Mean cosine of each frame's features, t d, to the frame before."""
    return likeness(features[1:], features[:-1])


def change(frames: np.ndarray) -> float:
    """Mean absolute change from frame to frame, 0 to 255; frames t H W 3."""
    return float(np.abs(np.diff(frames.astype(np.float32), axis=0)).mean())


def quality(records: Sequence[Record], end: int) -> Record:
    """The qualities of a rollout up to block `end`, as far as the records say anything about them.

    More blocks are judged at the start than later; each stands for those since the one before.
    """
    seen = [record for record in records if 1 <= record["block"] <= end]
    spans = np.diff([0, *(record["block"] for record in seen)])
    late = [record for record in seen if record["block"] > end * (1 - LAST_SHARE)]
    result = {
        "subject consistency": consistency(seen, "subject", spans),
        "background consistency": consistency(seen, "scene", spans),
        "dynamic degree": mean(seen, "moves", spans),
        "imaging": float(np.average([min(r["sharpness"], 1 / max(r["sharpness"], 1e-6)) for r in seen], weights=spans)),
    }
    result["overall"] = float(np.mean(list(result.values())))
    result["likeness"] = mean(late, "likeness")
    result |= {f"{part} right": mean(late, f"{part} right") for part in ("subject", "scene", "motion")}
    if any("scroll" in record for record in late):
        result["scroll"] = mean(late, "scroll")
    if answers := [record["answers"] for record in seen if record["block"] == end and "answers" in record]:
        result["answers"] = answers[0]
    return result


def consistency(records: Sequence[Record], kind: str, weights: np.ndarray) -> float:
    """Halfway between likeness to the first frame and to the frame before."""
    return (mean(records, f"{kind} to first", weights) + mean(records, f"{kind} to last", weights)) / 2


def mean(records: Sequence[Record], name: str, weights: np.ndarray | None = None) -> float:
    """Of all records that have it; each counts as much as the others, or by its weight."""
    counted = np.ones(len(records)) if weights is None else weights
    found = [(record[name], weight) for record, weight in zip(records, counted, strict=True) if name in record]
    return float(np.average([value for value, _ in found], weights=[weight for _, weight in found]))


def is_right(record: Record, least_likeness: float) -> bool:
    """Subject, scene and place are those that are to be seen there and then."""
    return record["subject right"] * record["scene right"] > 0 and record["likeness"] >= least_likeness


def fails_from(records: Sequence[Record], least_likeness: float) -> int | None:
    """The block from which on at least half of all judged blocks show something else; None if there is none.

    Something else is another subject or scene, or what has less likeness to what is to be seen there and then.

    Worked example: right, wrong, right, wrong, wrong at blocks 1 to 5 fails from block 2. Two blocks say nothing.
    """
    wrong = [not is_right(record, least_likeness) for record in records]
    for index, record in enumerate(records[: 1 - FEWEST_WRONG]):
        if wrong[index] and np.mean(wrong[index:]) >= 0.5:
            return int(record["block"])
    return None


def block_at(seconds: float, fps: int = 16) -> int:
    """The block that a rollout is in when so many seconds have been shown: 5 gives 6, 60 gives 80."""
    first = BLOCK_FRAMES - 3  # a causal decoder makes one frame of the first latent frame
    return int(np.ceil((seconds * fps - first) / BLOCK_FRAMES))
