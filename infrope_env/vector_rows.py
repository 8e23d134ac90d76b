"""The rows of a vector environment: ordinary environments whose blocks may be made together, ahead of their steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from infrope_env.control.actions import Transition
from infrope_env.control.frames import Frames
from infrope_env.dynamics.rollout import Rollout
from infrope_env.dynamics.state import GeneratedBlock
from infrope_env.env import InfinityRopeEnv

RowResult = tuple[Frames, Any, bool, bool, dict[str, Any]]
"""Observation, reward, terminated, truncated and info of one row."""


class RowRollout(Rollout):
    """The rollout of a row, whose next block may have been made together with those of other rows.

    Attributes:
        made: The next block, which `generate` hands out; None where `generate` has to make it.
    """

    made: GeneratedBlock | None = None

    def reset(self, seed: int) -> None:
        """Start over, unless the first block has been made."""
        if self.made is None:
            super().reset(seed)

    def generate(self, embedding: Tensor, transition: Transition) -> GeneratedBlock:
        """Return the next block, which was made under this embedding and transition, or make it."""
        if self.made is None:
            return super().generate(embedding, transition)
        block, self.made = self.made, None
        assert block.transition is transition
        return block


class RowEnv(InfinityRopeEnv):
    """An environment that is a row of a vector environment.

    Attributes:
        batch: Number of rows.
    """

    _rollout: RowRollout

    def __init__(self, batch: int, **kwargs: Any) -> None:
        """Make the row of a batch; other arguments as in `InfinityRopeEnv`."""
        super().__init__(**kwargs)
        self.batch = batch

    def make_rollout(self) -> RowRollout:
        """Return a rollout that hands out blocks of the batch."""
        return RowRollout(self.model.transformer, self.window, self.model.sampler)

    def commit_early(self) -> None:
        """Leave the commit pass to the batch."""


@dataclass(frozen=True)
class RowPlan:
    """The next block of a row.

    Attributes:
        prompt: Its prompt.
        transition: Its transition.
        step: Call that steps or resets the row.
        seed: Seed of a rollout that begins with it; None continues.
        alone: Whether the row makes it by itself: a first block that shows a picture is not generated.
    """

    prompt: str
    transition: Transition
    step: Callable[[], RowResult]
    seed: int | None = None
    alone: bool = False
