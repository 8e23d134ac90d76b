"""Timed prompts on one line: "a fox runs[5s] | a fox waves[10s#]; good morning | goodbye".

Scenes are separated by "|", [5s] is how long one lasts, "#" makes it begin with a cut, subtitles follow after ";".
`compat="release"` reads a line as the ∞-RoPE release does, where "#" cuts one scene later than its README says.
Knows nothing of actions and embeddings, and imports no tensor library.
"""

import math
import re
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

FPS = 16
FRAMES_PER_LATENT = 4
UNTIMED_BLOCKS = 14  # how long a scene without a duration lasts, whatever the block size (release)

DURATION = re.compile(r"\[(\d+(?:\.\d*)?)\s*s(#?)\]")
ALMOST_A_DURATION = re.compile(r"\[\s*[-+\d.,]+\s*(?:s|secs?|seconds?)?\s*#?\s*\]", re.IGNORECASE)


@dataclass(frozen=True)
class Shot:
    """One scene of a storyboard.

    Attributes:
        prompt: its text, without the duration.
        blocks: how many blocks it lasts, at least 1; the last shot may be played longer, see `Storyboard.played`.
        cut: it begins with a cut; a first shot begins the rollout either way.
        seconds: the duration as written, None when there was none.
    """

    prompt: str
    blocks: int
    cut: bool
    seconds: float | None = None


@dataclass(frozen=True)
class Subtitle:
    """A line of text over pixel frames first, ..., end - 1."""

    text: str
    first: int
    end: int


