"""Reads a recorded episode back: how it was set up, its blocks, and what was changed or is missing."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av

from infrope_env.recording.wrapper import EpisodeMeta
from infrope_env.recording.writer import FORMAT, IMAGE, LOG, META, VIDEO, BlockRecord, link


class ReplayError(ValueError):
    """A recording cannot be made again at all; the message is one sentence."""


@dataclass(frozen=True)
class Recording:
    """One episode read back: the blocks up to where its log can be followed, and what was wrong with it."""

    folder: Path
    meta: EpisodeMeta
    blocks: tuple[BlockRecord, ...]
    tampering: tuple[str, ...]
    remarks: tuple[str, ...]

    @classmethod
    def read(cls, folder: Path) -> Recording:
        """Read an episode's meta data and log; the video is only counted.

        Raises:
            ReplayError: there is no recording, or not one block of it.
        """
        content = _read_meta(folder)
        closed = content.pop("closed", None)
        meta = _parse_meta(folder, content)
        log = LogReader(folder / LOG, link("", content), meta.first_block)
        log.read()
        log.check_end(closed)
        if not log.blocks:
            raise ReplayError(f"{folder} holds no whole block: there is nothing to replay.")
        remarks = (*log.remarks, *_count_video(folder / VIDEO, log.frames))
        tampering = (*_check_image(folder, meta), *log.tampering)
        return cls(folder, meta, tuple(log.blocks), tampering, remarks)

    @property
    def options(self) -> dict[str, Any]:
        """Of the reset, as the environment takes them: an image as the path of the file that was kept."""
        image = {"image": str(self.folder / IMAGE)} if "image" in self.meta.options else {}
        return self.meta.options | image

    @property
    def parent(self) -> Recording | None:
        """The episode whose state this one goes on from; None when it began with a reset."""
        origin = self.meta.continues
        if origin is None:
            return None
        if origin.episode is None:
            raise ReplayError(f"{self.folder} continues a state that was not recorded: it cannot be made again.")
        parent = Recording.read(self.folder.parent / origin.episode)
        if parent.blocks[-1].block < origin.block:
            raise ReplayError(f"{self.folder} continues block {origin.block} of {origin.episode}, which is lost.")
        return parent

    @property
    def inherited_tampering(self) -> tuple[str, ...]:
        """What was changed in the episodes that this one goes on from."""
        parent = self.parent
        if parent is None:
            return ()
        own = tuple(f"In {parent.folder.name}, which it continues: {sentence}" for sentence in parent.tampering)
        return own + parent.inherited_tampering


class LogReader:
    """Follows the chain of digests through blocks.jsonl."""

    def __init__(self, path: Path, chain: str, first_block: int) -> None:
        self.path, self.chain, self.next_block = path, chain, first_block
        self.frames = 0
        self.blocks: list[BlockRecord] = []
        self.tampering: list[str] = []
        self.remarks: list[str] = []

    def read(self) -> None:
        """Take lines until one is unreadable or missing; one that was only edited is said and taken."""
        *lines, tail = self.path.read_bytes().split(b"\n") if self.path.exists() else [b""]
        if tail:
            self.remarks.append("The last line of the log is incomplete: the recording ended while it was written.")
        for number, line in enumerate(lines, 1):
            if not self._take(number, line):
                self.remarks.append(f"Blocks from {self.next_block} on cannot be followed and were not made again.")
                return

    def check_end(self, closed: dict[str, Any] | None) -> None:
        """Compare with what the meta data say of the log's end."""
        if closed is None:
            count = len(self.blocks)
            self.remarks.append(
                f"The recording was never closed, its process or disk failed: {count} whole blocks are left."
            )
        elif not self.tampering and (closed["chain"] != self.chain or closed["blocks"] != len(self.blocks)):
            self.tampering.append(f"{LOG} was closed with {closed['blocks']} blocks and has {len(self.blocks)}.")

    def _take(self, number: int, line: bytes) -> bool:
        try:
            content = json.loads(line)
            claimed, self.frames = content.pop("chain"), content["end_frame"]
            record = BlockRecord.from_json(content)
        except (ValueError, KeyError, TypeError, AttributeError):
            self.tampering.append(f"{LOG} line {number} was changed: it cannot be read.")
            return False
        if record.block != self.next_block:
            self.tampering.append(f"{LOG} line {number} is block {record.block}, expected block {self.next_block}.")
            return False
        if link(self.chain, content) != claimed:
            what = f"{META} or {LOG} line 1" if number == 1 else f"{LOG} line {number}"
            self.tampering.append(f"{what} (block {record.block}) was changed after it was written.")
        self.chain, self.next_block = claimed, record.block + 1
        self.blocks.append(record)
        return True


def _read_meta(folder: Path) -> dict[str, Any]:
    try:
        content = json.loads((folder / META).read_text(encoding="utf-8"))
    except OSError as error:
        raise ReplayError(f"{folder} is not a recorded episode: its {META} cannot be read.") from error
    except ValueError as error:
        raise ReplayError(f"{folder / META} is not valid JSON: {error}.") from error
    found = content.get("format") if isinstance(content, dict) else None
    if found != FORMAT:
        raise ReplayError(f"{folder / META}: expected format {FORMAT}, got {found!r}.")
    return content


def _parse_meta(folder: Path, content: dict[str, Any]) -> EpisodeMeta:
    try:
        return EpisodeMeta.from_json(content)
    except (KeyError, TypeError) as error:
        raise ReplayError(f"{folder / META} was changed: an entry does not fit ({error}).") from error


def _check_image(folder: Path, meta: EpisodeMeta) -> list[str]:
    """A sentence when the picture that the rollout began from is not the one that was kept."""
    if "image" not in meta.options:
        return []
    path = folder / IMAGE
    if not path.is_file():
        return [f"{IMAGE}, the picture that the rollout began from, was removed."]
    kept = {"file": IMAGE, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    return [] if meta.options["image"] == kept else [f"{IMAGE} was changed after it was written."]


def _count_video(path: Path, expected: int) -> list[str]:
    """A sentence when the video does not hold as many pixel frames as the log."""
    try:
        with av.open(str(path)) as container:
            found = sum(1 for packet in container.demux(video=0) if packet.size)
    except (OSError, av.error.FFmpegError, IndexError) as error:  # IndexError: no stream in it
        return [f"{VIDEO} cannot be read: {getattr(error, 'strerror', None) or error}."]
    return [] if found == expected else [f"{VIDEO} holds {found} of {expected} pixel frames."]
