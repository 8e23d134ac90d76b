"""Subtitles as an .srt file: players show the one that is named like the video. Knows text and time, no pixels."""

from __future__ import annotations

from collections.abc import Iterable

from infrope_env.control.storyboard import Subtitle


def to_srt(subtitles: Iterable[Subtitle], frame_rate: int) -> str:
    """The text of an .srt file; pixel frames 0, ..., 79 at 16 a second are 00:00:00,000 --> 00:00:05,000."""
    entries = (
        f"{number}\n{_clock(subtitle.first, frame_rate)} --> {_clock(subtitle.end, frame_rate)}\n{subtitle.text}\n"
        for number, subtitle in enumerate(subtitles, start=1)
    )
    return "\n".join(entries)


def _clock(frame: int, frame_rate: int) -> str:
    """When a pixel frame begins, as hours:minutes:seconds,milliseconds."""
    seconds, rest = divmod(frame, frame_rate)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02},{1000 * rest // frame_rate:03}"
