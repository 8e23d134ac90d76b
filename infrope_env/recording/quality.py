"""Qualities of a recorded video: how its pixels are stored. Imports no video library: the help of a command is fast."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

Quality = Literal["standard", "high", "lossless"]
QUALITIES: tuple[Quality, ...] = get_args(Quality)

RGB, BT601, BT709 = 0, 6, 1
"""Codes of ITU-T H.273: two matrices, and the primaries and transfer of all videos."""


@dataclass(frozen=True)
class Encoding:
    """How H.264 stores RGB pixels.

    Attributes:
        codec: FFmpeg's name of the encoder.
        pixel_format: FFmpeg's name of the format in which the encoder takes pixels.
        matrix: Colour matrix. BT.601 is the one that readers that ignore the tags, such as OpenCV, assume.
        full_range: Whether values use all 256 levels.
        options: Options of the encoder.
    """

    codec: str
    pixel_format: str
    matrix: int
    full_range: bool
    options: dict[str, str] = field(hash=False)


FAST = {"preset": "veryfast", "tune": "zerolatency", "crf": "16"}

ENCODINGS: dict[Quality, Encoding] = {
    "standard": Encoding("libx264", "yuv420p", BT601, False, FAST),
    # x264 gives colour of full resolution fewer bits than brightness; the offset takes that back
    "high": Encoding("libx264", "yuv444p", BT601, False, FAST | {"chromaoffset": "-6"}),
    # a slower preset saves a tenth of the bytes and takes more than twice the time
    "lossless": Encoding("libx264rgb", "rgb24", RGB, True, {"preset": "ultrafast", "tune": "zerolatency", "qp": "0"}),
}


def require_quality(name: object) -> Quality:
    """Return a quality by its name; ValueError for another name."""
    for quality in QUALITIES:
        if name == quality:
            return quality
    raise ValueError(f"expected quality to be one of {', '.join(QUALITIES)}, got {name!r}")
