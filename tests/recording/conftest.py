"""A recorded episode that a test may edit."""

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.recording.episodes import CUT_DESERT, JUMP, STAND, WALK_RIGHT, record


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


@pytest.fixture(scope="session")
def recorded_once(tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recorded")
    env = record(tiny_weights, folder)
    env.reset(seed=3)
    env.step(JUMP)
    env.close()
    return folder / "episode_000"


@pytest.fixture
def short_episode(recorded_once: Path, tmp_path: Path) -> Path:
    """Two blocks."""
    return shutil.copytree(recorded_once, tmp_path / "episode_000")


@pytest.fixture
def no_waiting() -> Iterator[None]:
    """Fail a test that takes a minute: something waits for a pipe, or counts without an end."""

    def give_up(*_: object) -> None:
        raise TimeoutError("the replay hangs")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
