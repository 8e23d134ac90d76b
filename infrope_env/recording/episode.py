"""The format of a recorded episode: its files, its meta data, the lines of its log, and the digests that tie them.

`writer.py` writes this format and `reader.py` reads it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from infrope_env.control.frames import Frames
from infrope_env.dynamics.context_strip import ContextStrip
from infrope_env.env_state import RESET, PromptRequest
from infrope_env.recording.quality import Quality
from infrope_env.recording.run_info import RunInfo

VIDEO, SUBTITLES, LOG, META, IMAGE = "video.mp4", "video.srt", "blocks.jsonl", "meta.json", "image.png"
FORMAT = 2
FORMATS = (1, FORMAT)
"""Formats that can be read. Format 1 writes no reward and no end of the rollout, and null where nothing was asked."""


@dataclass(frozen=True)
class BlockReference:
    """A block of another episode, from which a restored state continues.

    Attributes:
        episode: Folder name of the episode; None when the block was not recorded in the same folder of episodes.
        block: Index of the block.
    """

    episode: str | None
    block: int


@dataclass(frozen=True)
class EpisodeMeta:
    """The content of meta.json: how to make an environment in which the logged actions give the same rollout.

    Attributes:
        env_id: Id of the environment.
        env_kwargs: Arguments given to `gymnasium.make`.
        actions: The whole action set, so that a replay does not depend on a file that may change.
        window: Every field of the window in force.
        frame_rate: Pixel frames per second.
        seed: Seed of the noise; for a restored state, the seed of the rollout it comes from.
        options: Options of the reset; for a restored state, those of the rollout it comes from. An image is given
            as a file of the episode with its sha256.
        continues: The block that a restored state continues from; None after a reset.
        made_with: Weights, machine and versions.
        quality: How the video stores pixels; recordings without the entry are "standard".
    """

    env_id: str
    env_kwargs: dict[str, Any]
    actions: dict[str, Any]
    window: dict[str, Any]
    frame_rate: int
    seed: int
    options: dict[str, Any]
    continues: BlockReference | None
    made_with: RunInfo
    quality: Quality = "standard"

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON; paths among the arguments become strings."""
        content: dict[str, Any] = to_plain_json(dataclasses.asdict(self))
        return content

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Inverse of `to_json`.

        Raises:
            KeyError: An entry is missing.
            TypeError: An entry has unexpected fields.
        """
        content = {"quality": "standard", **content}
        fields = {field.name: content[field.name] for field in dataclasses.fields(cls)}
        continues = fields["continues"]
        fields["continues"] = None if continues is None else BlockReference(**continues)
        return cls(**{**fields, "made_with": RunInfo(**fields["made_with"])})

    @property
    def first_block(self) -> int:
        """Index of the first block in the log."""
        return 0 if self.continues is None else self.continues.block + 1


@dataclass(frozen=True)
class AttentionRecord:
    """Attention mass of the frames that a block saw, its own last.

    Attributes:
        frames: Ids of the frames.
        coordinates: Temporal coordinate of each.
        mass: Attention mass of each, to six digits; the sum is 1. Empty where a block was not generated.
    """

    frames: tuple[int, ...]
    coordinates: tuple[int, ...]
    mass: tuple[float, ...]

    @classmethod
    def of(cls, strip: ContextStrip) -> Self:
        """Return the record of what a block saw."""
        return cls(strip.frames, strip.coordinates, tuple(round(mass, 6) for mass in strip.mass))

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {name: list(values) for name, values in vars(self).items()}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Inverse of `to_json`; KeyError when an entry is missing."""
        return cls(*(tuple(content[field.name]) for field in dataclasses.fields(cls)))


@dataclass(frozen=True)
class BlockRecord:
    """One line of blocks.jsonl: the data to generate a block again and to compare it.

    Attributes:
        block: Index of the block; 0 is made by `reset`.
        action: Index into the episode's action set; `RESET` for block 0.
        asked: The `set_prompt` call that took effect with this block; None without one.
        subject: Name of the subject.
        scene: Name of the scene.
        motion: Name of the motion.
        prompt: Text in force.
        transition: "start", "continue", "switch" or "cut".
        sha256: `frames_digest` of the block's valid pixel frames.
        reward: Reward of the block, 0 for block 0; None when it is no finite number, or was not recorded.
        terminated: Whether the block ended the rollout.
        truncated: Whether the rollout was cut off after the block.
        compiled: Whether compiled code made the block.
        attention: Attention mass by frame; None, and no entry in the log, where it was not recorded.
    """

    block: int
    action: int
    asked: PromptRequest | None
    subject: str
    scene: str
    motion: str
    prompt: str
    transition: str
    sha256: str
    reward: float | None = None
    terminated: bool = False
    truncated: bool = False
    compiled: bool = False
    attention: AttentionRecord | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON in which every entry has the same type in every line, as tables need."""
        asked = {"given": self.asked is not None, "text": "", "cut": False}
        if self.asked is not None:
            asked |= dataclasses.asdict(self.asked)
        reward = self.reward if self.reward is not None and math.isfinite(self.reward) else None
        content = {**vars(self), "asked": asked, "reward": reward}
        if self.attention is None:
            del content["attention"]
        else:
            content["attention"] = self.attention.to_json()
        return content

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read a parsed line of the log, of any format.

        Raises:
            KeyError: An entry is missing.
        """
        fields = {field.name: content[field.name] for field in dataclasses.fields(cls) if field.name in content}
        action, asked = content["action"], content["asked"]
        given = asked is not None and asked.get("given", True)
        fields["action"] = RESET if action is None else action
        fields["asked"] = PromptRequest(asked["text"], asked["cut"]) if given else None
        if fields.get("attention") is not None:
            fields["attention"] = AttentionRecord.from_json(fields["attention"])
        return cls(**fields)


def to_plain_json(content: object) -> Any:
    """Return content as it comes back from JSON: NumPy scalars become numbers, everything else unknown becomes text.

    Raises:
        TypeError: A key is no string, number or None.
    """
    return json.loads(json.dumps(content, default=_to_plain))


def _to_plain(value: object) -> object:
    return value.item() if isinstance(value, np.generic) else str(value)


def frames_digest(frames: Frames) -> str:
    """Return the sha256 of pixel frames, t H W 3 uint8: their RGB bytes in order."""
    return hashlib.sha256(np.ascontiguousarray(frames).data).hexdigest()


def chain_digest(previous: str, content: Mapping[str, object]) -> str:
    """Return the digest that ties a log line to every line before it.

    Args:
        previous: Digest of the line before; for the first line, `chain_digest("", meta)`, so that a change of the
            meta data is noticed too.
        content: The line without its "chain" entry.
    """
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256((previous + text).encode()).hexdigest()
