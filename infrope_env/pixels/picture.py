"""Pictures that a rollout starts from: read, resized to a pixel frame, repeated as a static video, written as PNG."""

from __future__ import annotations

import os
from fractions import Fraction

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from infrope_env.errors import shown
from infrope_env.pixels.picture_file import Picture, check_size, read_picture


def load_picture(source: object, frame_size: tuple[int, int]) -> Picture:
    """Return a picture in the size of a pixel frame.

    Args:
        source: Path of a picture file, as `read_picture` reads it, or a uint8 array, H W 3.
        frame_size: Height and width of a pixel frame.

    Raises:
        ValueError: The file does not exist or holds no picture, or the array has another shape or type; or the
            picture is larger or narrower than `check_size` allows.
    """
    if isinstance(source, str | os.PathLike):
        return resize_and_crop(read_picture(source), frame_size)
    if not isinstance(source, np.ndarray):
        raise ValueError(f"expected an image to be a path or a uint8 array of shape (H, W, 3), got {shown(source)}")
    if source.dtype != np.uint8 or source.ndim != 3 or source.shape[2] != 3 or 0 in source.shape:
        got = f"{source.dtype} of shape {source.shape}"
        raise ValueError(f"expected an image to be a uint8 array of shape (H, W, 3), RGB from 0 to 255, got {got}")
    check_size(source.shape[1], source.shape[0], "an image")
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
