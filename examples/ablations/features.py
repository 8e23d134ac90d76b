"""What frames show and how alike they are, by the detectors: their names, odds, and the features these rest on.

Features are centred on what rendered frames have in common; otherwise any two pictures would be nearly alike.
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
"""Motion and phase of the frames that features are centred on, in turn; every subject in every scene."""


class Eyes:
    """The detectors, and what they see before they answer."""

    def __init__(self, detectors: Detectors | None = None) -> None:
        self.detectors = detectors or Detectors.load()
        self._centres: dict[str, Tensor] = {}

    def features(self, kind: str, frames: np.ndarray) -> Tensor:
        """What "subject" or "scene" is named by: unit vectors t d of frames t H W 3 in uint8."""
        return F.normalize(self._seen(kind, frames) - self._centre(kind), dim=1)

    @torch.inference_mode()
    def odds(self, kind: str, frames: np.ndarray, name: str) -> np.ndarray:
        """How much weight a name gets in each of frames t H W 3; 0 to 1, t."""
        namer = getattr(self.detectors, kind)
        return namer(downscale(frames)[:, None]).softmax(1)[:, namer.labels.index(name)].numpy()

    @torch.inference_mode()
    def _seen(self, kind: str, frames: np.ndarray) -> Tensor:
        return before_the_answer(getattr(self.detectors, kind), downscale(frames)[:, None])

    def _centre(self, kind: str) -> Tensor:
        if kind not in self._centres:
            everywhere = zip(itertools.product(SUBJECTS, SCENES), itertools.cycle(POSES), strict=False)
            frames = [render_block(WorldState(*who_where, motion, 0, 0), [p]) for who_where, (motion, p) in everywhere]
            self._centres[kind] = self._seen(kind, np.concatenate(frames)).mean(0)
        return self._centres[kind]


@lru_cache(maxsize=1)
def open_eyes() -> Eyes:
    """The process's own."""
    return Eyes()


def before_the_answer(namer: Classifier, frames: Tensor) -> Tensor:
    """A detector's penultimate values for frames b t 3 h w: b d."""
    kept: list[Tensor] = []
    handle = namer.answer.register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0]))
    try:
        namer(frames)
    finally:
        handle.remove()
    return kept[0]


def likeness(one: Tensor, other: Tensor) -> float:
    """Mean cosine between unit vectors t d, pair by pair, or of all with one (1 d)."""
    return float((one * other).sum(1).mean())