@dataclass(frozen=True)
class Storyboard:
    """Shots in order, and their subtitles.

    Attributes:
        scenes: at least one shot.
        subtitles: one per shot when every shot is timed (empty ones where the line gave fewer), else as written.
        block: latent frames per block.
        compat: how the line was read, None or "release".
    """

    scenes: tuple[Shot, ...]
    subtitles: tuple[str, ...] = ()
    block: int = 3
    compat: str | None = None

    @property
    def seconds(self) -> float | None:
        """Length of the whole storyboard; None when a shot has no duration."""
        seconds = [shot.seconds for shot in self.scenes if shot.seconds is not None]
        return sum(seconds) if len(seconds) == len(self.scenes) else None

    def latent_frames(self, from_image: bool = False) -> int | None:
        """Latent frames of the whole storyboard, rounded up to full blocks; None when a shot has no duration.

        Args:
            from_image: the first pixel frame is given rather than generated.
        """
        if self.seconds is None:
            return None
        latent_frames = (math.floor(self.seconds * FPS) - from_image) // FRAMES_PER_LATENT
        return max(1, math.ceil(latent_frames / self.block)) * self.block

    @property
    def total_blocks(self) -> int:
        """Blocks of the whole storyboard: 5 s and 5 s are 6 and 6 blocks, but 14 together."""
        latent_frames = self.latent_frames()
        written = sum(shot.blocks for shot in self.scenes)
        if latent_frames is None:
            return written
        timed = latent_frames // self.block
        return timed if self.compat == "release" else max(timed, written)  # the release drops very short last shots

    @property
    def starts(self) -> tuple[int, ...]:
        """The block at which each shot begins."""
        return tuple(accumulate((shot.blocks for shot in self.scenes[:-1]), initial=0))

    @property
    def flush_blocks(self) -> tuple[int, ...]:
        """The blocks at which the prompt changes."""
        return self.starts[1:]

    @property
    def cut_blocks(self) -> tuple[int, ...]:
        """The blocks that begin with a cut; a storyboard's first block does not."""
        return tuple(start for start, shot in zip(self.starts, self.scenes, strict=True) if shot.cut and start)

    def played(self) -> tuple[Shot, ...]:
        """The shots with the blocks they really get.

        Durations round down and the total rounds up: the last shot takes what is left.
        """
        ends = (*self.starts[1:], self.total_blocks)
        lengths = [min(end, self.total_blocks) - start for start, end in zip(self.starts, ends, strict=True)]
        return tuple(replace(shot, blocks=n) for shot, n in zip(self.scenes, lengths, strict=True) if n > 0)

    def pixel_frames(self, blocks: int) -> int:
        """Pixel frames of the first `blocks` blocks: the first latent frame gives one, every other four."""
        return max(0, FRAMES_PER_LATENT * (self.block * blocks - 1) + 1)

    def timed_subtitles(self, blocks: int | None = None) -> tuple[Subtitle, ...]:
        """Where each subtitle stands in a rollout of that many blocks, by default the whole storyboard.

        From the first pixel frame of its shot to the last. The release goes by the durations instead, although shots
        are whole blocks and so begin earlier, or by equal parts when a shot has none. What lies behind the end is
        cut off.
        """
        end = self.pixel_frames(self.total_blocks if blocks is None else blocks)
        marks = self._release_marks(end) if self.compat == "release" else [*map(self.pixel_frames, self.starts), end]
        spans = ((first, min(last, end)) for first, last in pairwise(marks))
        timed = (Subtitle(text, *span) for text, span in zip(self.subtitles, spans, strict=False))
        return tuple(subtitle for subtitle in timed if subtitle.text and subtitle.first < subtitle.end)

    def _release_marks(self, num_frames: int) -> list[int]:
        if self.seconds is not None:
            return list(accumulate((math.floor(FPS * (shot.seconds or 0)) for shot in self.scenes), initial=0))
        parts = max(1, len(self.subtitles))
        return [i * num_frames // parts for i in range(parts + 1)]


def parse(text: str, compat: str | None = None, block: int = 3) -> Storyboard:
    """Read a storyboard.

    Args:
        text: the line; without `compat` it may go over several lines.
        compat: None follows the README of ∞-RoPE and refuses what looks like a mistake; "release" reads any line as
            the release's code does: "#" anywhere in a scene makes the NEXT scene begin with a cut, a duration
            it cannot read is part of the prompt, empty scenes count.
        block: latent frames per block.

    Raises:
        ValueError: the line has a mistake; the sentence names the scene.
    """
    if compat not in (None, "release"):
        raise ValueError(f'expected compat to be None or "release", got {compat!r}')
    if block < 1:
        raise ValueError(f"expected block to be at least 1, got {block}")
    if compat is None:
        text = " ".join(text.split())
    prompts, subtitles, rest = f"{text};;".split(";", maxsplit=2)
    scenes = [scene.strip() for scene in prompts.split("|")]
    lines = [line.strip() for line in subtitles.split("|")] if subtitles.strip() else []
    if compat is None:
        _refuse_mistakes(scenes, lines, rest)
    shots = tuple(_shot(scene, block) for scene in scenes)
    if compat == "release":
        flags = [False, *("#" in scene for scene in scenes)]
        shots = tuple(replace(shot, cut=cut) for shot, cut in zip(shots, flags, strict=False))
    return Storyboard(shots, _fit(lines, shots), block, compat)


def _shot(scene: str, block: int) -> Shot:
    prompt = DURATION.sub("", scene).strip()
    duration = DURATION.search(scene)
    if duration is None:
        return Shot(prompt, UNTIMED_BLOCKS, cut=False)
    seconds = float(duration[1])
    blocks = max(1, math.floor(seconds * FPS / (FRAMES_PER_LATENT * block)))
    return Shot(prompt, blocks, cut=duration[2] == "#", seconds=seconds)


def _fit(lines: list[str], shots: tuple[Shot, ...]) -> tuple[str, ...]:
    """Pad or cut off subtitles to one per shot, when every shot is timed."""
    if not lines or any(shot.seconds is None for shot in shots):
        return tuple(lines)
    return tuple(lines[: len(shots)] + [""] * (len(shots) - len(lines)))


def _refuse_mistakes(scenes: list[str], lines: list[str], rest: str) -> None:
    for number, scene in enumerate(scenes, start=1):
        _refuse_scene(f"scene {number} of {len(scenes)}", scene)
    if len(lines) > len(scenes):
        raise ValueError(f"expected at most one subtitle per scene, got {len(lines)} for {len(scenes)} scenes")
    if rest.strip(" ;"):
        raise ValueError(f"expected one ';' between scenes and subtitles, got another before {rest.strip(' ;')!r}")


def _refuse_scene(place: str, scene: str) -> None:
    durations = [match[0] for match in DURATION.finditer(scene)]
    without = DURATION.sub("", scene)
    if not without.strip():
        raise ValueError(f"{place} has no prompt. Write one, such as 'a fox runs[5s]', or take the '|' away.")
    if len(durations) > 1:
        raise ValueError(f"{place} has two durations, {' and '.join(durations)}. Put a '|' between two scenes.")
    if durations and not float(DURATION.findall(scene)[0][0]):
        raise ValueError(f"{place} lasts {durations[0]}, expected more than 0 seconds")
    if almost := ALMOST_A_DURATION.search(without):
        raise ValueError(f"{place}: expected a duration such as [5s], or [5s#] to begin with a cut, got {almost[0]}")
