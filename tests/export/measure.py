"""Bytes per minute of video, and minutes of video exported per second of CPU. Run by hand:

    infrope record --out rollouts --random --blocks 30 --seed 0 --headless
    python -m tests.export.measure rollouts/episode_000

The episode is measured at its own size, and with its frames scaled to 832x480 and recorded again.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from infrope_env.export.exporter import Target, export
from infrope_env.export.frames import FramesFolder
from infrope_env.export.lerobot import LeRobotFolder
from infrope_env.export.selection import read_episode
from infrope_env.export.vbench import VBenchFolder
from infrope_env.export.video_copy import decode_video
from infrope_env.recording.episode import META, VIDEO
from infrope_env.recording.writer import Recorder

WAN_SIZE = (832, 480)
TARGETS: dict[str, Callable[[Path], Target]] = {
    "lerobot": LeRobotFolder,
    "vbench": VBenchFolder,
    "frames": FramesFolder,
}


def measure(folder: Path) -> None:
    """Print sizes and speeds of one episode."""
    episode = read_episode(folder)
    minutes = episode.seconds / 60
    height, width, _ = next(decode_video(episode)).shape
    video = (folder / VIDEO).stat().st_size / 1e6
    print(f"{width}x{height}: {minutes:.2f} min of video, video.mp4 {video / minutes:.2f} MB per minute")
    for name, target in TARGETS.items():
        with tempfile.TemporaryDirectory() as out:
            wall, cpu = time.perf_counter(), time.process_time()
            export([folder], Path(out), target)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            size = sum(path.stat().st_size for path in Path(out).rglob("*") if path.is_file()) / 1e6
        print(
            f"  {name}: {size / minutes:.2f} MB per minute, {minutes / cpu:.2f} min of video per second of CPU"
            f" ({minutes / wall:.2f} per second of this run)"
        )


def scale(folder: Path, out: Path) -> Path:
    """Record an episode again with its frames scaled to `WAN_SIZE`, and return its folder."""
    episode = read_episode(folder)
    meta = json.loads((folder / META).read_text(encoding="utf-8"))
    recorder = Recorder(out, episode.meta.frame_rate)
    recorder.begin_episode({key: value for key, value in meta.items() if key not in ("format", "closed")})
    frames = (
        np.asarray(Image.fromarray(frame).resize(WAN_SIZE, Image.Resampling.BICUBIC)) for frame in decode_video(episode)
    )
    with contextlib.closing(recorder):
        for block, line in zip(episode.blocks, episode.lines, strict=True):
            recorder.write(np.stack([next(frames) for _ in range(line.end_frame - line.first_frame)]), block)
    return recorder.episodes[0]


if __name__ == "__main__":
    recorded = Path(sys.argv[1])
    measure(recorded)
    work = Path(tempfile.mkdtemp())
    try:
        measure(scale(recorded, work))
    finally:
        shutil.rmtree(work)
