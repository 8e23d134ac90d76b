"""Subtitles as an .srt file, which video players show when it is named like the video."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from infrope_env.control.storyboard import Subtitle


def to_srt(subtitles: Iterable[Subtitle], frame_rate: int) -> str:
    """Return the text of an .srt file.

    Args:
        subtitles: Subtitles in order, timed in pixel frames.
        frame_rate: Pixel frames per second; at 16, frames 0 to 79 become 00:00:00,000 --> 00:00:05,000.
    """
    entries = (
        f"{number}\n{_timestamp(subtitle.first, frame_rate)} --> {_timestamp(subtitle.end, frame_rate)}\n"
        f"{subtitle.text}\n"
        for number, subtitle in enumerate(subtitles, start=1)
    )
    return "\n".join(entries)


def end_with_video(subtitles: Iterable[Subtitle], frames: int) -> list[Subtitle]:
    """Return the subtitles that begin within the first `frames` pixel frames, none longer than these."""
    return [replace(subtitle, end=min(subtitle.end, frames)) for subtitle in subtitles if subtitle.first < frames]


def _timestamp(frame: int, frame_rate: int) -> str:
    """Return the start of a pixel frame as hours:minutes:seconds,milliseconds."""
    seconds, rest = divmod(frame, frame_rate)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02},{1000 * rest // frame_rate:03}"
