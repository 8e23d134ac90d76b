"""A process of a fleet: one environment, whose model is loaded once, and one episode after another."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infrope_env.cli_options import EnvironmentOptions, RolloutOptions
from infrope_env.folder_lock import PARTIAL
from infrope_env.recording.quality import Quality
from infrope_env.recording.whole import Play, play_prompt, record_whole

if TYPE_CHECKING:
    import gymnasium

    from infrope_env.fleet.plan import EpisodeRequest
    from infrope_env.player.headless import TimedBlock
    from infrope_env.recording.wrapper import RecordRollout

REQUEST = "request.json"
"""File beside `episode_000` with what the episode was made from, as `Plan.describe` returns it."""


@dataclass(frozen=True)
class WorkerInfo:
    """Where a worker runs.

    Attributes:
        host: Name of its machine.
        pid: Its process.
        device: Device of its model.
    """

    host: str
    pid: int
    device: str


class Worker:
    """A process with one environment."""

    def __init__(self, environment: EnvironmentOptions, quality: Quality, out: Path, marker: str) -> None:
        """Prepare; `start` loads the model.

        Args:
            environment: Options of the environment.
            quality: Quality of the videos.
            out: Folder of the episodes' folders, shared by all workers.
            marker: Name of a file in the folder's `PARTIAL`, by which a worker knows that it sees the same disk.
        """
        self._environment, self._quality, self._out, self._marker = environment, quality, out, marker
        self._env: gymnasium.Env[Any, Any] | None = None

    def start(self) -> WorkerInfo:
        """Make the environment.

        Raises:
            ValueError: It cannot be made, or this machine does not see the folder of the episodes.
        """
        import infrope_env  # noqa: F401  registers the ids

        host = socket.gethostname()
        if not (self._out / PARTIAL / self._marker).exists():
            raise ValueError(f"{host} does not see {self._out}: give --out a folder that all machines of Ray share")
        self._env = self._environment.make_env()
        return WorkerInfo(host, os.getpid(), str(self._env.unwrapped.model.device))  # type: ignore[attr-defined]

    def record(self, episode: EpisodeRequest, partial: str, description: dict[str, Any]) -> None:
        """Record an episode, which appears in its folder when it is whole.

        Args:
            episode: The episode.
            partial: Name of the folder, in `PARTIAL`, of the episode while it is made.
            description: What it is made from, as `Plan.describe` returns it.

        Raises:
            RecordingError: The disk is full or gone.
            ValueError: The model cannot make it: a prompt has words that it does not know.
        """
        assert self._env is not None, "start comes first"
        folder = self._out / PARTIAL / partial
        play = play_prompt(episode.prompt, episode.blocks, episode.options.seed or 0) if episode.prompt else None

        def describe_first(recorder: RecordRollout) -> Iterator[TimedBlock]:
            (folder / REQUEST).write_text(json.dumps(description, indent=1), encoding="utf-8")
            return (play or play_options(episode.options, episode.blocks))(recorder)

        record_whole(self._env, describe_first, self._out / episode.name, folder, self._quality)


def play_options(options: RolloutOptions, blocks: int) -> Play:
    """Return how a rollout is made under the options of `infrope record`."""

    def play(recorder: RecordRollout) -> Iterator[TimedBlock]:
        from infrope_env.player.headless import drive, stand_still

        recorder.subtitles = ()
        controller = options.controller(recorder)
        return drive(recorder, controller or stand_still, blocks, options.seed, options.reset_options(controller))

    return play


def was_made(folder: Path, description: dict[str, Any]) -> bool:
    """Return whether an episode is there.

    Raises:
        ValueError: Its folder holds something that was made from another plan.
    """
    if not folder.exists():
        return False
    try:
        found = json.loads((folder / REQUEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{folder} is there and was not made by a fleet: choose another --out") from error
    if found != json.loads(json.dumps(description)):
        changed = ", ".join(_changed(found, description)) or "its description"
        raise ValueError(
            f"{folder} was made from another plan ({changed} changed). Remove it to make it again, or choose another "
            "--out."
        )
    return True


def _changed(found: Any, wanted: dict[str, Any]) -> list[str]:
    """Return the names of the entries in which two descriptions differ."""
    names: list[str] = []
    for key, value in wanted.items():
        other = found.get(key) if isinstance(found, dict) else None
        if isinstance(value, dict) and isinstance(other, dict):
            differing = (name for name in sorted(value.keys() | other.keys()) if value.get(name) != other.get(name))
            names.extend(differing)
        elif value != other:
            names.append(key)
    return names
