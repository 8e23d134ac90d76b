"""Pixel frames as bytes: what a client decodes is the picture, within the loss of the codec."""

import io

import av
import numpy as np
import pytest
from PIL import Image

from infrope_env.remote.frame_encoding import codec_string, encode_frames, to_mp4


def smooth_frames(count: int) -> np.ndarray:
    """Return frames of slowly changing colours in motion, t H W 3."""
    rows, columns = np.mgrid[0:48, 0:80]
    frames = [np.stack([columns * 3, rows * 5, 120 + 40 * np.sin((columns + 4 * i) / 9)], -1) for i in range(count)]
    return np.stack(frames).clip(0, 255).astype(np.uint8)


def decode_h264(packets: tuple[bytes, ...]) -> np.ndarray:
    codec = av.CodecContext.create("h264", "r")
    frames = [frame for packet in packets for frame in codec.decode(av.Packet(packet))]
    return np.stack([frame.to_ndarray(format="rgb24") for frame in [*frames, *codec.decode(None)]])


@pytest.mark.parametrize("count", [9, 12])
def test_every_block_of_h264_is_decoded_on_its_own(count: int) -> None:
    frames = smooth_frames(count)
    packets = encode_frames(frames, "h264", 16)
    decoded = decode_h264(packets)
    assert len(packets) == len(decoded) == count
    assert np.abs(decoded.astype(int) - frames).mean() < 4


def test_the_codec_string_names_profile_and_level_of_the_packets() -> None:
    packets = encode_frames(smooth_frames(2), "h264", 16)
    codec = av.CodecContext.create("h264", "r")
    codec.decode(av.Packet(packets[0]))
    name = codec_string(packets)
    assert name.startswith("avc1.") and len(name) == 11
    assert codec.profile == "High" and int(name[5:7], 16) == 100
    first_nals = [nal[0] & 0x1F for nal in packets[0].replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")[1:]]
    assert first_nals[:2] == [7, 8]  # SPS and PPS: any block can be the first


def test_jpegs_keep_the_full_resolution_of_colours() -> None:
    frames = smooth_frames(3)
    for packet, pixels in zip(encode_frames(frames, "jpeg", 16), frames, strict=True):
        assert np.abs(np.asarray(Image.open(io.BytesIO(packet))).astype(int) - pixels).mean() < 2


def test_raw_frames_are_their_bytes() -> None:
    frames = smooth_frames(2)
    assert b"".join(encode_frames(frames[:, ::2], "raw", 16)) == frames[:, ::2].tobytes()


def test_packets_become_a_video_with_the_same_pixels() -> None:
    blocks = [encode_frames(smooth_frames(count), "h264", 16) for count in (9, 12, 12)]
    with av.open(io.BytesIO(to_mp4(blocks, 16))) as video:
        frames = [(frame.time, frame.to_ndarray(format="rgb24")) for frame in video.decode(video=0)]
    assert [round(16 * time) for time, _ in frames] == list(range(33))
    assert (np.stack([pixels for _, pixels in frames[9:21]]) == decode_h264(blocks[1])).all()
