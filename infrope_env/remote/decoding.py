"""The pixel frames in the body of a block message: H.264 packets, JPEG files, or raw RGB."""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np

from infrope_env.control.frames import Frames

if TYPE_CHECKING:
    import av


class BlockDecoder:
    """Decodes blocks in any encoding, one after the other; each begins with a keyframe and needs no earlier one."""

    def __init__(self) -> None:
        self._codec: av.VideoCodecContext | None = None

    def decode(self, encoding: str, body: bytes, sizes: Sequence[int], frame_size: tuple[int, int]) -> Frames:
        """Return the pixel frames of a block, t H W 3 uint8.

        Args:
            encoding: "h264", "jpeg" or "raw".
            body: The bytes of all frames.
            sizes: Number of bytes of each frame.
            frame_size: Height and width in pixels.

        Raises:
            ValueError: The bytes are no such frames.
        """
        parts = [body[end - size : end] for size, end in zip(sizes, accumulate(sizes), strict=True)]
        decode = {"h264": self._decode_h264, "jpeg": _decode_jpeg, "raw": _decode_raw}[encoding]
        frames = decode(parts, frame_size)
        if frames.shape != (len(sizes), *frame_size, 3):
            raise ValueError(f"expected {len(sizes)} frames of {frame_size} pixels, got an array {frames.shape}")
        return frames

    def _decode_h264(self, packets: Sequence[bytes], frame_size: tuple[int, int]) -> Frames:
        import av

        if self._codec is None:
            self._codec = av.CodecContext.create("h264", "r")
            self._codec.thread_count = 1
        decoded = [frame for packet in packets for frame in self._codec.decode(av.Packet(packet))]
        decoded += self._codec.decode(None)  # a decoder may hold frames back
        self._codec.flush_buffers()
        return np.stack([np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in decoded])


def _decode_jpeg(files: Sequence[bytes], frame_size: tuple[int, int]) -> Frames:
    from PIL import Image

    return np.stack([np.asarray(Image.open(io.BytesIO(file), formats=["JPEG"]).convert("RGB")) for file in files])


def _decode_raw(parts: Sequence[bytes], frame_size: tuple[int, int]) -> Frames:
    return np.frombuffer(b"".join(parts), np.uint8).reshape(len(parts), *frame_size, 3)
