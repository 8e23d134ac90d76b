"""The reader of recorded episodes: meta data, blocks, and what was changed or is missing.

`writer.py` writes what this module reads; `episode.py` describes the format.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av

from infrope_env.recording.episode import FORMAT, IMAGE, LOG, META, VIDEO, BlockRecord, EpisodeMeta, chain_digest


class ReplayError(ValueError):
    """A recording cannot be replayed at all; the message is one sentence."""


@dataclass(frozen=True)
class Recording:
    """One episode, read up to the point where its log breaks off.

    Attributes:
        folder: The episode's folder.
        meta: Content of meta.json.
        blocks: Readable lines of the log, in order.
        tampering: Changes made after the episode was written, one sentence each.
        remarks: Losses and other findings, one sentence each.
    """

    folder: Path
    meta: EpisodeMeta
    blocks: tuple[BlockRecord, ...]
    tampering: tuple[str, ...]
    remarks: tuple[str, ...]

    @classmethod
    def read(cls, folder: Path) -> Recording:
        """Read an episode. The video is not decoded, only its pixel frames are counted.

        Raises:
            ReplayError: There is no recording in the folder, or it has no whole block.
        """
        content = _read_meta(folder)
        closed = content.pop("closed", None)
        try:
            meta = EpisodeMeta.from_json(content)
        except (KeyError, TypeError) as error:
            raise ReplayError(f"{folder / META} was changed: an entry does not fit ({error}).") from error
        log = LogReader(folder / LOG, chain_digest("", content), meta.first_block)
        log.read()
        log.check_end(closed)
        if not log.blocks:
            raise ReplayError(f"{folder} holds no whole block: there is nothing to replay.")
        remarks = (*log.remarks, *_check_video(folder / VIDEO, log.frames))
        tampering = (*_check_image(folder, meta), *log.tampering)
        return cls(folder, meta, tuple(log.blocks), tampering, remarks)

    @property
    def options(self) -> dict[str, Any]:
        """Options of the reset as the environment takes them: an image is the path of the recorded file."""
        image = {"image": str(self.folder / IMAGE)} if "image" in self.meta.options else {}
        return self.meta.options | image

    @property
    def parent(self) -> Recording | None:
        """The episode that this one continues; None when it started with a reset.

        Raises:
            ReplayError: The parent was not recorded, or its last blocks are lost.
        """
        continued = self.meta.continues
        if continued is None:
            return None
        if continued.episode is None:
            raise ReplayError(f"{self.folder} continues a state that was not recorded: it cannot be replayed.")
        parent = Recording.read(self.folder.parent / continued.episode)
        if parent.blocks[-1].block < continued.block:
            raise ReplayError(f"{self.folder} continues block {continued.block} of {continued.episode}, which is lost.")
        return parent

    @property
    def inherited_tampering(self) -> tuple[str, ...]:
        """Changes of the episodes that this one continues, one sentence each."""
        parent = self.parent
        if parent is None:
            return ()
        own = tuple(f"In {parent.folder.name}, which it continues: {sentence}" for sentence in parent.tampering)
        return own + parent.inherited_tampering


class LogReader:
    """A reader of blocks.jsonl that follows its chain of digests.

    Attributes:
        chain: Digest of the newest line read.
        next_block: Index of the block expected next.
        frames: Number of pixel frames that the video should have, by the lines read so far.
        blocks: Records read so far.
        tampering: Changes found, one sentence each.
        remarks: Losses found, one sentence each.
    """

    def __init__(self, path: Path, chain: str, first_block: int) -> None:
        """Prepare to read a log.

        Args:
            path: The file.
            chain: Digest of the meta data.
            first_block: Index of the block in the first line.
        """
        self.path, self.chain, self.next_block = path, chain, first_block
        self.frames = 0
        self.blocks: list[BlockRecord] = []
        self.tampering: list[str] = []
        self.remarks: list[str] = []

    def read(self) -> None:
        """Read lines until one is unreadable or missing. Changed lines are reported but kept."""
        *lines, tail = self.path.read_bytes().split(b"\n") if self.path.exists() else [b""]
        if tail:
            self.remarks.append("The last line of the log is incomplete: the recording ended while it was written.")
        for number, line in enumerate(lines, 1):
            if not self._read_line(number, line):
                self.remarks.append(f"Blocks from {self.next_block} on are unreadable and were not replayed.")
                return

    def check_end(self, closed: dict[str, Any] | None) -> None:
        """Compare the lines read with the length that was written into the meta data when the episode was closed.

        Args:
            closed: Number of blocks and last digest; None when the episode was never closed.
        """
        if closed is None:
            self.remarks.append(
                "The recording was never closed because its process or disk failed: "
                f"{len(self.blocks)} whole blocks are left."
            )
        elif not self.tampering and (closed["chain"] != self.chain or closed["blocks"] != len(self.blocks)):
            self.tampering.append(f"{LOG} was closed with {closed['blocks']} blocks and has {len(self.blocks)}.")

    def _read_line(self, number: int, line: bytes) -> bool:
        """Read one line; return False when the log cannot be followed beyond it."""
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
        if chain_digest(self.chain, content) != claimed:
            place = f"{META} or {LOG} line 1" if number == 1 else f"{LOG} line {number}"
            self.tampering.append(f"{place} (block {record.block}) was changed after it was written.")
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


def _check_image(folder: Path, meta: EpisodeMeta) -> list[str]:
    """Return a sentence when the picture that the rollout starts from was changed or removed."""
    if "image" not in meta.options:
        return []
    path = folder / IMAGE
    if not path.is_file():
        return [f"{IMAGE}, the picture that the rollout began from, was removed."]
    found = {"file": IMAGE, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    return [] if meta.options["image"] == found else [f"{IMAGE} was changed after it was written."]


def _check_video(path: Path, expected: int) -> list[str]:
    """Return a sentence when the video does not have as many pixel frames as the log lists."""
    try:
        with av.open(str(path)) as container:
            found = sum(1 for packet in container.demux(video=0) if packet.size)
    except (OSError, av.error.FFmpegError, IndexError) as error:  # IndexError: the file has no video stream
        return [f"{VIDEO} cannot be read: {getattr(error, 'strerror', None) or error}."]
    return [] if found == expected else [f"{VIDEO} holds {found} of {expected} pixel frames."]
