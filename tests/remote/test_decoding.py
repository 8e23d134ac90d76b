"""The frames that a client decodes are those that the server encoded, within the loss of the codec."""

import numpy as np
import pytest

from infrope_env.control.frames import Frames
from infrope_env.remote.decoding import BlockDecoder
from infrope_env.remote.frame_encoding import encode_frames
from infrope_env.remote.message import Encoding

SIZE = (96, 160)
LOSS = {"raw": 0.0, "jpeg": 3.0, "h264": 6.0}
"""Largest mean difference of a pixel value."""


def moving_scene(frames: int, seed: int = 0) -> Frames:
    """Smooth colours that move by a pixel per frame."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    phase = np.random.default_rng(seed).uniform(0, 6, 3)
    pictures = [
        np.stack([128 + 100 * np.sin(phase[c] + (columns + i) / 20 + rows / (15 + c)) for c in range(3)], axis=-1)
        for i in range(frames)
    ]
    return np.array(pictures).astype(np.uint8)


@pytest.mark.parametrize("encoding", LOSS)
def test_blocks_come_back_in_order_and_each_on_its_own(encoding: Encoding) -> None:
    decoder = BlockDecoder()
    for count, seed in ((9, 1), (12, 2), (12, 3)):
        frames = moving_scene(count, seed)
        packets = encode_frames(frames, encoding, 16)
        decoded = decoder.decode(encoding, b"".join(packets), [len(packet) for packet in packets], SIZE)
        difference = np.abs(decoded.astype(int) - frames)
        assert difference.mean(axis=(1, 2, 3)).max() <= LOSS[encoding]


@pytest.mark.parametrize("encoding", ["raw", "jpeg"])
def test_frames_of_another_size_are_refused(encoding: Encoding) -> None:
    packets = encode_frames(moving_scene(2), encoding, 16)
    with pytest.raises(ValueError):
        BlockDecoder().decode(encoding, b"".join(packets), [len(packet) for packet in packets], (80, 160))
