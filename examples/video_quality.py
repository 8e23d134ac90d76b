"""Measure what each quality of a video keeps: PSNR by channel, size, and the time to encode a block.

Try:
    infrope record --out exact --quality lossless --random --blocks 80 --seed 3
    python examples/video_quality.py exact/episode_000
"""

import json
import tempfile
import time
from pathlib import Path
from typing import Annotated

import av
import numpy as np
import tyro

from infrope_env.control.frames import Frames
from infrope_env.output import run_program
from infrope_env.recording.episode import frames_digest
from infrope_env.recording.quality import QUALITIES, Quality
from infrope_env.recording.video import VideoWriter


def main(episode: Annotated[Path, tyro.conf.Positional]) -> None:
    """Encode the pixels of a lossless recording in every quality and decode them again.

    Args:
        episode: Folder that `infrope record --quality lossless` wrote.
    """
    blocks, frame_rate = read_blocks(episode)
    print(f"{'':10}{'red':>8}{'green':>8}{'blue':>8}{'MB/min':>9}{'ms/block':>10}")
    for quality in QUALITIES:
        psnr_db, megabytes, encode_ms = measure(blocks, frame_rate, quality)
        red, green, blue = psnr_db
        print(f"{quality:10}{red:8.1f}{green:8.1f}{blue:8.1f}{megabytes:9.2f}{encode_ms:10.1f}")


def read_blocks(episode: Path) -> tuple[list[Frames], int]:
    """Return the pixel frames of every block, t H W 3, and the frame rate; ValueError if they are not exact."""
    lines = [json.loads(line) for line in (episode / "blocks.jsonl").read_text().splitlines()]
    frames = decode(episode / "video.mp4")
    blocks = [frames[line["first_frame"] : line["end_frame"]] for line in lines]
    if [frames_digest(block) for block in blocks] != [line["sha256"] for line in lines]:
        raise ValueError(f"{episode}: expected a recording made with --quality lossless")
    return blocks, json.loads((episode / "meta.json").read_text())["frame_rate"]


def decode(video: Path) -> Frames:
    """Return the pixel frames of a video, t H W 3."""
    with av.open(str(video)) as file:
        return np.stack([np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in file.decode(video=0)])


def measure(blocks: list[Frames], frame_rate: int, quality: Quality) -> tuple[list[float], float, float]:
    """Return PSNR of red, green and blue in dB, megabytes a minute, and milliseconds to encode a block."""
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "video.mp4"
        began = time.perf_counter()
        writer = VideoWriter(video, blocks[0].shape[1:3], frame_rate, quality)
        for block in blocks:
            writer.write(block)
        writer.close()
        encode_ms = 1000 * (time.perf_counter() - began) / len(blocks)
        megabytes = video.stat().st_size / 1e6 * 60 * frame_rate / writer.frames
        error = decode(video).astype(float) - np.concatenate(blocks)
    with np.errstate(divide="ignore"):  # inf: no pixel differs
        psnr_db = 10 * np.log10(255**2 / (error**2).mean((0, 1, 2)))
    return psnr_db.tolist(), megabytes, encode_ms


if __name__ == "__main__":
    run_program(main, description=__doc__)
