"""The qualities of a video: what each one keeps, and that readers, replays and kills treat them alike."""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import infrope_env  # noqa: F401  registers the environments
from infrope_env import cli
from infrope_env.control.frames import valid_frames
from infrope_env.control.storyboard import Subtitle
from infrope_env.recording import replay, verify
from infrope_env.recording.episode import frames_digest
from infrope_env.recording.files import ReplayError
from infrope_env.recording.quality import QUALITIES, Quality
from infrope_env.recording.video import VideoWriter
from infrope_env.recording.wrapper import RecordRollout
from infrope_env.recording.writer import Recorder
from tests.recording.episodes import JUMP, WALK_RIGHT, change, edit_meta, lines_of
from tests.recording.test_writer import block_frames, decode, write_block

MINUTE = 16 * 60  # pixel frames
LEAST_PSNR = {"standard": (28, 33, 26), "high": (35, 37, 34), "lossless": (1000, 1000, 1000)}  # dB of R, G, B
MOST_MEGABYTES = {"standard": 3, "high": 4, "lossless": 30}  # a minute


def record_blocks(folder: Path, quality: Quality, blocks: int = 3) -> Path:
    recorder = Recorder(folder, 16, quality)
    recorder.begin_episode({}, [Subtitle(first=0, end=200, text="a fox")])
    for block in range(blocks):
        write_block(recorder, block)
    recorder.close()
    return folder / "episode_000"


def record_rollout(weights: Path, folder: Path, **kwargs: Any) -> Path:
    env = RecordRollout(gymnasium.make("infrope/PocketWorld-v0", weights=str(weights)), folder, **kwargs)
    env.reset(seed=3)
    env.step(JUMP)
    env.close()
    return env.episodes[0]


def pixels_of(video: Path) -> np.ndarray:
    return np.stack([frame.to_ndarray(format="rgb24") for frame in decode(video)])


@pytest.fixture(scope="module")
def pocket_blocks() -> list[np.ndarray]:
    """Six blocks of the pocket world."""
    env: Any = gymnasium.make("infrope/PocketWorld-v0")
    blocks = [valid_frames(*env.reset(seed=3, options={"scene": "beach"}))]
    for action in (WALK_RIGHT, WALK_RIGHT, JUMP, env.unwrapped.action_names.index("cut_city"), WALK_RIGHT):
        observation, *_, info = env.step(action)
        blocks.append(valid_frames(observation, info))
    return [block.copy() for block in blocks]


@pytest.mark.parametrize("quality", QUALITIES)
def test_a_quality_keeps_what_the_page_says(quality: Quality, pocket_blocks: list[np.ndarray], tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "video.mp4", (96, 160), 16, quality)
    for block in pocket_blocks:
        writer.write(block)
    writer.close()
    error = pixels_of(tmp_path / "video.mp4").astype(float) - np.concatenate(pocket_blocks)
    with np.errstate(divide="ignore"):
        psnr = 10 * np.log10(255**2 / (error**2).mean((0, 1, 2)))
    megabytes = (tmp_path / "video.mp4").stat().st_size / 1e6 * MINUTE / writer.frames
    print(f"{quality}: PSNR of red, green, blue {psnr.round(1)} dB, {megabytes:.2f} MB a minute")
    assert (psnr >= LEAST_PSNR[quality]).all() and megabytes < MOST_MEGABYTES[quality]


@pytest.mark.parametrize("quality", QUALITIES)
def test_every_block_begins_with_a_keyframe_in_every_quality(quality: Quality, tmp_path: Path) -> None:
    episode = record_blocks(tmp_path, quality)
    frames = decode(episode / "video.mp4")
    assert [i for i, frame in enumerate(frames) if frame.key_frame] == [0, 9, 21]
    assert [float(frame.time) for frame in frames] == [i / 16 for i in range(33)]
    assert "00:00:00,000 --> 00:00:02,062" in (episode / "video.srt").read_text()


@pytest.mark.parametrize(("quality", "pixels"), [("standard", "yuv420p"), ("high", "yuv444p"), ("lossless", "gbrp")])
def test_a_quality_has_its_pixel_format_and_tags(quality: Quality, pixels: str, tmp_path: Path) -> None:
    matrix, color_range = (0, 2) if quality == "lossless" else (6, 1)  # RGB, full range; BT.601, limited
    for frame in decode(record_blocks(tmp_path, quality) / "video.mp4"):
        assert frame.format.name == pixels
        tags = frame.colorspace, frame.color_primaries, frame.color_trc, frame.color_range
        assert tags == (matrix, 1, 1, color_range)


