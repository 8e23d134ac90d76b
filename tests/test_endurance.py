"""Many blocks of random play: memory, files, threads, time per block and coordinates stay bounded.

`python -m examples.soak` does the same with the bundled weights, for as long as one likes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from examples.soak.command import Measured, Options, play
from examples.soak.log import Group, Tolerances, trends
from examples.soak.player import PROBABILITIES, RandomPlayer
from infrope_env.config import Sampler
from infrope_env.control.actions import Transition
from infrope_env.dynamics.rollout import Rollout
from infrope_env.dynamics.state import GeneratedBlock
from tests.tiny_world import tiny_world

BLOCKS, GROUP, WARM_UP = 800, 50, 250
TRAINED_COORDINATES = 21
"""Latent frames of a training clip, so coordinates 0 to 20."""


@dataclass
class Run:
    """Measurements of a run, and transition and largest context and block coordinate of every block."""

    groups: list[Group] = field(default_factory=list)
    coordinates: list[tuple[Transition, int, int]] = field(default_factory=list)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run in a world of one layer and two denoising steps, every part of which is that of a large one."""
    folder, run = tmp_path_factory.mktemp("soak"), Run()
    world = tiny_world(folder / "world", latent_size=(2, 4), num_layers=1, sampler=Sampler(steps=(1000, 500)))
    options, measured = Options(blocks=BLOCKS, weights=str(world), group=GROUP), Measured()
    generate = Rollout.generate

    def recorded(rollout: Rollout, *arguments: object) -> GeneratedBlock:
        block = generate(rollout, *arguments)  # type: ignore[arg-type]
        run.coordinates.append((block.transition, max(block.layout.context, default=0), max(block.layout.block)))
        return block

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Rollout, "generate", recorded)
        player = RandomPlayer(options.make_env, folder, seed=5, on_block=measured)
        run.groups += play(options, player, measured)
        player.close()
    return run


def test_random_play_does_everything_many_times(run: Run) -> None:
    made = [transition for transition, _, _ in run.coordinates]
    assert all(made.count(transition) >= BLOCKS // 40 for transition in Transition)
    for operation in PROBABILITIES:
        assert sum(group.operations.get(operation, 0) for group in run.groups) > 2, operation


@pytest.mark.parametrize("quantity", ["in_use_mb", "files", "threads"])
def test_nothing_grows(run: Run, quantity: str) -> None:
    found = trends(run.groups, WARM_UP, Tolerances())[quantity]
    assert found.verdict == "flat", (found, [getattr(group, quantity) for group in run.groups])


def test_the_fastest_late_blocks_take_no_longer_than_the_fastest_early_ones(run: Run) -> None:
    steady = [group.fastest_ms for group in run.groups if group.blocks > WARM_UP]
    half = len(steady) // 2
    assert min(steady[half:]) < 1.5 * min(steady[:half]), steady


def test_coordinates_stay_in_the_trained_range_except_on_a_cut(run: Run) -> None:
    for transition, context, block in run.coordinates:
        assert context < TRAINED_COORDINATES
        assert (block >= TRAINED_COORDINATES) == (transition is Transition.CUT)
