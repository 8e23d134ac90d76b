"""Recordings whose pixel frames show which block they belong to."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infrope_env.env_state import RESET
from infrope_env.recording.episode import BlockRecord, frames_digest
from infrope_env.recording.writer import Recorder
from tests.recording.episodes import JUMP, record

FOX, FROG = "an orange fox stands still in a snowy field", "a green frog waves hello in a dark cave"


def block_frames(block: int, size: tuple[int, int] = (32, 48)) -> np.ndarray:
    """Return the pixel frames of a block: red says which block, blue which frame of it."""
    frames = np.full((12 if block else 9, *size, 3), 96, dtype=np.uint8)
    frames[..., 0] = 20 + 24 * block
    frames[..., 2] = 20 + 16 * np.arange(len(frames))[:, None, None]
    return frames


class Studio:
    """A maker of recordings: real files, and pictures instead of a model.

    Attributes:
        folder: Folder of recordings, one folder with an episode for each.
    """

    def __init__(self, meta: dict[str, Any], folder: Path) -> None:
        self._meta, self.folder = meta, folder

    def record(
        self,
        name: str,
        prompts: Sequence[str] = (FOX, FOX, FROG),
        size: tuple[int, int] = (32, 48),
        closed: bool = True,
        **meta: Any,
    ) -> Path:
        """Record an episode with one block per prompt: a reset, then the actions 0, 1, 2, ...; its last block ends it.

        The reward of block n is n / 4.
        """
        recorder = Recorder(self.folder / name, 16)
        recorder.begin_episode({**self._meta, "seed": len(name), **meta})
        for block, prompt in enumerate(prompts):
            names = {"subject": "fox", "scene": "snow", "motion": "stand", "prompt": prompt}
            frames, last = block_frames(block, size), block == len(prompts) - 1
            transition = "continue" if block and prompt == prompts[block - 1] else "switch"
            made = BlockRecord(
                block, block - 1 if block else RESET, None, **names, transition=transition if block else "start",
                sha256=frames_digest(frames), reward=block / 4, terminated=last, truncated=False,
            )  # fmt: skip
            recorder.write(frames, made)
        episode = recorder.episodes[0]
        if closed:
            recorder.close()
        else:
            recorder._detach_writer()
        return episode


@pytest.fixture(scope="session")
def recorded_meta(tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("meta")
    env = record(tiny_weights, folder)
    env.reset(seed=3)
    env.step(JUMP)
    env.close()
    meta: dict[str, Any] = json.loads((folder / "episode_000" / "meta.json").read_text())
    shutil.rmtree(folder)
    return {key: value for key, value in meta.items() if key not in ("format", "closed")}


@pytest.fixture
def studio(recorded_meta: dict[str, Any], tmp_path: Path) -> Studio:
    return Studio(recorded_meta, tmp_path / "recordings")
