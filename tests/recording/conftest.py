"""A recorded episode that a test may edit."""

from pathlib import Path

import pytest

from tests.recording.episodes import CUT_DESERT, STAND, WALK_RIGHT, record


@pytest.fixture
def episode(tiny_weights: Path, tmp_path: Path) -> Path:
    """Six blocks with a switch, a cut and free text."""
    env = record(tiny_weights, tmp_path / "kept")
    env.reset(seed=3, options={"subject": "frog"})
    for action in (STAND, WALK_RIGHT, CUT_DESERT):
        env.step(action)
    env.unwrapped.set_prompt("a purple wizard jumps up and down in a dark cave")
    for action in (WALK_RIGHT, WALK_RIGHT):
        env.step(action)
    env.close()
    return tmp_path / "kept" / "episode_000"
