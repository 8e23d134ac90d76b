"""The wrapper that keeps rollouts: it tells the recorder what was asked for and what came, and says when it cannot."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils import RecordConstructorArgs

from infrope_env.control.storyboard import Subtitle
from infrope_env.env import InfinityRopeEnv
from infrope_env.env_state import PromptRequest
from infrope_env.pixels.picture import to_png
from infrope_env.recording.run_info import RunInfo
from infrope_env.recording.writer import IMAGE, BlockRecord, Origin, Recorder, RecordingError, frames_digest


class RecordingStopped(UserWarning):
    """The disk failed during play; the blocks before are kept, and play goes on."""


@dataclass(frozen=True)
class EpisodeMeta:
    """What meta.json says: how to set an environment up so that the log's actions make the same rollout.

    Attributes:
        env_kwargs: as given to `gymnasium.make`, besides what the following say exactly.
        actions: the action set itself, for files change.
        window: the one in force, every field.
        seed, options: of the reset; a restored state's are its origin's. An image is a file of the episode, by its
            name and sha256.
        continues: the block that a restored state goes on from; None after a reset.
    """

    env_id: str
    env_kwargs: dict[str, Any]
    actions: dict[str, Any]
    window: dict[str, Any]
    frame_rate: int
    seed: int
    options: dict[str, Any]
    continues: Origin | None
    made_with: RunInfo

    @classmethod
    def of(cls, env: gymnasium.Env, continues: Origin | None, image: bytes | None = None) -> Self:
        """Describe a rollout that is about to begin in `env`, which `gymnasium.make` must have made.

        Args:
            env: the environment, or a wrapper of it.
            continues: the block that it goes on from, if not from a reset.
            image: the PNG file that the episode keeps of the picture the rollout began from.
        """
        world, spec = _world_of(env), _spec_of(env)
        kept = {} if image is None else {"image": {"file": IMAGE, "sha256": hashlib.sha256(image).hexdigest()}}
        return cls(
            env_id=spec.id,
            env_kwargs=spec.kwargs,
            actions=world.action_set.to_dict(),
            window=asdict(world.window),
            frame_rate=world.metadata["render_fps"],
            seed=world.seed_used,
            options=world.names_used | kept,
            continues=continues,
            made_with=RunInfo.of(world.model),
        )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON; paths among the arguments become text."""
        return json.loads(json.dumps(asdict(self), default=str))

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The same back."""
        fields = {name: content[name] for name in cls.__dataclass_fields__}
        origin = fields["continues"]
        fields["continues"] = None if origin is None else Origin(**origin)
        return cls(**{**fields, "made_with": RunInfo(**fields["made_with"])})

    @property
    def first_block(self) -> int:
        """Index of the first block in the log."""
        return 0 if self.continues is None else self.continues.block + 1


class RecordRollout(gymnasium.Wrapper, RecordConstructorArgs):
    """Keep every rollout in `folder`, one episode for each reset or restored state.

    Goes directly around the environment (inside FrameByFrame, LastFrame, StackChannels): it needs whole clips.
    When the disk fails during play a warning says so once, `problem` keeps the sentence, and play goes on.

    Attributes:
        problem: why nothing is kept any more, None while all is well.
        subtitles: written beside the video of every episode that a reset begins, as video.srt.

    Raises:
        RecordingError: the folder cannot be written to.
        ValueError: the environment below does not give whole clips, or was not made by `gymnasium.make`.
    """

    def __init__(self, env: gymnasium.Env, folder: Path | str) -> None:
        RecordConstructorArgs.__init__(self, folder=str(folder))
        gymnasium.Wrapper.__init__(self, env)
        self._world = world = _world_of(env)
        _spec_of(env)
        if env.observation_space.shape != world.block_shape:
            raise ValueError("RecordRollout goes directly around the environment, inside wrappers that change clips.")
        self._recorder = Recorder(Path(folder), world.metadata["render_fps"])
        self.problem: str | None = None
        self.subtitles: tuple[Subtitle, ...] = ()
        self._kept: Mapping[str, Any] | None = None  # info of the block that was kept last

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset, and begin a new episode."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._begin(None)
        self._keep(observation, info, None)
        return observation, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Step, and keep the block; after a restored state it begins an episode that names the one it continues."""
        before = self._world.newest
        if before is not None and before[1] is not self._kept:
            self._begin_restored(*before)
        asked = self._world.pending_prompt
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._keep(observation, info, asked)
        return observation, reward, terminated, truncated, info

    @property
    def episodes(self) -> tuple[Path, ...]:
        """The folders of the episodes kept so far, in order."""
        return tuple(self._recorder.written)

    def finish(self) -> None:
        """Close the episode; the environment stays usable, and its next reset begins another."""
        self._guard(self._recorder.close)

    def close(self) -> None:
        """Close the episode and the environment."""
        self.finish()
        super().close()

    def _begin(self, continues: Origin | None) -> None:
        picture = self._world.picture
        image = None if picture is None else to_png(picture)
        meta = EpisodeMeta.of(self.env, continues, image).to_json()
        subtitles = self.subtitles if continues is None else ()
        self._guard(lambda: self._recorder.begin(meta, subtitles, image))

    def _begin_restored(self, clip: np.ndarray, info: Mapping[str, Any]) -> None:
        """Find the block that the state was saved after by its index and frames."""
        block = info["block"]
        known = self._recorder.origin(block, frames_digest(valid_frames(clip, info)))
        self._begin(known or Origin(None, block))

    def _keep(self, observation: np.ndarray, info: Mapping[str, Any], asked: PromptRequest | None) -> None:
        frames = valid_frames(observation, info)
        told = {name: info[name] for name in ("block", "subject", "scene", "motion", "prompt", "transition")}
        action = None if info["action"] is None else int(info["action"])
        record = BlockRecord(action=action, asked=asked, sha256=frames_digest(frames), **told)
        self._kept = self._world.newest[1] if self._world.newest else None
        self._guard(lambda: self._recorder.write(frames, record))

    def _guard(self, write: Callable[[], None]) -> None:
        """A disk that fails must not cost the player the rollout."""
        try:
            write()
        except RecordingError as error:
            self.problem = str(error)
            warnings.warn(self.problem, RecordingStopped, stacklevel=4)


def valid_frames(observation: np.ndarray, info: Mapping[str, Any]) -> np.ndarray:
    """The pixel frames of an observation that count: the last `num_frames`."""
    return observation[-info["num_frames"] :]


def _spec_of(env: gymnasium.Env) -> EnvSpec:
    if env.spec is None:
        raise ValueError("Only an environment from gymnasium.make can be recorded: its arguments must be known.")
    return env.spec


def _world_of(env: gymnasium.Env) -> InfinityRopeEnv:
    if not isinstance(env.unwrapped, InfinityRopeEnv):
        raise ValueError(f"expected an infrope environment to record, got {env.unwrapped}")
    return env.unwrapped


def find_recorder(env: gymnasium.Env[Any, Any]) -> RecordRollout | None:
    """Return the recorder among the wrappers around an environment; None when it is not recorded."""
    while isinstance(env, gymnasium.Wrapper):
        if isinstance(env, RecordRollout):
            return env
        env = env.env
    return None
