"""Pictures that a rollout starts from: read, resized to a pixel frame, repeated as a static video, written as PNG."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

Picture = NDArray[np.uint8]
"""RGB picture, H W 3."""


def load_picture(source: object, frame_size: tuple[int, int]) -> Picture:
    """Return a picture in the size of a pixel frame.

    Args:
        source: Path of a picture file (PNG, JPEG, WebP or another format that FFmpeg reads), which is rotated by its
            EXIF orientation, or a uint8 array, H W 3.
        frame_size: Height and width of a pixel frame.

    Raises:
        ValueError: The file does not exist or holds no picture, or the array has another shape or type.
    """
    if isinstance(source, str | Path):
        return resize_and_crop(_read(Path(source).expanduser()), frame_size)
    if not isinstance(source, np.ndarray):
        raise ValueError(f"expected an image to be a path or a uint8 array of shape (H, W, 3), got {source!r}")
    if source.dtype != np.uint8 or source.ndim != 3 or source.shape[2] != 3 or 0 in source.shape:
        got = f"{source.dtype} of shape {source.shape}"
        raise ValueError(f"expected an image to be a uint8 array of shape (H, W, 3), RGB from 0 to 255, got {got}")
    return resize_and_crop(source, frame_size)


def resize_and_crop(picture: Picture, frame_size: tuple[int, int]) -> Picture:
    """Scale a picture until it covers the frame and crop it around its centre.

    Returns:
        A new array; a picture of the frame's size is copied unchanged.
    """
    height, width = frame_size
    if picture.shape[:2] == frame_size:
        return picture.copy()
    scale = max(height / picture.shape[0], width / picture.shape[1])
    scaled = [max(side, round(scale * original)) for side, original in zip(frame_size, picture.shape[:2], strict=True)]
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float()  # H W c -> 1 c H W
    pixels = F.interpolate(pixels, scaled, mode="bilinear", antialias=True, align_corners=False)
    top, left = (scaled[0] - height) // 2, (scaled[1] - width) // 2
    cropped = pixels[0, :, top : top + height, left : left + width]
    return cropped.round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()  # c H W -> H W c


def static_video(picture: Picture, frames: int) -> Tensor:
    """Return a video that repeats the picture in every frame, 1 t 3 H W in [0, 1]."""
    pixels = torch.from_numpy(picture).permute(2, 0, 1).float() / 255  # H W c -> c H W
    return pixels.expand(1, frames, *pixels.shape)


def to_png(picture: Picture) -> bytes:
    """Return the picture as the bytes of a PNG file, without loss."""
    import av

    height, width, _ = picture.shape
    codec = av.CodecContext.create("png", "w")
    codec.width, codec.height, codec.pix_fmt, codec.time_base = width, height, "rgb24", Fraction(1)
    return b"".join(bytes(packet) for packet in codec.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))


def _read(path: Path) -> Picture:
    import av

    try:
        with av.open(str(path)) as container:
            frame = next(container.decode(video=0))
            pixels = frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
            return np.rot90(pixels, frame.rotation // 90)  # both count counterclockwise
    except (av.FFmpegError, IndexError, StopIteration) as error:
        raise ValueError(f"{path}: there is no picture that can be read ({error or 'it is empty'}).") from error
