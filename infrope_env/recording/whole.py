"""A rollout in a folder of its own that appears when it is whole: a name that is there holds all of its blocks."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium

from infrope_env.control.idle import idle_action
from infrope_env.control.playable import playable
from infrope_env.player.headless import TimedBlock, drive
from infrope_env.recording.quality import Quality
from infrope_env.recording.wrapper import RecordRollout
from infrope_env.recording.writer import RecordingError

Play = Callable[[RecordRollout], Iterator[TimedBlock]]
"""Makes the blocks of a rollout in the environment that records them."""


def play_prompt(prompt: str, blocks: int, seed: int) -> Play:
    """Return how a rollout is made whose blocks all have one prompt."""

    def play(env: RecordRollout) -> Iterator[TimedBlock]:
        names = playable(env).action_names
        return drive(env, lambda _, info: idle_action(info, names), blocks, seed, {"prompt": prompt})

    return play


def record_whole(
    env: gymnasium.Env[Any, Any],
    play: Play,
    folder: Path,
    partial: Path,
    quality: Quality = "standard",
    made: Callable[[int], object] = lambda blocks: None,
) -> None:
    """Record one rollout in a folder that is not complete, and rename it when it is.

    Args:
        env: An environment from `gymnasium.make`; it stays open.
        play: Makes the blocks.
        folder: Folder of the rollout, which is to hold `episode_000`. One that is there already stays as it is.
        partial: Folder on the same disk for the rollout while it is made; removed first, and after a failure.
        quality: Quality of the video.
        made: Called after each block with their number so far.

    Raises:
        RecordingError: The disk is full or gone.
    """
    shutil.rmtree(partial, ignore_errors=True)  # of a process that was stopped
    recorder = RecordRollout(env, partial, quality)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a full disk is raised below, once
        try:
            for number, _ in enumerate(play(recorder), start=1):
                made(number)
                if recorder.problem is not None:
                    break
        finally:
            recorder.finish()
    if recorder.problem is not None:
        shutil.rmtree(partial, ignore_errors=True)
        raise RecordingError(f"{recorder.problem} Rollouts made before stay; the same command goes on with the others.")
    _publish(partial, folder)


def _publish(partial: Path, folder: Path) -> None:
    """Rename a rollout to its final name, unless another process made it meanwhile."""
    try:
        os.replace(partial, folder)
    except OSError as error:
        if not folder.exists():
            raise RecordingError(f"{partial} cannot be renamed to {folder}: {error.strerror}.") from error
        shutil.rmtree(partial, ignore_errors=True)
