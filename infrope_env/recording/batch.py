"""Many rollouts of fixed prompts: one per prompt and seed, each in a folder of its own that appears when it is whole.

The folder's name is a digest of the prompt and the seed. A batch that was stopped goes on where it stopped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium

from infrope_env.control.playable import playable
from infrope_env.control.text_file import read_text
from infrope_env.folder_lock import lock_folder, partial_folder
from infrope_env.recording.files import ReplayError
from infrope_env.recording.quality import Quality
from infrope_env.recording.reader import Recording
from infrope_env.recording.whole import play_prompt, record_whole

ENCODED_AHEAD = 16  # prompts that are encoded together, because a text encoder may have to be loaded for each time


@dataclass(frozen=True)
class BatchRollout:
    """A rollout of a batch.

    Attributes:
        prompt: The prompt of all its blocks.
        seed: Seed of the noise.
    """

    prompt: str
    seed: int

    @property
    def name(self) -> str:
        """Name of its folder: 12 hexadecimal digits of the prompt's sha256, and the seed."""
        return f"{hashlib.sha256(self.prompt.encode('utf-8', 'backslashreplace')).hexdigest()[:12]}-{self.seed}"


@dataclass
class BatchOutcome:
    """Result of a batch.

    Attributes:
        made: Number of rollouts made.
        kept: Number of rollouts that were there already.
        refused: Prompts that the model cannot read, and why.
    """

    made: int = 0
    kept: int = 0
    refused: list[tuple[str, str]] = field(default_factory=list)


Report = Callable[[int, int, int, int], object]
"""Called after each block with the rollout's number from 1, their total, the block's number, and their total."""


def read_prompts(path: Path) -> tuple[str, ...]:
    """Return the prompts of a file, one on a line, each once.

    Raises:
        ValueError: It cannot be read or has none; the message begins with its path.
    """
    prompts = tuple(dict.fromkeys(line.strip() for line in read_text(path).split("\n") if line.strip()))
    if not prompts:
        raise ValueError(f"{path}: expected prompts, one on a line, found none")
    return prompts


def record_batch(
    env: gymnasium.Env[Any, Any],
    prompts: Sequence[str],
    seeds: Sequence[int],
    blocks: int,
    out: Path,
    report: Report,
    quality: Quality = "standard",
) -> BatchOutcome:
    """Record a rollout of every prompt with every seed. Those that are there already are kept.

    Args:
        env: An environment from `gymnasium.make`.
        prompts: The prompts.
        seeds: The seeds.
        blocks: Number of blocks of each rollout.
        out: Folder of the rollouts' folders.
        report: Called after each block.
        quality: Quality of the videos.

    Raises:
        FolderInUse: Another process records a batch there.
        RecordingError: The disk is full or gone; rollouts made before stay.
        ValueError: The folder has a rollout of another length.
    """
    outcome, total, number = BatchOutcome(), len(prompts) * len(seeds), 0
    with lock_folder(out), partial_folder(out) as parts:
        for some in _pieces(prompts, ENCODED_AHEAD):
            rollouts = [BatchRollout(prompt, seed) for prompt in some for seed in seeds]
            waiting = [rollout for rollout in rollouts if not _is_made(out / rollout.name, blocks)]
            readable = _encode(env, dict.fromkeys(rollout.prompt for rollout in waiting), outcome)
            outcome.kept += len(rollouts) - len(waiting)
            for rollout in waiting:
                if rollout.prompt in readable:
                    place = number + rollouts.index(rollout) + 1
                    made = partial(_report_block, report, place, total, blocks)
                    play = play_prompt(rollout.prompt, blocks, rollout.seed)
                    record_whole(env, play, out / rollout.name, parts / rollout.name, quality, made)
                    outcome.made += 1
            number += len(rollouts)
    return outcome


def _pieces(prompts: Sequence[str], length: int) -> Iterator[Sequence[str]]:
    return (prompts[start : start + length] for start in range(0, len(prompts), length))


def _report_block(report: Report, number: int, total: int, blocks: int, block: int) -> None:
    report(number, total, block, blocks)


def _encode(env: gymnasium.Env[Any, Any], prompts: Iterable[str], outcome: BatchOutcome) -> set[str]:
    """Encode prompts ahead and return those that the model can read; the others are noted."""
    readable = set()
    for prompt in prompts:
        try:
            playable(env).encode_prompts([prompt])
            readable.add(prompt)
        except ValueError as error:
            outcome.refused.append((prompt, str(error)))
    return readable


def _is_made(folder: Path, blocks: int) -> bool:
    """Return whether a rollout is there; ValueError when it is not what this batch would make."""
    if not folder.exists():
        return False
    try:
        recorded = len(Recording.read(folder / "episode_000").blocks)
    except ReplayError as error:
        raise ValueError(f"{folder} is there and cannot be read: {error} Remove it to record it again.") from error
    if recorded != blocks:
        raise ValueError(f"{folder} has {recorded} blocks, expected {blocks}. Record the batch to another folder.")
    return True
