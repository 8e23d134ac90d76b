"""One piece of work: what it needs, and what comes out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np

from examples.ablations.features import Eyes
from examples.ablations.metrics import Record
from examples.ablations.variant import Setting


@dataclass(frozen=True)
class Outcome:
    """What a cell found: numbers, and pictures or maps by name."""

    records: list[Record]
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)


class Cell(Protocol):
    """A frozen dataclass that says all that its outcome depends on, besides the weights' own bytes."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def weights(self) -> str:
        """The world it plays."""
        ...

    @property
    def name(self) -> str:
        """What progress calls it."""
        ...

    @property
    def timed(self) -> bool:
        """Whether it measures time, so that nothing else may run beside it."""
        ...

    def run(self, eyes: Eyes) -> Outcome:
        """Do it."""
        ...


@dataclass(frozen=True)
class Generated:
    """What all cells have that play a generator.

    Attributes:
        timed: see `Cell`.
    """

    setting: Setting
    seed: int
    timed: bool = field(default=False, kw_only=True)

    @property
    def weights(self) -> str:
        """The world it plays."""
        return self.setting.weights
