"""The reader of recorded episodes: meta data, blocks, and what was changed or is missing.

`writer.py` writes what this module reads; `episode.py` describes the format.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infrope_env.recording.episode import FORMATS, IMAGE, LOG, META, VIDEO, BlockRecord, EpisodeMeta, chain_digest
from infrope_env.recording.files import MEGABYTE, ReplayError, open_regular, read_regular
from infrope_env.recording.schema import SchemaError, check_line, check_meta, parse_json, shorten
from infrope_env.recording.video import count_frames

META_BYTES, LOG_BYTES, IMAGE_BYTES = 4 * MEGABYTE, 512 * MEGABYTE, 64 * MEGABYTE
FRAME_BYTES = 8 * MEGABYTE  # of a compressed pixel frame
IMAGE_SIDE = 8192  # pixels
PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class LogLine:
    """The place of a block in the video and in the log.

    Attributes:
        first_frame: Index of the block's first pixel frame in the video.
        end_frame: Index after its last one.
        chain: Digest of the line and all before it.
    """

    first_frame: int
    end_frame: int
    chain: str


@dataclass(frozen=True)
class Recording:
    """One episode, read up to the point where its log breaks off.

    Attributes:
        folder: The episode's folder.
        meta: Content of meta.json.
        blocks: Readable lines of the log, in order.
        lines: The place of every block in video and log.
        tampering: Changes made after the episode was written, one sentence each.
        remarks: Losses and other findings, one sentence each.
    """

    folder: Path
    meta: EpisodeMeta
    blocks: tuple[BlockRecord, ...]
    lines: tuple[LogLine, ...]
    tampering: tuple[str, ...]
    remarks: tuple[str, ...]

    @classmethod
    def read(cls, folder: Path) -> Recording:
        """Read an episode. The video is not decoded, only its pixel frames are counted.

        Raises:
            ReplayError: There is no recording in the folder, it has no whole block, an entry of its meta data does
                not fit, or one of its files is no regular file of a usual size inside the folder.
        """
        content = _read_meta(folder)
        closed = content.pop("closed", None)
        meta = EpisodeMeta.from_json(content)
        log = LogReader(folder, chain_digest("", content), meta.first_block)
        log.read()
        log.check_end(closed)
        if not log.blocks:
            raise ReplayError(f"{folder} holds no whole block: there is nothing to replay.")
        remarks = (*log.remarks, *_check_video(folder, log.frames))
        tampering = (*_check_image(folder, meta), *log.tampering)
        return cls(folder, meta, tuple(log.blocks), tuple(log.lines), tampering, remarks)

    @property
    def options(self) -> dict[str, Any]:
        """Options of the reset as the environment takes them: an image is the path of the recorded file."""
        image = {"image": str(self.folder / IMAGE)} if "image" in self.meta.options else {}
        return self.meta.options | image

    def lineage(self) -> list[Recording]:
        """Return the episodes that a replay goes through: the one that began with a reset, ..., this one.

        Raises:
            ReplayError: A parent was not recorded, or the block that its child continues is lost.
        """
        episodes = [self]
        while (parent := episodes[-1]._read_parent()) is not None:  # which begins earlier: it ends
            episodes.append(parent)
        return episodes[::-1]

    def _read_parent(self) -> Recording | None:
        continued = self.meta.continues
        if continued is None:
            return None
        if continued.episode is None:
            raise ReplayError(f"{self.folder} continues a state that was not recorded: it cannot be replayed.")
        folder = self.folder.parent / continued.episode
        if not folder.resolve().is_relative_to(self.folder.parent.resolve()):
            raise ReplayError(f"{folder} is a link to a folder outside of the recording and is not opened.")
        parent = Recording.read(folder)
        if not parent.meta.first_block <= continued.block <= parent.blocks[-1].block:
            raise ReplayError(f"{self.folder} continues block {continued.block} of {continued.episode}, which is lost.")
        return parent


def inherited_tampering(lineage: list[Recording]) -> tuple[str, ...]:
    """Return the changes of the episodes that the last one continues, one sentence each."""
    return tuple(
        f"In {parent.folder.name}, which it continues: {sentence}"
        for parent in reversed(lineage[:-1])
        for sentence in parent.tampering
    )


class LogReader:
    """A reader of blocks.jsonl that follows its chain of digests.

    Attributes:
        chain: Digest of the newest line read.
        next_block: Index of the block expected next.
        frames: Number of pixel frames that the video should have, by the lines read so far.
        blocks: Records read so far.
        lines: Their places in video and log.
        tampering: Changes found, one sentence each.
        remarks: Losses found, one sentence each.
    """

    def __init__(self, folder: Path, chain: str, first_block: int) -> None:
        """Prepare to read a log.

        Args:
            folder: The episode's folder.
            chain: Digest of the meta data.
            first_block: Index of the block in the first line.
        """
        self.folder, self.chain, self.next_block = folder, chain, first_block
        self.frames = 0
        self.blocks: list[BlockRecord] = []
        self.lines: list[LogLine] = []
        self.tampering: list[str] = []
        self.remarks: list[str] = []

    def read(self) -> None:
        """Read lines until one is unreadable or missing. Changed lines are reported but kept."""
        try:
            *lines, tail = read_regular(self.folder, LOG, LOG_BYTES).split(b"\n")
        except FileNotFoundError:
            lines, tail = [], b""
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
            content = parse_json(line)
            check_line(content)
        except ValueError:
            self.tampering.append(f"{LOG} line {number} was changed: it cannot be read.")
            return False
        claimed, self.frames = content.pop("chain"), content["end_frame"]
        record = BlockRecord.from_json(content)
        if record.block != self.next_block:
            self.tampering.append(f"{LOG} line {number} is block {record.block}, expected block {self.next_block}.")
            return False
        if chain_digest(self.chain, content) != claimed:
            place = f"{META} or {LOG} line 1" if number == 1 else f"{LOG} line {number}"
            self.tampering.append(f"{place} (block {record.block}) was changed after it was written.")
        self.chain, self.next_block = claimed, record.block + 1
        self.blocks.append(record)
        self.lines.append(LogLine(content["first_frame"], content["end_frame"], claimed))
        return True


def _read_meta(folder: Path) -> dict[str, Any]:
    path = folder / META
    try:
        content = parse_json(read_regular(folder, META, META_BYTES))
    except OSError as error:
        raise ReplayError(f"{folder} is not a recorded episode: its {META} cannot be read.") from error
    except ReplayError:
        raise
    except SchemaError as error:
        raise ReplayError(f"{path} was changed: an entry does not fit ({error}).") from error
    except ValueError as error:
        raise ReplayError(f"{path} is not valid JSON: {error}.") from error
    found = content.get("format") if isinstance(content, dict) else None
    if type(found) is not int or found not in FORMATS:
        raise ReplayError(f"{path}: expected format {' or '.join(map(str, FORMATS))}, got {shorten(found)}.")
    try:
        check_meta(content)
    except SchemaError as error:
        raise ReplayError(f"{path} was changed: an entry does not fit ({error}).") from error
    return dict(content)


def _check_image(folder: Path, meta: EpisodeMeta) -> list[str]:
    """Return a sentence when the picture that the rollout starts from was changed or removed.

    Raises:
        ReplayError: It is no regular file, or larger than any picture of a recording.
    """
    if "image" not in meta.options:
        return []
    try:
        data = read_regular(folder, IMAGE, IMAGE_BYTES)
    except FileNotFoundError:
        return [f"{IMAGE}, the picture that the rollout began from, was removed."]
    except OSError as error:
        raise ReplayError(f"{folder / IMAGE} cannot be read: {error.strerror}.") from error
    width, height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")  # of the IHDR chunk
    if not data.startswith(PNG) or not (1 <= width <= IMAGE_SIDE and 1 <= height <= IMAGE_SIDE):
        raise ReplayError(f"{folder / IMAGE}: expected a PNG picture of at most {IMAGE_SIDE} pixels a side.")
    found = {"file": IMAGE, "sha256": hashlib.sha256(data).hexdigest()}
    return [] if meta.options["image"] == found else [f"{IMAGE} was changed after it was written."]


def _check_video(folder: Path, expected: int) -> list[str]:
    """Return a sentence when the video does not have as many pixel frames as the log lists.

    Raises:
        ReplayError: It is no regular file, or larger than any video of so many frames.
    """
    try:
        with open_regular(folder, VIDEO, FRAME_BYTES * (expected + 20)) as file:
            found = count_frames(file, expected)
    except ReplayError:
        raise
    except OSError as error:
        return [f"{VIDEO} cannot be read: {error.strerror or error}."]
    except ValueError as error:
        return [f"{VIDEO} cannot be read: {error}."]
    if found > expected:
        return [f"{VIDEO} holds {found - expected} pixel frames more than the log lists."]
    return [] if found == expected else [f"{VIDEO} holds {found} of {expected} pixel frames."]
