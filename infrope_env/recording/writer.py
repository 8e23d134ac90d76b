"""The writer of recordings: folders of episodes that stay readable up to the last block when the process is killed.

`reader.py` reads what this module writes; `episode.py` describes the format.
"""

from __future__ import annotations

import json
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path

from av.error import FFmpegError

from infrope_env.atomic_file import write_atomically
from infrope_env.control.frames import Frames
from infrope_env.control.storyboard import Subtitle
from infrope_env.recording.episode import (
    FORMAT,
    IMAGE,
    LOG,
    META,
    SUBTITLES,
    VIDEO,
    BlockRecord,
    BlockReference,
    chain_digest,
)
from infrope_env.recording.quality import Quality
from infrope_env.recording.subtitles import end_with_video, to_srt
from infrope_env.recording.video import AtomicAppendFile, VideoWriter


class RecordingError(RuntimeError):
    """A recording cannot be written; the message is one sentence for the player."""


class Recorder:
    """A folder of episodes. Existing episodes are never changed; new ones are numbered after them.

    Attributes:
        folder: The folder.
        frame_rate: Pixel frames per second of the videos.
        quality: How the videos store pixels.
        episodes: Folders of the episodes written so far, in order.
    """

    def __init__(self, folder: Path, frame_rate: int, quality: Quality = "standard") -> None:
        """Make the folder when it is missing.

        Raises:
            RecordingError: The folder cannot be made or written to.
        """
        self.folder, self.frame_rate, self.quality = folder, frame_rate, quality
        self.episodes: list[Path] = []
        self._writer: EpisodeWriter | None = None
        self._meta: Mapping[str, object] | None = None  # of the episode that the next block opens
        self._subtitles: tuple[Subtitle, ...] = ()
        self._image: bytes | None = None
        self._references: dict[str, BlockReference] = {}  # by identity of the block
        self._finalizer: weakref.finalize | None = None
        _require_writable(folder)

    def begin_episode(
        self, meta: Mapping[str, object], subtitles: Sequence[Subtitle] = (), image: bytes | None = None
    ) -> None:
        """Close the current episode; the next block opens a new one.

        Args:
            meta: Meta data of the episode, plain JSON.
            subtitles: Subtitles of the whole episode.
            image: PNG file of the picture that the rollout starts from.

        Raises:
            RecordingError: The end of the current episode cannot be written.
        """
        try:
            self.close()
        finally:
            self._meta, self._subtitles, self._image = meta, tuple(subtitles), image

    def write(self, frames: Frames, record: BlockRecord, block_id: str | None = None) -> None:
        """Append one block to the episode. Without an episode (none begun, or a write failed) do nothing.

        Args:
            frames: Valid pixel frames of the block, t H W 3.
            record: The block's line of the log.
            block_id: Identity of the block, by which `find_block` finds it.

        Raises:
            RecordingError: The disk is full or gone. Earlier blocks stay readable and the episode ends.
        """
        try:
            if self._meta is not None:
                self._writer, self._meta = self._open_episode(frames.shape[1:3], self._meta), None
            if self._writer is not None:
                self._writer.write(frames, record)
                if block_id is not None:
                    self._references[block_id] = BlockReference(self._writer.folder.name, record.block)
        except (OSError, FFmpegError) as error:
            folder = self.folder if self._writer is None else self._writer.folder
            if (writer := self._detach_writer()) is not None:
                writer.abandon()
            reason = _describe_failure(f"Recording to {folder}", error)
            raise RecordingError(f"{reason} The blocks before are kept.") from error

    def find_block(self, block_id: str) -> BlockReference | None:
        """Return where a block was recorded; None when it was not."""
        return self._references.get(block_id)

    def close(self) -> None:
        """Close the current episode; another one can follow.

        Raises:
            RecordingError: The last frames or the meta data cannot be written.
        """
        if (writer := self._detach_writer()) is not None:
            try:
                writer.close()
            except OSError as error:
                raise RecordingError(_describe_failure(f"Writing the end of {writer.folder}", error)) from error

    def _open_episode(self, frame_size: tuple[int, ...], meta: Mapping[str, object]) -> EpisodeWriter:
        folder = _make_next_folder(self.folder)
        self.episodes.append(folder)
        if self._image is not None:
            (folder / IMAGE).write_bytes(self._image)
        writer = EpisodeWriter(folder, meta, frame_size, self.frame_rate, self._subtitles, self.quality)
        self._finalizer = weakref.finalize(self, writer.close)  # closes the files when the caller does not
        return writer

    def _detach_writer(self) -> EpisodeWriter | None:
        writer, self._writer, self._meta = self._writer, None, None
        if self._finalizer is not None:
            self._finalizer.detach()
        return writer