def test_the_pixels_of_a_lossless_video_have_the_digests_of_the_log(tiny_weights: Path, tmp_path: Path) -> None:
    episode = record_rollout(tiny_weights, tmp_path, quality="lossless")
    pixels = pixels_of(episode / "video.mp4")
    for line in lines_of(episode):
        assert frames_digest(pixels[line["first_frame"] : line["end_frame"]]) == line["sha256"]


@pytest.mark.parametrize("quality", QUALITIES)
def test_a_replay_is_verified_in_every_quality_and_recorded_in_the_same(
    quality: Quality, tiny_weights: Path, tmp_path: Path
) -> None:
    episode = record_rollout(tiny_weights, tmp_path / "kept", quality=quality)
    assert json.loads((episode / "meta.json").read_text())["quality"] == quality
    assert replay(episode, tmp_path / "again").summary().endswith("2 blocks replayed: every block is the same.")
    again = tmp_path / "again" / "episode_000"
    assert json.loads((again / "meta.json").read_text())["quality"] == quality
    assert [line["sha256"] for line in lines_of(again)] == [line["sha256"] for line in lines_of(episode)]
    (pixels,) = {frame.format.name for frame in decode(again / "video.mp4")}
    assert pixels == {"standard": "yuv420p", "high": "yuv444p", "lossless": "gbrp"}[quality]


def test_a_recording_without_a_quality_is_read_as_standard(tiny_weights: Path, tmp_path: Path) -> None:
    episode = record_rollout(tiny_weights, tmp_path / "kept")
    older = shutil.copytree(episode, tmp_path / "older")
    edit_meta(older, lambda meta: meta.pop("quality"))
    assert not verify(older).differing_blocks  # its first line was chained to the other meta data
    replay(older, tmp_path / "again")
    assert json.loads((tmp_path / "again" / "episode_000" / "meta.json").read_text())["quality"] == "standard"


@pytest.mark.parametrize("value", ["best", "", None, 3, ["high"]])
def test_a_recording_of_an_unknown_quality_is_refused(short_episode: Path, value: object) -> None:
    edit_meta(short_episode, change("quality", to=value))
    with pytest.raises(ReplayError, match="expected quality to be one of standard, high, lossless, got "):
        verify(short_episode)


def test_an_unknown_quality_is_refused_before_a_folder_is_made(tiny_weights: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected quality to be one of standard, high, lossless, got 'best'"):
        record_rollout(tiny_weights, tmp_path / "kept", quality="best")
    assert not (tmp_path / "kept").exists()


def test_the_commands_record_in_the_quality_that_is_asked_for(tiny_weights: Path, tmp_path: Path) -> None:
    given = ["--headless", "--weights", str(tiny_weights)]
    out = tmp_path / "out"
    assert cli.main(["record", "--out", str(out), "--blocks", "1", "--quality", "high", *given]) == 0
    assert cli.main(["play", "--record", str(out), "--blocks", "1", "--quality", "lossless", *given]) == 0
    first = str(out / "episode_000")
    assert cli.main(["replay", first, "--out", str(out), *given]) == 0
    assert cli.main(["replay", first, "--out", str(out), "--quality", "standard", *given]) == 0
    formats = [decode(episode / "video.mp4")[0].format.name for episode in sorted(out.iterdir())]
    assert formats == ["yuv444p", "gbrp", "yuv444p", "yuv420p"]


OPENCV = """
import sys, cv2, numpy as np
video, frames = cv2.VideoCapture(sys.argv[1]), []
while (read := video.read())[0]:
    frames.append(read[1][..., ::-1])
np.save(sys.argv[2], np.stack(frames))
"""


@pytest.mark.skipif(importlib.util.find_spec("cv2") is None, reason="needs opencv-python-headless")
@pytest.mark.parametrize("quality", QUALITIES)
def test_opencv_reads_every_quality(quality: Quality, tmp_path: Path) -> None:
    """In a process of its own: OpenCV and PyAV bring different builds of FFmpeg."""
    video = record_blocks(tmp_path, quality) / "video.mp4"
    subprocess.run([sys.executable, "-c", OPENCV, str(video), str(tmp_path / "read.npy")], check=True)
    read = np.load(tmp_path / "read.npy")
    expected = np.concatenate([block_frames(block) for block in range(3)])
    assert read.shape == expected.shape
    error = np.abs(read.astype(float) - expected)
    assert error.max() == 0 if quality == "lossless" else error.mean() < 4
