"""Frame i and action i agree: a rollout of the bundled world that cuts in every block, exported and classified."""

from pathlib import Path

import gymnasium
import pyarrow.parquet as pq

import infrope_env  # noqa: F401  registers the environments
from examples.pocket_world.evaluate.detectors import Detectors
from infrope_env.export.exporter import export
from infrope_env.export.lerobot import LeRobotFolder
from infrope_env.recording.wrapper import RecordRollout
from tests.export.test_lerobot import decode, episodes_of, video_of

SCENES = ("desert", "snow", "city", "beach", "cave", "meadow")


def test_every_frame_shows_the_scene_that_the_action_of_its_row_cuts_to(tmp_path: Path) -> None:
    env = RecordRollout(gymnasium.make("infrope/PocketWorld-v0", disable_env_checker=True), tmp_path / "recording")
    env.reset(seed=3, options={"scene": "snow"})
    for scene in SCENES:
        env.step(env.unwrapped.action_names.index(f"cut_{scene}"))
    env.close()
    export(env.episodes, tmp_path / "out", LeRobotFolder)
    rows = pq.read_table(tmp_path / "out" / "data" / "chunk-000" / "file-000.parquet").to_pylist()
    _, frames = decode(video_of(tmp_path / "out", episodes_of(tmp_path / "out")[0]))
    detectors = Detectors.load()
    seen = [detectors.name_scene(frame[None]) for frame in frames]
    chosen = [row["action.name"].removeprefix("cut_").replace("reset", "snow") for row in rows]
    right = [a == b for a, b in zip(seen, chosen, strict=True)]
    assert len(right) == 81 and sum(right) >= 79  # a classifier that errs in 1 % of frames
    shifted = [a == b for a, b in zip(seen[1:], chosen[:-1], strict=True)]  # one frame off: six frames are wrong
    assert sum(shifted) <= sum(right) - 5
