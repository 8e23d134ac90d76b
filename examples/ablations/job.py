"""A job: one unit of work, whose outcome the store writes to disk."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from examples.ablations.features import FeatureExtractor
from examples.ablations.metrics import Record
from examples.ablations.variant import Variant


@dataclass(frozen=True)
class Outcome:
    """Result of a job: records, and frames or attention maps by name."""

    records: list[Record]
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Job(ABC):
    """A job on one variant and seed. Its fields and the weights determine its outcome.

    Attributes:
        variant: The variant under test.
        seed: Seed of the noise, and of the choice of subjects, scenes and motions.
        timed: Whether the job measures time and must run alone.
    """

    variant: Variant
    seed: int
    timed: bool = field(default=False, kw_only=True)

    @property
    def name(self) -> str:
        """Label in the progress output."""
        return f"{type(self).__name__}, {self.variant.label}, seed {self.seed}"

    @abstractmethod
    def run(self, extractor: FeatureExtractor) -> Outcome:
        """Run the job."""


Jobs = dict[str, dict[str, list[Job]]]
"""An experiment's jobs, one per seed, by kind and by row."""
