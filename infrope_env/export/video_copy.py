"""The video of an episode as a complete mp4 file: the same packets, copied, with an index and exact times."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet

from infrope_env.control.frames import Frames
from infrope_env.export.episode import Episode
from infrope_env.export.selection import Refused
from infrope_env.recording.episode import VIDEO


def copy_video(episode: Episode, path: Path, see: Callable[[Frames], object] | None = None) -> None:
    """Write the episode's packets to a new mp4 file: pixel frame i at i / frame rate, none encoded again.

    Args:
        episode: The episode.
        path: File to write.
        see: Called with every pixel frame, H W 3, as the video shows it, in the same pass; None decodes nothing.

    Raises:
        OSError: The file cannot be written.
        Refused: The video of the recording is not one that a recording has.
    """
    with _open(episode) as source, path.open("wb") as file, av.open(file, "w", format="mp4") as copy:
        copied = copy.add_stream_from_template(source.streams.video[0])
        for packet in _packets(episode, source):
            if see is not None:
                for frame in _decode(source, packet):
                    see(frame)
            packet.stream = copied
            copy.mux(packet)
        if see is not None:
            for frame in _decode(source, None):
                see(frame)


def decode_video(episode: Episode) -> Iterator[Frames]:
    """Yield every pixel frame, H W 3, as the video shows it; Refused as in `copy_video`."""
    with _open(episode) as source:
        for packet in _packets(episode, source):
            yield from _decode(source, packet)
        yield from _decode(source, None)


@contextlib.contextmanager
def _open(episode: Episode) -> Iterator[InputContainer]:
    """Open the recorded video; what is wrong with it raises Refused, also in the body."""
    try:
        with episode.open_video() as file, av.open(file, "r", format="mp4") as source:
            if not source.streams.video:
                raise Refused(f"its {VIDEO} has no picture")
            yield source
    except FFmpegError as error:
        if isinstance(error, OSError):
            raise
        raise Refused(f"its {VIDEO} cannot be decoded ({error.strerror})") from error


def _packets(episode: Episode, source: InputContainer) -> Iterator[Packet]:
    """Yield the packets of the exported pixel frames with exact times, one packet per frame, in order.

    Raises:
        Refused: A block does not begin with a keyframe, or frames are missing.
    """
    stream = source.streams.video[0]
    ticks = Fraction(1, episode.meta.frame_rate) / Fraction(str(stream.time_base))
    keyframes = {line.first_frame for line in episode.lines}
    count = 0
    for packet in source.demux(stream):
        if count == episode.frames:
            return
        if packet.size == 0:  # the end
            break
        if count in keyframes and not packet.is_keyframe:
            raise Refused(f"its {VIDEO} has no keyframe at pixel frame {count}, where a block begins")
        packet.pts = packet.dts = round(count * ticks)
        packet.duration = round(ticks)
        count += 1
        yield packet
    if count < episode.frames:
        raise Refused(f"its {VIDEO} holds {count} of {episode.frames} pixel frames")


def _decode(source: InputContainer, packet: Packet | None) -> Iterator[Frames]:
    """Yield the pixel frames that a packet completes; without a packet, those that the decoder still holds."""
    for frame in source.streams.video[0].codec_context.decode(packet):
        yield np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8)
