"""Features of pixel frames, from the penultimate layer of the detectors that name subjects and scenes.

Features are centred on the mean of rendered frames. Without that, any two frames have a cosine near 1.
"""

from __future__ import annotations

import itertools
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from examples.pocket_world.evaluate.detectors import Classifier, Detectors, downscale
from examples.pocket_world.world.state import SCENES, SUBJECTS, WorldState, render_block

POSES = (("walk_right", 2), ("jump", 5), ("crouch", 8), ("wave", 3))
"""(motion, phase) of the frames that features are centred on: one pose per pair of subject and scene, in turn."""


class FeatureExtractor:
    """The detectors and the features they classify by.

    Attributes:
        detectors: Classifiers of subject, scene and motion.
    """

    def __init__(self, detectors: Detectors | None = None) -> None:
        self.detectors = detectors or Detectors.load()
        self._centres: dict[str, Tensor] = {}

    def features(self, kind: str, frames: np.ndarray) -> Tensor:
        """Return unit feature vectors of frames.

        Args:
            kind: "subject" or "scene".
            frames: t H W 3 in uint8.

        Returns:
            t d.
        """
        return F.normalize(self._activations(kind, frames) - self._centre(kind), dim=1)

    @torch.inference_mode()
    def probabilities(self, kind: str, frames: np.ndarray, name: str) -> np.ndarray:
        """Return the probability that a detector gives to a name in each of frames t H W 3: t."""
        classifier = getattr(self.detectors, kind)
        return classifier(downscale(frames)[:, None]).softmax(1)[:, classifier.labels.index(name)].numpy()

    @torch.inference_mode()
    def _activations(self, kind: str, frames: np.ndarray) -> Tensor:
        return penultimate_activations(getattr(self.detectors, kind), downscale(frames)[:, None])

    def _centre(self, kind: str) -> Tensor:
        if kind not in self._centres:
            states = zip(itertools.product(SUBJECTS, SCENES), itertools.cycle(POSES), strict=False)
            frames = [render_block(WorldState(*names, motion, 0, 0), [p]) for names, (motion, p) in states]
            self._centres[kind] = self._activations(kind, np.concatenate(frames)).mean(0)
        return self._centres[kind]


@lru_cache(maxsize=1)
def feature_extractor() -> FeatureExtractor:
    """Return the feature extractor that the process shares."""
    return FeatureExtractor()


def penultimate_activations(classifier: Classifier, frames: Tensor) -> Tensor:
    """Return the inputs of a classifier's last layer for frames b t 3 h w: b d."""
    captured: list[Tensor] = []
    handle = classifier.answer.register_forward_pre_hook(lambda _, inputs: captured.append(inputs[0]))
    try:
        classifier(frames)
    finally:
        handle.remove()
    return captured[0]


def cosine_similarity(first: Tensor, second: Tensor) -> float:
    """Return the mean cosine of unit vectors t d, pair by pair, or of all with one (1 d)."""
    return float((first * second).sum(1).mean())
