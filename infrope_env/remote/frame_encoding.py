"""Pixel frames of a block as bytes for the network: H.264 packets, JPEG files, or raw RGB; and packets as an mp4."""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction
from typing import cast

import av
import numpy as np
from av.container import InputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType

from infrope_env.control.frames import Frames
from infrope_env.recording.quality import ENCODINGS
from infrope_env.recording.video import tag_colors, to_video_frame
from infrope_env.remote.message import Encoding

H264 = ENCODINGS["standard"]
JPEG_QUALITY = 90
SMALL_FRAME = 3 * 320 * 240
LARGE_FRAME_THREADS = 4  # a block of 832 x 480 pixels takes an eighth of a second with one
SPS = 7
START_CODE = b"\x00\x00\x01"

Packets = tuple[bytes, ...]
"""The bytes of every pixel frame of a block, in order."""


def encode_frames(frames: Frames, encoding: Encoding, frame_rate: float) -> Packets:
    """Return every pixel frame of a block, t H W 3, in an encoding."""
    if encoding == "h264":
        return _encode_h264(frames, frame_rate)
    if encoding == "jpeg":
        return tuple(_encode_jpeg(pixels) for pixels in frames)
    return tuple(np.ascontiguousarray(pixels).tobytes() for pixels in frames)


def codec_string(packets: Packets) -> str:
    """Return the name that WebCodecs has for the H.264 of a block, such as "avc1.64000b": profile and level."""
    keyframe = packets[0]
    start = 0
    while (start := keyframe.index(START_CODE, start) + len(START_CODE)) and keyframe[start] & 0x1F != SPS:
        pass
    return f"avc1.{keyframe[start + 1 : start + 4].hex()}"


def to_mp4(blocks: Sequence[Packets], frame_rate: int) -> bytes:
    """Return an mp4 file of the H.264 packets of consecutive blocks, without encoding them again."""
    output = io.BytesIO()
    packets = b"".join(packet for block in blocks for packet in block)
    options = {"framerate": str(frame_rate)}
    source = cast(InputContainer, av.open(io.BytesIO(packets), format="h264", options=options))
    with source, av.open(output, "w", format="mp4") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        stream.time_base = Fraction(1, frame_rate)
        for number, packet in enumerate(source.demux(source.streams.video[0])):
            if packet.size:
                packet.stream, packet.time_base = stream, Fraction(1, frame_rate)
                packet.pts = packet.dts = number
                packet.duration = 1
                target.mux(packet)
    return output.getvalue()


def _encode_h264(frames: Frames, frame_rate: float) -> Packets:
    """Return one access unit for each pixel frame, Annex B; the first is a keyframe with SPS and PPS."""
    encoder = cast(VideoCodecContext, av.CodecContext.create(H264.codec, "w"))
    encoder.height, encoder.width = frames.shape[1:3]
    encoder.pix_fmt = H264.pixel_format
    encoder.framerate = Fraction(frame_rate).limit_denominator(1001)
    encoder.time_base = 1 / encoder.framerate
    encoder.thread_count = 1 if frames[0].size <= SMALL_FRAME else LARGE_FRAME_THREADS
    encoder.options = dict(H264.options)
    tag_colors(encoder, H264)
    packets = []
    for i, pixels in enumerate(frames):
        frame = to_video_frame(pixels, H264)
        frame.pts, frame.pict_type = i, PictureType.I if i == 0 else PictureType.NONE
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    return tuple(bytes(packet) for packet in packets)


def _encode_jpeg(pixels: Frames) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return file.getvalue()