class EpisodeWriter:
    """The files of one episode, extended block by block.

    Attributes:
        folder: The episode's folder.
    """

    def __init__(
        self,
        folder: Path,
        meta: Mapping[str, object],
        frame_size: tuple[int, ...],
        frame_rate: int,
        subtitles: Sequence[Subtitle] = (),
        quality: Quality = "standard",
    ) -> None:
        """Write the meta data, and create an empty log and video in an existing folder."""
        self.folder = folder
        self._meta = {"format": FORMAT, **meta}
        self._blocks, self._chain = 0, chain_digest("", self._meta)
        self._subtitles, self._frame_rate = subtitles, frame_rate
        self._write_meta(self._meta)
        self._log = AtomicAppendFile(folder / LOG)
        self._video = VideoWriter(folder / VIDEO, frame_size, frame_rate, quality)

    def write(self, frames: Frames, record: BlockRecord) -> None:
        """Append one block, the video first: the log never names frames that are not in the video's file.

        The subtitles are those of the video so far, so that they end with it whenever it ends.
        """
        first = self._video.frames
        self._video.write(frames)
        content = {**record.to_json(), "first_frame": first, "end_frame": self._video.frames}
        chain = chain_digest(self._chain, content)
        line = json.dumps({**content, "chain": chain}, ensure_ascii=False)
        self._log.append(line.encode(errors="backslashreplace") + b"\n")
        self._blocks, self._chain = self._blocks + 1, chain
        if self._subtitles:
            text = to_srt(end_with_video(self._subtitles, self._video.frames), self._frame_rate)
            write_atomically(self.folder / SUBTITLES, text.encode())

    def close(self) -> None:
        """Write the length of the log into the meta data, by which a lost end is detected, and close the files."""
        self.abandon()
        self._write_meta({**self._meta, "closed": {"blocks": self._blocks, "chain": self._chain}})

    def abandon(self) -> None:
        """Close the files as they are, after an error."""
        self._log.close()
        self._video.close()

    def _write_meta(self, content: Mapping[str, object]) -> None:
        self.folder.stat()  # raises OSError where the folder is gone, which `write_atomically` would make again
        text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        write_atomically(self.folder / META, text.encode())


def _make_next_folder(folder: Path) -> Path:
    """Make the folder of the next episode; another process may be numbering episodes in the same place."""
    numbers = [int(path.name[8:]) for path in folder.glob("episode_*") if path.name[8:].isdigit()]
    number = max(numbers, default=-1) + 1
    while True:
        episode = folder / f"episode_{number:03d}"
        try:
            episode.mkdir(parents=True)
            return episode
        except FileExistsError:
            number += 1


def _require_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder, buffering=0) as probe:  # its name is its own, or it has none
            probe.write(b"?")
    except OSError as error:
        reason = _describe_failure(f"Recording to {folder}", error)
        raise RecordingError(f"{reason} Choose another folder.") from error


def _describe_failure(action: str, error: OSError | FFmpegError) -> str:
    return f"{action} is not possible: {error.strerror or error}."
