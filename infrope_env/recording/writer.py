"""Keeps rollouts in a folder, one episode each, readable up to the last block even when the process is killed.

Knows clips, files and hashes; what a block shows and how it was asked for is told to it. `replay` reads what it writes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from infrope_env.control.storyboard import Subtitle
from infrope_env.env_state import PromptRequest
from infrope_env.recording.subtitles import to_srt
from infrope_env.recording.video import Video, WholeWrites

VIDEO, SUBTITLES, LOG, META, IMAGE = "video.mp4", "video.srt", "blocks.jsonl", "meta.json", "image.png"
FORMAT = 1


class RecordingError(RuntimeError):
    """A recording cannot be written; the message is one sentence for the player."""


@dataclass(frozen=True)
class BlockRecord:
    """What it takes to make one block again, and to tell that it is the same.

    Attributes:
        action: index in the episode's action set; None for the block that `reset` makes.
        asked: the `set_prompt` call that took effect with this block.
        prompt: the text in force.
        sha256: of the valid pixel frames, RGB bytes in order; see `frames_digest`.
    """

    block: int
    action: int | None
    asked: PromptRequest | None
    subject: str
    scene: str
    motion: str
    prompt: str
    transition: str
    sha256: str

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """From a line of the log; KeyError or TypeError when it is not one."""
        fields = {field.name: content[field.name] for field in dataclasses.fields(cls)}
        asked = fields["asked"]
        return cls(**{**fields, "asked": None if asked is None else PromptRequest(**asked)})


@dataclass(frozen=True)
class Origin:
    """The block that a restored state goes on from; `episode` is None when it was not recorded in this folder."""

    episode: str | None
    block: int


def frames_digest(frames: np.ndarray) -> str:
    """The sha256 of pixel frames, (t, H, W, 3) uint8."""
    return hashlib.sha256(np.ascontiguousarray(frames).data).hexdigest()


def link(previous: str, content: Mapping[str, object]) -> str:
    """The digest that ties a log line to all before it: of the previous digest and the line's content.

    The first line's `previous` is the link of "" and the meta data, so a change to either is noticed.
    """
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256((previous + text).encode()).hexdigest()


class Recorder:
    """A folder of episodes; existing ones are never touched, numbering goes on after them.

    Args:
        folder: made when missing.
        frame_rate: pixel frames per second of the videos.

    Attributes:
        written: the folders of its episodes so far, in order.

    Raises:
        RecordingError: the folder cannot be made or written to.
    """

    def __init__(self, folder: Path, frame_rate: int) -> None:
        self.folder, self.frame_rate = folder, frame_rate
        self.written: list[Path] = []
        self._episode: Episode | None = None
        self._meta: Mapping[str, object] | None = None
        self._subtitles: tuple[Subtitle, ...] = ()
        self._image: bytes | None = None
        self._origins: dict[tuple[int, str], Origin] = {}
        self._last_will: weakref.finalize | None = None
        _require_writable(folder)

    def begin(self, meta: Mapping[str, object], subtitles: Sequence[Subtitle] = (), image: bytes | None = None) -> None:
        """The next block opens a new episode, described by `meta`; the one before is finished.

        Args:
            meta: plain JSON.
            subtitles: of the whole episode.
            image: the PNG file of the picture that the rollout began from.
        """
        try:
            self.close()
        finally:
            self._meta, self._subtitles, self._image = meta, tuple(subtitles), image

    def write(self, frames: np.ndarray, record: BlockRecord) -> None:
        """Keep one block; without an episode (none begun, or it failed) nothing happens.

        Args:
            frames: the valid pixel frames, (t, H, W, 3) uint8.
            record: what was asked and what came.

        Raises:
            RecordingError: the disk is full or gone. Earlier blocks stay readable; the episode is over.
        """
        try:
            if self._meta is not None:
                self._episode, self._meta = self._open(frames, self._meta), None
            if self._episode is not None:
                self._episode.write(frames, record)
                self._origins[record.block, record.sha256] = Origin(self._episode.folder.name, record.block)
        except OSError as error:
            raise self._give_up(error) from error

    def origin(self, block: int, sha256: str) -> Origin | None:
        """Where the block with that index and those frames was last recorded."""
        return self._origins.get((block, sha256))

    def close(self) -> None:
        """Finish the current episode; more may follow."""
        episode = self._let_go()
        if episode is not None:
            try:
                episode.close()
            except OSError as error:
                raise RecordingError(_sentence(f"The end of {episode.folder}", error)) from error

    def _open(self, frames: np.ndarray, meta: Mapping[str, object]) -> Episode:
        folder = _next_folder(self.folder)
        self.written.append(folder)
        if self._image is not None:
            (folder / IMAGE).write_bytes(self._image)
        episode = Episode(folder, meta, frames.shape[1:3], self.frame_rate, self._subtitles)
        self._last_will = weakref.finalize(self, episode.close)  # for those who forget to
        return episode

    def _let_go(self) -> Episode | None:
        episode, self._episode, self._meta = self._episode, None, None
        if self._last_will is not None:
            self._last_will.detach()
        return episode

    def _give_up(self, error: Exception) -> RecordingError:
        episode = self._let_go()
        if episode is not None:
            episode.abandon()
        where = self.folder if episode is None else episode.folder
        return RecordingError(_sentence(f"Recording to {where}", error) + " The blocks before are kept.")


class Episode:
    """One rollout's video, log and meta data, on disk block by block."""

    def __init__(
        self,
        folder: Path,
        meta: Mapping[str, object],
        frame_size: tuple[int, ...],
        frame_rate: int,
        subtitles: Sequence[Subtitle] = (),
    ) -> None:
        self.folder = folder
        self._meta = {"format": FORMAT, **meta}
        self._blocks, self._chain = 0, link("", self._meta)
        _replace(folder / META, self._meta)
        if subtitles:
            (folder / SUBTITLES).write_text(to_srt(subtitles, frame_rate), encoding="utf-8")
        self._log = WholeWrites(folder / LOG)
        self._video = Video(folder / VIDEO, frame_size, frame_rate)

    def write(self, frames: np.ndarray, record: BlockRecord) -> None:
        """Video first: the log never promises frames that were not handed to the video."""
        first = self._video.frames
        self._video.write(frames)
        content = {**dataclasses.asdict(record), "first_frame": first, "end_frame": self._video.frames}
        chain = link(self._chain, content)
        self._log.append(json.dumps({**content, "chain": chain}, ensure_ascii=False).encode() + b"\n")
        self._blocks, self._chain = self._blocks + 1, chain

    def close(self) -> None:
        """Finish the video and note in the meta data how many blocks the log has, so that a cut tail shows."""
        self._log.close()
        self._video.close()
        _replace(self.folder / META, {**self._meta, "closed": {"blocks": self._blocks, "chain": self._chain}})

    def abandon(self) -> None:
        """Let go of the files after an error, as they are."""
        self._log.close()
        self._video.abandon()


def _next_folder(folder: Path) -> Path:
    """Make the next episode's folder; another process may be numbering in the same place."""
    numbers = [int(path.name[8:]) for path in folder.glob("episode_*") if path.name[8:].isdigit()]
    number = max(numbers, default=-1) + 1
    while True:
        episode = folder / f"episode_{number:03d}"
        try:
            episode.mkdir(parents=True)
            return episode
        except FileExistsError:
            number += 1


def _replace(path: Path, content: Mapping[str, object]) -> None:
    """Write a JSON file so that a reader finds the old one or the new one, never half of it."""
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    draft.replace(path)


def _require_writable(folder: Path) -> None:
    probe = folder / ".writable"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"?")
        probe.unlink()
    except OSError as error:
        raise RecordingError(_sentence(f"Recording to {folder}", error) + " Choose another folder.") from error


def _sentence(what: str, error: Exception) -> str:
    return f"{what} is not possible: {getattr(error, 'strerror', None) or error}."
