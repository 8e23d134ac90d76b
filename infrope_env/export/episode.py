"""An episode as it is exported: its whole blocks, and the pixel frames of each in its video."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import BinaryIO

from infrope_env.control.actions import ActionSet
from infrope_env.env_state import RESET
from infrope_env.recording.episode import VIDEO, BlockRecord, EpisodeMeta
from infrope_env.recording.files import open_regular
from infrope_env.recording.reader import FRAME_BYTES, LogLine

RESET_NAME = "reset"
"""Name of the action of a block that `reset` made."""


@dataclass(frozen=True)
class Episode:
    """A recorded episode, without what is lost of it.

    Attributes:
        folder: Folder of the recording.
        meta: How it was made.
        blocks: Its whole blocks.
        lines: The place of each block in video and log.
        remarks: Findings, such as blocks that are left out, one sentence each.
    """

    folder: Path
    meta: EpisodeMeta
    blocks: tuple[BlockRecord, ...]
    lines: tuple[LogLine, ...]
    remarks: tuple[str, ...] = ()

    @property
    def frames(self) -> int:
        """Number of pixel frames."""
        return self.lines[-1].end_frame

    @property
    def chain(self) -> str:
        """Digest of meta data and log, by which an exported episode is known again."""
        return self.lines[-1].chain

    @property
    def seconds(self) -> float:
        """Duration of the video."""
        return self.frames / self.meta.frame_rate

    @cached_property
    def action_names(self) -> tuple[str, ...]:
        """Name of every action, by index."""
        return ActionSet.from_dict(self.meta.actions).names

    def action_name(self, block: BlockRecord) -> str:
        """Return the name of a block's action; "reset" for a block that `reset` made."""
        return RESET_NAME if block.action == RESET else self.action_names[block.action]

    @property
    def prompts(self) -> tuple[str, ...]:
        """The prompts in force, one after another."""
        return tuple(prompt for prompt, _ in groupby(block.prompt for block in self.blocks))

    def open_video(self) -> BinaryIO:
        """Open the video for reading; errors as in `open_regular`."""
        return open_regular(self.folder, VIDEO, FRAME_BYTES * (self.frames + 20))
