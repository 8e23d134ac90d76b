"""Recorded videos in a browser: they play, and a page sees the recorded colours."""

from pathlib import Path

import numpy as np
import pytest

from infrope_env.recording.quality import QUALITIES, Quality
from infrope_env.recording.video import VideoWriter
from tests.recording.chromium import PROGRAM, pixels_seen
from tests.recording.test_colors import COLORS
from tests.recording.test_writer import block_frames

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="needs chromium")
LARGEST_ERROR = {"standard": 3, "high": 3, "lossless": 0}
MEAN_ERROR = {"standard": 4, "high": 2, "lossless": 0}


@pytest.mark.parametrize("quality", QUALITIES)
def test_a_page_sees_the_recorded_colors_and_pictures(quality: Quality, tmp_path: Path) -> None:
    colors = COLORS[5::6]  # two of them mixed, the others at the ends of the scale
    flat = [np.broadcast_to(np.array(color, np.uint8), (2, 96, 160, 3)) for color in colors]
    blocks = [*flat, block_frames(1)]
    writer = VideoWriter(tmp_path / "video.mp4", (96, 160), 16, quality)
    for block in blocks:
        writer.write(block)
    writer.close()
    frames = np.concatenate(blocks)
    wanted = [*range(1, 2 * len(colors), 2), len(frames) - 6]  # the second pixel frame of every colour
    seen = pixels_seen(tmp_path / "video.mp4", [(i + 0.5) / 16 for i in wanted], tmp_path / "home")
    error = np.abs(seen.astype(float) - frames[wanted])
    assert error[:-1].max() <= LARGEST_ERROR[quality]
    assert error[-1].mean() <= MEAN_ERROR[quality]
