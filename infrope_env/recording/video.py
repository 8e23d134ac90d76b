"""Writes clips to an mp4 that can be read at any moment, also after its writer was killed or its disk filled up."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from av.video.frame import PictureType

MUXER = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "flush_packets": "1"}
"""A fragment per keyframe, written when the next keyframe comes: a killed process loses the newest block's."""
ENCODER = {"preset": "veryfast", "tune": "zerolatency", "crf": "16"}


class Video:
    """A fragmented mp4 that begins every clip with a keyframe.

    Attributes:
        frames: pixel frames written so far.
    """

    def __init__(self, path: Path, frame_size: tuple[int, ...], frame_rate: int) -> None:
        self.frames = 0
        self._file, self._fragments = WholeWrites(path), Pending()
        self._container = av.open(self._fragments, "w", format="mp4", options=MUXER)
        self._stream = self._container.add_stream("libx264", rate=frame_rate, options=ENCODER)
        self._stream.height, self._stream.width = frame_size
        self._stream.pix_fmt = "yuv420p"
        self._container.start_encoding()

    def write(self, frames: np.ndarray) -> None:
        """Append a clip, (t, H, W, 3) uint8."""
        for i, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame.pts = self.frames
            frame.pict_type = PictureType.I if i == 0 else PictureType.NONE
            self._container.mux(self._stream.encode(frame))
            self.frames += 1
        self._file.append(self._fragments.take())

    def close(self) -> None:
        """Write the last fragment."""
        try:
            self._finish()
            self._file.append(self._fragments.take())
        finally:
            self._file.close()

    def abandon(self) -> None:
        """Write nothing more: after a piece that failed, the next would leave a hole."""
        self._file.close()
        self._finish()

    def _finish(self) -> None:
        self._container.mux(self._stream.encode())
        self._container.close()


class Pending:
    """What the muxer wrote and the disk has not seen: the muxer writes pieces, a reader should meet whole fragments."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def write(self, data: bytes) -> int:
        """Called by the muxer."""
        self._bytes += data
        return len(data)

    def take(self) -> bytes:
        """Everything since the last call."""
        taken, self._bytes = bytes(self._bytes), bytearray()
        return taken


class WholeWrites:
    """A file that grows by whole pieces, each handed to the system before `append` returns."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("xb", buffering=0)

    def append(self, data: bytes) -> None:
        """Write it all or nothing: what a full disk cut short is taken back."""
        end, rest = self._file.tell(), memoryview(data)
        try:
            while rest:  # a nearly full disk takes a part, and says why not the rest when asked again
                rest = rest[self._file.write(rest) :]
        except OSError:
            self._file.truncate(end)
            self._file.seek(end)
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()
