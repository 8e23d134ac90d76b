"""Colours of a recorded video: tagged, and right in readers that honour the tags and in those that ignore them."""

import av
import numpy as np
import pytest

from infrope_env.recording.video import VideoWriter
from tests.recording.test_writer import decode

COLORS = [(red, green, blue) for red in (0, 128, 255) for green in (0, 128, 255) for blue in (0, 128, 255)]
COLORS += [(200, 120, 60), (30, 60, 200), (90, 200, 40)]
BT_601 = 0.299, 0.114  # luma weights of red and blue


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> list[av.VideoFrame]:
    """One decoded pixel frame of every flat colour; each is a block, followed by a second block."""
    path = tmp_path_factory.mktemp("colors") / "video.mp4"
    writer = VideoWriter(path, (96, 160), 16)
    for color in COLORS:
        writer.write(np.broadcast_to(np.array(color, np.uint8), (2, 96, 160, 3)))
    writer.close()
    assert path.read_bytes().count(b"colr") == 1
    return decode(path)[1::2]


def worst(pictures: list[np.ndarray]) -> float:
    return max(
        float(np.abs(picture.astype(float) - color).max()) for picture, color in zip(pictures, COLORS, strict=True)
    )


def test_every_frame_has_matrix_primaries_transfer_and_range(shown: list[av.VideoFrame]) -> None:
    tags = {(frame.colorspace, frame.color_primaries, frame.color_trc, frame.color_range) for frame in shown}
    assert tags == {(6, 1, 1, 1)}  # BT.601, BT.709, BT.709, limited


def test_a_reader_that_honours_the_tags_shows_the_colors(shown: list[av.VideoFrame]) -> None:
    assert worst([frame.to_ndarray(format="rgb24") for frame in shown]) <= 3


def test_a_reader_that_ignores_the_tags_shows_the_colors(shown: list[av.VideoFrame]) -> None:
    """FFmpeg's conversion takes untagged pixels for BT.601, and OpenCV takes all pixels for it."""
    untagged = [av.VideoFrame.from_ndarray(frame.to_ndarray(format="yuv420p"), format="yuv420p") for frame in shown]
    assert {frame.colorspace for frame in untagged} == {2}
    assert worst([frame.to_ndarray(format="rgb24") for frame in untagged]) <= 3


def test_the_standard_formula_of_the_tagged_matrix_gives_the_colors(shown: list[av.VideoFrame]) -> None:
    red_weight, blue_weight = BT_601
    pictures = []
    for frame in shown:
        planes = frame.to_ndarray(format="yuv420p").astype(float)
        luma = (planes[:96].mean() - 16) / 219
        blue_chroma, red_chroma = (planes[96:120].mean() - 128) / 224, (planes[120:].mean() - 128) / 224
        red, blue = luma + 2 * (1 - red_weight) * red_chroma, luma + 2 * (1 - blue_weight) * blue_chroma
        green = (luma - red_weight * red - blue_weight * blue) / (1 - red_weight - blue_weight)
        pictures.append(255 * np.array([red, green, blue]))
    assert worst(pictures) <= 3
