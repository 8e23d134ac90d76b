"""Metrics of one block against rendered ground truth, and of a long rollout up to a horizon.

Quality metrics, after VBench, from the detectors' features (`features`):

subject, background consistency   mean cosine of the subject's, or the scene's, features to the rollout's first frame
                                  and to the frame before, averaged over the two
dynamic degree                    share of blocks that change at least half as much per frame as the rendered block
imaging                           sharpness over that of the rendered block, or its inverse, whichever is below 1
overall                           mean of the four
likeness                          mean cosine of the scene's features to those of the rendered frames
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from examples.ablations.features import FeatureExtractor, cosine_similarity
from examples.pocket_world.evaluate.measures import scroll_speed, sharpness
from examples.pocket_world.world.state import BLOCK_FRAMES, WALKING_SPEED, WorldState, render_block

Record = dict[str, float]
"""Metrics of one block or event by name; booleans are 0 and 1."""

MIN_BLOCKS_AFTER_FAILURE = 3
"""Measured blocks, the failing one included, that a failure needs: fewer at the very end may be chance."""
LAST_SHARE = 0.25
"""Names and likeness "at" a horizon are taken from this last share of the time before it."""
QUALITY_METRICS = (
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


class BlockMetrics:
    """Metrics of a rollout's blocks against its first frame and against the rendered world."""

    def __init__(self, extractor: FeatureExtractor, first_frame: np.ndarray) -> None:
        """Keep the features of the rollout's first frame, H W 3."""
        self._extractor = extractor
        self._first = {kind: extractor.features(kind, first_frame[None]) for kind in ("subject", "scene")}

    def measure(self, frames: np.ndarray, truth: WorldState, block: int) -> Record:
        """Compare a block's 12 frames, t H W 3, with the rendered block of `truth`."""
        detectors, rendered = self._extractor.detectors, render_block(truth)
        record: Record = {
            "block": block,
            "subject right": detectors.name_subject(frames) == truth.subject,
            "scene right": detectors.name_scene(frames) == truth.scene,
            "motion right": detectors.name_motion(frames) == truth.motion,
            "moves": frame_change(frames) >= frame_change(rendered) / 2,
            "sharpness": sharpness(frames) / sharpness(rendered),
        }
        features = {kind: self._extractor.features(kind, frames) for kind in ("subject", "scene")}
        for kind, seen in features.items():
            record[f"{kind} to first"] = cosine_similarity(seen, self._first[kind])
            record[f"{kind} to last"] = cosine_similarity(seen[1:], seen[:-1])
        record["likeness"] = cosine_similarity(features["scene"], self._extractor.features("scene", rendered))
        if speed := WALKING_SPEED.get(truth.motion):
            record["scroll"] = scroll_speed(frames) / speed
        return {name: float(value) for name, value in record.items()}


def frame_change(frames: np.ndarray) -> float:
    """Return the mean absolute change from frame to frame, 0 to 255, of frames t H W 3."""
    return float(np.abs(np.diff(frames.astype(np.float32), axis=0)).mean())


def quality(records: Sequence[Record], end: int) -> Record:
    """Compute the quality metrics of a rollout up to block `end`, those for which there are records.

    Blocks are measured more often at the start: each record is weighted by the blocks since the one before.
    """
    seen = [record for record in records if 1 <= record["block"] <= end]
    spans = np.diff([0, *(record["block"] for record in seen)])
    late = [record for record in seen if record["block"] > end * (1 - LAST_SHARE)]
    imaging = [min(record["sharpness"], 1 / max(record["sharpness"], 1e-6)) for record in seen]
    result = {
        "subject consistency": consistency(seen, "subject", spans),
        "background consistency": consistency(seen, "scene", spans),
        "dynamic degree": weighted_mean(seen, "moves", spans),
        "imaging": float(np.average(imaging, weights=spans)),
    }
    result["overall"] = float(np.mean(list(result.values())))
    result["likeness"] = weighted_mean(late, "likeness")
    result |= {f"{kind} right": weighted_mean(late, f"{kind} right") for kind in ("subject", "scene", "motion")}
    if any("scroll" in record for record in late):
        result["scroll"] = weighted_mean(late, "scroll")
    if answers := [record["answers"] for record in seen if record["block"] == end and "answers" in record]:
        result["answers"] = answers[0]
    return result


def consistency(records: Sequence[Record], kind: str, weights: np.ndarray) -> float:
    """Average the cosine to the first frame and the cosine to the frame before."""
    return (
        weighted_mean(records, f"{kind} to first", weights) + weighted_mean(records, f"{kind} to last", weights)
    ) / 2


def weighted_mean(records: Sequence[Record], name: str, weights: np.ndarray | None = None) -> float:
    """Average a metric over the records that have it, with equal weights by default."""
    counted = np.ones(len(records)) if weights is None else weights
    found = [(record[name], weight) for record, weight in zip(records, counted, strict=True) if name in record]
    return float(np.average([value for value, _ in found], weights=[weight for _, weight in found]))


def seed_values(
    records: Sequence[Sequence[Record]],
    key: str,
    number: int,
    metric: str,
    reduce: Callable[[Sequence[float]], float] = lambda values: float(np.mean(values)),
) -> list[float]:
    """Reduce a metric to one value per seed, over the records whose `key` is `number`."""
    return [reduce([record[metric] for record in seed if record[key] == number]) for seed in records]


def is_correct(record: Record, threshold: float) -> bool:
    """Return whether subject and scene have their names and likeness reaches the threshold that shows the place."""
    return record["subject right"] * record["scene right"] > 0 and record["likeness"] >= threshold


def failure_block(records: Sequence[Record], threshold: float) -> int | None:
    """Return the first wrong block from which on at least half of the measured blocks are wrong; None if there is none.

    Worked example: right, wrong, right, wrong, wrong at blocks 1 to 5 fails from block 2. Two blocks are too few.
    """
    wrong = [not is_correct(record, threshold) for record in records]
    for index, record in enumerate(records[: 1 - MIN_BLOCKS_AFTER_FAILURE]):
        if wrong[index] and np.mean(wrong[index:]) >= 0.5:
            return int(record["block"])
    return None


def block_at(seconds: float, fps: int = 16) -> int:
    """Return the block that is shown at a time: 5 s are in block 6, 60 s in block 80."""
    first = BLOCK_FRAMES - 3  # a causal decoder makes one frame of the first latent frame
    return int(np.ceil((seconds * fps - first) / BLOCK_FRAMES))
