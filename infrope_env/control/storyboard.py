"""Timed prompts on one line: "a fox runs[5s] | a fox waves[10s#]; good morning | goodbye".

"|" separates shots, [5s] is a shot's duration, "#" makes the shot begin with a cut, and subtitles follow after ";".
`compat="release"` reads a line as the code of the ∞-RoPE release does: "#" cuts one shot later than its README says.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

from infrope_env.control.durations import DURATION, almost_a_duration, has_lone_hash
from infrope_env.control.length import check_length
from infrope_env.errors import shown

FPS = 16
FRAMES_PER_LATENT = 4
MOST_SHOTS = 10_000
MOST_SECONDS = 1e15  # beyond it floating point loses blocks; far beyond what `check_length` allows
UNTIMED_BLOCKS = 14  # blocks of a shot without a duration, at any block size (release)


@dataclass(frozen=True)
class Shot:
    """One shot of a storyboard.

    Attributes:
        prompt: Its text, without the duration.
        blocks: Its length in blocks, at least 1; the last shot can last longer, see `Storyboard.played`.
        cut: Whether it begins with a cut; without effect on the first shot, which begins the rollout.
        seconds: Its duration as written; None when it has none.
    """

    prompt: str
    blocks: int
    cut: bool
    seconds: float | None = None


@dataclass(frozen=True)
class Subtitle:
    """A line of text over pixel frames.

    Attributes:
        text: The line.
        first: First pixel frame that shows it, counted from the reset.
        end: First pixel frame after it.
    """

    text: str
    first: int
    end: int


@dataclass(frozen=True)
class Storyboard:
    """Shots in order, and their subtitles.

    Attributes:
        shots: At least one shot.
        subtitles: One per shot when every shot is timed, padded with empty ones; otherwise as written.
        block: Latent frames per block.
        compat: The dialect in which the line was read: None or "release".
    """

    shots: tuple[Shot, ...]
    subtitles: tuple[str, ...] = ()
    block: int = 3
    compat: str | None = None

    @property
    def seconds(self) -> float | None:
        """Duration of the whole storyboard; None when a shot has no duration."""
        seconds = [shot.seconds for shot in self.shots if shot.seconds is not None]
        return sum(seconds) if len(seconds) == len(self.shots) else None

    def latent_frames(self, from_image: bool = False) -> int | None:
        """Return the latent frames of the whole storyboard, rounded up to full blocks; None when a shot is untimed.

        Args:
            from_image: Whether the first pixel frame is given, not generated.
        """
        if self.seconds is None:
            return None
        latent_frames = (math.floor(self.seconds * FPS) - from_image) // FRAMES_PER_LATENT
        return max(1, math.ceil(latent_frames / self.block)) * self.block

    @property
    def total_blocks(self) -> int:
        """Number of blocks of the whole storyboard: two shots of 5 s have 6 blocks each, but 14 together."""
        latent_frames = self.latent_frames()
        written = sum(shot.blocks for shot in self.shots)
        if latent_frames is None:
            return written
        timed = latent_frames // self.block
        return timed if self.compat == "release" else max(timed, written)  # the release drops very short last shots

    @property
    def starts(self) -> tuple[int, ...]:
        """Index of the first block of each shot."""
        return tuple(accumulate((shot.blocks for shot in self.shots[:-1]), initial=0))

    @property
    def flush_blocks(self) -> tuple[int, ...]:
        """Indices of the blocks at which the prompt changes."""
        return self.starts[1:]

    @property
    def cut_blocks(self) -> tuple[int, ...]:
        """Indices of the blocks that begin with a cut; block 0, the first of a rollout, never does."""
        return tuple(start for start, shot in zip(self.starts, self.shots, strict=True) if shot.cut and start)

    def played(self) -> tuple[Shot, ...]:
        """Return the shots with the blocks that are played.

        Durations round down and the total rounds up; the last shot gets the remaining blocks.
        """
        ends = (*self.starts[1:], self.total_blocks)
        lengths = [min(end, self.total_blocks) - start for start, end in zip(self.starts, ends, strict=True)]
        return tuple(replace(shot, blocks=n) for shot, n in zip(self.shots, lengths, strict=True) if n > 0)

    def pixel_frames(self, blocks: int) -> int:
        """Return the pixel frames of the first `blocks` blocks: one for the first latent frame, four for each other."""
        return max(0, FRAMES_PER_LATENT * (self.block * blocks - 1) + 1)

    def timed_subtitles(self, blocks: int | None = None) -> tuple[Subtitle, ...]:
        """Return the subtitles with their pixel frames.

        A subtitle covers its shot from the first pixel frame to the last. The release takes the durations as written,
        although a shot can begin earlier because shots are whole blocks; if a shot is untimed, it takes equal parts.

        Args:
            blocks: Length of the rollout; subtitles end with it. None means the whole storyboard.
        """
        end = self.pixel_frames(self.total_blocks if blocks is None else blocks)
        marks = self._release_marks(end) if self.compat == "release" else [*map(self.pixel_frames, self.starts), end]
        spans = ((first, min(last, end)) for first, last in pairwise(marks))
        timed = (Subtitle(text, *span) for text, span in zip(self.subtitles, spans, strict=False))
        return tuple(subtitle for subtitle in timed if subtitle.text and subtitle.first < subtitle.end)

    def _release_marks(self, num_frames: int) -> list[int]:
        if self.seconds is not None:
            return list(accumulate((math.floor(FPS * (shot.seconds or 0)) for shot in self.shots), initial=0))
        parts = max(1, len(self.subtitles))
        return [i * num_frames // parts for i in range(parts + 1)]


def parse(text: str, compat: str | None = None, block: int = 3) -> Storyboard:
    """Read a storyboard.

    Args:
        text: The line; without `compat` it can be broken into several lines, of which at least one begins or ends
            with "|" or ";". Several lines without that are several storyboards or prompts, and refused.
        compat: None follows the README of ∞-RoPE and raises an error for probable mistakes. "release" reads any line
            as the code of the release does: "#" anywhere in a shot makes the NEXT shot begin with a cut, a duration
            that it cannot read is part of the prompt, and empty shots count.
        block: Latent frames per block.

    Raises:
        ValueError: The line has a mistake; the message names the shot, as "shot 2 of 3".
    """
    if not isinstance(text, str):
        raise TypeError(f"expected the storyboard to be a text, got {shown(text)}")
    if compat not in (None, "release"):
        raise ValueError(f'expected compat to be None or "release", got {shown(compat)}')
    if not isinstance(block, int) or block < 1:
        raise ValueError(f"expected block to be at least 1, got {shown(block)}")
    if compat is None:
        _refuse_several(text)
        text = " ".join(text.split())
    prompts, subtitles, rest = f"{text};;".split(";", maxsplit=2)
    parts = [part.strip() for part in prompts.split("|")]
    if len(parts) > MOST_SHOTS:
        raise ValueError(f"the storyboard is too long: expected at most {MOST_SHOTS:,} shots, got {len(parts):,}")
    lines = [line.strip() for line in subtitles.split("|")] if subtitles.strip() else []
    if compat is None:
        _refuse_mistakes(parts, lines, rest)
    shots = tuple(_shot(part, block) for part in parts)
    if compat == "release":
        flags = [False, *("#" in part for part in parts)]
        shots = tuple(replace(shot, cut=cut) for shot, cut in zip(shots, flags, strict=False))
    check_length(sum(shot.blocks for shot in shots), "the storyboard")
    return Storyboard(shots, _fit(lines, shots), block, compat)


def blocks_in(seconds: float, block: int) -> int:
    """Return the number of whole blocks that fit into a duration, at least 1.

    Args:
        seconds: The duration.
        block: Latent frames per block.
    """
    return max(1, math.floor(seconds * FPS / (FRAMES_PER_LATENT * block)))


def _shot(part: str, block: int) -> Shot:
    prompt = DURATION.sub("", part).strip()
    duration = DURATION.search(part)
    if duration is None:
        return Shot(prompt, UNTIMED_BLOCKS, cut=False)
    seconds = min(float(duration[1]), MOST_SECONDS)
    return Shot(prompt, blocks_in(seconds, block), cut=duration[2] == "#", seconds=seconds)


def _fit(lines: list[str], shots: tuple[Shot, ...]) -> tuple[str, ...]:
    """Return one subtitle per shot, padded or truncated, when every shot is timed; otherwise all of them."""
    if not lines or any(shot.seconds is None for shot in shots):
        return tuple(lines)
    return tuple(lines[: len(shots)] + [""] * (len(shots) - len(lines)))


def _refuse_several(text: str) -> None:
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    if len(lines) > 1 and not any(line[0] in "|;" or line[-1] in "|;" for line in lines):
        raise ValueError(
            f"{len(lines)} lines, each a storyboard or a prompt of its own. To make them one storyboard, begin each "
            "line after the first with '|'."
        )


def _refuse_mistakes(parts: list[str], lines: list[str], rest: str) -> None:
    for number, part in enumerate(parts, start=1):
        _refuse_shot(f"shot {number} of {len(parts)}", part)
    if len(lines) > len(parts):
        raise ValueError(f"expected at most one subtitle per shot, got {len(lines)} for {len(parts)} shots")
    if rest.strip(" ;"):
        raise ValueError(f"expected one ';' between shots and subtitles, got another before {shown(rest.strip(' ;'))}")


def _refuse_shot(place: str, part: str) -> None:
    durations = [match[0] for match in DURATION.finditer(part)]
    without = DURATION.sub(" ", part).strip()
    if not without.strip():
        raise ValueError(f"{place} has no prompt. Write one, such as 'a fox runs[5s]', or remove the '|'.")
    if len(durations) > 1:
        found = " and ".join(duration[:60] for duration in durations[:2])
        raise ValueError(
            f"{place} has two durations, {found}. Keep one; if they are two shots, put a '|' between them."
        )
    if durations and not float(DURATION.findall(part)[0][0]):
        raise ValueError(f"{place} lasts {durations[0][:60]}, expected more than 0 seconds")
    if almost := almost_a_duration(without):
        wanted = "expected a duration such as [5s], or [5s#] to begin with a cut"
        raise ValueError(f"{place}: {wanted}, got {almost[0][:60]}. Write {almost[1]}.")
    if has_lone_hash(without):
        mend = f"{durations[0][:60].rstrip(']').rstrip('#')}#]" if durations else "[5s#]"
        raise ValueError(f"{place} has a '#' outside the brackets. To begin it with a cut, write {mend}.")
