"""Many blocks of random play: memory, time per block and coordinates stay bounded.

The default is 150 blocks; INFROPE_ENDURANCE_BLOCKS sets another number. The weights are the bundled ones, or tiny
random ones if they are missing.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from infrope_env.bench import random_actions
from infrope_env.control.actions import Transition
from infrope_env.dynamics.coordinates import Layout
from infrope_env.dynamics.rollout import Rollout
from infrope_env.dynamics.state import GeneratedBlock
from infrope_env.env import InfinityRopeEnv
from infrope_env.models.world_folder import BUNDLED

BLOCKS = int(os.environ.get("INFROPE_ENDURANCE_BLOCKS", "150"))
WARM_UP = 20
"""Blocks after which every buffer and every cached embedding exists."""
TRAINED_COORDINATES = 21
"""Latent frames of a training clip, so coordinates 0 to 20."""

pytestmark = pytest.mark.slow


@dataclass
class Log:
    """Measurements of every block after the first, in lists that are allocated before play and hold no latents."""

    transitions: list[Transition] = field(default_factory=lambda: [Transition.START] * BLOCKS)
    layouts: list[Layout | None] = field(default_factory=lambda: [None] * BLOCKS)
    finite: list[bool] = field(default_factory=lambda: [False] * BLOCKS)
    rss: list[int] = field(default_factory=lambda: [0] * BLOCKS)
    cpu_s: list[float] = field(default_factory=lambda: [0.0] * BLOCKS)


@pytest.fixture(scope="module")
def log(tiny_weights: Path) -> Log:
    """Return measurements of random play; time is processor time, which other processes do not lengthen."""
    log, newest = Log(), []
    weights = BUNDLED / "pocket" if (BUNDLED / "pocket" / "card.json").exists() else tiny_weights
    torch.set_num_threads(1)
    env = InfinityRopeEnv(weights=str(weights), device="cpu")
    advance, process = Rollout.advance, psutil.Process()

    def recorded(rollout: Rollout, *arguments: object) -> GeneratedBlock:
        newest[:] = [advance(rollout, *arguments)]
        return newest[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Rollout, "advance", recorded)
        env.reset(seed=5)
        for number, action in enumerate(random_actions(env.action_set, BLOCKS, seed=5)):
            started_s = time.process_time()
            env.step(action)
            log.cpu_s[number] = time.process_time() - started_s
            log.transitions[number], log.layouts[number] = newest[0].transition, newest[0].layout
            log.finite[number] = bool(torch.isfinite(newest[0].latents).all())
            log.rss[number] = process.memory_info().rss
    return log


def test_random_play_has_flushes_and_cuts(log: Log) -> None:
    assert all(log.transitions.count(transition) >= BLOCKS // 30 for transition in (Transition.SWITCH, Transition.CUT))


def test_all_latents_are_finite(log: Log) -> None:
    assert all(log.finite)


def test_memory_is_flat_to_5_mb(log: Log) -> None:
    assert max(log.rss[WARM_UP:]) - log.rss[WARM_UP] < 5e6


def test_time_per_block_is_flat(log: Log) -> None:
    early, late = np.array_split(log.cpu_s[WARM_UP:], 2)
    assert np.median(late) < 1.25 * np.median(early)


def test_coordinates_stay_in_the_trained_range_except_on_a_cut(log: Log) -> None:
    for transition, layout in zip(log.transitions, log.layouts, strict=True):
        assert layout is not None
        assert max(layout.context) < TRAINED_COORDINATES
        assert (max(layout.block) >= TRAINED_COORDINATES) == (transition is Transition.CUT)
