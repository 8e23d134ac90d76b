"""The mp4 file of an episode, which stays playable when its writer is killed or the disk is full."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import av
import numpy as np
from av.video.frame import PictureType
from av.video.reformatter import ColorRange, Colorspace, Interpolation

from infrope_env.control.frames import Frames
from infrope_env.recording.quality import BT709, ENCODINGS, Encoding, Quality

MUXER = {
    "movflags": "frag_keyframe+empty_moov+default_base_moof+frag_discont+skip_trailer",
    "use_editlist": "0",
    "avoid_negative_ts": "disabled",  # the times of a fragment count from the start of the video
}
ROUNDED = Interpolation.AREA | Interpolation.ACCURATE_RND
"""Conversion of pixels: colours of 4:2:0 are means over their pixels, and no value is rounded down."""
HEADER_BYTES = 1_000_000  # no fragment's header is longer


class VideoWriter:
    """A fragmented mp4 with one fragment per block, which is whole in the file when `write` returns.

    Every block is encoded and muxed on its own: ffmpeg's muxer holds a fragment back until the next one begins.

    Attributes:
        frames: Number of pixel frames written so far.
    """

    def __init__(self, path: Path, frame_size: tuple[int, ...], frame_rate: int, quality: Quality = "standard") -> None:
        """Create the file.

        Args:
            path: A file that does not exist yet.
            frame_size: Height and width in pixels.
            frame_rate: Pixel frames per second.
            quality: How pixels are stored.

        Raises:
            OSError: The file exists or cannot be written.
        """
        self.frames = 0
        self._blocks = 0
        self._frame_size, self._frame_rate = frame_size, frame_rate
        self._encoding = ENCODINGS[quality]
        self._file = AtomicAppendFile(path)

    def write(self, frames: Frames) -> None:
        """Append the pixel frames of one block, t H W 3, all or none.

        Raises:
            OSError: The disk is full or gone.
        """
        fragment = self._encode(frames)
        if self._blocks:
            fragment = fragment[_header_length(fragment) :]  # the file has the header already
        self._file.append(fragment)
        self.frames, self._blocks = self.frames + len(frames), self._blocks + 1

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _encode(self, frames: Frames) -> bytes:
        """Return an mp4 file of one fragment, whose times and number continue the file."""
        output = io.BytesIO()
        muxer = MUXER | {"fragment_index": str(self._blocks + 1)}
        with av.open(output, "w", format="mp4", options=muxer) as container:
            encoder, options = self._encoding.codec, dict(self._encoding.options)
            stream = cast(av.VideoStream, container.add_stream(encoder, self._frame_rate, options))
            stream.height, stream.width = self._frame_size
            stream.pix_fmt = self._encoding.pixel_format
            tag_colors(stream.codec_context, self._encoding)
            for i, pixels in enumerate(frames):
                frame = to_video_frame(pixels, self._encoding)
                frame.pts = self.frames + i
                frame.pict_type = PictureType.I if i == 0 else PictureType.NONE
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        return output.getvalue()


def to_video_frame(pixels: Frames, encoding: Encoding) -> av.VideoFrame:
    """Return a pixel frame, H W 3, in the format that the encoder takes."""
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
    if encoding.pixel_format == "rgb24":
        return frame
    return frame.reformat(
        format=encoding.pixel_format,
        dst_colorspace=Colorspace.ITU601,
        dst_color_range=ColorRange.MPEG,
        interpolation=ROUNDED,
    )


def tag_colors(codec: av.VideoCodecContext, encoding: Encoding) -> None:
    """Write into the stream how its pixels become RGB: matrix, primaries, transfer and range."""
    codec.colorspace = encoding.matrix
    codec.color_range = int(ColorRange.JPEG if encoding.full_range else ColorRange.MPEG)
    codec.color_primaries, codec.color_trc = BT709, BT709


def _header_length(video: bytes) -> int:
    """Return the length of what stands before the first fragment: the boxes ftyp and moov."""
    start = 0
    while video[start + 4 : start + 8] != b"moof":
        start += int.from_bytes(video[start : start + 4], "big")
    return start


def count_frames(file: BinaryIO, expected: int) -> int:
    """Return the number of pixel frames in the whole fragments of a video, without decoding anything.

    Args:
        file: A video that this module wrote.
        expected: Number of frames that it should have; much longer files are not read to their end.

    Raises:
        ValueError: It is no such video.
    """
    size, frames, in_fragment = os.fstat(file.fileno()).st_size, 0, 0
    for number, (kind, start, end) in enumerate(_boxes(file, 0, size)):
        if number == 0 and kind != b"ftyp":
            raise ValueError("it is not an mp4 file")
        if kind == b"moof":
            in_fragment = sum(_count_samples(file, *place) for place in _find(file, start, end, b"traf"))
        elif kind == b"mdat":
            frames, in_fragment = frames + in_fragment, 0
        if frames > 2 * expected or number > 4 * expected + 100:
            break
    if size == 0:
        raise ValueError("it is empty")
    return frames


def _count_samples(file: BinaryIO, start: int, end: int) -> int:
    """Return the number of samples that a traf box lists."""
    count = 0
    for begin, _ in _find(file, start, end, b"trun"):
        file.seek(begin + 4)  # after version and flags
        count += int.from_bytes(file.read(4), "big")
    return count


def _find(file: BinaryIO, start: int, end: int, wanted: bytes) -> list[tuple[int, int]]:
    """Return where the content of every box of one kind begins and ends."""
    return [
        (begin, stop) for kind, begin, stop in _boxes(file, start, min(end, start + HEADER_BYTES)) if kind == wanted
    ]


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, and begin and end of the content, of the whole mp4 boxes between two places of a file."""
    while start + 8 <= end:
        file.seek(start)
        header = file.read(8)
        length, begin = int.from_bytes(header[:4], "big"), start + 8
        if length == 1:
            length, begin = int.from_bytes(file.read(8), "big"), start + 16
        if length < begin - start or start + length > end:
            return
        yield header[4:], begin, start + length
        start += length


class AtomicAppendFile:
    """A file to which every `append` adds all of its bytes or none, unbuffered."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("xb", buffering=0)

    def append(self, data: bytes) -> None:
        """Append all of `data`, or truncate the file to its size before.

        Raises:
            OSError: The disk is full or gone.
        """
        end, rest = self._file.tell(), memoryview(data)
        try:
            while rest:  # a nearly full disk takes a part and raises at the next write
                rest = rest[self._file.write(rest) :]
        except OSError:
            self._file.truncate(end)
            self._file.seek(end)
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()
